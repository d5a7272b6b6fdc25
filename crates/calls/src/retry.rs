//! Calling the original until it succeeds, or fails for a reason of its own.

use zpager_linux::errno::{errno, set_errno};

use crate::touch::Pages;

/// A page may be taken again between the touch and the call, or not be there just while it is being moved. So
/// often in a row that does not happen.
pub const ATTEMPTS: usize = 1000;
/// After so many it may take somebody who does not get to run.
const ATTEMPTS_IN_A_ROW: usize = 10;

/// What a wrapped function returns.
pub trait Outcome: Copy {
    /// What it returns when it fails, with the error in `errno`.
    const FAILED: Self;

    /// Whether it has failed.
    fn has_failed(self) -> bool;
}

impl Outcome for i32 {
    const FAILED: Self = -1;

    fn has_failed(self) -> bool {
        self == Self::FAILED
    }
}

impl Outcome for isize {
    const FAILED: Self = -1;

    fn has_failed(self) -> bool {
        self == Self::FAILED
    }
}

impl Outcome for i64 {
    const FAILED: Self = -1;

    fn has_failed(self) -> bool {
        self == Self::FAILED
    }
}

impl<T> Outcome for *mut T {
    const FAILED: Self = std::ptr::null_mut();

    fn has_failed(self) -> bool {
        self.is_null()
    }
}

/// Fails as a system call does that the kernel does not have.
pub fn missing<R: Outcome>() -> R {
    set_errno(libc::ENOSYS);
    R::FAILED
}

/// Brings in what a call uses, calls, and does it again after an EFAULT if any of that is managed.
pub fn retry<R: Outcome>(bring_in: impl Fn(&mut Pages), call: impl FnMut() -> R) -> R {
    retry_up_to(ATTEMPTS, bring_in, call)
}

/// The same, but no more than so many attempts.
pub fn retry_up_to<R: Outcome>(attempts: usize, bring_in: impl Fn(&mut Pages), call: impl FnMut() -> R) -> R {
    retry_if(attempts, bring_in, call, |result| result.has_failed() && errno() == libc::EFAULT)
}

/// The same for a function that tells otherwise that a page was missing.
pub fn retry_if<R: Copy>(
    attempts: usize,
    bring_in: impl Fn(&mut Pages),
    mut call: impl FnMut() -> R,
    has_faulted: impl Fn(R) -> bool,
) -> R {
    let mut pages = Pages::default();
    bring_in(&mut pages);
    if !pages.is_managed() {
        return call();
    }
    let errno_before = errno();
    for attempt in 1..attempts {
        let result = call();
        if !has_faulted(result) {
            return result;
        }
        set_errno(errno_before);
        if attempt > ATTEMPTS_IN_A_ROW {
            std::thread::yield_now();
        }
        pages.is_again();
        bring_in(&mut pages);
    }
    call()
}
