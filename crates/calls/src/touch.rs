//! Bringing pages in for a system call: by touching them, as the program itself would.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicU8, Ordering};

use zpager_core::page::PAGE_BYTES;
use zpager_linux::signal_mode::managed_part;

/// What a system call is about to use; see [`crate::retry`].
#[derive(Default)]
pub struct Pages {
    is_managed: bool,
}

impl Pages {
    /// Whether any of it was managed.
    pub fn is_managed(&self) -> bool {
        self.is_managed
    }

    /// Bytes that the kernel will read.
    pub fn read(&mut self, from: *const c_void, bytes: usize) {
        self.each_page(from, bytes, |page| {
            // SAFETY: a byte of managed memory, which the program has named as its own; others may write it.
            unsafe { AtomicU8::from_ptr(page.cast_mut()) }.load(Ordering::Relaxed);
        });
    }

    /// Bytes that the kernel will write. What is there stays.
    pub fn write(&mut self, into: *mut c_void, bytes: usize) {
        self.each_page(into, bytes, |page| {
            // SAFETY: as above; the byte is written as it is, whoever else writes it.
            unsafe { AtomicU8::from_ptr(page.cast_mut()) }.fetch_or(0, Ordering::Relaxed);
        });
    }

    /// A structure of a size that only the kernel knows: its first page, and the next where the call fails for that.
    pub fn write_structure(&mut self, into: *mut c_void) {
        self.write(into, 1);
    }

    /// A string that ends in 0, and may be null.
    pub fn string(&mut self, from: *const c_char) {
        if !from.is_null() && managed_part(&(from as usize..from as usize + 1)).is_some() {
            self.is_managed = true;
            // SAFETY: the program says that it is a string; reading all of it brings it in.
            std::hint::black_box(unsafe { libc::strlen(from) });
        }
    }

    /// Strings, the last pointer being null.
    pub fn strings(&mut self, from: *const *const c_char) {
        if from.is_null() {
            return;
        }
        for index in 0.. {
            // SAFETY: the program says that it is such a list.
            let string = unsafe { *from.add(index) };
            self.read(from.wrapping_add(index).cast(), size_of::<*const c_char>());
            if string.is_null() {
                return;
            }
            self.string(string);
        }
    }

    /// The buffers of a vector that the kernel will read.
    pub fn read_vector(&mut self, vector: *const libc::iovec, count: usize) {
        self.each_of(vector, count, |pages, part| pages.read(part.iov_base, part.iov_len));
    }

    /// The buffers of a vector that the kernel will write.
    pub fn write_vector(&mut self, vector: *const libc::iovec, count: usize) {
        self.each_of(vector, count, |pages, part| pages.write(part.iov_base, part.iov_len));
    }

    /// A message that the kernel will send.
    pub fn read_message(&mut self, message: *const libc::msghdr) {
        self.read(message.cast(), size_of::<libc::msghdr>());
        // SAFETY: the program says that it is a message, or null.
        let Some(message) = (unsafe { message.as_ref() }) else { return };
        self.read(message.msg_name, message.msg_namelen as usize);
        self.read(message.msg_control, message.msg_controllen as usize);
        self.read_vector(message.msg_iov, message.msg_iovlen as usize);
    }

    /// A message that the kernel will fill.
    pub fn write_message(&mut self, message: *mut libc::msghdr) {
        self.write(message.cast(), size_of::<libc::msghdr>());
        // SAFETY: the program says that it is a message, or null.
        let Some(message) = (unsafe { message.as_ref() }) else { return };
        self.write(message.msg_name, message.msg_namelen as usize);
        self.write(message.msg_control, message.msg_controllen as usize);
        self.write_vector(message.msg_iov, message.msg_iovlen as usize);
    }

    fn each_of(
        &mut self,
        vector: *const libc::iovec,
        count: usize,
        bring_in: impl Fn(&mut Self, &libc::iovec),
    ) {
        // The kernel refuses more than that.
        const COUNT_MAX: usize = libc::UIO_MAXIOV as usize;
        if vector.is_null() || count > COUNT_MAX {
            return;
        }
        self.read(vector.cast(), count * size_of::<libc::iovec>());
        for index in 0..count {
            // SAFETY: the program says that there are so many.
            bring_in(self, unsafe { &*vector.add(index) });
        }
    }

    fn each_page(&mut self, start: *const c_void, bytes: usize, touch: impl Fn(*const u8)) {
        let start = start as usize;
        let Some(part) = managed_part(&(start..start.saturating_add(bytes))) else { return };
        self.is_managed = true;
        let mut at = part.start;
        while at < part.end {
            touch(at as *const u8);
            at = (at / PAGE_BYTES + 1) * PAGE_BYTES;
        }
    }
}
