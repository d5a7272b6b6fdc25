//! kswapd: the background reclaimer. It is woken when free frames fall below `low` and goes on
//! until there are `high`, and until everything that unuse took out of zcache has been written.

use crate::engine::Core;
use crate::reclaim::release::Release;
use crate::reclaim::{Reclaim, Step};
use crate::task::{Next, Task, Workspace};
use crate::world::World;
use crate::zcache::codec::CodecKind;

/// Whether kswapd should be woken.
pub fn is_wanted(core: &Core) -> bool {
    core.budget.free() < core.watermarks.low || core.swap_cache.unused() > 0
}

fn has_work(core: &Core) -> bool {
    core.budget.free() < core.watermarks.high || core.swap_cache.unused() > 0 || Release::is_due(core)
}

/// One waking of kswapd, from start to sleep; driven anew each time.
pub struct Kswapd {
    workspace: Workspace,
    reclaim: Reclaim,
}

impl Kswapd {
    /// A kswapd with all its memory.
    pub fn new(codec: CodecKind) -> Self {
        Kswapd { workspace: Workspace::new(codec), reclaim: Reclaim::new() }
    }

    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        self.workspace.memory_bytes() + self.reclaim.memory_bytes()
    }
}

impl Task for Kswapd {
    fn locked(&mut self, core: &mut Core, now_us: u64) -> Next {
        if !self.reclaim.is_running() && !has_work(core) {
            return Next::Done;
        }
        match self.reclaim.locked(core, now_us, &mut self.workspace, false) {
            Step::CarryOut => Next::CarryOut,
            Step::Finished => Next::Again,
            Step::NothingToDo => Next::Done,
        }
    }

    fn carry_out(&mut self, world: World<'_>) {
        self.reclaim.carry_out(world, &mut self.workspace);
    }
}
