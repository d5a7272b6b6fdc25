//! `mlock` and its family, as the program calls them. The kernel is told as well, for its own swap.
//!
//! `mlockall` is refused: the kernel would lock all addresses that the pager has, and fill them.

use std::ffi::{c_int, c_uint, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use zpager_core::page::PAGE_BYTES;

use crate::mmap::{is_any_protected, outside, pages_of, refuse};
use crate::start::{in_window, is_wanted, pager};

static IS_ANY_LOCKED: AtomicBool = AtomicBool::new(false);

/// linux/mman.h.
const MLOCK_ONFAULT: c_uint = 1;

#[unsafe(no_mangle)]
unsafe extern "C" fn mlock(address: *const c_void, bytes: usize) -> c_int {
    // SAFETY: the caller's.
    unsafe { mlock2(address, bytes, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mlock2(address: *const c_void, bytes: usize, flags: c_uint) -> c_int {
    let range = pages_of(address, bytes);
    let Some(inside) = in_window(&range) else {
        // SAFETY: the caller's.
        return unsafe { libc::syscall(libc::SYS_mlock2, address, bytes, flags) as c_int };
    };
    // All of the first page, whatever the address.
    let inside = inside.start / PAGE_BYTES * PAGE_BYTES..inside.end;
    let Some(pager) = pager().filter(|pager| pager.lock_pages(&inside)) else {
        return refuse(libc::ENOMEM);
    };
    IS_ANY_LOCKED.store(true, Ordering::Relaxed);
    // SAFETY: the caller's. The pages are brought by who touches them, and not by the kernel in the call.
    let result = unsafe { libc::syscall(libc::SYS_mlock2, inside.start, inside.len(), MLOCK_ONFAULT) };
    if result != 0 {
        pager.unlock_pages(&inside);
        return result as c_int;
    }
    if flags & MLOCK_ONFAULT == 0 && !touch(&inside) {
        unlock(&inside);
        return refuse(libc::ENOMEM);
    }
    // SAFETY: the caller's.
    outside(&range, |start, length| unsafe { libc::syscall(libc::SYS_mlock2, start, length, flags) })
}

/// Has all pages of a range come. `false`: they cannot be read.
fn touch(range: &Range<usize>) -> bool {
    if is_any_protected() {
        // SAFETY: changes nothing in the range.
        let result =
            unsafe { libc::syscall(libc::SYS_madvise, range.start, range.len(), libc::MADV_POPULATE_READ) };
        return result == 0;
    }
    for page in range.clone().step_by(PAGE_BYTES) {
        // SAFETY: the range is mapped, and nobody has protected anything.
        unsafe { (page as *const u8).read_volatile() };
    }
    true
}

/// Memory goes, locked or not.
pub fn forget(range: &Range<usize>) {
    if IS_ANY_LOCKED.load(Ordering::Relaxed) {
        unlock(range);
    }
}

fn unlock(range: &Range<usize>) -> c_int {
    // SAFETY: changes nothing in the range.
    let result = unsafe { libc::syscall(libc::SYS_munlock, range.start, range.len()) };
    if let Some(pager) = pager() {
        pager.unlock_pages(range);
    }
    result as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn munlock(address: *const c_void, bytes: usize) -> c_int {
    let range = pages_of(address, bytes);
    let Some(inside) = in_window(&range) else {
        // SAFETY: the caller's.
        return unsafe { libc::syscall(libc::SYS_munlock, address, bytes) as c_int };
    };
    if unlock(&(inside.start / PAGE_BYTES * PAGE_BYTES..inside.end)) != 0 {
        return -1;
    }
    // SAFETY: the caller's.
    outside(&range, |start, length| unsafe { libc::syscall(libc::SYS_munlock, start, length) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mlockall(flags: c_int) -> c_int {
    if is_wanted() {
        return refuse(libc::ENOMEM);
    }
    // SAFETY: the caller's.
    unsafe { libc::syscall(libc::SYS_mlockall, flags) as c_int }
}
