//! Whether a descriptor is open, asked by a program that goes through all numbers: under `zpager run` the pager's own
//! are not.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use zpager_linux::descriptors::is_kept;
use zpager_linux::errno::set_errno;

use crate::copies::with_copy;
use crate::retry::{missing, retry};

type Fstat = unsafe extern "C" fn(c_int, *mut libc::stat) -> c_int;
type Fxstat = unsafe extern "C" fn(c_int, c_int, *mut libc::stat) -> c_int;
type Fcntl = unsafe extern "C" fn(c_int, c_int, *mut c_void) -> c_int;

originals! {
    fstat: Fstat;
    fstat64: Fstat;
    __fxstat: Fxstat;
    __fxstat64: Fxstat;
    fcntl: Fcntl;
    fcntl64: Fcntl;
}

static IS_HIDING: AtomicBool = AtomicBool::new(false);

/// From now on: for a program that does not know of the pager, whose `close` leaves these descriptors alone, too.
pub fn hide() {
    IS_HIDING.store(true, Ordering::Relaxed);
}

/// What the C library says, unless the descriptor is the pager's.
fn unless_kept(file: c_int, ask: impl FnOnce() -> c_int) -> c_int {
    if IS_HIDING.load(Ordering::Relaxed) && is_kept(file) {
        set_errno(libc::EBADF);
        return -1;
    }
    ask()
}

macro_rules! questions {
    ($($name:ident($($before:ident)? | $file:ident, $into:ident);)*) => {
        $(
            /// As the C library's.
            ///
            /// # Safety
            /// As there.
            pub unsafe extern "C" fn $name($($before: c_int,)? $file: c_int, $into: *mut libc::stat) -> c_int {
                let Some(original) = original::$name() else { return missing() };
                // SAFETY: the caller's.
                unless_kept($file, || unsafe { with_copy($into, |into| original($($before,)? $file, into)) })
            }
        )*
    };
}

questions! {
    fstat(| file, into);
    fstat64(| file, into);
    __fxstat(version | file, into);
    __fxstat64(version | file, into);
}

macro_rules! controls {
    ($($name:ident)*) => {
        $(
            /// As the C library's. What else is asked of the pager's descriptors is asked by its own code, through this
            /// very function.
            ///
            /// # Safety
            /// As there.
            pub unsafe extern "C" fn $name(file: c_int, command: c_int, argument: *mut c_void) -> c_int {
                let Some(original) = original::$name() else { return missing() };
                // SAFETY: the caller's.
                let ask = || unsafe { original(file, command, argument) };
                match command {
                    libc::F_GETFD => unless_kept(file, ask),
                    _ => retry(|pages| pages.structure(argument), ask),
                }
            }
        )*
    };
}

controls!(fcntl fcntl64);
