//! Signals: blocked while a thread may hold a lock of the pager, since a handler of the program's
//! could touch managed memory, and would wait for ever for the thread that it interrupts; and
//! passed on where they are none of zpager's.

use std::mem::MaybeUninit;

/// All signals of this thread are blocked as long as this lives.
pub struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    pub fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are written before they are read.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            SignalsBlocked { before: before.assume_init() }
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: puts back the set that was there before.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}

/// Lets whoever handled a signal before have it; by default that is the end of the process.
///
/// # Safety
/// Called from the signal's handler with its own arguments; `previous` is what the kernel would
/// have called with them.
pub unsafe fn pass_on(
    previous: &libc::sigaction,
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: as above; a handler has the signature that its flags tell.
    unsafe {
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                let mut default: libc::sigaction = std::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &default, std::ptr::null_mut());
                // An access is tried again, and ends the process; what somebody sent comes once.
                if (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(i32) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
