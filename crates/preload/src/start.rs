//! The pager: made when the first managed memory is asked for, and there to the end of the process.
//!
//! Before it is ready, and while it is being made, everything comes from the C library and the
//! kernel: the making itself allocates, maps and starts threads, and another thread that waited
//! for it might hold a lock that it needs.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use zpager_core::ledger::Ledger;
use zpager_linux::ledger;
use zpager_linux::pager::{Options, Pager};
use zpager_linux::recorder::Recorder;

use crate::calls;
use crate::fork;
use crate::options::{self, Wanted};
use crate::report;
use crate::small;

/// Nobody tells what a program keeps where; words are the best guess, and the codec looks at each page.
pub const ITEM_BYTES: u8 = 8;

/// The exit code of `zpager run` for failures of its own.
const OWN_FAILURE: i32 = 125;

static MANAGED_BYTES_MIN: AtomicUsize = AtomicUsize::new(usize::MAX);
static WANTED: OnceLock<Wanted> = OnceLock::new();
static LEDGER: OnceLock<io::Result<&'static Ledger>> = OnceLock::new();
static IS_STARTING: AtomicBool = AtomicBool::new(false);
static PAGER: OnceLock<Arc<Pager>> = OnceLock::new();
static WINDOW_START: AtomicUsize = AtomicUsize::new(0);
static WINDOW_END: AtomicUsize = AtomicUsize::new(0);

/// Called by the loader, before any code of the program.
#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = on_load;

extern "C" fn on_load() {
    match options::from_environment() {
        None => {}
        Some(Ok(mut wanted)) => {
            let managed_bytes_min = wanted.managed_bytes_min;
            if !wanted.follow {
                // SAFETY: this thread is the only one, and the program has not begun.
                unsafe { options::forget_environment() };
            }
            // Now, since later the program may have given up its rights, or have changed its root.
            let _ = LEDGER.set(ledger::open(&wanted.ledger));
            if let Some(path) = &wanted.record {
                match Recorder::open(path) {
                    Ok(recorder) => wanted.pager.recorder = Some(Box::leak(Box::new(recorder))),
                    Err(error) => {
                        fail(&format!("{}, to record to, cannot be opened: {error}", path.display()))
                    }
                }
            }
            wanted.pager.faults = calls::prepare(&wanted.pager, wanted.faults);
            let _ = WANTED.set(wanted);
            MANAGED_BYTES_MIN.store(managed_bytes_min, Ordering::Release);
            small::begin(managed_bytes_min);
        }
        Some(Err(complaint)) => fail(&complaint),
    }
}

/// Whether a mapping of so many bytes is for the pager.
pub fn is_managed_size(bytes: usize) -> bool {
    bytes >= MANAGED_BYTES_MIN.load(Ordering::Acquire)
}

/// Whether this process is to be under zpager.
pub fn is_wanted() -> bool {
    WANTED.get().is_some()
}

/// Whether there is a pager; there may be after this.
pub fn is_ready() -> bool {
    pager().is_some()
}

/// Whether an address is in managed memory.
pub fn is_managed(address: usize) -> bool {
    // The end is 0 until there is a pager.
    address < WINDOW_END.load(Ordering::Acquire) && address >= WINDOW_START.load(Ordering::Relaxed)
}

/// The part of a range that is in the window, for most ranges none.
pub fn in_window(range: &Range<usize>) -> Option<Range<usize>> {
    let end = range.end.min(WINDOW_END.load(Ordering::Acquire));
    let start = range.start.max(WINDOW_START.load(Ordering::Relaxed));
    (start < end).then_some(start..end)
}

/// The pager, made by the first who asks. `None`: it is just being made.
pub fn pager() -> Option<&'static Arc<Pager>> {
    if let Some(pager) = PAGER.get() {
        return Some(pager);
    }
    if IS_STARTING.swap(true, Ordering::AcqRel) {
        return None;
    }
    let wanted = WANTED.get()?;
    let ledger = LEDGER.get()?.as_ref().unwrap_or_else(|error| {
        fail(&format!(
            "{}, where all its processes share their RAM, cannot be opened: {error}; has `zpager run` ended, or \
             is this another user's process?",
            wanted.ledger.display()
        ))
    });
    match Pager::new(Options { ledger: Some(ledger), ..wanted.pager.clone() }) {
        Ok(pager) => {
            let window = pager.window();
            WINDOW_START.store(window.start, Ordering::Relaxed);
            WINDOW_END.store(window.end, Ordering::Release);
            let pager = PAGER.get_or_init(|| pager);
            fork::prepare();
            report::begin(pager, &wanted.report_directory, wanted.report_every);
            Some(pager)
        }
        Err(error) => fail(&error.to_string()),
    }
}

/// Ends the process: the program must not run without the limit that was asked for.
fn fail(complaint: &str) -> ! {
    eprintln!("zpager run: {complaint}");
    // SAFETY: ends the process without running what the program has registered for its end.
    unsafe { libc::_exit(OWN_FAILURE) }
}
