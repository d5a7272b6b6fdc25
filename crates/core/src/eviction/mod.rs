//! Eviction: how a full zcache makes room. [`unuse`] is the RFC's mechanism; without any, a full
//! pool refuses, and whatever comes next goes to the slow device.

pub(crate) mod unuse;

use crate::page::BATCH;
use std::str::FromStr;

use crate::engine::Core;

/// The mechanisms by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionKind {
    /// The baseline that the RFC complains about: nothing is evicted, but as the last resort.
    None,
    /// Decompress the coldest frame's pages into the swap cache, denied.
    Unuse,
}

impl FromStr for EvictionKind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "none" => Ok(EvictionKind::None),
            "unuse" => Ok(EvictionKind::Unuse),
            _ => Err(()),
        }
    }
}

/// Frames below the pool's limit at which eviction starts, so that the next batch finds room.
/// A quarter of the batch's size: what compresses worse than that wins little by staying.
const HEADROOM_FRAMES: u32 = BATCH as u32 / 2;

/// Whether the pool could not take the next batch.
pub fn is_full(core: &Core) -> bool {
    let arena = core.frontswap.zcache.pool.arena();
    arena.in_use() + HEADROOM_FRAMES > arena.limit()
}

/// Whether zcache can take a page more, now or after it has made room.
pub fn has_room(core: &Core) -> bool {
    core.config.eviction == EvictionKind::Unuse || !is_full(core)
}

/// Whether the coldest unit should go now. When nothing else is left to go and a fault waits for a
/// frame, it goes in any case.
pub fn is_due(core: &Core) -> bool {
    // What was taken out already has to reach the device before more is.
    let is_keeping_up = core.swap_cache.unused() < BATCH as u32;
    // Without a slot for them its pages could only come back.
    let has_slots = core.swap_map.has_room();
    core.config.eviction == EvictionKind::Unuse && is_full(core) && is_keeping_up && has_slots
}
