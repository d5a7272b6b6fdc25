//! The C library's own functions, behind ours of the same names.

use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One of them.
pub struct Original {
    name: &'static CStr,
    address: AtomicUsize,
}

impl Original {
    /// Not looked for yet.
    pub const fn new(name: &'static CStr) -> Self {
        Original { name, address: AtomicUsize::new(0) }
    }

    /// Where it is. Looked for at the first call, which is to come before there is any managed memory: the
    /// loader takes a lock for it. 0: this C library does not have it.
    pub fn address(&self) -> usize {
        let known = self.address.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) } as usize;
        self.address.store(found, Ordering::Relaxed);
        found
    }
}
