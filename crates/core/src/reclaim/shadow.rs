//! Shadows: what is remembered of a page when it is evicted, to tell on its return whether it
//! left too early (mm/workingset.c).
//!
//! The shadow is the count of evictions at that time. If fewer pages have been evicted since
//! than the active list holds, a longer inactive list would have kept the page: it belongs on
//! the active list.

use crate::engine::Core;
use crate::page_table::FRAME_LIMIT;
use crate::reclaim::lists::List;

/// The shadow of a page that is evicted now.
pub fn of_now(core: &mut Core) -> u32 {
    core.evictions += 1;
    core.evictions as u32 % FRAME_LIMIT
}

/// The shadow of a page that was evicted long ago: from zcache, where it was the coldest.
pub fn of_long_ago(core: &Core) -> u32 {
    (core.evictions as u32).wrapping_add(FRAME_LIMIT / 2) % FRAME_LIMIT
}

/// Whether a page with this shadow left only recently.
pub fn is_recent(core: &Core, shadow: u32) -> bool {
    let distance = (core.evictions as u32).wrapping_sub(shadow) % FRAME_LIMIT;
    // Before there is any active page, a quarter of what is resident stands in for them.
    distance <= core.lists.length(List::Active).max(core.lists.used() / 4)
}
