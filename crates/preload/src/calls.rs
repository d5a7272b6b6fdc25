//! The C library's functions that hand the program's memory to the kernel, as the program calls them: the wrappers
//! of `zpager-calls`, under the names of what they wrap.

use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

use libc::{
    epoll_event, iovec, msghdr, pollfd, pthread_attr_t, pthread_t, rlimit, rusage, sigaction as action,
    siginfo_t, stack_t, timespec, timeval,
};
use zpager_calls::{
    descriptors, for_each_call, for_each_own_call, last_thread, signals, stacks, stdio, transfer, wrappers,
};
use zpager_linux::pager::{Delivery, Options};
use zpager_linux::signal_mode;

type Body = extern "C" fn(*mut c_void) -> *mut c_void;

macro_rules! export {
    ($module:ident: $name:ident($($argument:ident: $type:ty),* $(,)?) -> $return:ty) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> $return {
            // SAFETY: the caller's.
            unsafe { zpager_calls::$module::$name($($argument),*) }
        }
    };
}

macro_rules! export_listed {
    ($($name:ident($($arguments:tt)*) -> $return:ty, [$($copied:ident),*], |$pages:ident| $bring_in:block;)*) => {
        $(export!(wrappers: $name($($arguments)*) -> $return);)*
    };
}

macro_rules! export_own {
    ($($module:ident { $($name:ident $arguments:tt -> $return:ty;)* })*) => {
        $($(export_own!(@ $module: $name $arguments -> $return);)*)*
    };
    (@ $module:ident: $name:ident ($($argument:ident: $type:ty),* $(,)?) -> $return:ty) => {
        export!($module: $name($($argument: $type),*) -> $return);
    };
}

for_each_call!(export_listed);
for_each_own_call!(export_own);

/// Makes signal mode work for a program that has not begun, where that is wanted and this C library lets it;
/// and says how faults are told then.
pub fn prepare(options: &Options, wanted: Option<Delivery>) -> Delivery {
    last_thread::watch();
    descriptors::hide();
    if wanted == Some(Delivery::Thread) {
        return Delivery::Thread;
    }
    if !stdio::wrap() && wanted.is_none() {
        return Delivery::Thread;
    }
    for wrapper in wrappers::all() {
        wrapper.original.address();
    }
    transfer::limit_chunks(options.ram_bytes);
    signals::keep(true);
    stacks::give();
    signal_mode::use_alternate_stacks();
    Delivery::Signal
}
