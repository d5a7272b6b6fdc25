//! A range of addresses with page frames behind those that were touched.

use std::io;
use std::ptr::NonNull;

use zpager_core::page::{PAGE_BYTES, Page};

/// Private anonymous memory, unmapped when dropped.
///
/// A forked child does not get it: there it would read as zeros or be a copy that nobody
/// counts. Nor does a core dump, which could not be written without faults.
pub struct Mapping {
    base: NonNull<Page>,
    pages: usize,
}

// SAFETY: a mapping is a range of addresses that this value owns; what is read or written
// there, and when, is up to those who take pointers from it.
unsafe impl Send for Mapping {}
// SAFETY: as above; no method reads or writes the memory.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps so many pages.
    pub fn new(pages: usize) -> io::Result<Self> {
        let bytes = pages * PAGE_BYTES;
        // SAFETY: a new mapping at an address of the kernel's choice, and advice about it.
        unsafe {
            let base = libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            );
            if base == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let mapping = Mapping { base: NonNull::new(base.cast()).expect("mmap never returns 0"), pages };
            for advice in [libc::MADV_DONTFORK, libc::MADV_DONTDUMP] {
                if libc::madvise(base, bytes, advice) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            // A kernel without huge pages refuses this, and needs it not.
            libc::madvise(base, bytes, libc::MADV_NOHUGEPAGE);
            Ok(mapping)
        }
    }

    /// Maps a page that reads as zeros in every forked child.
    pub fn wiped_on_fork() -> io::Result<Self> {
        let mapping = Self::new(1)?;
        // SAFETY: advice about a page of ours.
        unsafe {
            let address = mapping.base.as_ptr().cast();
            for advice in [libc::MADV_DOFORK, libc::MADV_WIPEONFORK] {
                if libc::madvise(address, mapping.bytes(), advice) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(mapping)
    }

    /// The first page.
    pub fn base(&self) -> NonNull<Page> {
        self.base
    }

    /// The address of a page.
    pub fn address(&self, page: usize) -> usize {
        debug_assert!(page <= self.pages);
        self.base.as_ptr() as usize + page * PAGE_BYTES
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: usize) -> bool {
        (self.address(0)..self.address(self.pages)).contains(&address)
    }

    /// Bytes mapped.
    pub fn bytes(&self) -> usize {
        self.pages * PAGE_BYTES
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and whoever drops this value uses no pointer into it later.
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.bytes());
        }
    }
}
