//! The pager's own descriptors: out of the way of the program's, and known, so that a library that stands
//! between the program and `close` can keep them from being closed.
//!
//! A program may count on getting the lowest number that is free, put a file of its own where it likes, and
//! close all that it does not know.

use std::ops::{Deref, RangeInclusive};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// More are not known, and can be closed.
const KEPT_MAX: usize = 256;

/// Numbers from here on are no program's before thousands of its own; the kernel's table grows with the
/// highest.
const HIGHEST_BASE: RawFd = 4000;

/// Below what the limit allows there is room for so many.
const ROOM: RawFd = 64;

/// Ordinary memory, which a forked child inherits as it inherits the descriptors. -1: the place is free.
static KEPT: [AtomicI32; KEPT_MAX] = [const { AtomicI32::new(-1) }; KEPT_MAX];

/// Something with a descriptor that is known as the pager's as long as it lives.
pub struct Kept<T: AsRawFd>(T);

impl<T: AsRawFd> Kept<T> {
    /// Makes it known.
    pub fn new(owner: T) -> Self {
        let number = owner.as_raw_fd();
        let take = |place: &&AtomicI32| {
            place.compare_exchange(-1, number, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let _ = KEPT.iter().find(take);
        Kept(owner)
    }
}

impl<T: AsRawFd> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: AsRawFd> std::ops::DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: AsRawFd> Drop for Kept<T> {
    fn drop(&mut self) {
        let number = self.0.as_raw_fd();
        if let Some(place) = KEPT.iter().find(|place| place.load(Ordering::Relaxed) == number) {
            place.store(-1, Ordering::Release);
        }
    }
}

/// The same by a high number, if one can be had.
pub fn moved_up(descriptor: OwnedFd) -> OwnedFd {
    // SAFETY: reads a limit; makes a new descriptor, which is nobody else's, or none.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        let base = RawFd::try_from(limit.rlim_cur).unwrap_or(RawFd::MAX).min(HIGHEST_BASE + ROOM) - ROOM;
        match libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, base.max(0)) {
            -1 => descriptor,
            high => OwnedFd::from_raw_fd(high),
        }
    }
}

/// Whether a descriptor is the pager's.
pub fn is_kept(descriptor: RawFd) -> bool {
    descriptor >= 0 && KEPT.iter().any(|place| place.load(Ordering::Acquire) == descriptor)
}

/// The parts of a range of numbers between the pager's.
pub fn not_kept(numbers: RangeInclusive<u32>, mut part: impl FnMut(RangeInclusive<u32>)) {
    let mut first = *numbers.start();
    loop {
        let next = KEPT
            .iter()
            .filter_map(|place| u32::try_from(place.load(Ordering::Acquire)).ok())
            .filter(|number| *number >= first && numbers.contains(number))
            .min();
        let Some(next) = next else { break };
        if first < next {
            part(first..=next - 1);
        }
        first = next + 1;
    }
    if first <= *numbers.end() {
        part(first..=*numbers.end());
    }
}
