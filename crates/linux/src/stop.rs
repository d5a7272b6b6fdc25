//! How threads of the pager that wait for descriptors learn that it ends.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::descriptors::{Kept, moved_up};
use crate::system_call;

/// Tells a thread to end.
#[derive(Clone)]
pub struct Stop(Arc<Kept<OwnedFd>>);

impl Stop {
    pub fn new() -> io::Result<Self> {
        // SAFETY: makes a new descriptor, or none.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Stop(Arc::new(Kept::new(moved_up(descriptor)))))
    }

    /// In a forked child: another descriptor of the same number, which nobody else has.
    pub fn renew(&self) -> io::Result<()> {
        replace_descriptor(&**self.0, &**Stop::new()?.0)
    }

    pub fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Sleeps until it is told.
    pub fn wait(&self) {
        let mut descriptor = libc::pollfd { fd: self.descriptor(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor that lives as long as this function.
        while unsafe { libc::poll(&mut descriptor, 1, -1) } <= 0 {}
    }

    pub fn now(&self) {
        // SAFETY: writes eight bytes, as an eventfd wants.
        unsafe {
            libc::write(self.descriptor(), (&raw const ONE).cast(), size_of::<u64>());
        }
    }
}

static ONE: u64 = 1;

/// Makes the number of one descriptor that of another, which keeps its own, too.
pub fn replace_descriptor(old: &impl AsRawFd, new: &impl AsRawFd) -> io::Result<()> {
    let arguments = [new.as_raw_fd() as usize, old.as_raw_fd() as usize, libc::O_CLOEXEC as usize, 0, 0, 0];
    // SAFETY: closes a descriptor that is ours, and puts a copy of another in its place.
    unsafe { system_call::call(libc::SYS_dup3, arguments) }.map(drop)
}
