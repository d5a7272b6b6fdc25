//! The lab: page traces replayed on zpager's core, in virtual time.
//!
//! A [`replay::Replay`] is one pager and the threads of a trace. The core is the one that serves real
//! programs; its world is [`memory`] without contents, of which only the compressed sizes are known, and a
//! [`device`] that only takes time. What takes how long is in [`costs`]. The same trace, configuration and costs give
//! the same figures every time.

pub mod costs;
pub mod latency;
pub mod replay;
pub mod sample;

mod device;
mod memory;
