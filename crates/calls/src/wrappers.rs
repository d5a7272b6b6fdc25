//! The wrapped functions of both lists, in one table.

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

use libc::{rlimit, rusage, siginfo_t, timespec, timeval};

use crate::original::Original;
use crate::{signals, sockets, spawn, stacks, system_call, transfer, waiting};

/// One of them.
pub struct Wrapper {
    /// What it stands before, and its name.
    pub original: &'static Original,
    /// The function.
    pub function: *const (),
}

// SAFETY: a pointer to a function.
unsafe impl Sync for Wrapper {}

macro_rules! nested_copies {
    ([], $call:expr) => { $call };
    ([$first:ident $(, $rest:ident)*], $call:expr) => {
        // SAFETY: the list has the type of what the program's pointer is to.
        unsafe {
            $crate::copies::with_copy($first, |$first| nested_copies!([$($rest),*], $call))
        }
    };
}

macro_rules! define {
    ($(
        $name:ident($($argument:ident: $type:ty),* $(,)?) -> $return:ty,
            [$($copied:ident),*], |$pages:ident| $bring_in:block;
    )*) => {
        #[expect(non_upper_case_globals, reason = "the names are the C library's")]
        mod originals {
            use super::Original;
            $(pub static $name: Original = Original::new(concat!(stringify!($name), "\0"));)*
        }

        $(
            /// As the C library's.
            ///
            /// # Safety
            /// As there.
            #[expect(clippy::allow_attributes, reason = "some have pointers, some have not")]
            #[allow(unused_unsafe, unused_mut, reason = "most have nothing to copy")]
            pub unsafe extern "C" fn $name($($argument: $type),*) -> $return {
                type Function = unsafe extern "C" fn($($type),*) -> $return;
                // SAFETY: it is of that type in the C library.
                let original = unsafe { originals::$name.function::<Option<Function>>() };
                let Some(original) = original else { return $crate::retry::missing() };
                nested_copies!(
                    [$($copied),*],
                    $crate::retry::retry(
                        |$pages| $bring_in,
                        // SAFETY: the caller's.
                        || unsafe { original($($argument),*) },
                    )
                )
            }
        )*

        const LISTED: &[Wrapper] =
            &[$(Wrapper { original: &originals::$name, function: $name as *const () }),*];
    };
}

for_each_call!(define);

macro_rules! table {
    ($($module:ident { $($name:ident($($arguments:tt)*) -> $return:ty;)* })*) => {
        const OWN: &[Wrapper] = &[$($(Wrapper {
            original: &$module::originals::$name,
            function: $module::$name as *const (),
        }),*),*];
    };
}

for_each_own_call!(table);

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Wrapper> {
    LISTED.iter().chain(OWN)
}
