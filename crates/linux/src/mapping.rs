//! A range of addresses with page frames behind those that were touched.

use std::io;
use std::ptr::NonNull;

use zpager_core::page::{PAGE_BYTES, Page};

use crate::system_call;

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
            let base = system_call::map(0, bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_NORESERVE)?;
            let pointer = NonNull::new(base as *mut Page).expect("mmap never returns 0");
            let mapping = Mapping { base: pointer, pages };
            for advice in [libc::MADV_DONTFORK, libc::MADV_DONTDUMP] {
                system_call::advise(base, bytes, advice)?;
            }
            // A kernel without huge pages refuses this, and needs it not.
            let _ = system_call::advise(base, bytes, libc::MADV_NOHUGEPAGE);
            Ok(mapping)
        }
    }

    /// Maps a page that reads as zeros in every forked child.
    pub fn wiped_on_fork() -> io::Result<Self> {
        let mapping = Self::new(1)?;
        // SAFETY: advice about a page of ours.
        unsafe {
            for advice in [libc::MADV_DOFORK, libc::MADV_WIPEONFORK] {
                system_call::advise(mapping.address(0), mapping.bytes(), advice)?;
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
            let _ = system_call::unmap(self.address(0), self.bytes());
        }
    }
}
