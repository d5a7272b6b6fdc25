//! The RFC's patch as its code was, for the lab: unuse, with each of its five defects switched on or off. No
//! name of a mechanism leads here, so no pager is ever made of it.
//!
//! | defect | in the patch | here |
//! | --- | --- | --- |
//! | inverted guard | unuse goes on only if both frame allocations failed and both evictions of ephemeral pages succeeded | the same; what may be dropped are the copies of resident pages |
//! | head of list | pages come to the head of the inactive list, not to its tail | to the head of the swap cache, not into the queue that is written next |
//! | leaked reference | reclaim sees the page in use and keeps it, for ever | the swap cache keeps it, for ever |
//! | target sign | persistent frames less active plus inactive ones, at most 32 a call | so many units whenever a batch of pages has left, whether the pool is full or not |
//! | stale denial | a bit that was set before a failed allocation is never cleared | the same: the page's next store is denied, whenever that is |
//!
//! With none of them it is [`unuse`](super::unuse).

use crate::engine::Core;
use crate::page::PageNumber;
use crate::page_set::PageSet;
use crate::page_table::State;
use crate::reclaim::lists::List;
use crate::swap_cache::StagingSlot;
use crate::zcache::pool::{Handle, Unit, ZPAGES_PER_UNIT_MAX};

/// Frames that the patch takes for the zpages of a frame, and ephemeral pages that it evicts for them.
const FRAMES: u32 = 2;

/// Units that one call evicts at most.
const CALL_MAX: u32 = 32;

/// The defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Defect {
    /// See the module's description, for all of them.
    InvertedGuard,
    /// Not the tail.
    HeadOfList,
    /// Pages stuck.
    LeakedReference,
    /// Too much, or nothing.
    TargetSign,
    /// Busy pages to the device.
    StaleDenial,
}

impl Defect {
    /// All of them, by name.
    pub const ALL: [(&str, Defect); 5] = [
        ("inverted-guard", Defect::InvertedGuard),
        ("head-of-list", Defect::HeadOfList),
        ("leaked-reference", Defect::LeakedReference),
        ("target-sign", Defect::TargetSign),
        ("stale-denial", Defect::StaleDenial),
    ];
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects(u8);

impl Defects {
    /// This one besides.
    #[must_use]
    pub fn with(self, defect: Defect) -> Self {
        Defects(self.0 | 1 << defect as u8)
    }

    /// Whether it is one of them.
    pub fn has(self, defect: Defect) -> bool {
        self.0 >> (defect as u8) & 1 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What the defects have done.
pub struct Rfc {
    defects: Defects,
    /// Pages with a reference too many.
    leaked: PageSet,
    /// Units that the next calls may still evict, of a target that was set when so many pages had left.
    target: (u32, u64),
    handles: Vec<Handle>,
    /// Calls that the guard let through, and that it ended.
    pub guard: [u64; 2],
    /// Denial bits that were left behind.
    pub stale_denials: u64,
}

impl Rfc {
    /// Nothing has been done yet.
    pub fn new(defects: Defects, window_pages: u32) -> Self {
        let is_leaking = defects.has(Defect::LeakedReference);
        Rfc {
            defects,
            leaked: PageSet::new(if is_leaking { window_pages } else { 0 }),
            target: (0, 0),
            handles: Vec::with_capacity(if defects.is_empty() { 0 } else { ZPAGES_PER_UNIT_MAX }),
            guard: [0; 2],
            stale_denials: 0,
        }
    }

    /// The defects that are switched on.
    pub fn defects(&self) -> Defects {
        self.defects
    }

    /// Pages that can never leave RAM again.
    pub fn leaked_pages(&self) -> u32 {
        self.leaked.length()
    }

    /// Whether reclaim sees the page in use.
    pub(crate) fn is_leaked(&self, page: PageNumber) -> bool {
        self.leaked.length() > 0 && self.leaked.contains(page)
    }

    /// The pages of this range are no more.
    pub(crate) fn forget(&mut self, first: PageNumber, count: u32) {
        if self.leaked.length() > 0 {
            (0..count).for_each(|page| _ = self.leaked.remove(first.plus(page)));
        }
    }

    /// A page of a unit is about to get a frame.
    pub(crate) fn denies_ahead(&self) -> bool {
        self.defects.has(Defect::StaleDenial)
    }
}

/// Takes the coldest unit, if the guard lets it.
pub(crate) fn take_unit(core: &mut Core) -> Option<Unit> {
    if core.rfc.defects.has(Defect::TargetSign) {
        core.rfc.target.0 = core.rfc.target.0.saturating_sub(1);
    }
    if !core.rfc.defects.has(Defect::InvertedGuard) {
        return core.frontswap.zcache.pool.isolate_coldest();
    }
    if core.budget.free() >= FRAMES {
        core.rfc.guard[1] += 1;
        return None;
    }
    let unit = core.frontswap.zcache.pool.isolate_coldest()?;
    if drop_copies(core, unit) == FRAMES {
        core.rfc.guard[0] += 1;
        return Some(unit);
    }
    core.rfc.guard[1] += 1;
    core.frontswap.zcache.pool.end_isolation(unit, &mut core.budget);
    None
}

/// Drops the copies of resident pages in a unit, as many as the patch would evict ephemeral pages.
fn drop_copies(core: &mut Core, unit: Unit) -> u32 {
    let mut handles = std::mem::take(&mut core.rfc.handles);
    handles.clear();
    core.frontswap.zcache.pool.zpages_of(unit, &mut |handle| handles.push(handle));
    let mut dropped = 0;
    for &handle in &handles {
        let page = core.frontswap.zcache.pool.header(handle).page;
        let is_copy = core.pages.get(page).state == State::Resident;
        if dropped < FRAMES && is_copy && !super::is_to_be_moved(core, page) && !core.pages.get(page).busy {
            dropped += 1;
        }
    }
    core.rfc.handles = handles;
    dropped
}

/// Whether the coldest unit should go now, by the patch's own target.
pub(crate) fn is_due(core: &mut Core) -> bool {
    let unmapped = core.counters.unmapped;
    if core.rfc.target.1 != unmapped {
        let persistent = i64::from(core.frontswap.zcache.pool.arena().in_use());
        let [active, inactive] =
            [List::Active, List::Inactive].map(|list| i64::from(core.lists.length(list)));
        let target = (persistent - active + inactive).clamp(0, CALL_MAX.into());
        core.rfc.target = (target as u32, unmapped);
    }
    core.rfc.target.0 > 0
}

/// A page has left the pool for this slot of the swap cache.
pub(crate) fn insert(core: &mut Core, page: PageNumber, slot: StagingSlot, decided_us: u64) {
    if core.rfc.defects.has(Defect::LeakedReference) {
        core.rfc.leaked.insert(page);
        // They are in nobody's way there, but for the RAM.
        let usual = core.config.staging_slots_with(core.config.ram_frames);
        core.swap_cache.set_limit(usual + core.rfc.leaked.length());
    }
    if core.rfc.defects.has(Defect::HeadOfList) {
        core.swap_cache.insert_unused_newest(slot, decided_us);
    } else {
        core.swap_cache.insert_unused(slot, decided_us);
    }
}
