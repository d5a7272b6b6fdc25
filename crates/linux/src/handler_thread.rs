//! Thread mode: one thread reads faults from the descriptor and serves them. System calls into
//! pages that are not there wait like any other access, so this is transparent to the program.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use zpager_core::fault::{FaultTask, Outcome};
use zpager_core::page::PAGE_BYTES;

use crate::pager::Shared;

/// How long the thread looks for the next fault before it goes to sleep: less than it takes to
/// wake it.
const SPIN: Duration = Duration::from_micros(50);

/// Tells the thread to end.
#[derive(Clone)]
pub struct Stop(Arc<OwnedFd>);

impl Stop {
    pub fn new() -> io::Result<Self> {
        // SAFETY: makes a new descriptor, or none.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else's.
        Ok(Stop(Arc::new(unsafe { OwnedFd::from_raw_fd(descriptor) })))
    }

    pub fn now(&self) {
        // SAFETY: writes eight bytes, as an eventfd wants.
        unsafe {
            libc::write(self.0.as_raw_fd(), (&raw const ONE).cast(), size_of::<u64>());
        }
    }
}

static ONE: u64 = 1;

/// Whether any page was poisoned whose contents are not lost.
static HAS_POISONED: AtomicBool = AtomicBool::new(false);

pub fn has_poisoned() -> bool {
    HAS_POISONED.load(Ordering::Relaxed)
}

/// The thread's body.
pub fn run(shared: &Shared, mut task: FaultTask, stop: &Stop) {
    let userfaultfd = &shared.memory.userfaultfd;
    let mut descriptors = [userfaultfd.as_raw_fd(), stop.0.as_raw_fd()].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    loop {
        // SAFETY: two descriptors that live as long as this function.
        let ready = unsafe { libc::poll(descriptors.as_mut_ptr(), 2, -1) };
        if ready > 0 && descriptors[1].revents != 0 {
            return;
        }
        let mut idle_since = Instant::now();
        while idle_since.elapsed() < SPIN {
            let fault = userfaultfd.read().expect("userfaultfd can be read");
            let Some(fault) = fault else {
                std::hint::spin_loop();
                continue;
            };
            let outcome = shared.serve(&mut task, fault.address, fault.access, fault.was_mapped);
            if outcome != Outcome::Resolved {
                report(outcome, fault.address);
            }
            if matches!(outcome, Outcome::OutOfBounds | Outcome::NoRoom) {
                HAS_POISONED.store(true, Ordering::Relaxed);
                if userfaultfd.poison(fault.address, PAGE_BYTES).is_err() {
                    let _ = userfaultfd.wake(fault.address, PAGE_BYTES);
                }
            }
            idle_since = Instant::now();
        }
    }
}

/// Says on stderr why an access is about to end in SIGBUS. Without the lock of `std`'s stderr,
/// which the program may hold just now.
pub fn report(outcome: Outcome, address: usize) {
    let what = match outcome {
        Outcome::Resolved => return,
        Outcome::Lost(_) => "the contents of this page are lost: the swap device or RAM has failed",
        Outcome::OutOfBounds => "no array has this page (any more)",
        Outcome::NoRoom => "no RAM can be freed: the swap device is full or fails, or pages are pinned",
    };
    const LINE_BYTES_MAX: usize = 160;
    let mut line = [0_u8; LINE_BYTES_MAX];
    let mut rest = &mut line[..];
    // A line that is too long is cut.
    let _ = writeln!(rest, "zpager: access to {address:#x}: {what}");
    let length = LINE_BYTES_MAX - rest.len();
    // SAFETY: writes the bytes that were just formatted.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), length);
    }
}
