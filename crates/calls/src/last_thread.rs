//! The end of the program's last thread is the end of the process, and the pager's threads are no program's.
//!
//! The C library ends a process when its last thread ends, and counts the pager's threads with all others: a program
//! whose main thread has left by `pthread_exit`, or a child that was forked by another thread than the main
//! one, would never end. So the program's threads are counted here, by those that begin through `pthread_create`. There
//! are others (`thrd_create`, the C library's helpers), so the last one looks around before it ends everything.

use std::ffi::c_void;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use zpager_linux::at_fork::at_fork;

/// Of all threads of the pager, by which they are told from others.
const OWN_NAMES: [&str; 2] = ["zpager-", "iou-"];

/// What threads store destroys itself so often before nobody asks any more; the last time is ours.
const LAST_ROUND: usize = 4;

static IS_WATCHED: AtomicBool = AtomicBool::new(false);
static KEY: AtomicU32 = AtomicU32::new(0);
static THREADS: AtomicU32 = AtomicU32::new(0);

/// Counts threads from now on, this one being the only one. For a library that is there from the program's start.
pub fn watch() {
    let mut key = 0;
    // SAFETY: a key with a function that takes what is stored by it.
    if unsafe { libc::pthread_key_create(&mut key, Some(ends)) } == 0 {
        KEY.store(key, Ordering::Relaxed);
        at_fork(None, None, Some(in_child));
        IS_WATCHED.store(true, Ordering::Release);
        begins();
    }
}

/// Whether threads are to tell that they begin.
pub(crate) fn is_watched() -> bool {
    IS_WATCHED.load(Ordering::Acquire)
}

/// A thread of the program begins, and this is it.
pub(crate) fn begins() {
    THREADS.fetch_add(1, Ordering::Relaxed);
    store(1);
}

extern "C" fn in_child() {
    THREADS.store(0, Ordering::Relaxed);
    begins();
}

fn store(round: usize) {
    // SAFETY: the key is there before anybody stores by it.
    unsafe { libc::pthread_setspecific(KEY.load(Ordering::Relaxed), round as *const c_void) };
}

/// At the end of a thread, once for each round.
unsafe extern "C" fn ends(round: *mut c_void) {
    let round = round as usize;
    if round < LAST_ROUND {
        // What others have stored goes first.
        return store(round + 1);
    }
    if THREADS.fetch_sub(1, Ordering::AcqRel) == 1 && is_alone() {
        // SAFETY: as the C library ends a process with its last thread.
        unsafe { libc::exit(0) }
    }
}

/// Whether all other threads are the pager's.
fn is_alone() -> bool {
    // SAFETY: has no preconditions.
    let own = unsafe { libc::gettid() }.to_string();
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return false };
    threads.flatten().all(|thread| {
        let is_pagers = |name: String| OWN_NAMES.iter().any(|own| name.starts_with(own));
        // One whose name cannot be read has just ended.
        thread.file_name() == *own || fs::read_to_string(thread.path().join("comm")).map_or(true, is_pagers)
    })
}
