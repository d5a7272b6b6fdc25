//! Writeback, zswap's way in batches: the zpages of the coldest units, decompressed and written to
//! the device at once. No denial bit, no page frame besides the workspace's: a page is in zcache
//! until it is on the device, and a unit's frames are free when its last page is.

use super::Decision;
use crate::engine::Core;
use crate::loss::Loss;
use crate::page::{BATCH_MAX, PageNumber};
use crate::page_table::{Backing, Entry, State};
use crate::reclaim::shadow;
use crate::swap_device::fetch;
use crate::swap_device::seal::{Identity, Tag};
use crate::swap_device::swap_map::Slot;
use crate::swap_device::transfer::{Written, write_pages};
use crate::task::Workspace;
use crate::world::World;
use crate::zcache::pool::{Handle, Unit, ZPAGES_PER_UNIT_MAX, ZpageHeader};

#[derive(Clone, Copy)]
struct Item {
    page: PageNumber,
    handle: Handle,
    header: ZpageHeader,
    identity: Identity,
    tag: Tag,
    is_corrupt: bool,
}

/// See the module's description.
pub struct Writeback {
    units: Vec<Unit>,
    handles: Vec<Handle>,
    items: Vec<Item>,
    slots: Vec<Slot>,
    written: Written,
    decision: Decision,
    has_helped: bool,
}

impl Writeback {
    pub fn new() -> Self {
        Writeback {
            units: Vec::with_capacity(BATCH_MAX),
            handles: Vec::with_capacity(ZPAGES_PER_UNIT_MAX),
            items: Vec::with_capacity(BATCH_MAX),
            slots: Vec::with_capacity(BATCH_MAX),
            written: Written::default(),
            decision: Decision::default(),
            has_helped: false,
        }
    }

    /// Isolates up to `units_max` of the coldest units and copies a batch of their zpages. `false`: the
    /// pool is empty.
    pub fn plan(
        &mut self,
        core: &mut Core,
        workspace: &mut Workspace,
        units_max: usize,
        now_us: u64,
    ) -> bool {
        self.units.clear();
        self.items.clear();
        self.decision = Decision::at(now_us);
        while self.items.len() < core.batch_pages() && self.units.len() < units_max.min(core.batch_pages()) {
            let Some(unit) = core.frontswap.zcache.pool.isolate_coldest() else { break };
            self.units.push(unit);
            self.handles.clear();
            core.frontswap.zcache.pool.zpages_of(unit, &mut |handle| self.handles.push(handle));
            for index in 0..self.handles.len() {
                self.add(core, workspace, self.handles[index]);
            }
        }
        self.assign_slots(core);
        !self.units.is_empty()
    }

    fn add(&mut self, core: &mut Core, workspace: &mut Workspace, handle: Handle) {
        let page = core.frontswap.zcache.pool.header(handle).page;
        if super::is_to_be_moved(core, page) && self.items.len() < core.batch_pages() {
            let into = workspace.zpage(self.items.len());
            let header = core.frontswap.zcache.pool.load(handle, into);
            let identity = Identity { slot: Slot(0), generation: 0, owner: Some(page) };
            self.items.push(Item { page, handle, header, identity, tag: Tag::default(), is_corrupt: false });
        }
    }

    fn assign_slots(&mut self, core: &mut Core) {
        let mut assigned = 0;
        while assigned < self.items.len() {
            let Some((first, count)) = core.swap_map.take_run((self.items.len() - assigned) as u32) else {
                break;
            };
            for slot in (0..count).map(|offset| first.plus(offset)) {
                let Identity { owner, .. } = self.items[assigned].identity;
                let generation = core.swap_map.generation(slot);
                self.items[assigned].identity = Identity { slot, generation, owner };
                assigned += 1;
            }
        }
        core.counters.device_full += u64::from(assigned < self.items.len());
        self.items.truncate(assigned);
    }

    pub fn carry_out(&mut self, world: World<'_>, workspace: &mut Workspace) {
        let Workspace { compressor, bytes, pages, sealed } = workspace;
        self.slots.clear();
        for (index, item) in self.items.iter_mut().enumerate() {
            let zpage = &bytes[index * size_of_val(&pages[0])..][..item.header.length.into()];
            let page = &mut pages[index];
            item.is_corrupt = fetch::decompress(item.page, &item.header, zpage, compressor, page).is_err();
            item.tag = world.sealer.seal(item.identity, &page[..], &mut sealed[index][..]);
            self.slots.push(item.identity.slot);
        }
        self.written = write_pages(world.device, &self.slots, &sealed[..self.slots.len()]);
    }

    /// Whether the last batch got any page out of the pool.
    pub fn has_helped(&self) -> bool {
        self.has_helped
    }

    pub fn commit(&mut self, core: &mut Core, now_us: u64) {
        self.has_helped = false;
        for (index, item) in self.items.iter().enumerate() {
            let slot = item.identity.slot;
            let entry = core.pages.get(item.page);
            let is_still_here =
                !entry.busy && entry.state == State::Zcache && entry.backing == Backing::Zpage(item.handle);
            let is_written = self.written.is_written(index);
            core.counters.pswpout += u64::from(is_written);
            if is_still_here && item.is_corrupt {
                core.lose(item.page, Loss::CorruptZpage);
                core.swap_map.give_back(slot);
                self.has_helped = true;
            } else if !is_written {
                self.written.give_up(index, slot, &mut core.swap_map, &mut core.counters);
            } else if is_still_here {
                core.frontswap.zcache.remove(entry.backing, &mut core.budget);
                core.swap_map.set_tag(slot, &item.tag);
                let frame = shadow::of_pool(core);
                let backing = Backing::Slot(slot);
                core.pages.set(item.page, Entry { state: State::Device, busy: false, backing, frame });
                core.counters.zswpwb += 1;
                core.counters.written_back_pages += 1;
                self.has_helped = true;
            } else {
                core.swap_map.give_back(slot);
            }
        }
        for &unit in self.units.iter().rev() {
            let freed = core.frontswap.zcache.pool.end_isolation(unit, &mut core.budget);
            core.counters.evicted_units += u64::from(freed > 0);
            self.decision.freed(freed, core, now_us);
            self.has_helped |= freed > 0;
        }
    }
}
