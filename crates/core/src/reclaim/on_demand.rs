//! Reclaim on somebody's word: so many pages out of sight, or so many units of the pool evicted.

use crate::engine::Core;
use crate::reclaim::{Job, Reclaim, Step};
use crate::task::{Next, Task, Workspace};
use crate::watch;
use crate::world::World;
use crate::zcache::codec::CodecKind;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Unmap so many pages, and get the swap cache empty.
    Pages(u64),
    /// Evict so many units of the pool, as far as none of their pages is just in use, and get
    /// their pages written.
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
    /// Units that were tried: pages of some may be in use.
    attempts: u64,
}

impl ReclaimOnDemand {
    /// A task with all its memory.
    pub fn new(codec: CodecKind, batch_pages: usize) -> Self {
        ReclaimOnDemand {
            workspace: Workspace::new(codec, batch_pages),
            reclaim: Reclaim::new(),
            demand: Demand::Frames(0),
            done: 0,
            attempts: 0,
        }
    }

    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        self.workspace.memory_bytes() + self.reclaim.memory_bytes()
    }

    /// A demand arrives.
    pub fn begin(&mut self, demand: Demand) {
        self.demand = demand;
        self.done = 0;
        self.attempts = 0;
    }

    /// How many pages or units it was.
    pub fn done(&self) -> u64 {
        self.done
    }

    fn next_step(&mut self, core: &mut Core, now_us: u64) -> Step {
        let ReclaimOnDemand { reclaim, workspace, demand, done, attempts } = self;
        let is_for_frames = matches!(demand, Demand::Frames(_));
        if reclaim.is_running() && !is_for_frames {
            let step = reclaim.commit(core, now_us, workspace);
            *done += reclaim.achieved();
            return step;
        }
        let job = match *demand {
            Demand::Frames(wanted) if !reclaim.is_running() && core.frames_for_faults() >= wanted => {
                return Step::NothingToDo;
            }
            Demand::Frames(_) => return reclaim.locked(core, now_us, workspace, true),
            Demand::Pages(wanted) if *done < wanted && watch::has_any(core) => Job::Watch,
            Demand::Pages(wanted) if *done < wanted && core.swap_cache.length() == 0 => Job::Unmap,
            Demand::Units(wanted)
                if *done < wanted && *attempts < wanted && core.swap_cache.unused() == 0 =>
            {
                Job::Evict
            }
            Demand::Pages(_) if core.swap_cache.length() > 0 => Job::SwapOut,
            Demand::Units(_) if core.swap_cache.unused() > 0 => Job::SwapOut,
            Demand::Pages(_) | Demand::Units(_) => return Step::NothingToDo,
        };
        *attempts += u64::from(job == Job::Evict);
        let left = match *demand {
            Demand::Pages(wanted) | Demand::Units(wanted) => wanted.saturating_sub(*done),
            Demand::Frames(_) => 0,
        };
        let step = reclaim.plan(job, left as usize, core, workspace, now_us);
        *done += if step == Step::Finished { reclaim.achieved() } else { 0 };
        step
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
