//! The state: everything that is under the lock.

use crate::budget::{Budget, Use};
use crate::eviction::EvictionKind;
use crate::eviction::border::Border;
use crate::eviction::rfc::{Defect, Rfc};
use crate::fault::readahead::Readahead;
use crate::frontswap::{Frontswap, denial::Denial};
use crate::ledger::share::Share;
use crate::loss::Loss;
use crate::page::{BATCH_MAX, PAGE_BYTES, PageNumber};
use crate::page_set::PageSet;
use crate::page_table::{Backing, Entry, FRAME_LIMIT, PageTable, State};
use crate::reclaim::lists::{List, Lists};
use crate::reclaim::watermarks::Watermarks;
use crate::region::Regions;
use crate::stats::Counters;
use crate::swap_cache::SwapCache;
use crate::swap_device::swap_map::SwapMap;
use crate::swap_device::unit_map::Packed;
use crate::zcache::policy::PolicyKind;
use crate::zcache::pool::{ZPAGES_PER_UNIT_MAX, arena::Arena};
use crate::zcache::same_filled::SameFilled;
use crate::zcache::{PoolKind, Zcache};

/// Frames that are charged for tables ahead of their growth, so that a table can grow inside
/// of a reclaim that has no free frame left.
const METADATA_FRAMES_AHEAD: u32 = 2;

/// The share of the frames that are not spoken for which the pool may have at most.
const POOL_SHARE_MAX: f64 = 7.0 / 8.0;

/// Bytes of tables for a page, if it has everything but a seal: entry, bits of denial and lock, a slot's bit
/// and its word in the map of units, list node.
const TABLE_BYTES_PER_PAGE: u64 = 25;

/// What a pager is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Page frames of RAM, for everything.
    pub ram_frames: u32,
    /// Frames of those that workspaces, stacks and the like occupy.
    pub buffer_frames: u32,
    /// Slots of the swap device.
    pub swap_slots: u32,
    /// Pages that are worked on together, at most [`BATCH_MAX`].
    pub batch_pages: u32,
    /// Pages of addresses to give out; more than RAM and device can hold, since regions that
    /// were freed leave gaps.
    pub window_pages: u32,
    /// How zpages are packed.
    pub pool: PoolKind,
    /// Which of them are evicted first.
    pub policy: PolicyKind,
    /// Frames that may hold zpages; `None`: as many as save the most time.
    pub pool_limit_frames: Option<u32>,
    /// Frames that only those may take who make room.
    pub reserve_frames: u32,
    /// What happens when the pool is full.
    pub eviction: EvictionKind,
    /// Pages that a region has at least to be left to the kernel while there is room for it.
    pub unwatched_pages_min: u32,
    /// Pages that a sequential fault brings at once, at most `batch_pages`.
    pub readahead_pages: u32,
    /// Whether what is written to the device is encrypted.
    pub is_encrypted: bool,
}

impl Config {
    /// One of this size, with nothing out of the ordinary: everything is watched, nothing encrypted.
    pub fn of_size(ram_frames: u32, swap_slots: u32) -> Self {
        let batch_pages = Config::batch_pages_for(ram_frames);
        Config {
            ram_frames,
            buffer_frames: 0,
            swap_slots,
            batch_pages,
            window_pages: 2 * (ram_frames + swap_slots),
            pool: PoolKind::Zsmalloc,
            policy: PolicyKind::FrameLru,
            pool_limit_frames: None,
            reserve_frames: Config::reserve_frames_min(batch_pages),
            eviction: EvictionKind::Intact,
            unwatched_pages_min: u32::MAX,
            readahead_pages: BATCH_MAX as u32 / 2,
            is_encrypted: false,
        }
    }

    /// The smallest reserve that lets eviction always go on: what one step of it can need before it
    /// gives anything back. That is a frame for each zpage of a unit, and the frames of one new zspage
    /// for each page of a batch, since no two of them need to be of one size class; half of them, since
    /// the other half of the batch can be written to the device.
    pub const fn reserve_frames_min(batch_pages: u32) -> u32 {
        ZPAGES_PER_UNIT_MAX as u32 + batch_pages / 2
    }

    /// The least RAM, besides buffers and reserve: room for a few batches.
    pub const RAM_FRAMES_MIN: u32 = 4 * BATCH_MAX as u32;

    /// The most RAM that an entry of the page table can name.
    pub const RAM_FRAMES_MAX: u32 = FRAME_LIMIT - 1;

    /// Pages that should be worked on together: the more, the fewer TLB shootdowns; but each task
    /// has buffers for so many.
    pub fn batch_pages_for(ram_frames: u32) -> u32 {
        (ram_frames / 512).clamp(BATCH_MAX as u32 / 2, BATCH_MAX as u32)
    }

    /// Frames that the pool may waste: a thirty-second of RAM.
    pub(crate) fn wasted_frames_max(ram_frames: u32) -> u32 {
        ram_frames / 32
    }

    /// Staging slots.
    pub fn staging_slots(&self) -> u32 {
        // Any number of pages may be stuck there.
        let is_leaking = self.eviction.defects().has(Defect::LeakedReference);
        if is_leaking { self.ram_frames } else { self.staging_slots_with(self.ram_frames) }
    }

    /// Staging slots that are used with so much RAM: a sixteenth of it is enough to notice that a page is
    /// still in use, and one unit of the pool must fit besides.
    pub(crate) fn staging_slots_with(&self, ram_frames: u32) -> u32 {
        (ram_frames / 16).clamp(2 * self.batch_pages, 4096) + ZPAGES_PER_UNIT_MAX as u32
    }
}

/// An allocation that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateError {
    /// RAM and device together cannot hold that many pages more. At most `available` could be
    /// had now.
    BeyondCapacity {
        /// Pages that could be had.
        available: u32,
    },
    /// There is no gap in the window that is long enough.
    NoGap,
    /// The page table grows by some frames that have to be reclaimed first.
    NeedFrames(u32),
}

/// See the module's description.
pub struct Core {
    /// What it is made of.
    pub config: Config,
    /// Each page's state.
    pub pages: PageTable,
    /// Who has which pages.
    pub regions: Regions,
    /// Who has which frames.
    pub budget: Budget,
    /// When to reclaim.
    pub watermarks: Watermarks,
    /// Resident pages by age.
    pub lists: Lists,
    /// Pages on their way.
    pub swap_cache: SwapCache,
    /// The door to zcache.
    pub frontswap: Frontswap,
    /// The slots of the device.
    pub swap_map: SwapMap,
    /// Sequences of faults.
    pub readahead: Readahead,
    /// Sequences of first writes.
    pub write_ahead: Readahead,
    /// What happened.
    pub counters: Counters,
    /// Pages that left resident memory; the age of a shadow is counted in these.
    pub evictions: u64,
    /// Pages that eviction took from the pool; the same for theirs.
    pub pool_evictions: u64,
    /// Where the pool's limit is, if it finds its own place.
    pub border: Border,
    /// What is wrong with eviction, in the lab.
    pub rfc: Rfc,
    /// Eviction has begun and has not made its room yet.
    pub is_evicting: bool,
    /// Everything is to come to rest: kswapd begins nothing.
    pub is_resting: bool,
    /// Commits so far: whoever waits is woken when this changes.
    pub commits: u64,
    /// Resident frames in the budget whose pages are not in the lists yet.
    pub arriving: u32,
    /// Its part of the frames that are a whole tree's.
    pub(crate) share: Option<Share>,
    /// Pages that are not to leave.
    pub(crate) locked: PageSet,
    /// Frames that the process has besides, and that are not in the budget yet.
    pub(crate) unmanaged_owed: u32,
    /// Pages of the window that ever belonged to a region.
    window_high: u32,
}

impl Core {
    /// A pager without any regions. `arena` has `config.ram_frames` frames.
    pub fn new(config: Config, arena: Arena) -> Self {
        let staging_slots = config.staging_slots();
        let mut core = Core {
            pages: PageTable::new(config.window_pages),
            regions: Regions::default(),
            budget: Budget::new(config.ram_frames),
            watermarks: Watermarks::new(config.ram_frames, config.reserve_frames, config.batch_pages),
            lists: Lists::new(config.ram_frames),
            swap_cache: SwapCache::new(staging_slots),
            frontswap: Frontswap {
                zcache: Zcache {
                    pool: config.pool.pool(arena, config.policy),
                    same_filled: SameFilled::default(),
                    wasted_frames_max: Config::wasted_frames_max(config.ram_frames),
                },
                denial: Denial::new(config.window_pages),
            },
            swap_map: SwapMap::new(config.swap_slots, config.is_encrypted),
            readahead: Readahead::default(),
            write_ahead: Readahead::default(),
            counters: Counters::default(),
            evictions: 0,
            pool_evictions: 0,
            border: Border::new(config.ram_frames),
            rfc: Rfc::new(config.eviction.defects(), config.window_pages),
            is_evicting: false,
            is_resting: false,
            commits: 0,
            arriving: 0,
            share: None,
            locked: PageSet::new(config.window_pages),
            unmanaged_owed: 0,
            window_high: 0,
            config,
        };
        core.swap_cache.set_limit(config.staging_slots_with(config.ram_frames));
        assert!(core.budget.take(Use::Buffers, config.buffer_frames), "buffers fit into RAM");
        core.charge_metadata();
        core
    }

    /// Pages that are worked on together.
    pub fn batch_pages(&self) -> usize {
        self.config.batch_pages as usize
    }

    /// Bytes of all tables, as far as they have come to be touched.
    pub fn metadata_bytes(&self) -> u64 {
        u64::from(self.window_high) * PageTable::ENTRY_BYTES
            + 2 * u64::from(self.window_high).div_ceil(8)
            + self.lists.metadata_bytes(self.regions.unwatched_pages())
            + self.swap_cache.metadata_bytes()
            + self.swap_map.metadata_bytes()
            + self.frontswap.zcache.pool.metadata_bytes()
            + self.frontswap.zcache.pool.arena().metadata_bytes()
            + self.config.policy.table_bytes(self.config.ram_frames)
    }

    /// Brings the budget up to date with the tables' growth. Called after every commit.
    pub fn charge_metadata(&mut self) {
        let needed = self.metadata_bytes().div_ceil(PAGE_BYTES as u64) as u32 + METADATA_FRAMES_AHEAD;
        let before = self.budget.used(Use::Metadata);
        while self.budget.used(Use::Metadata) < needed && self.budget.take(Use::Metadata, 1) {}
        if self.budget.used(Use::Metadata) != before {
            self.limit_pool();
        }
    }

    /// Frames of RAM that are this core's now.
    pub fn held_frames(&self) -> u32 {
        self.budget.total() - self.budget.used(Use::Elsewhere)
    }

    /// Has everything that is a part of RAM follow it.
    pub(crate) fn resize(&mut self) {
        let held = self.held_frames();
        self.watermarks = Watermarks::new(held, self.config.reserve_frames, self.config.batch_pages);
        self.frontswap.zcache.wasted_frames_max = Config::wasted_frames_max(held);
        self.swap_cache.set_limit(self.config.staging_slots_with(held));
        self.limit_pool();
    }

    /// The pool gets what it may have, but never all: without room for resident pages no fault
    /// could end.
    pub fn limit_pool(&mut self) {
        let spoken_for = self.set_aside_frames() + self.budget.used(Use::Metadata);
        let held = self.held_frames();
        let of_all = self.config.pool_limit_frames.unwrap_or(self.border.limit_frames());
        let limit = u64::from(of_all) * u64::from(held) / u64::from(self.config.ram_frames);
        let most = (held.saturating_sub(spoken_for) as f64 * POOL_SHARE_MAX) as u32;
        self.frontswap.zcache.pool.arena_mut().set_limit(most.min(limit as u32));
    }

    /// A task has committed.
    pub fn committed(&mut self) {
        self.commits += 1;
        self.charge_metadata();
        self.pay_for_unmanaged();
    }

    /// Whether fewer frames are free than kswapd is to see to.
    pub fn is_short(&self) -> bool {
        let wanted = self.watermarks.high.saturating_add(self.pressed()).saturating_add(self.unmanaged_owed);
        self.budget.free() < wanted
    }

    /// Frames that faults may take; the rest is for those who make room.
    pub fn frames_for_faults(&self) -> u32 {
        self.budget.free().saturating_sub(self.watermarks.min)
    }

    /// Frames for managed memory and its tables, if so many are for what is not managed.
    pub(crate) fn frames_left_by(&self, unmanaged: u32) -> u32 {
        self.config.ram_frames - self.config.buffer_frames - self.watermarks.min - unmanaged
    }

    /// Frames that are for no page and no table of its.
    fn set_aside_frames(&self) -> u32 {
        self.config.ram_frames - self.frames_left_by(self.unmanaged())
    }

    /// The most pages that could belong to regions, if none of them could be compressed.
    pub fn capacity_pages(&self) -> u32 {
        self.capacity_pages_beside(self.unmanaged())
    }

    /// The same, if so many frames were not managed.
    pub(crate) fn capacity_pages_beside(&self, unmanaged: u32) -> u32 {
        let wasted = Config::wasted_frames_max(self.config.ram_frames);
        let ram = u64::from(self.frames_left_by(unmanaged) - wasted);
        let ram_left = ram - BATCH_MAX as u64 - self.fixed_table_frames();
        let slots = u64::from(self.config.swap_slots - self.swap_map.retired());
        let pages_per_table_frame = self.pages_per_table_frame();
        // `pages` pages, and their tables, fill RAM and device exactly.
        let by_space = (ram_left + slots) * pages_per_table_frame / (pages_per_table_frame + 1);
        // Tables may take half of RAM.
        let by_tables = ram_left / 2 * pages_per_table_frame;
        by_space.min(by_tables).min(self.config.window_pages.into()) as u32
    }

    /// Frames without which regions of so many pages could not be served: the fixed ones, the tables, and
    /// room for a few batches, or for what the device cannot hold if none of it can be compressed.
    pub(crate) fn floor_frames(&self, page_count: u32) -> u32 {
        let slots = self.config.swap_slots - self.swap_map.retired();
        let beyond_device = match page_count.saturating_sub(slots) {
            0 => 0,
            pages => BATCH_MAX as u32 + Config::wasted_frames_max(self.config.ram_frames) + pages,
        };
        let tables = self.fixed_table_frames() + u64::from(page_count) / self.pages_per_table_frame();
        self.set_aside_frames()
            + self.unmanaged_owed
            + self.locked.length()
            + tables as u32
            + beyond_device.max(METADATA_FRAMES_AHEAD + Config::RAM_FRAMES_MIN)
    }

    pub(crate) fn fixed_table_frames(&self) -> u64 {
        let bytes = self.swap_cache.metadata_bytes() + self.config.policy.table_bytes(self.config.ram_frames);
        bytes.div_ceil(PAGE_BYTES as u64)
    }

    fn pages_per_table_frame(&self) -> u64 {
        PAGE_BYTES as u64 / (TABLE_BYTES_PER_PAGE + SwapMap::seal_bytes(self.config.is_encrypted))
    }

    /// Gives out a region of so many pages, anywhere or from a certain one on.
    pub fn allocate(
        &mut self,
        page_count: u32,
        item_bytes: u8,
        at: Option<PageNumber>,
    ) -> Result<PageNumber, AllocateError> {
        let available = self.capacity_pages().saturating_sub(self.regions.page_count());
        if page_count > available {
            return Err(AllocateError::BeyondCapacity { available });
        }
        let table_frames = (u64::from(page_count) * 9).div_ceil(PAGE_BYTES as u64) as u32;
        if self.frames_for_faults() < table_frames {
            return Err(AllocateError::NeedFrames(table_frames));
        }
        let page_count_of_all = self.regions.page_count() + page_count;
        if !self.promise(page_count_of_all) {
            let most = self.promised_pages_max();
            let available = most.saturating_sub(self.regions.page_count()).min(page_count - 1);
            return Err(AllocateError::BeyondCapacity { available });
        }
        let (regions, window_pages) = (&mut self.regions, self.config.window_pages);
        let inserted = match at {
            Some(first) => regions.insert_at(first, page_count, item_bytes, window_pages),
            None => regions.insert(page_count, item_bytes, window_pages),
        };
        let Some(first) = inserted else {
            self.promise(self.regions.page_count());
            return Err(AllocateError::NoGap);
        };
        self.window_high = self.window_high.max(first.0 + page_count);
        self.committed();
        Ok(first)
    }

    /// Drops a page's copy outside of RAM, if it has one. The caller changes the entry.
    pub fn drop_copy(&mut self, backing: Backing) {
        match backing {
            Backing::None => {}
            Backing::Slot(slot) => self.swap_map.give_back(slot),
            Backing::Packed(packed) => self.swap_map.give_zpage_back(packed),
            Backing::SameFilled(_) | Backing::Zpage(_) => {
                self.frontswap.invalidate_page(backing, &mut self.budget, &mut self.counters);
            }
        }
    }

    /// A page's only copy could not be had.
    pub fn lose(&mut self, page: PageNumber, loss: Loss) {
        self.drop_copy(self.pages.get(page).backing);
        let frame = loss.to_bits();
        self.pages.set(page, Entry { state: State::Lost, busy: false, backing: Backing::None, frame });
        self.counters.lost_pages += 1;
        *match loss {
            Loss::Unreadable(_) => &mut self.counters.device_read_errors,
            Loss::CorruptSlot => &mut self.counters.corrupt_slots,
            Loss::CorruptZpage => &mut self.counters.corrupt_zpages,
        } += 1;
    }

    /// A page's frame has arrived and is mapped: it joins a list.
    pub fn make_resident(&mut self, page: PageNumber, backing: Backing, list: List) {
        let frame = self.lists.insert(page, list);
        self.pages.set(page, Entry { state: State::Resident, busy: false, backing, frame });
    }

    /// Lets compaction pack the pool tighter; frames freed.
    pub fn compact(&mut self, moves_max: u32) -> u32 {
        let Core { frontswap, budget, pages, counters, .. } = self;
        frontswap.zcache.pool.compact(moves_max, budget, &mut |page, handle| {
            let entry = pages.get(page);
            pages.set(page, Entry { backing: Backing::Zpage(handle), ..entry });
            counters.compaction_moves += 1;
        })
    }

    /// Runs of neighbouring clean pages: the first, and how many.
    pub fn clean_runs(&self) -> impl Iterator<Item = (PageNumber, u32)> {
        let is_clean = |page: &PageNumber| self.pages.get(*page).is_clean();
        self.regions.iter().flat_map(move |region| {
            let mut next = region.first;
            std::iter::from_fn(move || {
                let first = (next.0..region.end().0).map(PageNumber).find(is_clean)?;
                let count = (first.0..region.end().0).map(PageNumber).take_while(is_clean).count() as u32;
                next = first.plus(count);
                Some((first, count))
            })
        })
    }

    /// Panics unless all tables agree with one another: the invariants of the design, for the
    /// tests.
    pub fn check(&self) {
        let mut resident = 0;
        let mut zpages = 0;
        let mut same_filled = 0;
        let (mut slots, mut packed) = (0, 0);
        let pool = &self.frontswap.zcache.pool;
        for region in self.regions.iter() {
            for page in (region.first.0..region.end().0).map(PageNumber) {
                let entry = self.pages.get(page);
                match entry.backing {
                    Backing::None => {}
                    Backing::SameFilled(_) => same_filled += 1,
                    Backing::Zpage(handle) => {
                        zpages += 1;
                        assert_eq!(pool.header(handle).page, page, "the zpage of {page:?} is another's");
                    }
                    Backing::Slot(slot) => {
                        slots += 1;
                        assert!(self.swap_map.is_used(slot), "{page:?} is in {slot:?}, which is free");
                    }
                    Backing::Packed(Packed { unit, .. }) => {
                        packed += 1;
                        assert!(self.swap_map.is_used(unit), "{page:?} is in {unit:?}, which is free");
                        assert!(self.swap_map.units().get(unit).live > 0);
                    }
                }
                if entry.state == State::Resident {
                    resident += 1;
                    assert_eq!(self.lists.page(entry.frame), page, "node of {page:?}");
                }
                let is_denied = entry.state == State::Zcache && self.frontswap.denial.is_denied(page);
                let may_be_denied = self.rfc.defects().has(Defect::StaleDenial);
                assert!(!is_denied || may_be_denied, "{page:?} is in zcache although it was denied");
            }
        }
        assert_eq!(resident, self.lists.used(), "resident pages and nodes");
        assert_eq!(zpages, pool.zpage_count(), "pages with a zpage and zpages");
        assert_eq!(same_filled, self.frontswap.zcache.same_filled.page_count());
        assert!(slots <= self.swap_map.used(), "{slots} pages in {} slots", self.swap_map.used());
        assert_eq!(packed, self.swap_map.units().zpages(), "pages in units on the device, and their zpages");
        let unwatched = self.regions.unwatched_pages();
        assert_eq!(self.budget.used(Use::Resident), resident + self.arriving + unwatched, "resident frames");
        assert_eq!(self.budget.used(Use::Pool), pool.arena().in_use(), "frames of the pool");
        let charged = u64::from(self.budget.used(Use::Metadata)) * PAGE_BYTES as u64;
        assert!(charged >= self.metadata_bytes(), "{charged} of {} bytes of tables", self.metadata_bytes());
        for (_, page) in self.swap_cache.coldest_first() {
            assert_eq!(self.pages.get(page).state, State::SwapCache, "{page:?} is in the swap cache");
        }
        self.check_share();
        pool.check();
    }

    /// Panics unless nothing is on its way: every frame and slot is accounted for by a page at
    /// rest. For tests, when no task is under way.
    pub fn check_at_rest(&self) {
        self.check();
        assert_eq!(self.arriving, 0);
        let swap_cache = self.swap_cache.length();
        assert_eq!(self.budget.used(Use::SwapCache), swap_cache, "frames of the swap cache");
        assert_eq!(self.swap_cache.slots() - self.swap_cache.free_slots(), swap_cache);
        assert_eq!(self.budget.used(Use::Reserve), self.frontswap.zcache.pool.arena().reserved());
        let mut slots = 0;
        for region in self.regions.iter() {
            for page in (region.first.0..region.end().0).map(PageNumber) {
                let entry = self.pages.get(page);
                assert!(!entry.busy, "{page:?} is busy, and nobody is at work");
                assert_ne!(entry.state, State::Writing, "{page:?}");
                slots += u32::from(matches!(entry.backing, Backing::Slot(_)));
            }
        }
        let in_units = self.swap_map.units().slots();
        assert_eq!(slots + in_units, self.swap_map.used(), "slots in use");
    }
}
