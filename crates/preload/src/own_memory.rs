//! What Rust code here allocates, the pager's included: from the C library, past our own `malloc`.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

/// glibc's own functions, under names that nobody replaces.
pub mod libc_malloc {
    use std::ffi::c_void;

    unsafe extern "C" {
        #[link_name = "__libc_malloc"]
        pub fn malloc(bytes: usize) -> *mut c_void;
        #[link_name = "__libc_calloc"]
        pub fn calloc(count: usize, bytes: usize) -> *mut c_void;
        #[link_name = "__libc_realloc"]
        pub fn realloc(block: *mut c_void, bytes: usize) -> *mut c_void;
        #[link_name = "__libc_memalign"]
        pub fn memalign(alignment: usize, bytes: usize) -> *mut c_void;
        #[link_name = "__libc_free"]
        pub fn free(block: *mut c_void);
    }
}

/// What the C library aligns every block to.
pub const ALIGNMENT: usize = 16;

struct OwnMemory;

#[global_allocator]
static OWN_MEMORY: OwnMemory = OwnMemory;

// SAFETY: glibc's functions keep the contract of `GlobalAlloc`; they align to ALIGNMENT by themselves.
unsafe impl GlobalAlloc for OwnMemory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: no preconditions, but for the alignment, which is a power of two.
        unsafe {
            if layout.align() <= ALIGNMENT {
                libc_malloc::malloc(layout.size()).cast()
            } else {
                libc_malloc::memalign(layout.align(), layout.size()).cast()
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGNMENT {
            // SAFETY: no preconditions.
            return unsafe { libc_malloc::calloc(1, layout.size()).cast() };
        }
        // SAFETY: the layout is the caller's; zeros are written to what was just allocated.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller's: it was allocated here.
        unsafe { libc_malloc::free(block.cast::<c_void>()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if layout.align() <= ALIGNMENT {
            // SAFETY: the caller's: it was allocated here.
            return unsafe { libc_malloc::realloc(block.cast(), bytes).cast() };
        }
        // SAFETY: the new block is another, and as long as is copied; the old one was allocated here.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(bytes, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size().min(bytes));
                self.dealloc(block, layout);
            }
            new
        }
    }
}
