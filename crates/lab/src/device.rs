//! A device that takes time: so many requests at once, each for a while and for each page of it.
//!
//! It keeps what is written, since units of the pool are read back as they are, but only the words that
//! are not 0: of pages without contents these are few.

use std::cell::{Cell, RefCell};

use zpager_core::page::{PAGE_BYTES, Page};
use zpager_core::swap_device::swap_map::Slot;
use zpager_core::swap_device::{ReadRun, SwapDevice, WriteRun};

use crate::costs::Costs;

const WORD_BYTES: usize = size_of::<u64>();

/// The words of a page that are not 0, and where in it they are.
type Words = Box<[(u16, u64)]>;

/// For one thread.
pub struct LabDevice {
    slots: RefCell<Vec<Words>>,
    costs: Costs,
    /// When each of the places in its queue is free.
    free_ns: RefCell<Vec<u64>>,
    now_ns: Cell<u64>,
    /// Where the last request ended.
    head: Cell<u32>,
}

impl LabDevice {
    /// With so many slots.
    pub fn new(slot_count: u32, costs: Costs) -> Self {
        LabDevice {
            slots: RefCell::new(vec![Words::default(); slot_count as usize]),
            costs,
            free_ns: RefCell::new(vec![0; costs.queue_depth as usize]),
            now_ns: Cell::new(0),
            head: Cell::new(0),
        }
    }

    /// It is so late; who calls next does so then.
    pub fn set_now_ns(&self, now_ns: u64) {
        self.now_ns.set(now_ns);
    }

    /// When it had done all that it was asked since it was told the time.
    pub fn done_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// Serves requests, each of so many pages from a slot on, all of them asked for now.
    fn serve(&self, request_ns: u64, requests: impl Iterator<Item = (Slot, usize)>) {
        let began_ns = self.now_ns.get();
        let mut free_ns = self.free_ns.borrow_mut();
        for (first, pages) in requests {
            let seek_ns = if self.head.get() == first.0 { 0 } else { self.costs.seek_ns };
            self.head.set(first.0 + pages as u32);
            let place = free_ns.iter_mut().min().expect("a device serves something");
            let transfer_ns = self.costs.transfer_ns * pages as u64;
            *place = began_ns.max(*place) + request_ns + seek_ns + transfer_ns;
            self.now_ns.set(self.now_ns.get().max(*place));
        }
    }
}

impl SwapDevice for LabDevice {
    fn write(&self, runs: &mut [WriteRun<'_>]) {
        let mut slots = self.slots.borrow_mut();
        for run in &*runs {
            for (slot, page) in slots[run.first.0 as usize..].iter_mut().zip(run.pages) {
                let words = page.as_chunks::<WORD_BYTES>().0.iter().zip(0..);
                *slot = words
                    .map(|(bytes, at)| (at, u64::from_ne_bytes(*bytes)))
                    .filter(|(_, word)| *word != 0)
                    .collect();
            }
        }
        self.serve(self.costs.write_ns, runs.iter().map(|run| (run.first, run.pages.len())));
    }

    fn read(&self, runs: &mut [ReadRun<'_>]) {
        let slots = self.slots.borrow();
        for run in &mut *runs {
            for (slot, page) in slots[run.first.0 as usize..].iter().zip(&mut *run.pages) {
                *page = Page([0; PAGE_BYTES]);
                let words = page.as_chunks_mut::<WORD_BYTES>().0;
                slot.iter().for_each(|(at, word)| words[usize::from(*at)] = word.to_ne_bytes());
            }
        }
        self.serve(self.costs.read_ns, runs.iter().map(|run| (run.first, run.pages.len())));
    }
}
