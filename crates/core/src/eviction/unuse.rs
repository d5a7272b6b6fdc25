//! Unuse, as the RFC has it: the coldest unit of the pool; its zpages decompressed into frames
//! from the reserve; their denial bits set; the pages into the swap cache, ahead of its cold end;
//! the unit's frames freed. The swap path finds the bit and writes the page to the device.
//!
//! The unit is isolated meanwhile: no zpage joins it, none is moved, and its handles stay what
//! they are, so a handle that still stands in a page's entry at the commit is still the zpage
//! that was decompressed. A page that was touched in between stays, and its unit with it.

use super::rfc;
use crate::budget::Use;
use crate::engine::Core;
use crate::loss::Loss;
use crate::page::{PAGE_BYTES, PageNumber};
use crate::page_table::{Backing, Entry, State};
use crate::swap_cache::StagingSlot;
use crate::swap_device::fetch;
use crate::task::Workspace;
use crate::world::World;
use crate::zcache::pool::{Handle, Unit, ZPAGES_PER_UNIT_MAX, ZpageHeader};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Result {
    Pending,
    Staged,
    NoMemory,
    Corrupt,
}

#[derive(Clone, Copy)]
struct Item {
    page: PageNumber,
    handle: Handle,
    staging: StagingSlot,
    header: ZpageHeader,
    /// Where its zpage is in the workspace's bytes.
    at: usize,
    result: Result,
}

/// See the module's description.
pub struct Unuse {
    /// The unit, until its pages are on their way.
    unit: Option<Unit>,
    handles: Vec<Handle>,
    items: Vec<Item>,
    /// Slots whose page is needed no more.
    release: Vec<StagingSlot>,
    decided_us: u64,
    has_helped: bool,
}

impl Unuse {
    pub fn new() -> Self {
        Unuse {
            unit: None,
            handles: Vec::with_capacity(ZPAGES_PER_UNIT_MAX),
            items: Vec::with_capacity(ZPAGES_PER_UNIT_MAX),
            release: Vec::with_capacity(ZPAGES_PER_UNIT_MAX),
            decided_us: 0,
            has_helped: false,
        }
    }

    /// Isolates the coldest unit and copies its zpages. `false`: the pool is empty.
    pub fn plan(&mut self, core: &mut Core, workspace: &mut Workspace, now_us: u64) -> bool {
        let unit = core.frontswap.zcache.pool.isolate_coldest();
        if let Some(unit) = unit {
            self.plan_unit(core, workspace, unit, now_us);
        }
        unit.is_some()
    }

    /// The same, if the RFC's code lets it.
    pub fn plan_by_rfc(&mut self, core: &mut Core, workspace: &mut Workspace, now_us: u64) -> bool {
        let unit = rfc::take_unit(core);
        if let Some(unit) = unit {
            self.plan_unit(core, workspace, unit, now_us);
        }
        unit.is_some()
    }

    /// Copies the zpages of an isolated unit.
    pub fn plan_unit(&mut self, core: &mut Core, workspace: &mut Workspace, unit: Unit, now_us: u64) {
        self.unit = Some(unit);
        self.decided_us = now_us;
        self.handles.clear();
        self.items.clear();
        self.release.clear();
        core.frontswap.zcache.pool.zpages_of(unit, &mut |handle| self.handles.push(handle));
        let mut at = 0;
        for &handle in &self.handles {
            let page = core.frontswap.zcache.pool.header(handle).page;
            if !super::is_to_be_moved(core, page) {
                continue;
            }
            if core.rfc.denies_ahead() {
                core.frontswap.denial.deny(page);
            }
            let Some(staging) = take_frame(core, page) else {
                core.rfc.stale_denials += u64::from(core.rfc.denies_ahead());
                break;
            };
            let header = core.frontswap.zcache.pool.load(handle, &mut workspace.bytes[at..]);
            self.items.push(Item { page, handle, staging, header, at, result: Result::Pending });
            at += usize::from(header.length);
            debug_assert!(at + PAGE_BYTES <= workspace.bytes.len(), "a unit is a few frames");
        }
    }

    pub fn carry_out(&mut self, world: World<'_>, workspace: &mut Workspace) {
        if self.unit.is_none() {
            return world.memory.release_staged(&self.release);
        }
        let Workspace { compressor, bytes, pages, .. } = workspace;
        let page = &mut pages[0];
        for item in &mut self.items {
            let zpage = &bytes[item.at..][..item.header.length.into()];
            item.result = match fetch::decompress(item.page, &item.header, zpage, compressor, page) {
                Err(_) => Result::Corrupt,
                Ok(()) if world.memory.stage(item.staging, page) => Result::Staged,
                Ok(()) => Result::NoMemory,
            };
        }
    }

    /// Whether the last unit got smaller.
    pub fn has_helped(&self) -> bool {
        self.has_helped
    }

    /// `true`: there is more to carry out.
    pub fn commit(&mut self, core: &mut Core) -> bool {
        let Some(unit) = self.unit.take() else {
            for &staging in &self.release {
                core.swap_cache.give_slot_back(staging);
            }
            core.budget.give_back(Use::SwapCache, self.release.len() as u32);
            return false;
        };
        for item in &self.items {
            let entry = core.pages.get(item.page);
            let is_still_here =
                !entry.busy && entry.state == State::Zcache && entry.backing == Backing::Zpage(item.handle);
            if !is_still_here || item.result == Result::NoMemory {
                if core.rfc.denies_ahead() {
                    core.frontswap.denial.clear(item.page);
                }
                self.release.push(item.staging);
                continue;
            }
            if item.result == Result::Corrupt {
                self.release.push(item.staging);
                core.frontswap.denial.clear(item.page);
                core.lose(item.page, Loss::CorruptZpage);
                continue;
            }
            core.frontswap.zcache.remove(entry.backing, &mut core.budget);
            core.frontswap.denial.deny(item.page);
            let frame = item.staging.0;
            let entry = Entry { state: State::SwapCache, busy: false, backing: Backing::None, frame };
            core.pages.set(item.page, entry);
            rfc::insert(core, item.page, item.staging, self.decided_us);
            core.counters.zswpwb += 1;
        }
        let freed = core.frontswap.zcache.pool.end_isolation(unit, &mut core.budget);
        self.has_helped = freed > 0 || self.release.len() < self.items.len();
        core.counters.unuses += u64::from(freed > 0);
        core.counters.evicted_units += u64::from(freed > 0);
        !self.release.is_empty()
    }
}

/// A frame and a staging slot for a page.
fn take_frame(core: &mut Core, page: PageNumber) -> Option<StagingSlot> {
    if !core.budget.take(Use::SwapCache, 1) {
        return None;
    }
    let staging = core.swap_cache.take_slot(page);
    if staging.is_none() {
        core.budget.give_back(Use::SwapCache, 1);
    }
    staging
}
