//! The swap device, where pages end up that are not worth RAM even compressed.
//!
//! [`swap_map`] keeps its slots; the device itself is the world's, behind [`SwapDevice`].

pub mod conformance;
pub mod swap_map;

use std::fmt;

use crate::page::Page;
use swap_map::Slot;

/// An operation on the device failed, after all that could be retried was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceError {
    /// The system's error number.
    pub errno: i32,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "swap device: {}", std::io::Error::from_raw_os_error(self.errno))
    }
}

/// A device of numbered slots, one page each. Called by any thread, never under the lock.
pub trait SwapDevice {
    /// Writes pages to adjacent slots.
    fn write(&self, first: Slot, pages: &[&Page]) -> Result<(), DeviceError>;

    /// Reads adjacent slots.
    fn read(&self, first: Slot, into: &mut [Page]) -> Result<(), DeviceError>;
}
