//! Waiting, with what is waited for in managed memory, and with masks that must not have SIGBUS.

use std::ffi::{c_int, c_ulong};
use std::mem::MaybeUninit;

use libc::{epoll_event, pollfd, timespec, timeval};

use crate::copies::with_copy;
use crate::retry::{missing, retry};
use crate::signals::with_mask;
use crate::touch::is_managed;

type Poll = unsafe extern "C" fn(*mut pollfd, c_ulong, c_int) -> c_int;
type PollChecked = unsafe extern "C" fn(*mut pollfd, c_ulong, c_int, usize) -> c_int;
type PollMasked = unsafe extern "C" fn(*mut pollfd, c_ulong, *const timespec, *const u64) -> c_int;
type PollMaskedChecked =
    unsafe extern "C" fn(*mut pollfd, c_ulong, *const timespec, *const u64, usize) -> c_int;
type Select = unsafe extern "C" fn(c_int, *mut u64, *mut u64, *mut u64, *mut timeval) -> c_int;
type SelectMasked =
    unsafe extern "C" fn(c_int, *mut u64, *mut u64, *mut u64, *const timespec, *const u64) -> c_int;
type EpollMasked = unsafe extern "C" fn(c_int, *mut epoll_event, c_int, c_int, *const u64) -> c_int;
type EpollMaskedUntil =
    unsafe extern "C" fn(c_int, *mut epoll_event, c_int, *const timespec, *const u64) -> c_int;
type Sleep = unsafe extern "C" fn(c_int, c_int, *const timespec, *mut timespec) -> c_int;

originals! {
    poll: Poll;
    __poll: Poll;
    __poll_chk: PollChecked;
    ppoll: PollMasked;
    __ppoll_chk: PollMaskedChecked;
    select: Select;
    pselect: SelectMasked;
    epoll_pwait: EpollMasked;
    epoll_pwait2: EpollMaskedUntil;
    clock_nanosleep: Sleep;
}

/// Words of an array that is copied; a longer one is brought in, and a wait that ended when it had gone begins anew.
const WORDS_MAX: usize = 256;

/// Calls with an array, or with a copy of one that is managed.
///
/// # Safety
/// There are so many items.
unsafe fn with_array(items: *mut u64, count: usize, call: impl Fn(*mut u64) -> c_int) -> c_int {
    let bytes = count.saturating_mul(size_of::<u64>());
    if items.is_null() || !is_managed(items.cast(), bytes) {
        return call(items);
    }
    if count > WORDS_MAX {
        return retry(|pages| pages.write(items.cast(), bytes), || call(items));
    }
    let mut copy = [MaybeUninit::<u64>::uninit(); WORDS_MAX];
    // SAFETY: the caller's; there is room.
    unsafe {
        let copy = copy.as_mut_ptr().cast::<u8>();
        copy.copy_from(items.cast(), bytes);
        let result = call(copy.cast());
        items.cast::<u8>().copy_from(copy, bytes);
        result
    }
}

const _: () = assert!(size_of::<pollfd>() == size_of::<u64>());

unsafe fn with_files(files: *mut pollfd, count: c_ulong, call: impl Fn(*mut pollfd) -> c_int) -> c_int {
    // SAFETY: the caller's; each is as long as a word.
    unsafe { with_array(files.cast(), count as usize, |files| call(files.cast())) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn poll(files: *mut pollfd, count: c_ulong, timeout: c_int) -> c_int {
    let Some(original) = original::poll() else { return missing() };
    // SAFETY: the caller's.
    unsafe { with_files(files, count, |files| original(files, count, timeout)) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn __poll(files: *mut pollfd, count: c_ulong, timeout: c_int) -> c_int {
    let Some(original) = original::__poll() else { return missing() };
    // SAFETY: the caller's.
    unsafe { with_files(files, count, |files| original(files, count, timeout)) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn __poll_chk(
    files: *mut pollfd,
    count: c_ulong,
    timeout: c_int,
    room: usize,
) -> c_int {
    let Some(original) = original::__poll_chk() else { return missing() };
    // SAFETY: the caller's.
    unsafe { with_files(files, count, |files| original(files, count, timeout, room)) }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn ppoll(
    files: *mut pollfd,
    count: c_ulong,
    timeout: *const timespec,
    mask: *const u64,
) -> c_int {
    let Some(original) = original::ppoll() else { return missing() };
    // SAFETY: the caller's.
    unsafe {
        with_mask(mask, |mask| {
            with_copy(timeout, |timeout| {
                with_files(files, count, |files| original(files, count, timeout, mask))
            })
        })
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn __ppoll_chk(
    files: *mut pollfd,
    count: c_ulong,
    timeout: *const timespec,
    mask: *const u64,
    room: usize,
) -> c_int {
    let Some(original) = original::__ppoll_chk() else { return missing() };
    // SAFETY: the caller's.
    unsafe {
        with_mask(mask, |mask| {
            with_copy(timeout, |timeout| {
                with_files(files, count, |files| original(files, count, timeout, mask, room))
            })
        })
    }
}

/// Calls with three sets of descriptors.
///
/// # Safety
/// Each is null or a set of so many.
unsafe fn with_sets(
    count: c_int,
    sets: [*mut u64; 3],
    call: impl Fn(*mut u64, *mut u64, *mut u64) -> c_int,
) -> c_int {
    let words = usize::try_from(count).unwrap_or(0).div_ceil(u64::BITS as usize);
    let [reading, writing, failing] = sets;
    // SAFETY: the caller's.
    unsafe {
        with_array(reading, words, |reading| {
            with_array(writing, words, |writing| {
                with_array(failing, words, |failing| call(reading, writing, failing))
            })
        })
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn select(
    count: c_int,
    reading: *mut u64,
    writing: *mut u64,
    failing: *mut u64,
    timeout: *mut timeval,
) -> c_int {
    let Some(original) = original::select() else { return missing() };
    // SAFETY: the caller's.
    unsafe {
        with_copy(timeout, |timeout| {
            with_sets(count, [reading, writing, failing], |reading, writing, failing| {
                original(count, reading, writing, failing, timeout)
            })
        })
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn pselect(
    count: c_int,
    reading: *mut u64,
    writing: *mut u64,
    failing: *mut u64,
    timeout: *const timespec,
    mask: *const u64,
) -> c_int {
    let Some(original) = original::pselect() else { return missing() };
    // SAFETY: the caller's.
    unsafe {
        with_mask(mask, |mask| {
            with_copy(timeout, |timeout| {
                with_sets(count, [reading, writing, failing], |reading, writing, failing| {
                    original(count, reading, writing, failing, timeout, mask)
                })
            })
        })
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn epoll_pwait(
    poll: c_int,
    into: *mut epoll_event,
    count: c_int,
    timeout: c_int,
    mask: *const u64,
) -> c_int {
    let Some(original) = original::epoll_pwait() else { return missing() };
    let bytes = count.max(0) as usize * size_of::<epoll_event>();
    // SAFETY: the caller's.
    unsafe {
        with_mask(mask, |mask| {
            retry(|pages| pages.write(into.cast(), bytes), || original(poll, into, count, timeout, mask))
        })
    }
}

/// As the C library's.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn epoll_pwait2(
    poll: c_int,
    into: *mut epoll_event,
    count: c_int,
    timeout: *const timespec,
    mask: *const u64,
) -> c_int {
    let Some(original) = original::epoll_pwait2() else { return missing() };
    let bytes = count.max(0) as usize * size_of::<epoll_event>();
    // SAFETY: the caller's.
    unsafe {
        with_mask(mask, |mask| {
            with_copy(timeout, |timeout| {
                retry(|pages| pages.write(into.cast(), bytes), || original(poll, into, count, timeout, mask))
            })
        })
    }
}

/// As the C library's, whose result is the error.
///
/// # Safety
/// As there.
pub unsafe extern "C" fn clock_nanosleep(
    clock: c_int,
    flags: c_int,
    from: *const timespec,
    rest: *mut timespec,
) -> c_int {
    let Some(original) = original::clock_nanosleep() else { return libc::ENOSYS };
    // SAFETY: the caller's.
    unsafe { with_copy(from, |from| with_copy(rest, |rest| original(clock, flags, from, rest))) }
}
