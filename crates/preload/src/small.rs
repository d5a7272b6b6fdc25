//! Small blocks: the C library's, as long as they are not much of RAM.
//!
//! Nobody tells how much memory the C library has in use. So each thread has the kernel asked now and then,
//! whenever it has asked for another step's worth of small blocks itself. When what is not managed has become
//! too much of RAM, all new blocks are managed.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use zpager_linux::errno::{errno, set_errno};
use zpager_linux::pager::Delivery;

use crate::fork;
use crate::start::pager;

/// The share of RAM, in bytes, that a thread asks for between two looks; but at least a MiB.
const STEP_OF_RAM: u64 = 64;
/// The share of RAM that may go to memory that is not managed before small blocks are.
const UNMANAGED_OF_RAM: u64 = 4;
/// Where faults are signals a system call that no wrapper knows fails at a page that is not there. The C library
/// has its locks, on which it waits, in blocks smaller than that.
const BLOCK_BYTES_MIN_WITH_SIGNALS: usize = 1 << 10;

static BLOCK_BYTES_MIN: AtomicUsize = AtomicUsize::new(usize::MAX);

thread_local! {
    /// Bytes of small blocks until this thread looks again.
    static LEFT: Cell<usize> = const { Cell::new(1 << 20) };
}

/// Blocks of at least so many bytes are managed, for the time being.
pub fn begin(block_bytes_min: usize) {
    BLOCK_BYTES_MIN.store(block_bytes_min, Ordering::Release);
}

/// Whether a block of so many bytes is for the pager.
pub fn is_managed_size(bytes: usize) -> bool {
    bytes >= BLOCK_BYTES_MIN.load(Ordering::Acquire)
}

/// A small block of so many bytes is asked for.
pub fn note(bytes: usize) {
    LEFT.with(|left| match left.get().checked_sub(bytes) {
        Some(rest) => left.set(rest),
        None => left.set(look()),
    });
}

/// Has small blocks managed from now on if that is necessary. When to look again.
#[cold]
fn look() -> usize {
    if fork::is_under_way_here() {
        return 0;
    }
    // Nobody expects that a block changes it.
    let errno_before = errno();
    let step = pager().map_or(0, |pager| {
        let options = pager.options();
        if pager.count_unmanaged() > options.ram_bytes / UNMANAGED_OF_RAM {
            let bytes_min = match options.faults {
                Delivery::Thread => 0,
                Delivery::Signal => BLOCK_BYTES_MIN_WITH_SIGNALS,
            };
            BLOCK_BYTES_MIN.fetch_min(bytes_min, Ordering::AcqRel);
        }
        options.ram_bytes / STEP_OF_RAM
    });
    set_errno(errno_before);
    (step as usize).max(1 << 20)
}
