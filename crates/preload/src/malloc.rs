//! `malloc` and its family, as the program calls them: large blocks are the pager's, all others the C
//! library's.
//!
//! While a thread forks it has the locks of [`blocks`], and code that the program has registered for forks
//! may call what is here: its new blocks are the C library's then, and managed ones that it frees stay.

use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::ptr;
use std::sync::OnceLock;

use zpager_core::page::PAGE_BYTES;
use zpager_linux::errno::{errno, set_errno};

use crate::blocks;
use crate::fork;
use crate::own_memory::{ALIGNMENT, libc_malloc};
use crate::small;
use crate::start::{is_managed, is_ready};

fn out_of_memory() -> *mut c_void {
    set_errno(libc::ENOMEM);
    ptr::null_mut()
}

/// Whether a new block of so many bytes is the pager's.
fn is_for_the_pager(bytes: usize) -> bool {
    small::is_managed_size(bytes) && is_ready() && !fork::is_under_way_here()
}

fn managed(bytes: usize, alignment: usize, zeroed: bool) -> *mut c_void {
    blocks::allocate(bytes, alignment, zeroed).map_or_else(out_of_memory, <*mut u8>::cast)
}

#[unsafe(no_mangle)]
extern "C" fn malloc(bytes: usize) -> *mut c_void {
    if is_for_the_pager(bytes) {
        return managed(bytes, ALIGNMENT, false);
    }
    small::note(bytes);
    // SAFETY: no preconditions.
    unsafe { libc_malloc::malloc(bytes) }
}

#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, bytes: usize) -> *mut c_void {
    let Some(total) = count.checked_mul(bytes) else { return out_of_memory() };
    if is_for_the_pager(total) {
        return managed(total, ALIGNMENT, true);
    }
    small::note(total);
    // SAFETY: no preconditions.
    unsafe { libc_malloc::calloc(count, bytes) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: the caller's. `free` leaves errno alone.
    unsafe {
        if !is_managed(block as usize) {
            libc_malloc::free(block);
        } else if !fork::is_under_way_here() {
            let errno_before = errno();
            blocks::free(block.cast());
            set_errno(errno_before);
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut c_void, bytes: usize) -> *mut c_void {
    // SAFETY: the caller's; what is copied is in both blocks.
    unsafe {
        if block.is_null() {
            return malloc(bytes);
        }
        let was_managed = is_managed(block as usize);
        if bytes == 0 {
            free(block);
            return ptr::null_mut();
        }
        let is_managed = is_for_the_pager(bytes);
        match (was_managed, is_managed) {
            (false, false) => {
                small::note(bytes);
                return libc_malloc::realloc(block, bytes);
            }
            (true, true) => {
                return blocks::reallocate(block.cast(), bytes).map_or_else(out_of_memory, <*mut u8>::cast);
            }
            _ => {}
        }
        let new = malloc(bytes);
        if !new.is_null() {
            let copied = malloc_usable_size(block).min(bytes);
            new.cast::<u8>().copy_from_nonoverlapping(block.cast(), copied);
            free(block);
        }
        new
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, bytes: usize) -> *mut c_void {
    match count.checked_mul(bytes) {
        // SAFETY: the caller's.
        Some(total) => unsafe { realloc(block, total) },
        None => out_of_memory(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn memalign(alignment: usize, bytes: usize) -> *mut c_void {
    if is_for_the_pager(bytes) && alignment.is_power_of_two() {
        return managed(bytes, alignment.max(ALIGNMENT), false);
    }
    small::note(bytes);
    // SAFETY: no preconditions.
    unsafe { libc_malloc::memalign(alignment, bytes) }
}

#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(alignment: usize, bytes: usize) -> *mut c_void {
    memalign(alignment, bytes)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(into: *mut *mut c_void, alignment: usize, bytes: usize) -> c_int {
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<usize>()) {
        return libc::EINVAL;
    }
    let errno_before = errno();
    let block = memalign(alignment, bytes);
    set_errno(errno_before);
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller gives a place for the block.
    unsafe { *into = block };
    0
}

#[unsafe(no_mangle)]
extern "C" fn valloc(bytes: usize) -> *mut c_void {
    memalign(PAGE_BYTES, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn pvalloc(bytes: usize) -> *mut c_void {
    bytes.checked_next_multiple_of(PAGE_BYTES).map_or_else(out_of_memory, |rounded| valloc(rounded))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    type UsableSize = unsafe extern "C" fn(*mut c_void) -> usize;
    static OF_LIBC: OnceLock<UsableSize> = OnceLock::new();
    if is_managed(block as usize) {
        // SAFETY: the caller's.
        return unsafe { blocks::usable_bytes(block.cast()) };
    }
    // SAFETY: the C library has this function, with this signature; the block is the caller's.
    unsafe {
        OF_LIBC.get_or_init(|| {
            let found = libc::dlsym(libc::RTLD_NEXT, c"malloc_usable_size".as_ptr());
            assert!(!found.is_null(), "the C library has malloc_usable_size");
            transmute::<*mut c_void, UsableSize>(found)
        })(block)
    }
}
