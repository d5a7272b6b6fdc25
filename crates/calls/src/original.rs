//! The C library's own functions, behind ours of the same names.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Where they are looked for: by default behind the library that this code is in.
static HANDLE: AtomicPtr<c_void> = AtomicPtr::new(libc::RTLD_NEXT);

/// Has them looked for where the process's own calls would find them: for a library whose wrappers do not have
/// the names of what they wrap.
pub fn look_everywhere() {
    HANDLE.store(libc::RTLD_DEFAULT, Ordering::Relaxed);
}

/// One of them.
pub struct Original {
    name: &'static CStr,
    address: AtomicUsize,
}

impl Original {
    /// Not looked for yet. The name ends in a zero.
    pub const fn new(name: &'static str) -> Self {
        match CStr::from_bytes_with_nul(name.as_bytes()) {
            Ok(name) => Original { name, address: AtomicUsize::new(0) },
            Err(_) => panic!("a name ends in its only zero"),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static CStr {
        self.name
    }

    /// Where it is. Looked for at the first call, which is to come before there is any managed memory: the
    /// loader takes a lock for it. 0: this C library does not have it.
    pub fn address(&self) -> usize {
        let known = self.address.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let handle = HANDLE.load(Ordering::Relaxed);
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(handle, self.name.as_ptr()) } as usize;
        self.address.store(found, Ordering::Relaxed);
        found
    }

    /// It as a function.
    ///
    /// # Safety
    /// `F` is an `Option` of its type.
    pub unsafe fn function<F: Copy>(&self) -> F {
        const { assert!(size_of::<F>() == size_of::<usize>()) };
        let address = self.address();
        // SAFETY: the caller's; 0 is `None`.
        unsafe { std::mem::transmute_copy::<usize, F>(&address) }
    }
}
