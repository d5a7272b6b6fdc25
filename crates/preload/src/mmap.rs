//! `mmap` and its family, as the program calls them: large anonymous private mappings that can be read
//! and written are the pager's, all others the kernel's.

use std::ffi::{c_int, c_long, c_void};
use std::ops::Range;

use zpager_core::page::PAGE_BYTES;

use crate::mappings;
use crate::start::{in_window, is_managed_size, is_ready};

/// Mappings with any of these are the kernel's.
const FLAGS_LEFT_ALONE: c_int = libc::MAP_FIXED
    | libc::MAP_FIXED_NOREPLACE
    | libc::MAP_GROWSDOWN
    | libc::MAP_STACK
    | libc::MAP_HUGETLB
    | libc::MAP_LOCKED
    | libc::MAP_32BIT;

fn fail(error: c_int) -> *mut c_void {
    // SAFETY: this thread's own.
    unsafe { *libc::__errno_location() = error };
    libc::MAP_FAILED
}

fn pages_of(address: *const c_void, bytes: usize) -> Range<usize> {
    let start = address as usize;
    start..start.saturating_add(bytes).next_multiple_of(PAGE_BYTES)
}

/// The kernel's own mmap.
unsafe fn kernels(
    address: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: the caller's.
    unsafe { libc::syscall(libc::SYS_mmap, address, bytes, protection, flags, file, offset) as *mut c_void }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    address: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    let is_anonymous = flags & libc::MAP_ANONYMOUS != 0 && flags & libc::MAP_TYPE == libc::MAP_PRIVATE;
    let is_plain = protection == libc::PROT_READ | libc::PROT_WRITE;
    if flags & libc::MAP_FIXED != 0
        && let Some(range) = in_window(&pages_of(address, bytes))
    {
        // In place of ours: zeros by dropping what is there. Anything else would take the addresses away.
        if !is_anonymous || range != pages_of(address, bytes) || !mappings::is_mapped(&range) {
            return fail(libc::ENOMEM);
        }
        mappings::discard(&range);
        // SAFETY: memory of the program's, which it wants to be so.
        unsafe { libc::syscall(libc::SYS_mprotect, address, range.len(), protection) };
        return address;
    }
    let is_ours = is_anonymous && is_plain && flags & FLAGS_LEFT_ALONE == 0;
    if is_ours && is_managed_size(bytes) && is_ready() {
        let Some(rounded) = bytes.checked_next_multiple_of(PAGE_BYTES) else { return fail(libc::ENOMEM) };
        if let Some(start) = mappings::map(rounded) {
            return start as *mut c_void;
        }
        // Addresses that are only reserved may be more than there is memory.
        if flags & libc::MAP_NORESERVE == 0 {
            return fail(libc::ENOMEM);
        }
    }
    // SAFETY: the caller's.
    unsafe { kernels(address, bytes, protection, flags, file, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap64(
    address: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: the caller's.
    unsafe { mmap(address, bytes, protection, flags, file, offset) }
}

/// Does something to the parts of a range that are not in the window, in one call each; the first error.
fn outside(range: &Range<usize>, call: impl Fn(usize, usize) -> c_long) -> c_int {
    let inside = in_window(range).unwrap_or(range.end..range.end);
    let parts = [range.start..inside.start, inside.end..range.end];
    let results = parts.iter().filter(|part| !part.is_empty()).map(|part| call(part.start, part.len()));
    results.fold(0, |first, result| if first == 0 { result as c_int } else { first })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn munmap(address: *mut c_void, bytes: usize) -> c_int {
    let range = pages_of(address, bytes);
    let Some(inside) = in_window(&range) else {
        // SAFETY: the caller's.
        return unsafe { libc::syscall(libc::SYS_munmap, address, bytes) as c_int };
    };
    if !inside.start.is_multiple_of(PAGE_BYTES) || bytes == 0 {
        // SAFETY: this thread's own.
        unsafe { *libc::__errno_location() = libc::EINVAL };
        return -1;
    }
    mappings::unmap(&inside);
    // SAFETY: the caller's.
    outside(&range, |start, length| unsafe { libc::syscall(libc::SYS_munmap, start, length) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn madvise(address: *mut c_void, bytes: usize, advice: c_int) -> c_int {
    let range = pages_of(address, bytes);
    let Some(inside) = in_window(&range) else {
        // SAFETY: the caller's.
        return unsafe { libc::syscall(libc::SYS_madvise, address, bytes, advice) as c_int };
    };
    if !inside.start.is_multiple_of(PAGE_BYTES) {
        // SAFETY: this thread's own.
        unsafe { *libc::__errno_location() = libc::EINVAL };
        return -1;
    }
    match advice {
        // MADV_FREE allows zeros at any time.
        libc::MADV_DONTNEED | libc::MADV_FREE => mappings::discard(&inside),
        libc::MADV_WILLNEED | libc::MADV_POPULATE_READ | libc::MADV_POPULATE_WRITE => {
            mappings::fault_in(&inside);
        }
        // About huge pages, dumps, order of accesses: the pager has its own ideas.
        _ => {}
    }
    // SAFETY: the caller's.
    outside(&range, |start, length| unsafe { libc::syscall(libc::SYS_madvise, start, length, advice) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mremap(
    address: *mut c_void,
    old_bytes: usize,
    new_bytes: usize,
    flags: c_int,
    new_address: *mut c_void,
) -> *mut c_void {
    let old = pages_of(address, old_bytes);
    if in_window(&old).is_none() {
        // SAFETY: the caller's.
        return unsafe {
            libc::syscall(libc::SYS_mremap, address, old_bytes, new_bytes, flags, new_address) as *mut c_void
        };
    }
    if !old.start.is_multiple_of(PAGE_BYTES) || new_bytes == 0 || old_bytes == 0 {
        return fail(libc::EINVAL);
    }
    if !mappings::is_mapped(&old) {
        return fail(libc::EFAULT);
    }
    let Some(rounded) = new_bytes.checked_next_multiple_of(PAGE_BYTES) else { return fail(libc::ENOMEM) };
    if flags & !libc::MREMAP_MAYMOVE != 0 {
        return fail(libc::ENOMEM);
    }
    if rounded <= old.len() {
        mappings::unmap(&(old.start + rounded..old.end));
        return address;
    }
    if flags & libc::MREMAP_MAYMOVE == 0 {
        return fail(libc::ENOMEM);
    }
    let Some(start) = mappings::map(rounded) else { return fail(libc::ENOMEM) };
    // What was copied goes at once, so that a large mapping does not have to be in RAM twice.
    const STEP_BYTES: usize = 4 << 20;
    for offset in (0..old.len()).step_by(STEP_BYTES) {
        let length = STEP_BYTES.min(old.len() - offset);
        // SAFETY: both are mappings of that length, and the program gives up the old one.
        unsafe {
            let from = (old.start + offset) as *const u8;
            from.copy_to_nonoverlapping((start + offset) as *mut u8, length);
        }
        mappings::unmap(&(old.start + offset..old.start + offset + length));
    }
    start as *mut c_void
}
