//! Reclaim: RAM runs short, and cold pages leave.
//!
//! [`lists`] orders the resident pages by age; [`unmap`] takes the oldest out of the program's
//! sight; [`swap_out`] gets them out of the swap cache; [`release`] returns the pool's free
//! frames. [`Reclaim`] decides which of these is next, one job a step. [`kswapd`] runs steps in
//! the background between the [`watermarks`], a fault runs them itself where it must, and
//! [`on_demand`] on somebody's word.

pub mod kswapd;
pub mod lists;
pub mod on_demand;
mod release;
pub mod shadow;
mod swap_out;
mod unmap;
pub mod watermarks;

use crate::engine::Core;
use crate::eviction::{self, unuse::Unuse};
use crate::page::BATCH;
use crate::task::Workspace;
use crate::world::World;
use crate::zcache::pool::ZPAGES_PER_UNIT_MAX;
use release::Release;
use swap_out::SwapOut;
use unmap::Unmap;

/// What a call of [`Reclaim::locked`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Drop the lock and carry out.
    CarryOut,
    /// One job is finished; the caller decides whether it wants another.
    Finished,
    /// There is no job that would help, or the one that was finished did not.
    NothingToDo,
}

/// The jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Resident pages to zcache, device, or swap cache.
    Unmap,
    /// Swap cache to zcache or device.
    SwapOut,
    /// zcache to swap cache.
    Unuse,
    /// Free frames of the pool to the system.
    Release,
}

const JOBS: usize = 4;

/// One worker's jobs with their memory. Any number of workers may be at it at the same time.
pub struct Reclaim {
    running: Option<Job>,
    /// Jobs whose last run got nowhere (the device is full or fails, pages are pinned), until
    /// another job helps: they must not keep it from its turn.
    stuck: [bool; JOBS],
    achieved: u64,
    unmap: Unmap,
    swap_out: SwapOut,
    unuse: Unuse,
    release: Release,
}

impl Default for Reclaim {
    fn default() -> Self {
        Self::new()
    }
}

impl Reclaim {
    /// A worker with all the memory that its jobs need.
    pub fn new() -> Self {
        Reclaim {
            running: None,
            stuck: [false; JOBS],
            achieved: 0,
            unmap: Unmap::new(),
            swap_out: SwapOut::new(),
            unuse: Unuse::new(),
            release: Release::new(),
        }
    }

    /// Bytes that it occupies: lists of at most a batch, a hundred bytes an item.
    pub fn memory_bytes(&self) -> usize {
        100 * (4 * BATCH + 3 * ZPAGES_PER_UNIT_MAX)
    }

    /// Commits the job that runs, or plans the one that helps most. `is_urgent`: somebody waits for
    /// a frame, and what frees one now may be undone later.
    pub fn locked(
        &mut self,
        core: &mut Core,
        now_us: u64,
        workspace: &mut Workspace,
        is_urgent: bool,
    ) -> Step {
        if self.running.is_some() {
            return match self.commit(core, now_us, workspace) {
                Step::CarryOut => Step::CarryOut,
                Step::Finished | Step::NothingToDo => Step::Finished,
            };
        }
        // Packing the pool tighter is cheaper than evicting from it, and than refusing.
        if eviction::is_full(core) && core.compact(BATCH as u32) > 0 {
            return Step::Finished;
        }
        let swap_cache_is_full = core.swap_cache.free_slots() <= (ZPAGES_PER_UNIT_MAX + BATCH) as u32;
        let unused_wait = core.swap_cache.unused() > 0;
        let order = [
            (Job::Release, Release::is_due(core)),
            (Job::Unuse, eviction::is_due(core)),
            (Job::SwapOut, swap_cache_is_full || unused_wait),
            (Job::Unmap, true),
            (Job::SwapOut, true),
            (Job::Release, true),
            (Job::Unuse, is_urgent && core.frames_for_faults() == 0),
        ];
        for (job, is_due) in order {
            let is_tried = is_due && !self.stuck[job as usize];
            if is_tried && self.plan(job, BATCH, core, workspace) == Step::CarryOut {
                return Step::CarryOut;
            }
        }
        self.stuck = [false; JOBS];
        if is_urgent && core.compact(BATCH as u32) > 0 { Step::Finished } else { Step::NothingToDo }
    }

    /// Plans this job, whatever else would help. It unmaps at most `pages_max`.
    pub fn plan(&mut self, job: Job, pages_max: usize, core: &mut Core, workspace: &mut Workspace) -> Step {
        let is_planned = match job {
            Job::Unmap => self.unmap.plan(core, pages_max),
            Job::SwapOut => self.swap_out.plan(core),
            Job::Unuse => self.unuse.plan(core, workspace),
            Job::Release => self.release.plan(core),
        };
        if !is_planned {
            return Step::NothingToDo;
        }
        self.running = Some(job);
        Step::CarryOut
    }

    /// Commits the job that runs.
    pub fn commit(&mut self, core: &mut Core, now_us: u64, workspace: &mut Workspace) -> Step {
        let job = self.running.expect("a job runs");
        let unuses_before = core.counters.unuses;
        self.achieved = 0;
        let (goes_on, has_helped) = match job {
            Job::Unmap => {
                self.achieved = self.unmap.commit(core) as u64;
                (false, self.achieved > 0)
            }
            Job::SwapOut => {
                let goes_on = self.swap_out.commit(core, workspace, now_us);
                (goes_on, self.swap_out.has_helped())
            }
            Job::Unuse => {
                let goes_on = self.unuse.commit(core, now_us);
                self.achieved = core.counters.unuses - unuses_before;
                (goes_on, self.unuse.has_helped())
            }
            Job::Release => {
                self.release.commit(core);
                (false, true)
            }
        };
        core.committed();
        if goes_on {
            return Step::CarryOut;
        }
        self.running = None;
        if has_helped {
            // Frames that go back to the system are no reason for another job to do better.
            if job != Job::Release {
                self.stuck = [false; JOBS];
            }
            Step::Finished
        } else {
            self.stuck[job as usize] = true;
            Step::NothingToDo
        }
    }

    /// Does what was planned.
    pub fn carry_out(&mut self, world: World<'_>, workspace: &mut Workspace) {
        match self.running.expect("a job runs") {
            Job::Unmap => self.unmap.carry_out(world),
            Job::SwapOut => self.swap_out.carry_out(world, workspace),
            Job::Unuse => self.unuse.carry_out(world, workspace),
            Job::Release => self.release.carry_out(world),
        }
    }

    /// Pages that were unmapped, or units that were unused, by the job that was finished last.
    pub fn achieved(&self) -> u64 {
        self.achieved
    }

    /// Whether a job is under way.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }
}
