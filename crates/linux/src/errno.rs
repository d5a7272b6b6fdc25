//! `errno`, for who stands where the program expects the C library.

/// This thread's.
pub fn errno() -> i32 {
    // SAFETY: this thread's own.
    unsafe { *libc::__errno_location() }
}

/// Sets it.
pub fn set_errno(error: i32) {
    // SAFETY: this thread's own.
    unsafe { *libc::__errno_location() = error };
}
