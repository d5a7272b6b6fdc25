//! Memory without contents: for each page whether it is mapped, and how long its zpage would be.

use std::cell::{Cell, UnsafeCell};

use zpager_core::page::{Page, PageNumber};
use zpager_core::swap_cache::StagingSlot;
use zpager_core::world::{Memory, Staged};
use zpager_core::zcache::codec::recorded;
use zpager_core::zcache::pool::arena::FrameIndex;

use crate::costs::Costs;

/// How a page is mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mapped {
    No,
    Protected,
    Writable,
}

/// For one thread.
pub struct LabMemory {
    mapped: Vec<Cell<Mapped>>,
    zpage_bytes: Vec<u16>,
    staging: Vec<UnsafeCell<Page>>,
    costs: Costs,
    spent_ns: Cell<u64>,
}

impl LabMemory {
    /// Memory of as many pages as there are lengths of zpages.
    pub fn new(zpage_bytes: Vec<u16>, staging_slots: u32, costs: Costs) -> Self {
        LabMemory {
            mapped: vec![Cell::new(Mapped::No); zpage_bytes.len()],
            zpage_bytes,
            staging: (0..staging_slots).map(|_| UnsafeCell::new(Page::ZERO)).collect(),
            costs,
            spent_ns: Cell::new(0),
        }
    }

    /// Whether an access goes through without a fault.
    pub fn is_hit(&self, page: PageNumber, is_write: bool) -> bool {
        match self.mapped[page.index()].get() {
            Mapped::No => false,
            Mapped::Protected => !is_write,
            Mapped::Writable => true,
        }
    }

    /// Whether it is there at all.
    pub fn is_mapped(&self, page: PageNumber) -> bool {
        self.mapped[page.index()].get() != Mapped::No
    }

    /// What was spent since the last call.
    pub fn take_spent_ns(&self) -> u64 {
        self.spent_ns.take()
    }

    fn spend(&self, ns: u64) {
        self.spent_ns.set(self.spent_ns.get() + ns);
    }

    fn set(&self, first: PageNumber, count: usize, mapped: Mapped) {
        self.mapped[first.index()..][..count].iter().for_each(|page| page.set(mapped));
    }

    fn fill(&self, slot: StagingSlot, page: PageNumber) {
        let word = recorded::word(page, self.zpage_bytes[page.index()]).to_le_bytes();
        // SAFETY: one thread, and a slot that is read is neither filled nor emptied (`SwapCache`).
        unsafe { (&mut *self.staging[slot.index()].get())[..word.len()].copy_from_slice(&word) };
    }
}

impl Memory for LabMemory {
    fn unwatch(&self, _: PageNumber, _: u32) -> bool {
        // What the kernel would do with them is no fault of ours, and would not be seen.
        false
    }

    fn watch(&self, _: PageNumber, _: u32) {
        unreachable!("all regions are watched");
    }

    fn present(&self, _: PageNumber, _: u32) -> u64 {
        unreachable!("all regions are watched");
    }

    fn map(&self, first: PageNumber, contents: &[Page], protect: bool) -> usize {
        self.spend(self.costs.map_ns * contents.len() as u64);
        self.set(first, contents.len(), if protect { Mapped::Protected } else { Mapped::Writable });
        contents.len()
    }

    fn unprotect(&self, first: PageNumber, count: u32) {
        self.spend(self.costs.map_ns);
        self.set(first, count as usize, Mapped::Writable);
    }

    fn unmap_to_staging(&self, pairs: &[(PageNumber, StagingSlot)]) -> Staged {
        self.spend(self.costs.move_ns * pairs.len() as u64);
        for (page, slot) in pairs {
            self.set(*page, 1, Mapped::No);
            self.fill(*slot, *page);
        }
        Staged { moved: u64::MAX >> (u64::BITS as usize - pairs.len()), vanished: 0 }
    }

    fn unmap_clean(&self, pages: &[PageNumber]) {
        self.spend(self.costs.unmap_call_ns + self.costs.unmap_ns * pages.len() as u64);
        pages.iter().for_each(|page| self.set(*page, 1, Mapped::No));
    }

    fn restore_by_move(&self, _: StagingSlot, page: PageNumber) -> bool {
        self.spend(self.costs.move_ns);
        self.set(page, 1, Mapped::Writable);
        true
    }

    fn staged(&self, slot: StagingSlot) -> &Page {
        // SAFETY: as in `fill`.
        unsafe { &*self.staging[slot.index()].get() }
    }

    fn stage(&self, slot: StagingSlot, contents: &Page) -> bool {
        self.spend(self.costs.map_ns);
        // SAFETY: as in `fill`. All but the first word of every page is zeros.
        unsafe { (&mut *self.staging[slot.index()].get())[..8].copy_from_slice(&contents[..8]) };
        true
    }

    fn release_staged(&self, slots: &[StagingSlot]) {
        self.spend(self.costs.unmap_call_ns + self.costs.unmap_ns * slots.len() as u64);
    }

    fn release_frames(&self, frames: &[FrameIndex]) {
        self.spend(self.costs.unmap_call_ns + self.costs.unmap_ns * frames.len() as u64);
    }

    fn discard(&self, first: PageNumber, count: u32) {
        self.spend(self.costs.unmap_call_ns);
        self.set(first, count as usize, Mapped::No);
    }

    fn poison(&self, page: PageNumber) {
        unreachable!("{page:?} is lost, on a device that loses nothing");
    }

    fn wake(&self, page: PageNumber) -> bool {
        assert!(self.is_mapped(page), "{page:?} is resident, and not mapped");
        true
    }
}
