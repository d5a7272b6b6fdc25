//! Getting a batch of the coldest pages out of the swap cache: compressed into zcache through
//! frontswap, or, where that refuses, written to the swap device.
//!
//! Three rounds: compress; store, and write what was refused; release the slots of what was
//! written. The program may take any page back in between (it is copied, and the slot becomes
//! an orphan): each commit looks again whether the page is still here.

use crate::budget::Use;
use crate::engine::Core;
use crate::eviction;
use crate::frontswap::Refused;
use crate::page::{BATCH_MAX, Page, PageNumber};
use crate::page_table::{Backing, Entry, State};
use crate::reclaim::shadow;
use crate::swap_cache::StagingSlot;
use crate::swap_device::seal::{Identity, Tag};
use crate::swap_device::swap_map::Slot;
use crate::swap_device::transfer::{Written, write_pages};
use crate::task::Workspace;
use crate::world::World;
use crate::zcache::pool::ZpageHeader;
use crate::zcache::{Prepared, same_filled};

#[derive(Clone, Copy)]
enum Result {
    SameFilled(u64),
    Zpage(ZpageHeader),
    CompressPoor,
}

#[derive(Clone, Copy)]
struct Item {
    staging: StagingSlot,
    page: PageNumber,
    item_bytes: u8,
    is_denied: bool,
    result: Result,
}

#[derive(Clone, Copy)]
struct Write {
    staging: StagingSlot,
    page: PageNumber,
    identity: Identity,
    tag: Tag,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Compress,
    Write,
    Release,
}

/// See the module's description.
pub struct SwapOut {
    round: Round,
    zpage_bytes_max: usize,
    items: Vec<Item>,
    writes: Vec<Write>,
    slots: Vec<Slot>,
    written: Written,
    /// Pages of the batch that are in the swap cache still.
    kept: usize,
    /// Slots whose memory is to be released in this round.
    release: Vec<StagingSlot>,
}

impl SwapOut {
    pub fn new() -> Self {
        SwapOut {
            round: Round::Compress,
            zpage_bytes_max: 0,
            items: Vec::with_capacity(BATCH_MAX),
            writes: Vec::with_capacity(BATCH_MAX),
            slots: Vec::with_capacity(BATCH_MAX),
            written: Written::default(),
            kept: 0,
            release: Vec::with_capacity(BATCH_MAX),
        }
    }

    /// Takes a batch from the cold end. `false`: the swap cache is empty.
    pub fn plan(&mut self, core: &mut Core) -> bool {
        self.round = Round::Compress;
        self.zpage_bytes_max = core.frontswap.zcache.pool.zpage_bytes_max();
        self.items.clear();
        self.writes.clear();
        self.release.clear();
        self.kept = 0;
        for _ in 0..core.swap_cache.length() {
            if self.items.len() == core.batch_pages() {
                break;
            }
            let Some((staging, page)) = core.swap_cache.take_coldest() else { break };
            if core.rfc.is_leaked(page) {
                core.swap_cache.put_back(staging);
                continue;
            }
            self.items.push(Item {
                staging,
                page,
                item_bytes: core.regions.find(page).map_or(1, |region| region.item_bytes),
                is_denied: core.frontswap.denial.is_denied(page),
                result: Result::CompressPoor,
            });
        }
        !self.items.is_empty()
    }

    pub fn carry_out(&mut self, world: World<'_>, workspace: &mut Workspace) {
        match self.round {
            Round::Compress => self.compress(world, workspace),
            Round::Write => self.write(world, workspace),
            Round::Release => {}
        }
        if !self.release.is_empty() {
            world.memory.release_staged(&self.release);
        }
    }

    /// `true`: there is more to carry out.
    pub fn commit(&mut self, core: &mut Core, workspace: &mut Workspace, now_us: u64) -> bool {
        for &staging in &self.release {
            if let Some(decided_us) = core.swap_cache.unused_us(staging) {
                let waited_us = (now_us as u32).wrapping_sub(decided_us);
                core.counters.eviction_us.record(waited_us.into());
            }
            core.swap_cache.give_slot_back(staging);
        }
        core.budget.give_back(Use::SwapCache, self.release.len() as u32);
        self.release.clear();
        match self.round {
            Round::Compress => {
                self.commit_stores(core, workspace);
                self.round = Round::Write;
                !(self.release.is_empty() && self.writes.is_empty())
            }
            Round::Write => {
                self.commit_writes(core, now_us);
                self.round = Round::Release;
                !self.release.is_empty()
            }
            Round::Release => false,
        }
    }

    /// Whether the last batch got rid of any page.
    pub fn has_helped(&self) -> bool {
        self.kept < self.items.len()
    }

    fn compress(&mut self, world: World<'_>, workspace: &mut Workspace) {
        for (index, item) in self.items.iter_mut().enumerate().filter(|(_, item)| !item.is_denied) {
            let contents = world.memory.staged(item.staging);
            world.memory.storing(item.page, contents, item.item_bytes);
            item.result = if let Some(value) = same_filled::value_of(contents) {
                Result::SameFilled(value)
            } else {
                let Workspace { compressor, bytes, .. } = workspace;
                let into = &mut bytes[index * size_of::<Page>()..][..self.zpage_bytes_max];
                let header = compressor.compress(item.page, contents, item.item_bytes, into);
                header.map_or(Result::CompressPoor, Result::Zpage)
            };
        }
    }

    fn commit_stores(&mut self, core: &mut Core, workspace: &mut Workspace) {
        for index in 0..self.items.len() {
            let item = self.items[index];
            if core.swap_cache.is_orphan(item.staging) {
                self.leave(core, item.staging);
                continue;
            }
            let prepared = match item.result {
                Result::SameFilled(value) => Prepared::SameFilled(value),
                Result::Zpage(header) => {
                    Prepared::Zpage(header, &workspace.zpage(index)[..header.length.into()])
                }
                Result::CompressPoor => Prepared::CompressPoor,
            };
            let Core { frontswap, budget, counters, .. } = core;
            match frontswap.store(item.page, prepared, budget, counters) {
                Ok(backing) => {
                    let frame = shadow::of_now(core);
                    core.pages.set(item.page, Entry { state: State::Zcache, busy: false, backing, frame });
                    self.leave(core, item.staging);
                }
                Err(Refused::WhileFull) if eviction::makes_room(core) => {
                    core.swap_cache.put_back(item.staging);
                    self.kept += 1;
                }
                Err(_) => self.writes.push(Write {
                    staging: item.staging,
                    page: item.page,
                    identity: Identity { slot: Slot(0), generation: 0, owner: Some(item.page) },
                    tag: Tag::default(),
                }),
            }
        }
        self.assign_slots(core);
    }

    /// Finds runs of slots for the pages that are to be written. Where the device is full the
    /// pages stay in the swap cache.
    fn assign_slots(&mut self, core: &mut Core) {
        let mut assigned = 0;
        while assigned < self.writes.len() {
            let wanted = (self.writes.len() - assigned) as u32;
            let Some((first, count)) = core.swap_map.take_run(wanted) else { break };
            for offset in 0..count {
                let write = &mut self.writes[assigned];
                let slot = first.plus(offset);
                write.identity =
                    Identity { slot, generation: core.swap_map.generation(slot), owner: Some(write.page) };
                let frame = write.staging.0;
                let backing = Backing::Slot(slot);
                core.pages.set(write.page, Entry { state: State::Writing, busy: false, backing, frame });
                assigned += 1;
            }
        }
        for write in self.writes.drain(assigned..) {
            core.swap_cache.put_back(write.staging);
            core.counters.device_full += 1;
            self.kept += 1;
        }
    }

    fn write(&mut self, world: World<'_>, workspace: &mut Workspace) {
        self.slots.clear();
        for (write, sealed) in self.writes.iter_mut().zip(&mut workspace.sealed) {
            let contents = world.memory.staged(write.staging);
            write.tag = world.sealer.seal(write.identity, &contents[..], &mut sealed[..]);
            self.slots.push(write.identity.slot);
        }
        self.written = write_pages(world.device, &self.slots, &workspace.sealed[..self.slots.len()]);
    }

    fn commit_writes(&mut self, core: &mut Core, now_us: u64) {
        for index in 0..self.writes.len() {
            let write = self.writes[index];
            let slot = write.identity.slot;
            let is_orphan = core.swap_cache.is_orphan(write.staging);
            let is_written = self.written.is_written(index);
            core.counters.pswpout += u64::from(is_written);
            if !is_written {
                self.written.give_up(index, slot, &mut core.swap_map, &mut core.counters);
            } else if is_orphan {
                core.swap_map.give_back(slot);
            }
            if is_orphan {
                self.leave(core, write.staging);
            } else if is_written {
                core.swap_map.set_tag(slot, &write.tag);
                let frame = if let Some(unused_us) = core.swap_cache.unused_us(write.staging) {
                    let waited_us = (now_us as u32).wrapping_sub(unused_us);
                    core.counters.unuse_to_write_us.record(waited_us.into());
                    core.counters.written_back_pages += 1;
                    shadow::of_pool(core)
                } else {
                    shadow::of_now(core)
                };
                let backing = Backing::Slot(slot);
                core.pages.set(write.page, Entry { state: State::Device, busy: false, backing, frame });
                self.leave(core, write.staging);
            } else {
                let frame = write.staging.0;
                let backing = Backing::None;
                core.pages.set(write.page, Entry { state: State::SwapCache, busy: false, backing, frame });
                core.swap_cache.put_back(write.staging);
                self.kept += 1;
            }
        }
    }

    fn leave(&mut self, core: &mut Core, staging: StagingSlot) {
        if core.swap_cache.reader_done(staging) {
            self.release.push(staging);
        }
    }
}
