//! Unwatched regions: as long as there is a frame for every page of a region, nobody needs to watch it.
//!
//! Its faults are the kernel's then, its pages may be huge, and it costs what plain memory costs. All
//! its pages count as resident from the start, touched or not. When frames run short, reclaim
//! takes it over for good ([`Watch`]): from the moment that the kernel reports its faults again,
//! no page can come into being behind our back, and whatever is there by then is entered as a
//! resident page without a copy. A fault on a page that is not entered yet waits.

use crate::budget::Use;
use crate::engine::Core;
use crate::page::{BATCH_MAX, PAGE_BYTES, PageNumber};
use crate::page_table::Backing;
use crate::reclaim::lists::{List, Lists};
use crate::region::Region;
use crate::task::{Next, Task};
use crate::world::World;

/// Leaves a new region to the kernel, if there is room for all of it. Nobody touches it meanwhile.
pub struct Unwatch {
    first: PageNumber,
    page_count: u32,
    phase: Phase,
}

enum Phase {
    Plan,
    Commit { is_done: bool },
}

impl Unwatch {
    /// For a region that was just given out.
    pub fn new(first: PageNumber, page_count: u32) -> Self {
        Unwatch { first, page_count, phase: Phase::Plan }
    }

    /// What is taken must not wake kswapd, and the pages' nodes must fit as well.
    fn has_room(&self, core: &mut Core) -> bool {
        let node_bytes = u64::from(self.page_count) * Lists::NODE_BYTES;
        let needed = u64::from(self.page_count) + node_bytes.div_ceil(PAGE_BYTES as u64) + 1;
        let lacks = |core: &Core| {
            let watermark = u64::from(core.watermarks.high.saturating_add(core.pressed()));
            (needed + watermark).saturating_sub(core.budget.free().into())
        };
        // More frames raise the watermarks, too, for which the second request is.
        for _ in 0..2 {
            let lacking = u32::try_from(lacks(core)).unwrap_or(u32::MAX);
            if lacking > 0 && !core.ask_for_all(lacking.saturating_add(lacking / 128 + 2)) {
                return false;
            }
        }
        lacks(core) == 0
    }
}

impl Task for Unwatch {
    fn locked(&mut self, core: &mut Core, _now_us: u64) -> Next {
        match self.phase {
            Phase::Plan => {
                if self.page_count < core.config.unwatched_pages_min || !self.has_room(core) {
                    return Next::Done;
                }
                let granted = core.budget.take(Use::Resident, self.page_count);
                assert!(granted, "there is room");
                core.regions.watch_until(self.first, self.first);
                core.regions.set_changing(self.first, true);
                self.phase = Phase::Commit { is_done: false };
                core.committed();
                Next::CarryOut
            }
            Phase::Commit { is_done } => {
                core.regions.set_changing(self.first, false);
                if !is_done {
                    core.regions.watch_until(self.first, self.first.plus(self.page_count));
                    core.budget.give_back(Use::Resident, self.page_count);
                }
                core.committed();
                Next::Done
            }
        }
    }

    fn carry_out(&mut self, world: World<'_>) {
        let is_done = world.memory.unwatch(self.first, self.page_count);
        self.phase = Phase::Commit { is_done };
    }
}

/// A job of reclaim: takes over one region.
pub(crate) struct Watch {
    first: PageNumber,
    page_count: u32,
    /// The batch that is looked through.
    next: PageNumber,
    batch: u32,
    present: u64,
}

/// Whether frames are so short that a region is taken over, and there is one.
pub(crate) fn is_due(core: &Core, is_urgent: bool) -> bool {
    (is_urgent || core.is_short()) && has_any(core)
}

/// Whether there is a region to be taken over that nobody else is at.
pub(crate) fn has_any(core: &Core) -> bool {
    core.regions.unwatched_pages() > 0 && first_unwatched(core).is_some()
}

fn first_unwatched(core: &Core) -> Option<&Region> {
    core.regions.iter().find(|region| region.is_unwatched() && !region.is_changing && !region.is_closing)
}

impl Watch {
    pub fn new() -> Self {
        Watch { first: PageNumber(0), page_count: 0, next: PageNumber(0), batch: 0, present: 0 }
    }

    /// Takes the first region that nobody else is at. `false`: there is none.
    pub fn plan(&mut self, core: &mut Core) -> bool {
        let Some(region) = first_unwatched(core) else { return false };
        (self.first, self.page_count, self.next) = (region.first, region.page_count, region.first);
        core.regions.set_changing(self.first, true);
        self.take_batch();
        true
    }

    fn take_batch(&mut self) {
        self.batch = (self.first.0 + self.page_count - self.next.0).min(BATCH_MAX as u32);
    }

    pub fn carry_out(&mut self, world: World<'_>) {
        if self.next == self.first {
            world.memory.watch(self.first, self.page_count);
        }
        self.present = world.memory.present(self.next, self.batch);
    }

    /// Enters a batch. Whether there is another.
    pub fn commit(&mut self, core: &mut Core) -> bool {
        for offset in 0..self.batch {
            if self.present >> offset & 1 != 0 {
                core.make_resident(self.next.plus(offset), Backing::None, List::Inactive);
            } else {
                core.budget.give_back(Use::Resident, 1);
            }
        }
        self.next = self.next.plus(self.batch);
        core.regions.watch_until(self.first, self.next);
        self.take_batch();
        if self.batch > 0 {
            return true;
        }
        core.regions.set_changing(self.first, false);
        core.counters.watched_regions += 1;
        false
    }
}
