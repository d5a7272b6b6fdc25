//! `close` and its family, as the program calls them: the pager's own descriptors stay open.
//!
//! Daemons close all descriptors that they do not know. To them ours do not exist: `close` of one says that
//! it is not open, and a range that has one in it is closed around it.

use std::ffi::{c_int, c_long, c_uint};

use zpager_linux::descriptors::{is_kept, not_kept};

use crate::mmap::refuse;

#[unsafe(no_mangle)]
extern "C" fn close(descriptor: c_int) -> c_int {
    if is_kept(descriptor) {
        return refuse(libc::EBADF);
    }
    // Unlike the C library's, this is no point of cancellation.
    // SAFETY: closes what the program wants closed.
    unsafe { libc::syscall(libc::SYS_close, descriptor) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    if first > last {
        return refuse(libc::EINVAL);
    }
    let mut result = 0;
    let mut flags = flags;
    not_kept(first..=last, |part| {
        // SAFETY: closes what the program wants closed.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, *part.start(), *part.end(), flags) };
        result = result.min(closed);
        // Once this thread has a table of its own, it need not get another.
        flags &= !(libc::CLOSE_RANGE_UNSHARE as c_int);
    });
    result as c_int
}

#[unsafe(no_mangle)]
extern "C" fn closefrom(first: c_int) {
    close_range(first.max(0) as c_uint, c_uint::MAX, 0);
}

#[unsafe(no_mangle)]
extern "C" fn dup2(old: c_int, new: c_int) -> c_int {
    if old == new {
        // SAFETY: asks whether it is open.
        return if unsafe { libc::fcntl(old, libc::F_GETFD) } < 0 { -1 } else { new };
    }
    dup3(old, new, 0)
}

#[unsafe(no_mangle)]
extern "C" fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
    if is_kept(new) {
        return refuse(libc::EBUSY);
    }
    // SAFETY: the descriptor that is replaced is the program's.
    let result: c_long = unsafe { libc::syscall(libc::SYS_dup3, old, new, flags) };
    result as c_int
}
