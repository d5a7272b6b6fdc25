//! Repacking: when slots run short, units on the device that have lost zpages are read back, and
//! what is left of them goes to zcache again, and from there to a fuller unit. A unit that holds
//! more slots than pages is given up in any case: what zcache does not take goes to the swap cache,
//! and from there to slots of its own, fewer than before. So a device never runs full of holes.

use crate::budget::Use;
use crate::engine::Core;
use crate::page::{Page, PageNumber};
use crate::page_table::{Backing, Entry, State};
use crate::swap_cache::StagingSlot;
use crate::swap_device::fetch::{self, Fetch, Source};
use crate::swap_device::swap_map::Slot;
use crate::swap_device::unit_map::{Packed, PackedUnit};
use crate::task::Workspace;
use crate::world::World;
use crate::zcache::Prepared;
use crate::zcache::pool::zsmalloc::FRAMES_PER_ZSPAGE_MAX;
use crate::zcache::pool::{ZPAGES_PER_UNIT_MAX, ZpageHeader};

/// Slots run short when fewer than one in so many is free.
const SHORT_BELOW_ONE_IN: u32 = 8;

#[derive(Clone, Copy)]
struct Item {
    page: PageNumber,
    packed: Packed,
    header: ZpageHeader,
    staging: StagingSlot,
    is_staged: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Read,
    Stage,
    Release,
}

/// See the module's description.
pub struct Repack {
    round: Round,
    unit: Slot,
    is_sparse: bool,
    fetch: Fetch,
    /// Pages that zcache did not take.
    items: Vec<Item>,
    release: Vec<StagingSlot>,
    has_helped: bool,
}

/// Whether slots run short while units hold more than they need.
pub fn is_due(core: &Core) -> bool {
    let units = core.swap_map.units();
    let is_short = core.swap_map.free() < core.swap_map.slot_count() / SHORT_BELOW_ONE_IN;
    is_short && (units.sparse() > 0 || (units.half_dead() > 0 && !super::is_full(core)))
}

impl Repack {
    pub fn new() -> Self {
        Repack {
            round: Round::Read,
            unit: Slot(0),
            is_sparse: false,
            fetch: Fetch::new(FRAMES_PER_ZSPAGE_MAX),
            items: Vec::with_capacity(ZPAGES_PER_UNIT_MAX),
            release: Vec::with_capacity(ZPAGES_PER_UNIT_MAX),
            has_helped: false,
        }
    }

    /// Chooses a unit. `false`: none was found soon.
    pub fn plan(&mut self, core: &mut Core) -> bool {
        self.round = Round::Read;
        self.has_helped = false;
        self.items.clear();
        self.release.clear();
        self.fetch.clear();
        let units = core.swap_map.units_mut();
        self.is_sparse = units.sparse() > 0;
        let fits = if self.is_sparse { PackedUnit::is_sparse } else { PackedUnit::is_half_dead };
        let Some(unit) = units.find(fits) else { return false };
        units.pin(unit);
        self.unit = unit;
        let any = Backing::Packed(Packed { unit, index: 0 });
        self.fetch.add(PageNumber(0), any, &core.swap_map).expect("a batch has room for a unit");
        true
    }

    pub fn carry_out(&mut self, world: World<'_>, workspace: &mut Workspace) {
        let Workspace { compressor, bytes, pages, sealed } = workspace;
        match self.round {
            Round::Read => self.fetch.carry_out(world, sealed, bytes),
            Round::Stage => {
                for item in &mut self.items {
                    let page: &mut Page = &mut pages[0];
                    let source = Source::in_only_unit(item.packed.index);
                    let (_, zpage) = self.fetch.zpage(source, bytes).expect("it was there");
                    item.is_staged = fetch::decompress(item.page, &item.header, zpage, compressor, page)
                        .is_ok()
                        && world.memory.stage(item.staging, page);
                }
            }
            Round::Release => world.memory.release_staged(&self.release),
        }
    }

    /// Whether the last unit got smaller.
    pub fn has_helped(&self) -> bool {
        self.has_helped
    }

    /// `true`: there is more to carry out.
    pub fn commit(&mut self, core: &mut Core, workspace: &Workspace) -> bool {
        match self.round {
            Round::Read => {
                self.commit_read(core, workspace);
                self.round = Round::Stage;
                if !self.items.is_empty() {
                    return true;
                }
                core.swap_map.unpin(self.unit);
                false
            }
            Round::Stage => {
                self.commit_staged(core);
                self.round = Round::Release;
                core.swap_map.unpin(self.unit);
                !self.release.is_empty()
            }
            Round::Release => {
                for &staging in &self.release {
                    core.swap_cache.give_slot_back(staging);
                }
                core.budget.give_back(Use::SwapCache, self.release.len() as u32);
                false
            }
        }
    }

    fn commit_read(&mut self, core: &mut Core, workspace: &Workspace) {
        for (index, header, bytes) in self.fetch.zpages(&workspace.bytes) {
            let packed = Packed { unit: self.unit, index };
            // A place that holds nothing holds whatever was there before.
            if header.page.0 >= core.pages.len() {
                continue;
            }
            let entry = core.pages.get(header.page);
            if entry.busy || entry.backing != Backing::Packed(packed) {
                continue;
            }
            if entry.state == State::Resident {
                core.pages.set(header.page, Entry { backing: Backing::None, ..entry });
                moved(core, packed);
                self.has_helped = true;
                continue;
            }
            let prepared = Prepared::Zpage(header, bytes);
            if let Ok(backing) = core.frontswap.zcache.store(header.page, prepared, &mut core.budget) {
                core.pages.set(header.page, Entry { state: State::Zcache, backing, ..entry });
                moved(core, packed);
                self.has_helped = true;
            } else if self.is_sparse && core.budget.take(Use::SwapCache, 1) {
                match core.swap_cache.take_slot(header.page) {
                    Some(staging) => {
                        let page = header.page;
                        self.items.push(Item { page, packed, header, staging, is_staged: false });
                    }
                    None => core.budget.give_back(Use::SwapCache, 1),
                }
            }
        }
    }

    fn commit_staged(&mut self, core: &mut Core) {
        for index in 0..self.items.len() {
            let Item { page, packed, staging, is_staged, .. } = self.items[index];
            let entry = core.pages.get(page);
            let is_still_here =
                !entry.busy && entry.state == State::Device && entry.backing == Backing::Packed(packed);
            if !is_staged || !is_still_here {
                self.release.push(staging);
                continue;
            }
            let backing = Backing::None;
            core.pages.set(page, Entry { state: State::SwapCache, busy: false, backing, frame: staging.0 });
            core.swap_cache.insert_newest(staging);
            moved(core, packed);
            self.has_helped = true;
        }
    }
}

/// A zpage is elsewhere again.
fn moved(core: &mut Core, packed: Packed) {
    core.swap_map.give_zpage_back(packed);
    core.counters.repacked_zpages += 1;
}
