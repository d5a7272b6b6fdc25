//! What the loader has loaded, and words in it that are pointers to functions.

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use zpager_core::page::PAGE_BYTES;
use zpager_linux::system_call;

/// One loaded object, as the loader describes it while it is asked.
pub struct Object<'a> {
    /// What is added to the addresses in it.
    pub base: usize,
    /// Its path; empty for the program.
    pub path: &'a CStr,
    /// Objects that were loaded, and unloaded, so far.
    pub changes: (u64, u64),
    headers: &'a [libc::Elf64_Phdr],
}

impl Object<'_> {
    fn of_kind(&self, kind: u32) -> impl Iterator<Item = Range<usize>> {
        self.headers.iter().filter(move |header| header.p_type == kind).map(|header| {
            let start = self.base + header.p_vaddr as usize;
            start..start + header.p_memsz as usize
        })
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: usize) -> bool {
        self.of_kind(libc::PT_LOAD).any(|segment| segment.contains(&address))
    }

    /// Where its dynamic section is.
    pub fn dynamic(&self) -> Option<usize> {
        self.of_kind(libc::PT_DYNAMIC).next().map(|range| range.start)
    }

    /// What is read-only once it is relocated.
    pub fn relocated(&self) -> Option<Range<usize>> {
        self.of_kind(libc::PT_GNU_RELRO).next()
    }

    /// Whether a range is in memory that is the object's and can be written, but for what is read-only once it is
    /// relocated.
    pub fn is_data(&self, range: &Range<usize>) -> bool {
        let writable = self.headers.iter().filter(|header| header.p_type == libc::PT_LOAD).any(|header| {
            let start = self.base + header.p_vaddr as usize;
            header.p_flags & libc::PF_W != 0
                && start <= range.start
                && range.end <= start + header.p_memsz as usize
        });
        writable && range.start.is_multiple_of(size_of::<usize>())
    }

    /// Stores a pointer in its data, whether that is read-only or not; whether it could.
    pub fn store(&self, place: usize, value: usize) -> bool {
        let word = place..place + size_of::<usize>();
        if !self.is_data(&word) {
            return false;
        }
        // The loader protects whole pages only.
        let protected = self.relocated().map(|range| {
            let whole = |address: usize| address & !(PAGE_BYTES - 1);
            whole(range.start)..whole(range.end)
        });
        let page = place & !(PAGE_BYTES - 1);
        let is_protected = protected.is_some_and(|range| range.contains(&page));
        // SAFETY: a word of a writable segment, aligned; others may read it at the same time, and find one
        // pointer or the other. Its page gets back the protection that the loader gives it.
        unsafe {
            let protect = |protection: c_int| system_call::protect(page, PAGE_BYTES, protection).is_ok();
            if is_protected && !protect(libc::PROT_READ | libc::PROT_WRITE) {
                return false;
            }
            (*(place as *const AtomicUsize)).store(value, Ordering::Relaxed);
            if is_protected {
                protect(libc::PROT_READ);
            }
        }
        true
    }
}

/// Looks at all of them until `look` has seen enough, while the loader loads none.
pub fn for_each_object(mut look: impl FnMut(&Object<'_>) -> bool) {
    unsafe extern "C" fn one<F: FnMut(&Object<'_>) -> bool>(
        information: *mut libc::dl_phdr_info,
        _: usize,
        look: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a description with what it points to, and what it was given.
        let (object, look) = unsafe {
            let information = &*information;
            let headers = std::slice::from_raw_parts(information.dlpi_phdr, information.dlpi_phnum.into());
            let object = Object {
                base: information.dlpi_addr as usize,
                path: CStr::from_ptr(information.dlpi_name),
                changes: (information.dlpi_adds, information.dlpi_subs),
                headers,
            };
            (object, &mut *look.cast::<F>())
        };
        c_int::from(look(&object))
    }

    fn callback<F: FnMut(&Object<'_>) -> bool>(
        _: &F,
    ) -> unsafe extern "C" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int {
        one::<F>
    }

    let function = callback(&look);
    // SAFETY: the function gets what it expects, which lives as long as the call.
    unsafe { libc::dl_iterate_phdr(Some(function), (&raw mut look).cast()) };
}
