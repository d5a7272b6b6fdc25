//! Reclaim on somebody's word: so many pages out of sight, or so many units of the pool unused.

use crate::engine::Core;
use crate::reclaim::{Job, Reclaim, Step};
use crate::task::{Next, Task, Workspace};
use crate::world::World;
use crate::zcache::codec::CodecKind;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Unmap so many pages, and get the swap cache empty.
    Pages(u64),
    /// Unuse so many units of the pool, and get their pages written.
    Units(u64),
    /// Make so many frames free for faults, and more than that no longer.
    Frames(u32),
}

/// See the module's description.
pub struct ReclaimOnDemand {
    workspace: Workspace,
    reclaim: Reclaim,
    demand: Demand,
    done: u64,
    /// Counter that `done` is the difference of.
    before: u64,
}

impl ReclaimOnDemand {
    /// A task with all its memory.
    pub fn new(codec: CodecKind) -> Self {
        ReclaimOnDemand {
            workspace: Workspace::new(codec),
            reclaim: Reclaim::new(),
            demand: Demand::Frames(0),
            done: 0,
            before: 0,
        }
    }

    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        self.workspace.memory_bytes() + self.reclaim.memory_bytes()
    }

    /// A demand arrives.
    pub fn begin(&mut self, demand: Demand, core: &Core) {
        self.demand = demand;
        self.done = 0;
        self.before = self.progress(core);
    }

    /// How many pages or units it was.
    pub fn done(&self) -> u64 {
        self.done
    }

    fn progress(&self, core: &Core) -> u64 {
        match self.demand {
            Demand::Pages(_) => core.counters.unmapped,
            Demand::Units(_) => core.counters.unuses,
            Demand::Frames(_) => 0,
        }
    }

    fn next_step(&mut self, core: &mut Core, now_us: u64) -> Step {
        let ReclaimOnDemand { reclaim, workspace, .. } = self;
        if reclaim.is_running() {
            return reclaim.commit(core, now_us, workspace);
        }
        self.done = self.progress(core) - self.before;
        let ReclaimOnDemand { reclaim, workspace, .. } = self;
        let job = match self.demand {
            Demand::Frames(wanted) if core.frames_for_faults() >= wanted => return Step::NothingToDo,
            Demand::Frames(_) => return reclaim.locked(core, now_us, workspace),
            Demand::Pages(wanted) if self.done < wanted && core.swap_cache.length() == 0 => Job::Unmap,
            Demand::Units(wanted) if self.done < wanted && core.swap_cache.unused() == 0 => Job::Unuse,
            Demand::Pages(_) if core.swap_cache.length() > 0 => Job::SwapOut,
            Demand::Units(_) if core.swap_cache.unused() > 0 => Job::SwapOut,
            Demand::Pages(_) | Demand::Units(_) => return Step::NothingToDo,
        };
        reclaim.plan(job, core, workspace)
    }
}

impl Task for ReclaimOnDemand {
    fn locked(&mut self, core: &mut Core, now_us: u64) -> Next {
        match self.next_step(core, now_us) {
            Step::CarryOut => Next::CarryOut,
            Step::Finished => Next::Again,
            Step::NothingToDo => Next::Done,
        }
    }

    fn carry_out(&mut self, world: World<'_>) {
        self.reclaim.carry_out(world, &mut self.workspace);
    }
}
