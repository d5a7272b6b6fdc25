//! The swap device, where pages end up that are not worth RAM even compressed.
//!
//! [`swap_map`] keeps its slots, and [`unit_map`] the units of the pool that were written as they
//! are; [`layers`] which process wrote them. What is written is sealed first ([`seal`]); [`transfer`] forms runs of adjacent slots, and
//! [`fetch`] reads pages wherever they are. The device itself is the world's, behind
//! [`SwapDevice`].

pub mod conformance;
pub(crate) mod fetch;
pub mod layers;
pub mod seal;
pub mod swap_map;
pub(crate) mod transfer;
pub mod unit_map;

use std::fmt;

use crate::page::Page;
use swap_map::Slot;

/// An operation on the device failed, after all that could be retried was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceError {
    /// The system's error number.
    pub errno: i32,
}

impl DeviceError {
    /// The file system is full, or the user's share of it: another time it may not be.
    pub fn is_no_space(&self) -> bool {
        const ENOSPC: i32 = 28;
        const EDQUOT: i32 = 122;
        matches!(self.errno, ENOSPC | EDQUOT)
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "swap device: {}", std::io::Error::from_raw_os_error(self.errno))
    }
}

/// Adjacent slots that are written or read in one go, and how that ended.
pub struct Run<P> {
    /// The first of them.
    pub first: Slot,
    /// The contents, or room for them.
    pub pages: P,
    /// The device leaves the outcome here.
    pub result: Result<(), DeviceError>,
}

/// Pages to be written to adjacent slots.
pub type WriteRun<'a> = Run<&'a [Page]>;

/// Room for the pages of adjacent slots.
pub type ReadRun<'a> = Run<&'a mut [Page]>;

impl<P> Run<P> {
    /// A run that has yet to be carried out.
    pub fn new(first: Slot, pages: P) -> Self {
        Run { first, pages, result: Ok(()) }
    }
}

/// A device of numbered slots, one page each. Called by any thread, never under the lock. The
/// runs of a call are independent of one another, and as many of them as the device can take are
/// under way at the same time; the call returns when all have ended.
pub trait SwapDevice {
    /// Writes runs.
    fn write(&self, runs: &mut [WriteRun<'_>]);

    /// Reads runs. What is in the room of a run that failed is arbitrary.
    fn read(&self, runs: &mut [ReadRun<'_>]);

    /// Writes one run.
    fn write_run(&self, first: Slot, pages: &[Page]) -> Result<(), DeviceError> {
        let mut run = WriteRun::new(first, pages);
        self.write(std::slice::from_mut(&mut run));
        run.result
    }

    /// Reads one run.
    fn read_run(&self, first: Slot, pages: &mut [Page]) -> Result<(), DeviceError> {
        let mut run = ReadRun::new(first, pages);
        self.read(std::slice::from_mut(&mut run));
        run.result
    }
}
