//! A swap device that fails on request.

use std::cell::{Cell, RefCell};

use super::failing::{Failing, Kind, Numbered};
use super::random::Random;
use crate::page::{PAGE_BYTES, Page, bytes_of_mut};
use crate::swap_device::{DeviceError, ReadRun, SwapDevice, WriteRun, swap_map::Slot};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// How often what goes wrong; one in so many operations, 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// Writes that fail.
    pub write_one_in: u32,
    /// Reads that fail and would succeed if they were tried again.
    pub read_one_in: u32,
    /// Slots to which every write fails.
    pub slot_one_in: u32,
    /// Writes of which one page ends up with a byte that is wrong.
    pub corrupt_one_in: u32,
}

/// See the module's description.
pub struct SimulatedDevice {
    slots: RefCell<Vec<Option<Box<Page>>>>,
    random: RefCell<Random>,
    failures: Failures,
    numbered: Numbered,
    corrupted: Cell<u64>,
}

impl SimulatedDevice {
    /// A device of so many slots.
    pub fn new(slot_count: u32, seed: u64, failures: Failures, failing: Option<Failing>) -> Self {
        SimulatedDevice {
            slots: RefCell::new(vec![None; slot_count as usize]),
            random: RefCell::new(Random::new(seed)),
            failures,
            numbered: Numbered::new(failing),
            corrupted: Cell::new(0),
        }
    }

    /// Pages that were stored wrongly.
    pub fn corrupted(&self) -> u64 {
        self.corrupted.get()
    }

    /// The operations by number.
    pub fn numbered(&self) -> &Numbered {
        &self.numbered
    }

    fn happens(&self, one_in: u32) -> bool {
        one_in > 0 && self.random.borrow_mut().one_in(one_in)
    }
}

impl SimulatedDevice {
    fn put(&self, first: Slot, pages: &[Page]) -> Result<(), DeviceError> {
        let bad_slot = |index: usize| {
            let number = first.0 + index as u32;
            self.failures.slot_one_in > 0
                && number.wrapping_mul(2_654_435_761).is_multiple_of(self.failures.slot_one_in)
        };
        let has_no_space = self.numbered.fails(Kind::NoSpace);
        let fails = self.happens(self.failures.write_one_in)
            || (0..pages.len()).any(bad_slot)
            || self.numbered.fails(Kind::Write)
            || has_no_space;
        // A write that fails has torn some of its slots all the same.
        let written = if fails { pages.len() / 2 } else { pages.len() };
        for (index, page) in pages[..written].iter().enumerate() {
            self.slots.borrow_mut()[first.0 as usize + index] = Some(Box::new(page.clone()));
        }
        if !fails && self.happens(self.failures.corrupt_one_in) {
            self.slots.borrow_mut()[first.0 as usize].as_mut().expect("just written")[77] ^= 4;
            self.corrupted.set(self.corrupted.get() + 1);
        }
        let errno = if has_no_space { ENOSPC } else { EIO };
        if fails { Err(DeviceError { errno }) } else { Ok(()) }
    }

    fn get(&self, first: Slot, into: &mut [Page]) -> Result<(), DeviceError> {
        let is_short = self.numbered.fails(Kind::ShortRead);
        let fails = self.happens(self.failures.read_one_in) || self.numbered.fails(Kind::Read);
        let good_bytes = match into.len() * PAGE_BYTES {
            _ if fails => 0,
            bytes if is_short => bytes / 2,
            bytes => bytes,
        };
        for (index, page) in into.iter_mut().enumerate() {
            let slots = self.slots.borrow();
            page.copy_from_slice(&slots[first.0 as usize + index].as_ref().expect("a written slot")[..]);
        }
        bytes_of_mut(into)[good_bytes..].fill(0xee);
        if fails || is_short { Err(DeviceError { errno: EIO }) } else { Ok(()) }
    }
}

impl SwapDevice for SimulatedDevice {
    fn write(&self, runs: &mut [WriteRun<'_>]) {
        runs.iter_mut().for_each(|run| run.result = self.put(run.first, run.pages));
    }

    fn read(&self, runs: &mut [ReadRun<'_>]) {
        runs.iter_mut().for_each(|run| run.result = self.get(run.first, run.pages));
    }
}
