//! Intact: the coldest units written as they are, many to a write, nothing decompressed. A page's
//! entry then names its unit on the device and its place in it; a load reads that unit and
//! decompresses the page, and a sequential one all others that it wants of it.
//!
//! A unit that has fewer zpages left than frames would take more slots than its pages do: such a
//! one is unused instead.

use super::Decision;
use crate::engine::Core;
use crate::page::{BATCH_MAX, bytes_of, bytes_of_mut};
use crate::page_table::{Backing, Entry, State};
use crate::reclaim::shadow;
use crate::swap_device::seal::{Identity, Tag};
use crate::swap_device::swap_map::Slot;
use crate::swap_device::transfer::{Written, write_pages};
use crate::swap_device::unit_map::{Packed, PackedUnit};
use crate::task::Workspace;
use crate::world::World;
use crate::zcache::pool::layout::UnitLayout;
use crate::zcache::pool::{Handle, Unit, ZPAGES_PER_UNIT_MAX};

#[derive(Clone, Copy)]
struct Item {
    unit: Unit,
    layout: UnitLayout,
    /// Where it begins in the batch, in frames.
    at: usize,
    identity: Identity,
    tag: Tag,
}

/// What came of planning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// There is a batch to be written.
    Batch,
    /// The coldest unit is not worth writing as it is, or finds no slots side by side; it is
    /// isolated.
    Unfit(Unit),
    /// Units became empty on the way, and their frames are free.
    Freed,
    /// The pool is empty.
    Nothing,
}

/// See the module's description.
pub struct Intact {
    items: Vec<Item>,
    handles: Vec<Handle>,
    slots: Vec<Slot>,
    written: Written,
    decision: Decision,
    has_helped: bool,
}

impl Intact {
    pub fn new() -> Self {
        Intact {
            items: Vec::with_capacity(BATCH_MAX),
            handles: Vec::with_capacity(ZPAGES_PER_UNIT_MAX),
            slots: Vec::with_capacity(BATCH_MAX),
            written: Written::default(),
            decision: Decision::default(),
            has_helped: false,
        }
    }

    /// Isolates a batch of up to `units_max` of the coldest units, copies their frames, and finds slots
    /// for them.
    pub fn plan(
        &mut self,
        core: &mut Core,
        workspace: &mut Workspace,
        units_max: usize,
        now_us: u64,
    ) -> Plan {
        self.items.clear();
        self.slots.clear();
        self.decision = Decision::at(now_us);
        let mut freed_units = 0;
        while self.items.len() + freed_units < units_max {
            let Some(unit) = core.frontswap.zcache.pool.isolate_coldest() else { break };
            let layout = core.frontswap.zcache.pool.layout(unit);
            let frames = layout.frames();
            if self.slots.len() + frames as usize > core.batch_pages() {
                core.frontswap.zcache.pool.end_isolation(unit, &mut core.budget);
                break;
            }
            let zpages = self.zpages_that_move(core, unit);
            if zpages == 0 {
                let freed = core.frontswap.zcache.pool.end_isolation(unit, &mut core.budget);
                core.counters.evicted_units += u64::from(freed > 0);
                if freed == 0 {
                    // Somebody is at work on each of its pages.
                    break;
                }
                freed_units += 1;
                continue;
            }
            let first = if zpages < frames { None } else { take_adjacent(core, frames) };
            let Some(first) = first else {
                if self.items.is_empty() {
                    return Plan::Unfit(unit);
                }
                core.frontswap.zcache.pool.end_isolation(unit, &mut core.budget);
                break;
            };
            let at = self.slots.len();
            let into = &mut workspace.pages[at..at + frames as usize];
            core.frontswap.zcache.pool.copy_unit(unit, bytes_of_mut(into));
            self.slots.extend((0..frames).map(|offset| first.plus(offset)));
            let identity = Identity { slot: first, generation: core.swap_map.generation(first), owner: None };
            self.items.push(Item { unit, layout, at, identity, tag: Tag::default() });
        }
        match () {
            () if !self.items.is_empty() => Plan::Batch,
            () if freed_units > 0 => Plan::Freed,
            () => Plan::Nothing,
        }
    }

    /// How many of a unit's zpages would go with it. Copies of resident pages are dropped: such a
    /// page is dirty without it, that is all.
    fn zpages_that_move(&mut self, core: &mut Core, unit: Unit) -> u32 {
        self.handles.clear();
        core.frontswap.zcache.pool.zpages_of(unit, &mut |handle| self.handles.push(handle));
        let mut moving = 0;
        for &handle in &self.handles {
            let page = core.frontswap.zcache.pool.header(handle).page;
            moving += u32::from(super::is_to_be_moved(core, page));
        }
        moving
    }

    pub fn carry_out(&mut self, world: World<'_>, workspace: &mut Workspace) {
        let Workspace { pages, sealed, .. } = workspace;
        for item in &mut self.items {
            let frames = item.at..item.at + item.layout.frames() as usize;
            let contents = bytes_of(&pages[frames.clone()]);
            item.tag = world.sealer.seal(item.identity, contents, bytes_of_mut(&mut sealed[frames]));
        }
        self.written = write_pages(world.device, &self.slots, &sealed[..self.slots.len()]);
    }

    /// Whether the last batch got any page out of the pool.
    pub fn has_helped(&self) -> bool {
        self.has_helped
    }

    pub fn commit(&mut self, core: &mut Core, now_us: u64) {
        self.has_helped = false;
        // Backwards, so that of those that stay the coldest is the coldest again.
        for index in (0..self.items.len()).rev() {
            let item = self.items[index];
            let frames = item.at..item.at + item.layout.frames() as usize;
            if frames.clone().all(|at| self.written.is_written(at)) {
                self.commit_unit(core, &item);
            } else {
                for at in frames {
                    if self.written.is_written(at) {
                        core.swap_map.give_back(self.slots[at]);
                    } else {
                        self.written.give_up(at, self.slots[at], &mut core.swap_map, &mut core.counters);
                    }
                }
            }
            let freed = core.frontswap.zcache.pool.end_isolation(item.unit, &mut core.budget);
            core.counters.evicted_units += u64::from(freed > 0);
            self.decision.freed(freed, core, now_us);
            self.has_helped |= freed > 0;
        }
    }

    /// The pages of a unit that was written are on the device now, but for those that somebody has
    /// touched meanwhile.
    fn commit_unit(&mut self, core: &mut Core, item: &Item) {
        let first = item.identity.slot;
        core.counters.pswpout += u64::from(item.layout.frames());
        self.handles.clear();
        core.frontswap.zcache.pool.zpages_of(item.unit, &mut |handle| self.handles.push(handle));
        let mut moved = 0;
        for &handle in &self.handles {
            let page = core.frontswap.zcache.pool.header(handle).page;
            let entry = core.pages.get(page);
            if entry.busy || entry.state != State::Zcache || entry.backing != Backing::Zpage(handle) {
                continue;
            }
            let index = core.frontswap.zcache.pool.index_in_unit(handle);
            let backing = Backing::Packed(Packed { unit: first, index });
            core.frontswap.zcache.remove(entry.backing, &mut core.budget);
            let frame = shadow::of_pool(core);
            core.pages.set(page, Entry { state: State::Device, busy: false, backing, frame });
            moved += 1;
        }
        if moved == 0 {
            return core.swap_map.give_run_back(first, item.layout.frames());
        }
        core.swap_map.set_tag(first, &item.tag);
        let unit = PackedUnit { layout: item.layout, live: moved, written: moved, is_pinned: false };
        core.swap_map.units_mut().insert(first, unit);
        core.counters.zswpwb += u64::from(moved);
        core.counters.written_back_pages += u64::from(moved);
        self.has_helped = true;
    }
}

/// So many slots side by side.
fn take_adjacent(core: &mut Core, count: u32) -> Option<Slot> {
    let (first, found) = core.swap_map.take_run(count)?;
    if found < count {
        core.swap_map.give_run_back(first, found);
        return None;
    }
    Some(first)
}
