//! Starting programs, where the C library itself calls `execve` in a child.

use std::ffi::{c_char, c_int, c_void};

use zpager_linux::system_call;

use crate::copies::with_copy;
use crate::retry::{ATTEMPTS, missing, retry_if};
use crate::touch::{Pages, is_managed};

type Spawn = unsafe extern "C" fn(
    *mut c_int,
    *const c_char,
    *const c_void,
    *const c_void,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type System = unsafe extern "C" fn(*const c_char) -> c_int;
type Popen = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut c_void;

originals! {
    posix_spawn: Spawn;
    posix_spawnp: Spawn;
    system: System;
    popen: Popen;
}

/// What the child has found missing is the parent's result, and no `errno`.
unsafe fn spawn(
    original: Spawn,
    process: *mut c_int,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> c_int {
    let bring_in = |pages: &mut Pages| {
        pages.strings(arguments);
        pages.strings(environment);
    };
    // The child looks at the path itself, and has no handler for that.
    // SAFETY: the caller's.
    unsafe {
        with_string(path, |path| {
            with_copy(process, |process| {
                retry_if(
                    ATTEMPTS,
                    bring_in,
                    || original(process, path, actions, attributes, arguments, environment),
                    |error| error == libc::EFAULT,
                )
            })
        })
    }
}

macro_rules! define {
    ($($name:ident)*) => {
        $(
            /// As the C library's.
            ///
            /// # Safety
            /// As there.
            pub unsafe extern "C" fn $name(
                process: *mut c_int,
                path: *const c_char,
                actions: *const c_void,
                attributes: *const c_void,
                arguments: *const *const c_char,
                environment: *const *const c_char,
            ) -> c_int {
                let Some(original) = original::$name() else { return libc::ENOSYS };
                // SAFETY: the caller's.
                unsafe { spawn(original, process, path, actions, attributes, arguments, environment) }
            }
        )*
    };
}

define! { posix_spawn posix_spawnp }

/// Calls with a copy of a string that is managed: the child in which the kernel would miss it tells nobody.
///
/// # Safety
/// It is a string, or null.
unsafe fn with_string<R>(string: *const c_char, call: impl FnOnce(*const c_char) -> R) -> R {
    if !is_managed(string.cast(), 1) {
        return call(string);
    }
    // SAFETY: the caller's. A mapping is not managed if it is the kernel's own; strings are seldom longer than
    // the kernel takes.
    unsafe {
        let bytes = libc::strlen(string) + 1;
        let Ok(copy) = system_call::map(0, bytes, libc::PROT_READ | libc::PROT_WRITE, 0) else {
            return call(string);
        };
        (copy as *mut c_char).copy_from(string, bytes);
        let result = call(copy as *const c_char);
        let _ = system_call::unmap(copy, bytes);
        result
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn system(command: *const c_char) -> c_int {
    let Some(original) = original::system() else { return missing() };
    // SAFETY: the caller's.
    unsafe { with_string(command, |command| original(command)) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn popen(command: *const c_char, kind: *const c_char) -> *mut c_void {
    let Some(original) = original::popen() else { return missing() };
    // SAFETY: the caller's.
    unsafe { with_string(command, |command| original(command, kind)) }
}
