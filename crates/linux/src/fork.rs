//! What a forked child is told when it touches managed memory of its parent.
//!
//! That memory is not there (`Mapping`), so the touch is a segmentation fault. Its addresses are
//! kept free, since a pager of the child's own would get them, and the touch would find that one's
//! memory. And as a bare segmentation fault tells nobody why, a handler, installed in the child
//! only, says it in a line.
//!
//! There is no lock here: a thread that holds one while another forks does not exist in the child.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use crate::at_fork::at_fork;
use crate::errno::{errno, set_errno};
use crate::mapping::Mapping;
use crate::signals::pass_on;
use crate::system_call;

/// Pagers whose windows are known; touches of any more are segmentation faults without a word.
const WINDOWS_MAX: usize = 64;

const EXPLANATION: &[u8] =
    b"zpager: this is a forked child; the memory of the parent's pager is not here, so \
    touching it is a segmentation fault; start workers by 'spawn' or 'forkserver' instead of 'fork', or make \
    a Pager of the child's own\n";

/// A range of addresses, and the process that has memory there. Process 0: the place is free.
struct Window {
    process: AtomicI32,
    start: AtomicUsize,
    end: AtomicUsize,
}

/// Ordinary memory, which a child inherits as it is: with the windows of all its ancestors.
static WINDOWS: [Window; WINDOWS_MAX] =
    [const { Window { process: AtomicI32::new(0), start: AtomicUsize::new(0), end: AtomicUsize::new(0) } };
        WINDOWS_MAX];

static IS_PREPARED: AtomicBool = AtomicBool::new(false);
static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

/// What handled SIGSEGV in the child before.
struct Previous(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written by the only thread of a new child before the handler is installed, once in any
// line of processes, and only read from then on.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::zeroed()));

/// A pager's memory comes to be.
pub fn enter(window: &Mapping) {
    if !IS_PREPARED.swap(true, Ordering::Relaxed) {
        // Where that cannot be had, children die without a word.
        at_fork(None, None, Some(in_child));
    }
    // SAFETY: has no preconditions.
    let process = unsafe { libc::getpid() };
    let take =
        |free: &AtomicI32| free.compare_exchange(0, process, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    if let Some(entry) = WINDOWS.iter().find(|entry| take(&entry.process)) {
        entry.start.store(window.address(0), Ordering::Relaxed);
        entry.end.store(window.address(0) + window.bytes(), Ordering::Release);
    }
}

/// A pager's memory goes.
pub fn leave(window: &Mapping) {
    // SAFETY: has no preconditions.
    let process = unsafe { libc::getpid() };
    let is_it = |entry: &&Window| {
        entry.process.load(Ordering::Relaxed) == process
            && entry.start.load(Ordering::Relaxed) == window.address(0)
    };
    if let Some(entry) = WINDOWS.iter().find(is_it) {
        entry.end.store(0, Ordering::Relaxed);
        entry.start.store(0, Ordering::Relaxed);
        entry.process.store(0, Ordering::Release);
    }
}

/// Called by `fork` in the child, before anything else runs there.
extern "C" fn in_child() {
    let mut has_windows = false;
    for entry in WINDOWS.iter().filter(|entry| entry.end.load(Ordering::Relaxed) != 0) {
        has_windows = true;
        let start = entry.start.load(Ordering::Relaxed);
        let length = entry.end.load(Ordering::Relaxed) - start;
        let flags = libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: where anything is mapped already this does nothing, as in a child of a child.
        unsafe {
            let _ = system_call::map(start, length, libc::PROT_NONE, flags);
        }
    }
    // A child of a child has the handler, and somebody may have put another in front of it.
    if !has_windows || IS_INSTALLED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: this is the only thread, and PREVIOUS is written before our handler can run; `ours`
    // is filled before it is installed, and the handler has the signature that SA_SIGINFO asks for.
    unsafe {
        let previous = (*PREVIOUS.0.get()).as_mut_ptr();
        if libc::sigaction(libc::SIGSEGV, std::ptr::null(), previous) != 0 {
            return;
        }
        let mut ours: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = on_sigsegv as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut ours.sa_mask);
        libc::sigaction(libc::SIGSEGV, &ours, std::ptr::null_mut());
    }
    IS_INSTALLED.store(true, Ordering::Relaxed);
}

/// Called by the kernel on the thread that faulted.
extern "C" fn on_sigsegv(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a siginfo_t; PREVIOUS was written before this handler was installed, and
    // is what the kernel would have called instead.
    unsafe {
        let errno_before = errno();
        let process = libc::getpid();
        let address = (*info).si_addr() as usize;
        let is_ancestors = |entry: &Window| {
            ![0, process].contains(&entry.process.load(Ordering::Relaxed))
                && (entry.start.load(Ordering::Relaxed)..entry.end.load(Ordering::Relaxed)).contains(&address)
        };
        // Not somebody's `kill`, which has no address.
        if (*info).si_code > 0 && WINDOWS.iter().any(is_ancestors) {
            libc::write(libc::STDERR_FILENO, EXPLANATION.as_ptr().cast(), EXPLANATION.len());
        }
        set_errno(errno_before);
        pass_on((*PREVIOUS.0.get()).assume_init_ref(), signal, info, context);
    }
}
