//! `syscall`: which of its arguments are pointers only the kernel knows.

use std::ffi::{c_int, c_long, c_void};

use zpager_linux::errno::{errno, set_errno};

use crate::retry::{ATTEMPTS, missing, retry_if};
use crate::touch::is_managed;

type SystemCall = unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;

originals! {
    syscall: SystemCall;
}

/// As the C library's. Where it fails with EFAULT, the pages are brought in that anything that looks like a pointer
/// points to; of longer memory the kernel then does a part, as it may.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    let Some(original) = original::syscall() else { return missing() };
    // SAFETY: the caller's.
    let call = || unsafe { original(number, first, second, third, fourth, fifth, sixth) };
    let has_faulted = |result: c_long| result == -1 && errno() == libc::EFAULT as c_int;
    let errno_before = errno();
    let result = call();
    let arguments = [first, second, third, fourth, fifth, sixth];
    let is_pointer = |argument: &c_long| is_managed(*argument as *const c_void, 1);
    if !has_faulted(result) || !arguments.iter().any(is_pointer) {
        return result;
    }
    set_errno(errno_before);
    retry_if(
        ATTEMPTS,
        |pages| arguments.iter().for_each(|argument| pages.structure(*argument as *mut _)),
        call,
        has_faulted,
    )
}
