//! Giving the RAM of free pool frames back to the system, so that it can be a resident page's.

use crate::engine::Core;
use crate::page::BATCH;
use crate::world::World;
use crate::zcache::pool::arena::FrameIndex;

/// Free frames that the pool keeps for its next zpages.
const RESERVED_MAX: u32 = BATCH as u32;

/// See the module's description.
pub struct Release {
    frames: Vec<FrameIndex>,
}

impl Release {
    pub fn new() -> Self {
        Release { frames: Vec::with_capacity(2 * BATCH) }
    }

    /// Whether the pool has more free frames than it should keep.
    pub fn is_due(core: &Core) -> bool {
        core.frontswap.zcache.pool.arena().reserved() > RESERVED_MAX
    }

    /// Takes a batch of free frames, down to none. `false`: there are none.
    pub fn plan(&mut self, core: &mut Core) -> bool {
        self.frames.clear();
        let most = self.frames.capacity();
        core.frontswap.zcache.pool.arena_mut().take_reserved(most, &mut self.frames);
        !self.frames.is_empty()
    }

    pub fn carry_out(&mut self, world: World<'_>) {
        world.memory.release_frames(&self.frames);
    }

    pub fn commit(&mut self, core: &mut Core) {
        core.frontswap.zcache.pool.arena_mut().released(&self.frames, &mut core.budget);
    }
}
