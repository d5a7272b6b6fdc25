//! The functions that are wrapped, and what each hands to the kernel.
//!
//! `wrap!` makes of each line a static with the original and a function of the C library's signature.
//! The block tells what to bring in, by the methods of [`Pages`](crate::touch::Pages).

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{mode_t, off_t, size_t, sockaddr, socklen_t, ssize_t};

use crate::retry::retry;

/// A wrapped function.
pub struct Wrapped {
    /// Its name in the C library.
    pub name: &'static str,
    /// Ours.
    pub wrapper: usize,
    /// Where the wrapper looks for the C library's.
    pub original: &'static AtomicUsize,
}

/// A path, buffer or structure of a size that only the device knows: as much as any has.
const ANY_STRUCTURE_BYTES: usize = 256;

macro_rules! wrap {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty, |$pages:ident| $bring_in:expr;)*) => {
        /// All of them.
        pub static WRAPPED: &[Wrapped] = &[$(
            Wrapped { name: stringify!($name), wrapper: 0, original: &originals::$name },
        )*];

        mod originals {
            use super::*;
            $(#[allow(non_upper_case_globals)] pub static $name: AtomicUsize = AtomicUsize::new(0);)*
        }

        /// Their addresses, in the same order.
        pub fn wrappers() -> Vec<(&'static Wrapped, usize)> {
            let addresses = [$(functions::$name as *const () as usize,)*];
            WRAPPED.iter().zip(addresses).collect()
        }

        mod functions {
            use super::*;
            $(
                pub unsafe extern "C" fn $name($($argument: $type),*) -> $result {
                    type Original = unsafe extern "C" fn($($type),*) -> $result;
                    let original = originals::$name.load(Ordering::Relaxed);
                    // SAFETY: entered with the C library's function of this name and signature before this
                    // wrapper can be called.
                    let original = unsafe { std::mem::transmute::<usize, Original>(original) };
                    // SAFETY: the caller's.
                    retry(|$pages| $bring_in, || unsafe { original($($argument),*) })
                }
            )*
        }
    };
}

wrap! {
    read(file: c_int, into: *mut c_void, bytes: size_t) -> ssize_t, |pages| pages.write(into, bytes);
    write(file: c_int, from: *const c_void, bytes: size_t) -> ssize_t, |pages| pages.read(from, bytes);
    pread64(file: c_int, into: *mut c_void, bytes: size_t, offset: off_t) -> ssize_t,
        |pages| pages.write(into, bytes);
    pwrite64(file: c_int, from: *const c_void, bytes: size_t, offset: off_t) -> ssize_t,
        |pages| pages.read(from, bytes);
    readv(file: c_int, vector: *const libc::iovec, count: c_int) -> ssize_t,
        |pages| pages.write_vector(vector, count as usize);
    writev(file: c_int, vector: *const libc::iovec, count: c_int) -> ssize_t,
        |pages| pages.read_vector(vector, count as usize);
    preadv64(file: c_int, vector: *const libc::iovec, count: c_int, offset: off_t) -> ssize_t,
        |pages| pages.write_vector(vector, count as usize);
    pwritev64(file: c_int, vector: *const libc::iovec, count: c_int, offset: off_t) -> ssize_t,
        |pages| pages.read_vector(vector, count as usize);
    recv(socket: c_int, into: *mut c_void, bytes: size_t, flags: c_int) -> ssize_t,
        |pages| pages.write(into, bytes);
    send(socket: c_int, from: *const c_void, bytes: size_t, flags: c_int) -> ssize_t,
        |pages| pages.read(from, bytes);
    recvfrom(
        socket: c_int,
        into: *mut c_void,
        bytes: size_t,
        flags: c_int,
        address: *mut sockaddr,
        length: *mut socklen_t
    ) -> ssize_t, |pages| {
        pages.write(into, bytes);
        pages.write(address.cast(), ANY_STRUCTURE_BYTES);
    };
    sendto(
        socket: c_int,
        from: *const c_void,
        bytes: size_t,
        flags: c_int,
        address: *const sockaddr,
        length: socklen_t
    ) -> ssize_t, |pages| {
        pages.read(from, bytes);
        pages.read(address.cast(), length as usize);
    };
    recvmsg(socket: c_int, message: *mut libc::msghdr, flags: c_int) -> ssize_t,
        |pages| pages.write_message(message);
    sendmsg(socket: c_int, message: *const libc::msghdr, flags: c_int) -> ssize_t,
        |pages| pages.read_message(message);
    getrandom(into: *mut c_void, bytes: size_t, flags: c_uint) -> ssize_t, |pages| pages.write(into, bytes);
    getcwd(into: *mut c_char, bytes: size_t) -> *mut c_char, |pages| pages.write(into.cast(), bytes);
    readlink(path: *const c_char, into: *mut c_char, bytes: size_t) -> ssize_t, |pages| {
        pages.string(path);
        pages.write(into.cast(), bytes);
    };
    open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int, |pages| pages.string(path);
    openat64(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int,
        |pages| pages.string(path);
    execve(path: *const c_char, arguments: *const *const c_char, environment: *const *const c_char) -> c_int,
        |pages| {
            pages.string(path);
            pages.strings(arguments);
            pages.strings(environment);
        };
}
