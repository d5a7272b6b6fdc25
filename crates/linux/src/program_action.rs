//! What the program wants done about SIGBUS: what handled it before our handler was installed, and what the
//! program has asked for since then.
//!
//! The handler reads it at any moment, also while another thread writes it, so there is no lock: the reader
//! tries again if the number of changes is odd or has changed.

use std::mem::transmute;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

const WORDS: usize = size_of::<libc::sigaction>() / size_of::<u64>();
const _: () = assert!(WORDS * size_of::<u64>() == size_of::<libc::sigaction>());

static CHANGES: AtomicU32 = AtomicU32::new(0);
/// At first zeros, which is SIG_DFL.
static ACTION: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

/// What it is.
pub fn get() -> libc::sigaction {
    loop {
        let changes = CHANGES.load(Ordering::Acquire);
        let words: [u64; WORDS] = std::array::from_fn(|index| ACTION[index].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if changes.is_multiple_of(2) && CHANGES.load(Ordering::Relaxed) == changes {
            // SAFETY: of the same size, and the words of one that was set, or zeros, which are a valid one.
            return unsafe { transmute::<[u64; WORDS], libc::sigaction>(words) };
        }
        std::hint::spin_loop();
    }
}

/// Changes it. One thread at a time, with all signals blocked: the handler on the thread that is changing it
/// would wait for ever.
pub fn set(action: &libc::sigaction) {
    // SAFETY: of the same size; a structure that the caller has filled has no padding but what `zeroed` left.
    let words = unsafe { transmute::<libc::sigaction, [u64; WORDS]>(*action) };
    CHANGES.fetch_add(1, Ordering::Relaxed);
    fence(Ordering::Release);
    for (place, word) in ACTION.iter().zip(words) {
        place.store(word, Ordering::Relaxed);
    }
    CHANGES.fetch_add(1, Ordering::Release);
}
