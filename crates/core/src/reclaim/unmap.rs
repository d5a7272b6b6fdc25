//! Taking a batch of the oldest inactive pages out of the program's sight.
//!
//! A clean page has its copy in zcache or on the device already, and nobody can write it
//! meanwhile (it is write-protected, and busy): it is only unmapped. A dirty page's frame is
//! moved into the swap cache, contents and all.

use crate::budget::Use;
use crate::engine::Core;
use crate::page::{BATCH_MAX, PageNumber};
use crate::page_table::{Backing, Entry, State};
use crate::reclaim::lists::List;
use crate::reclaim::shadow;
use crate::swap_cache::StagingSlot;
use crate::world::{Staged, World};
use crate::zcache::pool::ZPAGES_PER_UNIT_MAX;

/// Pages that are looked at for each of a batch: some are busy, or dirty with no room for them.
const SCANNED_PER_PAGE: usize = 8;

/// See the module's description.
pub struct Unmap {
    clean: Vec<PageNumber>,
    dirty: Vec<(PageNumber, StagingSlot)>,
    /// Nodes of dirty pages for which there was no staging slot.
    skipped: Vec<(u32, List)>,
    staged: Staged,
}

impl Unmap {
    pub fn new() -> Self {
        Unmap {
            clean: Vec::with_capacity(BATCH_MAX),
            dirty: Vec::with_capacity(BATCH_MAX),
            skipped: Vec::with_capacity(SCANNED_PER_PAGE * BATCH_MAX),
            staged: Staged::default(),
        }
    }

    /// Isolates a batch of at most `most` pages. `false`: there is nothing to unmap.
    pub fn plan(&mut self, core: &mut Core, most: usize) -> bool {
        self.clean.clear();
        self.dirty.clear();
        self.skipped.clear();
        self.staged = Staged::default();
        core.lists.balance(core.config.batch_pages);
        for turn in 0..SCANNED_PER_PAGE * core.batch_pages() {
            if self.clean.len() + self.dirty.len() == most.min(core.batch_pages()) {
                break;
            }
            // Where only clean pages can leave, the inactive list may have none.
            let lists = match has_staging_slot(core) || turn % 2 == 0 {
                true => [List::Inactive, List::Active],
                false => [List::Active, List::Inactive],
            };
            let oldest = lists.into_iter().find_map(|list| Some((core.lists.take_oldest(list)?, list)));
            let Some((node, list)) = oldest else { break };
            let page = core.lists.page(node);
            let entry = core.pages.get(page);
            if core.locked.contains(page) {
                // Or else a whole inactive list of them would hide the active one.
                core.lists.put_back(node, List::Active);
            } else if entry.busy {
                core.lists.put_back(node, list);
            } else if entry.is_clean() {
                self.clean.push(page);
                core.pages.set_busy(page, true);
            } else if let Some(slot) = take_staging_slot(core, page) {
                self.dirty.push((page, slot));
                core.pages.set_busy(page, true);
            } else {
                self.skipped.push((node, list));
            }
        }
        let is_planned = !(self.clean.is_empty() && self.dirty.is_empty());
        // They keep their age; but where nothing was found, the next search looks further.
        for &(node, list) in self.skipped.iter().rev() {
            match is_planned {
                true => core.lists.put_back_oldest(node, list),
                false => core.lists.put_back(node, list),
            }
        }
        is_planned
    }

    pub fn carry_out(&mut self, world: World<'_>) {
        if !self.clean.is_empty() {
            world.memory.unmap_clean(&self.clean);
        }
        if !self.dirty.is_empty() {
            self.staged = world.memory.unmap_to_staging(&self.dirty);
        }
    }

    /// How many pages are out of sight: none, if every page was pinned.
    pub fn commit(&mut self, core: &mut Core) -> usize {
        for &page in &self.clean {
            let entry = core.pages.get(page);
            let state = match entry.backing {
                Backing::Slot(_) | Backing::Packed(_) => State::Device,
                _ => State::Zcache,
            };
            core.frontswap.used(entry.backing);
            core.lists.release(entry.frame);
            let frame = shadow::of_now(core);
            core.pages.set(page, Entry { state, busy: false, backing: entry.backing, frame });
        }
        core.budget.give_back(Use::Resident, self.clean.len() as u32);
        core.counters.clean_drops += self.clean.len() as u64;
        for (index, &(page, slot)) in self.dirty.iter().enumerate() {
            let entry = core.pages.get(page);
            if self.staged.moved >> index & 1 != 0 {
                core.lists.release(entry.frame);
                let frame = slot.0;
                core.pages
                    .set(page, Entry { state: State::SwapCache, busy: false, backing: Backing::None, frame });
                core.swap_cache.insert_newest(slot);
                core.budget.transfer(Use::Resident, Use::SwapCache, 1);
            } else {
                core.lists.put_back(entry.frame, List::Active);
                core.pages.set_busy(page, false);
                core.swap_cache.give_slot_back(slot);
                core.counters.unmap_busy += 1;
            }
        }
        let unmapped = self.clean.len() + self.staged.moved.count_ones() as usize;
        core.counters.vanished_pages += u64::from(self.staged.vanished.count_ones());
        core.counters.unmapped += unmapped as u64;
        unmapped
    }
}

/// Whether there is a slot for a page that leaves. The last ones are for unuse.
fn has_staging_slot(core: &Core) -> bool {
    core.swap_cache.room() > ZPAGES_PER_UNIT_MAX as u32
}

fn take_staging_slot(core: &mut Core, page: PageNumber) -> Option<StagingSlot> {
    has_staging_slot(core).then(|| core.swap_cache.take_slot(page))?
}
