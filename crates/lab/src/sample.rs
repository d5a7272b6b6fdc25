//! Where everything is at a moment.

use zpager_core::budget::Use;
use zpager_core::engine::Core;
use zpager_core::page::PageNumber;
use zpager_core::page_table::State;
use zpager_core::stats::Counters;

/// What frames are used for, by name.
pub const USES: [(Use, &str); 6] = [
    (Use::Resident, "resident_frames"),
    (Use::SwapCache, "swap_cache_frames"),
    (Use::Pool, "pool_frames"),
    (Use::Reserve, "reserve_frames"),
    (Use::Metadata, "metadata_frames"),
    (Use::Buffers, "buffers_frames"),
];

/// Where pages are, by name. Each page is in one place; a resident one may have a copy elsewhere besides.
pub const PLACES: [&str; 5] =
    ["untouched_pages", "resident_pages", "swap_cache_pages", "zcache_pages", "device_pages"];

/// See the module's description.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The moment.
    pub now_ns: u64,
    /// Frames by [`USES`].
    pub frames: [u32; USES.len()],
    /// Pages by [`PLACES`].
    pub pages: [u32; PLACES.len()],
    /// Frames that the pool may have.
    pub pool_limit_frames: u32,
    /// Zpages in the pool and pages that need none, copies of resident pages included.
    pub stored_pages: u32,
    /// Slots of the device in use.
    pub slots_used: u32,
    /// Pages that a leaked reference keeps from ever leaving RAM.
    pub leaked_pages: u32,
    /// Frames that eviction has made free.
    pub freed_frames: u64,
    /// What had happened.
    pub counters: Counters,
    /// What each thread had waited for pages, and how many accesses it had made.
    pub threads: Vec<(u64, u64)>,
}

impl Sample {
    /// Of a core with so many pages from the first one on.
    pub fn of(core: &Core, page_count: u32, now_ns: u64, threads: Vec<(u64, u64)>) -> Self {
        let mut pages = [0; PLACES.len()];
        for page in 0..page_count {
            let place = match core.pages.get(PageNumber(page)).state {
                State::Empty => 0,
                State::Resident => 1,
                State::SwapCache | State::Writing => 2,
                State::Zcache => 3,
                State::Device => 4,
                State::Lost => unreachable!("page {page} is lost, on a device that loses nothing"),
            };
            pages[place] += 1;
        }
        let zcache = &core.frontswap.zcache;
        Sample {
            now_ns,
            frames: USES.map(|(what, _)| core.budget.used(what)),
            pages,
            pool_limit_frames: zcache.pool.arena().limit(),
            stored_pages: zcache.pool.zpage_count() + zcache.same_filled.page_count(),
            slots_used: core.swap_map.used(),
            leaked_pages: core.rfc.leaked_pages(),
            freed_frames: core.counters.eviction_us.count(),
            counters: core.counters,
            threads,
        }
    }
}
