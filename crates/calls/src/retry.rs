//! Calling the original until it succeeds, or fails for a reason of its own.

use zpager_linux::signal_mode::faults_served;

use crate::touch::Pages;

/// A page may be taken again between the touch and the call. So often in a row it is not.
const ATTEMPTS: usize = 1000;

/// What a wrapped function returns.
pub trait Outcome {
    /// Whether it has failed, with the error in `errno`.
    fn has_failed(&self) -> bool;
}

impl Outcome for i32 {
    fn has_failed(&self) -> bool {
        *self == -1
    }
}

impl Outcome for isize {
    fn has_failed(&self) -> bool {
        *self == -1
    }
}

impl<T> Outcome for *mut T {
    fn has_failed(&self) -> bool {
        self.is_null()
    }
}

/// Brings in what a call uses, calls, and does it again after an EFAULT, unless no page was missing.
pub fn retry<R: Outcome>(bring_in: impl Fn(&mut Pages), mut call: impl FnMut() -> R) -> R {
    let mut pages = Pages::default();
    bring_in(&mut pages);
    if !pages.is_managed() {
        return call();
    }
    for _ in 0..ATTEMPTS {
        // SAFETY: this thread's own.
        let errno = unsafe { *libc::__errno_location() };
        let result = call();
        // SAFETY: as above.
        if !result.has_failed() || unsafe { *libc::__errno_location() } != libc::EFAULT {
            return result;
        }
        let before = faults_served();
        bring_in(&mut pages);
        if faults_served() == before {
            return result;
        }
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = errno };
    }
    call()
}
