//! Signals: blocked while a thread may hold a lock of the pager, since a handler of the program's
//! could touch managed memory, and would wait for ever for the thread that it interrupts; and
//! passed on where they are none of zpager's.

use crate::signal_mode::original_sigaction;
use crate::system_call;

/// A set of signals as the kernel has it, by the number of each. A system call changes it: where zpager is
/// preloaded, the C library's functions of these names are zpager's own, and never block SIGBUS.
pub type Mask = u64;

/// A signal in it.
pub const fn bit(signal: i32) -> Mask {
    1 << (signal - 1)
}

/// A set as the C library has it.
pub fn bits(set: &libc::sigset_t) -> Mask {
    // SAFETY: it is larger, aligned, and begins with the kernel's set.
    unsafe { (&raw const *set).cast::<Mask>().read() }
}

/// Blocks these signals in this thread, and no others. What was blocked before.
pub fn set_mask(mask: Mask) -> Mask {
    let mut before: Mask = 0;
    // SAFETY: both sets are of the size that is told.
    let result = unsafe {
        let (new, old) = ((&raw const mask) as usize, (&raw mut before) as usize);
        let arguments = [libc::SIG_SETMASK as usize, new, old, size_of::<Mask>(), 0, 0];
        system_call::call(libc::SYS_rt_sigprocmask, arguments)
    };
    debug_assert!(result.is_ok());
    before
}

/// All signals of this thread are blocked as long as this lives.
pub struct SignalsBlocked {
    before: Mask,
}

impl SignalsBlocked {
    /// Blocks them.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        // Two are the C library's own, without which no `setuid` gets on while a thread of ours lives.
        SignalsBlocked { before: set_mask(!(bit(32) | bit(33))) }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        set_mask(self.before);
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
            // An access cannot be ignored.
            libc::SIG_IGN if (*info).si_code <= 0 => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                let mut default: libc::sigaction = std::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                original_sigaction(signal, &default, std::ptr::null_mut());
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
