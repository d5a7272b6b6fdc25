//! Bringing pages in for a system call: by touching them, as the program itself would.

use std::arch::asm;
use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicU8, Ordering};

use zpager_core::page::PAGE_BYTES;
use zpager_linux::signal_mode::{is_given_out, managed_part};

/// What a system call is about to use; see [`crate::retry`].
#[derive(Default)]
pub struct Pages {
    is_managed: bool,
    is_again: bool,
}

/// Whether any of so many bytes is managed.
pub fn is_managed(start: *const c_void, bytes: usize) -> bool {
    managed_part(&(start as usize..(start as usize).saturating_add(bytes))).is_some()
}

/// Whether any buffer of a vector is managed.
pub fn is_vector_managed(parts: &[libc::iovec]) -> bool {
    parts.iter().any(|part| is_managed(part.iov_base, part.iov_len))
}

impl Pages {
    /// Whether any of it was managed.
    pub fn is_managed(&self) -> bool {
        self.is_managed
    }

    /// The call has failed for a page that was missing.
    pub fn is_again(&mut self) {
        self.is_again = true;
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
            // The compiler makes a load of an atomic operation that changes nothing.
            // SAFETY: as above; the byte is written as it is, whoever else writes it.
            unsafe { asm!("lock or byte ptr [{}], 0", in(reg) page, options(nostack)) };
        });
    }

    /// A structure of a size that only the kernel knows: its first page, and the next where the call has
    /// failed with that one in place.
    pub fn structure(&mut self, at: *mut c_void) {
        self.write(at, 1);
        let next = (at as usize / PAGE_BYTES + 1) * PAGE_BYTES;
        if self.is_again && is_managed(next as *const c_void, 1) && is_given_out(next) {
            self.write(next as *mut c_void, 1);
        }
    }

    /// A string that ends in 0, and may be null.
    pub fn string(&mut self, from: *const c_char) {
        if is_managed(from.cast(), 1) {
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
            let place = from.wrapping_add(index);
            self.read(place.cast(), size_of::<*const c_char>());
            // SAFETY: the program says that it is such a list, and the last one was not null.
            let string = unsafe { *place };
            if string.is_null() {
                return;
            }
            self.string(string);
        }
    }

    /// The environment of this process.
    pub fn environment(&mut self) {
        unsafe extern "C" {
            static environ: *const *const c_char;
        }
        // SAFETY: the C library has it, and the program changes it in no other thread.
        self.strings(unsafe { environ });
    }

    /// A block of `malloc` that the C library uses for itself.
    pub fn block(&mut self, block: *mut c_void) {
        if is_managed(block, 1) {
            // SAFETY: the program got it from the C library, which got it from `malloc`.
            self.write(block, unsafe { libc::malloc_usable_size(block) });
        }
    }

    /// What the argument of `ioctl` points to, if it does.
    pub fn ioctl(&mut self, request: libc::c_ulong, argument: *mut c_void) {
        // Where newer requests have the size of it.
        const SIZE_BIT: u32 = 16;
        const SIZE_MASK: libc::c_ulong = (1 << 14) - 1;
        match (request >> SIZE_BIT & SIZE_MASK) as usize {
            0 => self.structure(argument),
            bytes => self.write(argument, bytes),
        }
    }

    /// Messages that the kernel will read, or fill, several in a call.
    pub fn messages(&mut self, messages: *mut libc::mmsghdr, count: u32, is_filled: bool) {
        let messages = messages.cast_const();
        for index in 0..(count as usize).min(libc::UIO_MAXIOV as usize) {
            let place = messages.wrapping_add(index);
            self.write(place.cast_mut().cast(), size_of::<libc::mmsghdr>());
            // SAFETY: the program says that there are so many.
            let message = unsafe { &(*place).msg_hdr };
            let parts = [
                (message.msg_name, message.msg_namelen as usize),
                (message.msg_control, message.msg_controllen),
            ];
            self.read(message.msg_iov.cast(), message.msg_iovlen * size_of::<libc::iovec>());
            for (start, bytes) in parts {
                if is_filled { self.write(start, bytes) } else { self.read(start, bytes) }
            }
            for number in 0..message.msg_iovlen.min(libc::UIO_MAXIOV as usize) {
                // SAFETY: the program says that there are so many.
                let part = unsafe { &*message.msg_iov.add(number) };
                self.part(part, is_filled);
            }
        }
    }

    /// The buffers of a vector that is ours.
    pub fn vector(&mut self, parts: &[libc::iovec], is_filled: bool) {
        parts.iter().for_each(|part| self.part(part, is_filled));
    }

    fn part(&mut self, part: &libc::iovec, is_filled: bool) {
        if is_filled {
            self.write(part.iov_base, part.iov_len);
        } else {
            self.read(part.iov_base, part.iov_len);
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
