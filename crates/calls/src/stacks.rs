//! Alternate stacks, for the handler of faults: a thread whose own stack is managed memory (a coroutine's, or a
//! thread's that the program has made room for) could not take a signal there when its page is not there.
//!
//! Each thread gets one of ours. The program may have its own instead, where that is large enough for our handler on
//! top of its own, and is not managed; else ours stays, and is at least as large. The program is told what
//! it has set.
//!
//! A thread that is to run on managed memory does not: the kernel and the C library keep words of theirs on its stack,
//! which the kernel could not write. It gets a stack of the C library's, as large.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::zeroed;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use libc::{pthread_attr_t, pthread_t, stack_t};
use zpager_core::page::PAGE_BYTES;
use zpager_linux::errno::set_errno;
use zpager_linux::{own_stack, spawn, system_call};

use crate::copies::with_copy;
use crate::last_thread;
use crate::retry::missing;
use crate::touch::is_managed;

/// Our handler was seen to take 14 KiB of it, with either codec, of which the kernel's record of the processor's
/// registers is a part: more than `SIGSTKSZ`, which most programs use. The rest is for the program's handlers.
const STACK_BYTES_MIN: usize = 64 << 10;

type Alternate = unsafe extern "C" fn(*const stack_t, *mut stack_t) -> c_int;
type Body = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Body, *mut c_void) -> c_int;

originals! {
    sigaltstack: Alternate;
    pthread_create: Create;
}

static IS_GIVEN: AtomicBool = AtomicBool::new(false);
/// Has a thread's stack unmapped at its end.
static KEY: AtomicU32 = AtomicU32::new(0);

const DISABLED: stack_t = stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };

thread_local! {
    /// What the program has set.
    static PROGRAMS: Cell<stack_t> = const { Cell::new(DISABLED) };
    /// Ours, with its length; 0: none.
    static OURS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Gives this thread a stack, and every thread that starts from now on. For a library that is there from the
/// program's start.
pub fn give() {
    // SAFETY: a key with a function that takes what is stored by it.
    unsafe {
        let mut key = 0;
        if libc::pthread_key_create(&mut key, Some(take_back)) == 0 {
            KEY.store(key, Ordering::Relaxed);
            IS_GIVEN.store(true, Ordering::Release);
            own_stack::use_spare_stacks(spare);
            use_ours(STACK_BYTES_MIN);
        }
    }
}

/// The end of this thread's stack of ours. It is spare for whoever runs on a managed stack, which no handler does.
fn spare() -> Option<usize> {
    let (start, bytes) = OURS.get();
    (bytes > 0).then_some(start + bytes)
}

/// At the end of a thread.
unsafe extern "C" fn take_back(_: *mut c_void) {
    if let Some(original) = original::sigaltstack() {
        let (start, bytes) = OURS.replace((0, 0));
        // SAFETY: no handler runs on it, since this does; then nobody uses it.
        unsafe {
            if original(&DISABLED, ptr::null_mut()) == 0 {
                let _ = system_call::unmap(start, bytes);
            }
        }
    }
}

/// Has this thread's signals handled on a stack of ours of at least so many bytes. Where there is no room for it,
/// they are handled where they were.
fn use_ours(bytes: usize) {
    let (mut start, mut length) = OURS.get();
    let Some(original) = original::sigaltstack() else { return };
    // SAFETY: a new mapping at an address of the kernel's choice, the first page of which ends the process that
    // runs into it; the old one is not used, since the kernel changes no stack that is.
    unsafe {
        if length < bytes + PAGE_BYTES {
            length = bytes.next_multiple_of(PAGE_BYTES) + PAGE_BYTES;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_NORESERVE | libc::MAP_STACK;
            let Ok(mapped) = system_call::map(0, length, protection, flags) else { return };
            start = mapped;
            let _ = system_call::protect(start, PAGE_BYTES, libc::PROT_NONE);
        }
        let ours =
            stack_t { ss_sp: (start + PAGE_BYTES) as *mut c_void, ss_flags: 0, ss_size: length - PAGE_BYTES };
        if original(&ours, ptr::null_mut()) != 0 {
            return;
        }
        let (old_start, old_length) = OURS.replace((start, length));
        if old_start != start && old_length > 0 {
            let _ = system_call::unmap(old_start, old_length);
        }
        libc::pthread_setspecific(KEY.load(Ordering::Relaxed), start as *const c_void);
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn sigaltstack(new: *const stack_t, old: *mut stack_t) -> c_int {
    let Some(original) = original::sigaltstack() else { return missing() };
    // SAFETY: the caller's; zeros are a valid one.
    unsafe {
        if !IS_GIVEN.load(Ordering::Acquire) {
            return with_copy(new, |new| with_copy(old, |old| original(new, old)));
        }
        let mut kernels: stack_t = zeroed();
        original(ptr::null(), &mut kernels);
        let is_in_use = kernels.ss_flags & libc::SS_ONSTACK != 0;
        let before = PROGRAMS.get();
        if !new.is_null() {
            let wanted = *new;
            let is_disabled = wanted.ss_flags & libc::SS_DISABLE != 0;
            let error = if is_in_use {
                libc::EPERM
            } else if !is_disabled && wanted.ss_size < libc::getauxval(libc::AT_MINSIGSTKSZ) as usize {
                libc::ENOMEM
            } else if is_disabled
                || wanted.ss_size < STACK_BYTES_MIN
                || is_managed(wanted.ss_sp, wanted.ss_size)
            {
                use_ours(STACK_BYTES_MIN.max(if is_disabled { 0 } else { wanted.ss_size }));
                0
            } else if original(&wanted, ptr::null_mut()) != 0 {
                return -1;
            } else {
                0
            };
            if error != 0 {
                set_errno(error);
                return -1;
            }
            PROGRAMS.set(if is_disabled { DISABLED } else { wanted });
        }
        if !old.is_null() {
            let mut told = before;
            if is_in_use && told.ss_flags & libc::SS_DISABLE == 0 {
                told.ss_flags |= libc::SS_ONSTACK;
            }
            *old = told;
        }
        0
    }
}

struct Start {
    body: Body,
    argument: *mut c_void,
}

extern "C" fn begin(start: *mut c_void) -> *mut c_void {
    // SAFETY: made by `pthread_create` below for this thread alone.
    let Start { body, argument } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    if IS_GIVEN.load(Ordering::Acquire) {
        use_ours(STACK_BYTES_MIN);
    }
    if last_thread::is_watched() {
        last_thread::begins();
    }
    body(argument)
}

/// As the C library's, whose result is the error.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    body: Body,
    argument: *mut c_void,
) -> c_int {
    let Some(original) = original::pthread_create() else { return libc::ENOSYS };
    // SAFETY: the caller's; and the new thread gets what `begin` expects.
    unsafe {
        let is_known = IS_GIVEN.load(Ordering::Acquire) || last_thread::is_watched();
        if !is_known || spawn::is_own(body) {
            return original(thread, attributes, body, argument);
        }
        let start = Box::into_raw(Box::new(Start { body, argument }));
        let create =
            |attributes| with_copy(thread, |thread| original(thread, attributes, begin, start.cast()));
        let error = match elsewhere(attributes) {
            Some(mut other) => {
                let error = create(&other);
                libc::pthread_attr_destroy(&mut other);
                error
            }
            None => create(attributes),
        };
        if error != 0 {
            drop(Box::from_raw(start));
        }
        error
    }
}

/// The same attributes without a stack, but of its size, where that is managed.
///
/// # Safety
/// Null, or attributes.
unsafe fn elsewhere(attributes: *const pthread_attr_t) -> Option<pthread_attr_t> {
    unsafe extern "C" {
        fn pthread_attr_getdetachstate(attributes: *const pthread_attr_t, state: *mut c_int) -> c_int;
        fn pthread_attr_getscope(attributes: *const pthread_attr_t, scope: *mut c_int) -> c_int;
        fn pthread_attr_setscope(attributes: *mut pthread_attr_t, scope: c_int) -> c_int;
    }
    if attributes.is_null() {
        return None;
    }
    // SAFETY: the caller's; what is got from the old ones is what the new ones are given.
    unsafe {
        let (mut start, mut bytes) = (ptr::null_mut(), 0);
        if libc::pthread_attr_getstack(attributes, &mut start, &mut bytes) != 0 || !is_managed(start, bytes) {
            return None;
        }
        let mut other: pthread_attr_t = zeroed();
        if libc::pthread_attr_init(&mut other) != 0 {
            return None;
        }
        let mut number = 0;
        libc::pthread_attr_setstacksize(&mut other, bytes);
        pthread_attr_getdetachstate(attributes, &mut number);
        libc::pthread_attr_setdetachstate(&mut other, number);
        libc::pthread_attr_getinheritsched(attributes, &mut number);
        libc::pthread_attr_setinheritsched(&mut other, number);
        libc::pthread_attr_getschedpolicy(attributes, &mut number);
        libc::pthread_attr_setschedpolicy(&mut other, number);
        pthread_attr_getscope(attributes, &mut number);
        pthread_attr_setscope(&mut other, number);
        let mut priority: libc::sched_param = zeroed();
        libc::pthread_attr_getschedparam(attributes, &mut priority);
        libc::pthread_attr_setschedparam(&mut other, &priority);
        let mut processors: libc::cpu_set_t = zeroed();
        let set_bytes = size_of_val(&processors);
        // It fails where none were chosen for the whole machine's number.
        if libc::pthread_attr_getaffinity_np(attributes, set_bytes, &mut processors) == 0 {
            libc::pthread_attr_setaffinity_np(&mut other, set_bytes, &processors);
        }
        Some(other)
    }
}
