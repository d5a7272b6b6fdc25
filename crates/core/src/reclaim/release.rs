//! Giving the RAM of free pool frames back to the system, so that it can be a resident page's.

use crate::engine::Core;
use crate::page::BATCH_MAX;
use crate::world::World;
use crate::zcache::pool::arena::FrameIndex;

/// See the module's description.
pub struct Release {
    frames: Vec<FrameIndex>,
}

impl Release {
    pub fn new() -> Self {
        Release { frames: Vec::with_capacity(2 * BATCH_MAX) }
    }

    /// Whether the pool has more free frames than it should keep for its next zpages: a batch.
    pub fn is_due(core: &Core) -> bool {
        core.frontswap.zcache.pool.arena().reserved() > core.config.batch_pages
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
