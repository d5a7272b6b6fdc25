//! Our locks during a fork: held by the thread that forks, so that no other has one in the child's copy.
//!
//! They are taken before the pager comes to rest, since whoever has one may need the pager to get on:
//! of what is to be called before a fork, what was registered last is called first.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use zpager_linux::at_fork::at_fork;

use crate::{blocks, mappings};

type Guards = (blocks::Guards, mappings::Guard);

struct Held(UnsafeCell<Option<Guards>>);

// SAFETY: touched only by the thread that holds all those locks.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

/// The thread that holds them, as `pthread_self` has it; 0 is none.
static THREAD: AtomicUsize = AtomicUsize::new(0);

/// Whether this thread is just forking, and so has all our locks.
pub fn is_under_way_here() -> bool {
    let thread = THREAD.load(Ordering::Relaxed);
    // SAFETY: has no preconditions.
    thread != 0 && thread == unsafe { libc::pthread_self() } as usize
}

/// Called once, after the pager was made.
pub fn prepare() {
    at_fork(Some(before), Some(after), Some(after));
}

extern "C" fn before() {
    let guards = (blocks::lock_all(), mappings::lock());
    // SAFETY: this thread holds the locks.
    unsafe {
        *HELD.0.get() = Some(guards);
        THREAD.store(libc::pthread_self() as usize, Ordering::Relaxed);
    }
}

extern "C" fn after() {
    THREAD.store(0, Ordering::Relaxed);
    // SAFETY: this thread, or the one that it was in the parent, has taken the locks in `before`.
    drop(unsafe { (*HELD.0.get()).take() });
}
