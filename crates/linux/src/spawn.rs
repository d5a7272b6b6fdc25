//! How every thread of the pager starts.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

use crate::signals::SignalsBlocked;

/// Starts a thread with all signals blocked, whose panic ends the process: whoever waits for a
/// page would wait for ever.
pub fn spawn(
    name: &str,
    stack_bytes: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let _blocked = SignalsBlocked::new();
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            eprintln!(
                "zpager: this is a defect of zpager's; its memory cannot be served any more. Aborting."
            );
            std::process::abort();
        }
    };
    let builder = Builder::new().name(name.into());
    let builder = stack_bytes.into_iter().fold(builder, Builder::stack_size);
    builder.spawn(guarded)
}
