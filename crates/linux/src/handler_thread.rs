//! Thread mode: one thread reads faults from the descriptor and serves them. System calls into
//! pages that are not there wait like any other access, so this is transparent to the program.

use std::fmt;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use zpager_core::fault::Outcome;
use zpager_core::page::PAGE_BYTES;

use crate::last_words::say;
use crate::pager::Shared;
use crate::stop::Stop;

/// How long the thread looks for the next fault before it goes to sleep: less than it takes to
/// wake it.
const SPIN: Duration = Duration::from_micros(50);

/// Whether any page was poisoned whose contents are not lost.
static HAS_POISONED: AtomicBool = AtomicBool::new(false);

pub fn has_poisoned() -> bool {
    HAS_POISONED.load(Ordering::Relaxed)
}

/// The thread's body.
pub fn run(shared: &Shared, stop: &Stop) {
    let userfaultfd = &shared.memory.userfaultfd;
    let mut descriptors = [userfaultfd.as_raw_fd(), stop.descriptor()].map(|fd| libc::pollfd {
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
            let fault = userfaultfd.read().unwrap_or_else(|error| {
                panic!("zpager cannot read its userfaultfd: {error}; has the program closed its descriptor?")
            });
            let Some(fault) = fault else {
                std::hint::spin_loop();
                continue;
            };
            assert!(
                shared.memory.window.contains(fault.address),
                "a page that zpager has staged at {:#x} has vanished",
                fault.address
            );
            let outcome = shared.serve_here(fault.address, fault.access, fault.was_mapped);
            if outcome != Outcome::Resolved {
                report(outcome, fault.address, shared.offset_in_region(fault.address));
                if !matches!(outcome, Outcome::Lost(_)) {
                    HAS_POISONED.store(true, Ordering::Relaxed);
                    let _ = userfaultfd.poison(fault.address, PAGE_BYTES);
                }
                // Poisoned or not: where it could not be, the access is told anew.
                let _ = userfaultfd.wake(fault.address, PAGE_BYTES);
            }
            idle_since = Instant::now();
        }
    }
}

/// Says on stderr why an access is about to end in SIGBUS. `offset`: where that is in its region,
/// if it is in one.
pub fn report(outcome: Outcome, address: usize, offset: Option<u64>) {
    let (what, cause): (_, Option<&dyn fmt::Display>) = match &outcome {
        Outcome::Resolved => return,
        Outcome::Lost(loss) => ("the contents of this page are lost: ", Some(loss)),
        Outcome::OutOfBounds => ("no array has this page (any more)", None),
        Outcome::NoRoom => {
            ("no RAM can be freed: the swap device is full or fails, or pages are pinned", None)
        }
    };
    let cause = cause.unwrap_or(&"");
    match offset {
        Some(offset) => {
            say(format_args!("access to {address:#x}, byte {offset} of its array: {what}{cause}"));
        }
        None => say(format_args!("access to {address:#x}: {what}{cause}")),
    }
}
