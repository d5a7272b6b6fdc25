//! Signal mode in an interpreter that was started without zpager: the C library's functions that hand memory to the
//! kernel are wrapped when the first pager is made, in all that is loaded and in what is loaded later.

use zpager_calls::{original, patch, signals, stdio, transfer};
use zpager_linux::pager::Delivery;

/// Wraps them, unless faults are to be told to a thread; and says how faults are told then. `None`: by signals,
/// where this C library lets all be wrapped.
pub fn prepare(ram_bytes: u64, wanted: Option<Delivery>) -> Delivery {
    if wanted == Some(Delivery::Thread) {
        return Delivery::Thread;
    }
    original::look_everywhere();
    if !stdio::wrap() && wanted.is_none() {
        return Delivery::Thread;
    }
    transfer::limit_chunks(ram_bytes);
    signals::keep(false);
    patch::on();
    Delivery::Signal
}
