//! The C library's streams. They call the kernel past all wrappers, also with the caller's own memory where that is
//! more than the stream's buffer holds, or with a buffer that is the caller's (`setvbuf`) or managed.
//!
//! They do so through tables of functions, one for each kind of stream, in which reading and writing are
//! `_IO_file_read` and `_IO_file_write`. The tables are the C library's private data; but those two
//! have names, so that their places in it can be found, and ours be put there. They pass managed memory on piece
//! by piece through a buffer on the stack.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::objects::for_each_object;
use crate::touch::is_managed;

const BOUNCE_BYTES: usize = 16 << 10;
/// Streams of bytes and of wide characters have tables of their own, at least.
const PLACES_MIN: usize = 2;

type Transfer = unsafe extern "C" fn(*mut c_void, *mut c_void, isize) -> isize;

originals! {
    _IO_file_read: Transfer;
    _IO_file_write: Transfer;
}

static IS_WRAPPED: AtomicBool = AtomicBool::new(false);

/// Puts ours in place; whether that could be done.
pub fn wrap() -> bool {
    if IS_WRAPPED.swap(true, Ordering::Relaxed) {
        return true;
    }
    let ours = [
        (originals::_IO_file_read.address(), file_read as *const () as usize),
        (originals::_IO_file_write.address(), file_write as *const () as usize),
    ];
    let is_wrapped = ours.iter().all(|(original, _)| *original != 0) && {
        let mut places = [0; 2];
        for_each_object(|object| {
            if !object.contains(ours[0].0) {
                return false;
            }
            let Some(data) = object.relocated() else { return true };
            for place in data.step_by(size_of::<usize>()) {
                // SAFETY: a word of the C library's data, which is there to be read.
                let value = unsafe { *(place as *const usize) };
                for (count, (original, our)) in places.iter_mut().zip(ours) {
                    if value == original && object.store(place, our) {
                        *count += 1;
                    }
                }
            }
            true
        });
        places.iter().all(|count| *count >= PLACES_MIN)
    };
    IS_WRAPPED.store(is_wrapped, Ordering::Relaxed);
    is_wrapped
}

struct Bounce(MaybeUninit<[u8; BOUNCE_BYTES]>);

unsafe extern "C" fn file_read(stream: *mut c_void, into: *mut c_void, bytes: isize) -> isize {
    let Some(original) = original::_IO_file_read() else { return -1 };
    if bytes <= 0 || !is_managed(into, bytes as usize) {
        // SAFETY: the caller's, which is the C library.
        return unsafe { original(stream, into, bytes) };
    }
    let mut bounce = Bounce(MaybeUninit::uninit());
    let buffer = bounce.0.as_mut_ptr().cast::<c_void>();
    // SAFETY: as above; no more is read than there is room for in either.
    unsafe {
        let filled = original(stream, buffer, bytes.min(BOUNCE_BYTES as isize));
        if let Ok(filled) = usize::try_from(filled) {
            into.cast::<u8>().copy_from(buffer.cast(), filled);
        }
        filled
    }
}

unsafe extern "C" fn file_write(stream: *mut c_void, from: *mut c_void, bytes: isize) -> isize {
    let Some(original) = original::_IO_file_write() else { return -1 };
    if bytes <= 0 || !is_managed(from, bytes as usize) {
        // SAFETY: the caller's, which is the C library.
        return unsafe { original(stream, from, bytes) };
    }
    let mut bounce = Bounce(MaybeUninit::uninit());
    let buffer = bounce.0.as_mut_ptr().cast::<c_void>();
    let mut done = 0;
    while done < bytes {
        let length = (bytes - done).min(BOUNCE_BYTES as isize);
        // SAFETY: as above; there is room for so much.
        let written = unsafe {
            buffer.cast::<u8>().copy_from(from.cast::<u8>().offset(done), length as usize);
            original(stream, buffer, length)
        };
        // It returns what it has written, also where it has failed, and marks the stream.
        done += written.max(0);
        if written < length {
            break;
        }
    }
    done
}
