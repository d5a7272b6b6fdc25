//! Pages to and from slots: adjacent slots as one run, all runs of a batch in one call, and what
//! failed page by page once more, since one bad slot is no reason to give up its neighbours.

use super::swap_map::{Slot, SwapMap};
use super::{DeviceError, ReadRun, SwapDevice, WriteRun};
use crate::page::{BATCH_MAX, Page};
use crate::stats::Counters;

/// Reads of a page before it counts as unreadable.
const READ_ATTEMPTS: u32 = 3;

/// What became of the pages of a batch that was written: bit `i` for page `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// It is on the device.
    pub written: u64,
    /// It is not, since the file system has no room for it now. All others have failed for good.
    pub no_space: u64,
}

impl Written {
    /// Whether page `index` is on the device.
    pub fn is_written(&self, index: usize) -> bool {
        self.written >> index & 1 != 0
    }

    /// What becomes of the slot of page `index`, which is not on the device: it is free again, or,
    /// where writing to it failed for good, out of use.
    pub fn give_up(&self, index: usize, slot: Slot, map: &mut SwapMap, counters: &mut Counters) {
        if self.no_space >> index & 1 != 0 {
            counters.device_full += 1;
            map.give_back(slot);
        } else {
            counters.device_write_errors += 1;
            map.retire(slot);
        }
    }
}

/// Writes page `i` to slot `i`, at most [`BATCH_MAX`] of them.
pub fn write_pages(device: &dyn SwapDevice, slots: &[Slot], pages: &[Page]) -> Written {
    let mut runs: [WriteRun<'_>; BATCH_MAX] = std::array::from_fn(|_| WriteRun::new(Slot(0), &[]));
    let mut count = 0;
    let mut rest = pages;
    for run in runs_of(slots) {
        let (pages, others) = rest.split_at(run.len());
        runs[count] = WriteRun::new(run[0], pages);
        rest = others;
        count += 1;
    }
    device.write(&mut runs[..count]);
    let mut outcome = Written::default();
    let mut at = 0;
    for run in &runs[..count] {
        for (offset, page) in run.pages.iter().enumerate() {
            let alone = |_| match run.pages.len() {
                1 => run.result,
                _ => device.write_run(run.first.plus(offset as u32), std::slice::from_ref(page)),
            };
            match run.result.or_else(alone) {
                Ok(()) => outcome.written |= 1 << at,
                Err(error) if error.is_no_space() => outcome.no_space |= 1 << at,
                Err(_) => {}
            }
            at += 1;
        }
    }
    outcome
}

/// Reads slot `i` into page `i`, at most [`BATCH_MAX`] of them. Bit `i` of the result: it was read;
/// and the error of the last one that was not.
pub fn read_pages(device: &dyn SwapDevice, slots: &[Slot], into: &mut [Page]) -> (u64, Option<DeviceError>) {
    let mut failed = 0_u64;
    {
        let mut runs: [ReadRun<'_>; BATCH_MAX] = std::array::from_fn(|_| ReadRun::new(Slot(0), &mut []));
        let mut count = 0;
        let mut rest = &mut *into;
        for run in runs_of(slots) {
            let (pages, others) = rest.split_at_mut(run.len());
            runs[count] = ReadRun::new(run[0], pages);
            rest = others;
            count += 1;
        }
        device.read(&mut runs[..count]);
        let mut at = 0;
        for run in &runs[..count] {
            let bits = u64::MAX >> (u64::BITS as usize - run.pages.len());
            failed |= if run.result.is_err() { bits << at } else { 0 };
            at += run.pages.len();
        }
    }
    let mut read = u64::MAX >> (u64::BITS as usize - slots.len()) & !failed;
    let mut error = None;
    for at in (0..slots.len()).filter(|at| failed >> at & 1 != 0) {
        let mut attempt = || device.read_run(slots[at], std::slice::from_mut(&mut into[at]));
        let mut result = attempt();
        for _ in 2..READ_ATTEMPTS {
            result = result.or_else(|_| attempt());
        }
        read |= u64::from(result.is_ok()) << at;
        error = result.err().or(error);
    }
    (read, error)
}

fn runs_of(slots: &[Slot]) -> impl Iterator<Item = &[Slot]> {
    slots.chunk_by(|before, after| *after == before.plus(1))
}
