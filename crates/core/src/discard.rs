//! Discard: pages whose contents nobody wants any more, wherever they are; and the end of a
//! whole region.
//!
//! It goes in chunks, so that the lock is never held for long. A chunk's pages are busy until
//! its memory is unmapped: a fault on them waits, and then finds zeros. A chunk ends before a page
//! that another task works on, and a page that is being written is waited for, so that at the end
//! everything has been given back. What is the kernel's of a region ([`crate::watch`]) is one chunk.

use crate::budget::Use;
use crate::engine::Core;
use crate::page::PageNumber;
use crate::page_table::State;
use crate::region::Region;
use crate::swap_cache::StagingSlot;
use crate::task::{Next, Task};
use crate::world::World;

const CHUNK_PAGES: u32 = 512;

/// See the module's description.
pub struct Discard {
    next: PageNumber,
    end: PageNumber,
    /// The region that ends with its pages.
    region: Option<PageNumber>,
    chunk: u32,
    is_planned: bool,
    /// The chunk is the kernel's.
    is_unwatched: bool,
    /// Whether the program sees any page of the chunk.
    is_mapped: bool,
    release: Vec<StagingSlot>,
}

impl Discard {
    /// Discards a range, which lies inside a region.
    pub fn range(first: PageNumber, count: u32) -> Self {
        Discard {
            next: first,
            end: first.plus(count),
            region: None,
            chunk: 0,
            is_planned: false,
            is_unwatched: false,
            is_mapped: false,
            release: Vec::with_capacity(CHUNK_PAGES as usize),
        }
    }

    /// Discards all pages of a region and the region.
    pub fn region(first: PageNumber, count: u32) -> Self {
        Discard { region: Some(first), ..Self::range(first, count) }
    }

    fn chunk(&self) -> impl Iterator<Item = PageNumber> + use<> {
        let first = self.next;
        (0..self.chunk).map(move |offset| first.plus(offset))
    }

    fn plan(&mut self, core: &mut Core) -> Next {
        if let Some(first) = self.region {
            core.regions.close(first);
        }
        self.release.clear();
        let region = core.regions.find(self.next).expect("pages of a region").clone();
        self.is_unwatched = region.watched_until <= self.next;
        self.is_mapped = self.is_unwatched;
        let next = if self.is_unwatched {
            self.plan_unwatched(core, &region)
        } else {
            self.plan_watched(core, region.watched_until)
        };
        self.is_planned = next == Next::CarryOut;
        next
    }

    fn plan_unwatched(&mut self, core: &mut Core, region: &Region) -> Next {
        if region.is_changing {
            return Next::Wait;
        }
        core.regions.set_changing(region.first, true);
        self.chunk = self.end.0 - self.next.0;
        Next::CarryOut
    }

    fn plan_watched(&mut self, core: &mut Core, watched_until: PageNumber) -> Next {
        let most = (self.end.0.min(watched_until.0) - self.next.0).min(CHUNK_PAGES);
        let is_in_use = |page| {
            let entry = core.pages.get(page);
            let is_staged = matches!(entry.state, State::SwapCache | State::Writing);
            entry.busy || (is_staged && core.swap_cache.is_being_read(StagingSlot(entry.frame)))
        };
        self.chunk = (0..most).take_while(|offset| !is_in_use(self.next.plus(*offset))).count() as u32;
        if self.chunk == 0 {
            return Next::Wait;
        }
        for page in self.chunk() {
            let entry = core.pages.get(page);
            match entry.state {
                State::Resident => core.lists.take_off(entry.frame),
                State::SwapCache => {
                    let staging = StagingSlot(entry.frame);
                    let is_ours = core.swap_cache.take_back(staging);
                    assert!(is_ours, "{page:?} is being read");
                    self.release.push(staging);
                }
                State::Writing => unreachable!("{page:?} is being read"),
                State::Empty | State::Zcache | State::Device | State::Lost => {}
            }
            self.is_mapped |= matches!(entry.state, State::Resident | State::Lost);
            core.pages.set_busy(page, true);
        }
        Next::CarryOut
    }

    fn commit(&mut self, core: &mut Core) {
        if self.is_unwatched {
            self.commit_unwatched(core);
        } else {
            self.commit_watched(core);
        }
        self.next = self.next.plus(self.chunk);
        self.is_planned = false;
        core.committed();
    }

    fn commit_unwatched(&mut self, core: &mut Core) {
        let first = core.regions.find(self.next).expect("pages of a region").first;
        core.regions.set_changing(first, false);
        if self.region.is_some() {
            core.regions.watch_until(first, self.end);
            core.budget.give_back(Use::Resident, self.chunk);
        }
    }

    fn commit_watched(&mut self, core: &mut Core) {
        for page in self.chunk() {
            let entry = core.pages.get(page);
            match entry.state {
                State::Resident => {
                    core.lists.release(entry.frame);
                    core.budget.give_back(Use::Resident, 1);
                    core.drop_copy(entry.backing);
                }
                State::Zcache | State::Device => core.drop_copy(entry.backing),
                State::SwapCache | State::Empty | State::Lost => {}
                State::Writing => unreachable!("{page:?} was not in use"),
            }
            core.pages.clear(page);
        }
        for &staging in &self.release {
            core.swap_cache.give_slot_back(staging);
        }
        core.budget.give_back(Use::SwapCache, self.release.len() as u32);
        core.frontswap.invalidate_area(self.next, self.chunk);
        core.rfc.forget(self.next, self.chunk);
    }
}

impl Task for Discard {
    fn locked(&mut self, core: &mut Core, _now_us: u64) -> Next {
        if self.is_planned {
            self.commit(core);
        }
        if self.next < self.end {
            return self.plan(core);
        }
        if let Some(first) = self.region.take() {
            core.unlock_pages(first, self.end.0 - first.0);
            core.regions.remove(first);
        }
        Next::Done
    }

    fn carry_out(&mut self, world: World<'_>) {
        if self.is_unwatched && self.region.is_some() {
            // Before the discard: a touch after the end of a region must not leave a page there.
            world.memory.watch(self.next, self.chunk);
        }
        if self.is_mapped {
            world.memory.discard(self.next, self.chunk);
        }
        if !self.release.is_empty() {
            world.memory.release_staged(&self.release);
        }
    }
}
