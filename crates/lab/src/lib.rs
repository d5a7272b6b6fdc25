//! The lab: page traces replayed on zpager's core, in virtual time.
//!
//! A [`replay::Replay`] is one pager and the threads of a trace. The core is the one that serves real
//! programs; its world is [`memory`] without contents, of which only the compressed sizes are known, and a
//! [`device`] that only takes time. What takes how long is in [`costs`]. The same trace, configuration and costs give
//! the same figures every time. [`alone`] and [`optimal`] say what replacement policies and the best possible one
//! make of the same accesses, with no pager around them.

pub mod alone;
pub mod costs;
pub mod latency;
pub mod optimal;
pub mod replay;
pub mod sample;

mod device;
mod memory;
