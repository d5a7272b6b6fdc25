//! Signal mode: a thread that does nothing but hold the userfaultfd open.
//!
//! When its last descriptor is closed, the kernel lets all pages that are not there read as zeros,
//! and tells nobody. A program may close descriptors that it does not know (`os.closerange`). So this
//! thread has a table of descriptors of its own: a fault still arrives, finds the program's
//! descriptor closed, and ends the process with words. In thread mode the handler thread waits on
//! the descriptor, which is as good.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use crate::stop::Stop;
use crate::system_call;
use crate::userfaultfd::Userfaultfd;

/// The thread's body. Where the kernel allows no table of its own, the program's descriptors are
/// all there is.
pub fn run(userfaultfd: &Userfaultfd, stop: &Stop) {
    let _ = keep_only(&mut [userfaultfd.as_raw_fd(), stop.descriptor()]);
    stop.wait();
}

/// Gives this thread a table of descriptors of its own, with only these in it: whoever reads from a
/// pipe must see its end when the program has closed it.
fn keep_only(kept: &mut [RawFd]) -> io::Result<()> {
    kept.sort_unstable();
    let mut first = 0;
    for kept in kept.iter().map(|kept| *kept as u32) {
        if first < kept {
            close_here(first, kept - 1)?;
        }
        first = kept + 1;
    }
    close_here(first, u32::MAX)
}

fn close_here(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the first call gives this thread a table of its own, so that nobody else's descriptors
    // are closed; where that fails, nothing is closed.
    unsafe {
        let flags = libc::CLOSE_RANGE_UNSHARE as usize;
        system_call::call(libc::SYS_close_range, [first as usize, last as usize, flags, 0, 0, 0])
    }
    .map(drop)
}
