//! Shadows: what is remembered of a page when it leaves resident memory or the pool, to tell on its
//! return whether it left too early (mm/workingset.c).
//!
//! The shadow is the count of the pages that had left so far, and a bit that tells what it left.
//! If fewer pages have been evicted since than the active list holds, a longer inactive list would
//! have kept the page: it belongs on the active list.

use crate::engine::Core;
use crate::page_table::FRAME_LIMIT;
use crate::reclaim::lists::List;

const FROM_POOL: u32 = FRAME_LIMIT / 2;

/// What a page has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Resident memory.
    Resident,
    /// The pool, where it was among the coldest.
    Pool,
}

/// The shadow of a page that leaves resident memory now.
pub fn of_now(core: &mut Core) -> u32 {
    core.evictions += 1;
    core.evictions as u32 % FROM_POOL
}

/// The shadow of a page that leaves the pool now.
pub fn of_pool(core: &mut Core) -> u32 {
    core.pool_evictions += 1;
    FROM_POOL | (core.pool_evictions as u32 % FROM_POOL)
}

/// What a page with this shadow has left.
pub fn left(shadow: u32) -> Left {
    if shadow & FROM_POOL == 0 { Left::Resident } else { Left::Pool }
}

/// How many pages have left the same since.
pub fn distance(core: &Core, shadow: u32) -> u32 {
    let count = match left(shadow) {
        Left::Resident => core.evictions,
        Left::Pool => core.pool_evictions,
    };
    (count as u32).wrapping_sub(shadow) % FROM_POOL
}

/// Whether a page with this shadow left resident memory only recently.
pub fn is_recent(core: &Core, shadow: u32) -> bool {
    // Before there is any active page, a quarter of what is resident stands in for them.
    let recent = core.lists.length(List::Active).max(core.lists.used() / 4);
    left(shadow) == Left::Resident && distance(core, shadow) <= recent
}
