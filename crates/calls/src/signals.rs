//! SIGBUS is ours: it is never blocked, since the kernel ends a process that faults while it is, and what the
//! program asks to be done about it is done when it is about nothing of ours.
//!
//! The program is told what it has set: by `sigaction`, and by the old mask of its own thread.

use std::cell::Cell;
use std::ffi::c_int;
use std::mem::zeroed;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libc::{sigaction as action, siginfo_t, timespec};
use zpager_linux::errno::set_errno;
use zpager_linux::signal_mode::{exchange_program_action, is_ours};
use zpager_linux::signals::bit;

use crate::copies::with_copy;
use crate::retry::missing;

const BUS: u64 = bit(libc::SIGBUS);

type Sigaction = unsafe extern "C" fn(c_int, *const action, *mut action) -> c_int;
type Signal = unsafe extern "C" fn(c_int, usize) -> usize;
type Mask = unsafe extern "C" fn(c_int, *const u64, *mut u64) -> c_int;
type Suspend = unsafe extern "C" fn(*const u64) -> c_int;
type Wait = unsafe extern "C" fn(*const u64, *mut c_int) -> c_int;
type WaitInfo = unsafe extern "C" fn(*const u64, *mut siginfo_t) -> c_int;
type WaitUntil = unsafe extern "C" fn(*const u64, *mut siginfo_t, *const timespec) -> c_int;

originals! {
    sigaction: Sigaction;
    __sigaction: Sigaction;
    signal: Signal;
    bsd_signal: Signal;
    __sysv_signal: Signal;
    sigprocmask: Mask;
    pthread_sigmask: Mask;
    sigsuspend: Suspend;
    sigwait: Wait;
    sigwaitinfo: WaitInfo;
    sigtimedwait: WaitUntil;
}

static IS_KEPT: AtomicBool = AtomicBool::new(false);
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// Handlers whose masks had SIGBUS, by their signals.
static HAD_BUS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The program has it blocked in this thread.
    static IS_BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// From now on it is never blocked, nor is it in this thread. `is_told`: threads are told what they have set, which
/// takes a library that is there from the program's start: a variable of a thread's own may else have to be
/// allocated.
pub fn keep(is_told: bool) {
    if let Some(original) = original::sigaction() {
        zpager_linux::signal_mode::use_sigaction(original);
    }
    IS_TOLD.store(is_told, Ordering::Relaxed);
    if IS_KEPT.swap(true, Ordering::Relaxed) {
        return;
    }
    for signal in 1..=libc::SIGRTMAX() {
        let mut now: action;
        // SAFETY: zeros are a valid one, which the call fills; and only its mask is changed.
        unsafe {
            now = zeroed();
            if sigaction(signal, std::ptr::null(), &mut now) == 0 && *mask_of(&mut now) & BUS != 0 {
                sigaction(signal, &now, std::ptr::null_mut());
            }
        }
    }
    if let Some(original) = original::pthread_sigmask() {
        // SAFETY: a whole set.
        unsafe { original(libc::SIG_UNBLOCK, whole(BUS).as_ptr(), std::ptr::null_mut()) };
    }
}

/// A set as long as the C library's, of which the kernel uses the first word.
fn whole(bits: u64) -> [u64; size_of::<libc::sigset_t>() / size_of::<u64>()] {
    let mut set = [0; _];
    set[0] = bits;
    set
}

fn is_kept() -> bool {
    IS_KEPT.load(Ordering::Relaxed)
}

/// The set of an action, as the kernel has it.
fn mask_of(action: &mut action) -> &mut u64 {
    // SAFETY: a `sigset_t` is larger, aligned, and begins with it.
    unsafe { &mut *(&raw mut action.sa_mask).cast::<u64>() }
}

unsafe fn exchange(original: Sigaction, signal: c_int, new: *const action, old: *mut action) -> c_int {
    // SAFETY: the caller's; copying brings them in.
    unsafe {
        let mut wanted = if new.is_null() { None } else { Some(*new) };
        if !is_kept() || wanted.as_ref().is_some_and(is_ours) {
            return with_copy(new, |new| with_copy(old, |old| original(signal, new, old)));
        }
        if signal == libc::SIGBUS
            && let Some(before) = exchange_program_action(wanted.as_ref())
        {
            if !old.is_null() {
                *old = before;
            }
            return 0;
        }
        let number = if (1..=64).contains(&signal) { bit(signal) } else { 0 };
        let mut asks_for_bus = false;
        let pointer = match &mut wanted {
            Some(wanted) => {
                asks_for_bus = *mask_of(wanted) & BUS != 0;
                *mask_of(wanted) &= !BUS;
                &raw const *wanted
            }
            None => std::ptr::null(),
        };
        let mut before: action = zeroed();
        let result = original(signal, pointer, &mut before);
        if result != 0 {
            return result;
        }
        let had_bus = if pointer.is_null() {
            HAD_BUS.load(Ordering::Relaxed)
        } else if asks_for_bus {
            HAD_BUS.fetch_or(number, Ordering::Relaxed)
        } else {
            HAD_BUS.fetch_and(!number, Ordering::Relaxed)
        };
        if had_bus & number != 0 {
            *mask_of(&mut before) |= BUS;
        }
        if !old.is_null() {
            *old = before;
        }
        0
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn sigaction(signal: c_int, new: *const action, old: *mut action) -> c_int {
    let Some(original) = original::sigaction() else { return missing() };
    // SAFETY: the caller's.
    unsafe { exchange(original, signal, new, old) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn __sigaction(signal: c_int, new: *const action, old: *mut action) -> c_int {
    let Some(original) = original::__sigaction() else { return missing() };
    // SAFETY: the caller's.
    unsafe { exchange(original, signal, new, old) }
}

/// `signal`, with the flags of one of its kinds.
unsafe fn set_handler(original: Option<Signal>, signal: c_int, handler: usize, flags: c_int) -> usize {
    let Some(original) = original else {
        set_errno(libc::ENOSYS);
        return libc::SIG_ERR;
    };
    if signal != libc::SIGBUS || !is_kept() {
        // SAFETY: the caller's.
        return unsafe { original(signal, handler) };
    }
    // SAFETY: zeros are a valid one; a handler of one argument is what the flags say.
    unsafe {
        let mut new: action = zeroed();
        new.sa_sigaction = handler;
        new.sa_flags = flags;
        let mut old: action = zeroed();
        if sigaction(signal, &new, &mut old) == 0 { old.sa_sigaction } else { libc::SIG_ERR }
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn signal(signal: c_int, handler: usize) -> usize {
    // SAFETY: the caller's.
    unsafe { set_handler(original::signal(), signal, handler, libc::SA_RESTART) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn bsd_signal(signal: c_int, handler: usize) -> usize {
    // SAFETY: the caller's.
    unsafe { set_handler(original::bsd_signal(), signal, handler, libc::SA_RESTART) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn __sysv_signal(signal: c_int, handler: usize) -> usize {
    let flags = libc::SA_RESETHAND | libc::SA_NODEFER;
    // SAFETY: the caller's.
    unsafe { set_handler(original::__sysv_signal(), signal, handler, flags) }
}

unsafe fn change_mask(original: Option<Mask>, how: c_int, new: *const u64, old: *mut u64) -> c_int {
    let Some(original) = original else { return missing() };
    // SAFETY: the caller's; copying brings the sets in. The kernel and the C library use as much of them.
    unsafe {
        if !is_kept() {
            return original(how, new, old);
        }
        let wanted = if new.is_null() { 0 } else { new.read() };
        let given = whole(wanted & !BUS);
        let mut before = whole(0);
        let result = original(how, if new.is_null() { new } else { given.as_ptr() }, before.as_mut_ptr());
        if result != 0 {
            return result;
        }
        let mut before = before[0];
        if IS_TOLD.load(Ordering::Relaxed) {
            if IS_BLOCKED.get() {
                before |= BUS;
            }
            if !new.is_null() {
                let names_bus = wanted & BUS != 0;
                match how {
                    libc::SIG_BLOCK if names_bus => IS_BLOCKED.set(true),
                    libc::SIG_UNBLOCK if names_bus => IS_BLOCKED.set(false),
                    libc::SIG_SETMASK => IS_BLOCKED.set(names_bus),
                    _ => {}
                }
            }
        }
        if !old.is_null() {
            old.write(before);
        }
        result
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn sigprocmask(how: c_int, new: *const u64, old: *mut u64) -> c_int {
    // SAFETY: the caller's.
    unsafe { change_mask(original::sigprocmask(), how, new, old) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn pthread_sigmask(how: c_int, new: *const u64, old: *mut u64) -> c_int {
    // SAFETY: the caller's.
    unsafe { change_mask(original::pthread_sigmask(), how, new, old) }
}

/// Calls with a mask that has no SIGBUS.
///
/// # Safety
/// It is a set, or null.
pub(crate) unsafe fn with_mask<R>(mask: *const u64, call: impl FnOnce(*const u64) -> R) -> R {
    if mask.is_null() || !is_kept() {
        return call(mask);
    }
    // SAFETY: the caller's.
    let given = whole(unsafe { mask.read() } & !BUS);
    call(given.as_ptr())
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn sigsuspend(mask: *const u64) -> c_int {
    let Some(original) = original::sigsuspend() else { return missing() };
    // SAFETY: the caller's.
    unsafe { with_mask(mask, |mask| original(mask)) }
}

/// As the C library's, whose result is the error.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn sigwait(set: *const u64, into: *mut c_int) -> c_int {
    let Some(original) = original::sigwait() else { return libc::ENOSYS };
    // SAFETY: the caller's.
    unsafe { with_copy(set, |set| with_copy(into, |into| original(set, into))) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn sigwaitinfo(set: *const u64, into: *mut siginfo_t) -> c_int {
    let Some(original) = original::sigwaitinfo() else { return missing() };
    // SAFETY: the caller's.
    unsafe { with_copy(set, |set| with_copy(into, |into| original(set, into))) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn sigtimedwait(
    set: *const u64,
    into: *mut siginfo_t,
    timeout: *const timespec,
) -> c_int {
    let Some(original) = original::sigtimedwait() else { return missing() };
    // SAFETY: the caller's.
    unsafe {
        with_copy(set, |set| {
            with_copy(into, |into| with_copy(timeout, |timeout| original(set, into, timeout)))
        })
    }
}
