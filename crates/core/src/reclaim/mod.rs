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
use crate::eviction::{self, Evict, Planned, repack, repack::Repack};
use crate::page::BATCH_MAX;
use crate::task::Workspace;
use crate::watch::{self, Watch};
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
    /// Unwatched regions to resident pages.
    Watch,
    /// Resident pages to zcache, device, or swap cache.
    Unmap,
    /// Swap cache to zcache or device.
    SwapOut,
    /// zcache to swap cache, or to the device.
    Evict,
    /// Units on the device that have holes to zcache.
    Repack,
    /// Free frames of the pool to the system.
    Release,
}

const JOBS: usize = 6;

/// One worker's jobs with their memory. Any number of workers may be at it at the same time.
pub struct Reclaim {
    running: Option<Job>,
    /// Jobs whose last run got nowhere (the device is full or fails, pages are pinned), until
    /// another job helps: they must not keep it from its turn.
    stuck: [bool; JOBS],
    achieved: u64,
    watch: Watch,
    unmap: Unmap,
    swap_out: SwapOut,
    evict: Evict,
    repack: Repack,
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
            watch: Watch::new(),
            unmap: Unmap::new(),
            swap_out: SwapOut::new(),
            evict: Evict::new(),
            repack: Repack::new(),
            release: Release::new(),
        }
    }

    /// Bytes that it occupies: lists of at most a batch, a hundred bytes an item.
    pub fn memory_bytes(&self) -> usize {
        100 * (9 * BATCH_MAX + 6 * ZPAGES_PER_UNIT_MAX)
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
        if eviction::is_full(core) && core.compact(core.config.batch_pages) > 0 {
            return Step::Finished;
        }
        let swap_cache_is_full =
            core.swap_cache.room() <= ZPAGES_PER_UNIT_MAX as u32 + core.config.batch_pages;
        let unused_wait = core.swap_cache.unused() > 0;
        let order = [
            (Job::Watch, watch::is_due(core, is_urgent)),
            (Job::Release, Release::is_due(core)),
            (Job::Repack, repack::is_due(core)),
            (Job::Evict, eviction::is_due(core)),
            (Job::SwapOut, swap_cache_is_full || unused_wait),
            (Job::Unmap, true),
            (Job::SwapOut, true),
            (Job::Release, true),
            (Job::Evict, is_urgent && core.frames_for_faults() == 0),
        ];
        for (job, is_due) in order {
            let is_tried = is_due && !self.stuck[job as usize];
            if is_tried {
                match self.plan(job, core.batch_pages(), core, workspace, now_us) {
                    Step::NothingToDo => {}
                    step => return step,
                }
            }
        }
        self.stuck = [false; JOBS];
        if is_urgent && core.compact(core.config.batch_pages) > 0 {
            Step::Finished
        } else {
            Step::NothingToDo
        }
    }

    /// Plans this job, whatever else would help. It unmaps at most so many pages, or evicts at most
    /// so many units.
    pub fn plan(
        &mut self,
        job: Job,
        most: usize,
        core: &mut Core,
        workspace: &mut Workspace,
        now_us: u64,
    ) -> Step {
        let evicted_before = core.counters.evicted_units;
        let is_planned = match job {
            Job::Watch => self.watch.plan(core),
            Job::Unmap => self.unmap.plan(core, most),
            Job::SwapOut => self.swap_out.plan(core),
            Job::Evict => match self.evict.plan(core, workspace, most, now_us) {
                Planned::CarryOut => true,
                Planned::Nothing => false,
                Planned::Finished => {
                    self.achieved = core.counters.evicted_units - evicted_before;
                    return Step::Finished;
                }
            },
            Job::Repack => self.repack.plan(core),
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
        let evicted_before = core.counters.evicted_units;
        self.achieved = 0;
        let (goes_on, has_helped) = match job {
            // What is watched can be unmapped.
            Job::Watch => (self.watch.commit(core), true),
            Job::Unmap => {
                self.achieved = self.unmap.commit(core) as u64;
                (false, self.achieved > 0)
            }
            Job::SwapOut => {
                let goes_on = self.swap_out.commit(core, workspace, now_us);
                (goes_on, self.swap_out.has_helped())
            }
            Job::Evict => {
                let goes_on = self.evict.commit(core, now_us);
                self.achieved = core.counters.evicted_units - evicted_before;
                (goes_on, self.evict.has_helped())
            }
            Job::Repack => (self.repack.commit(core, workspace), self.repack.has_helped()),
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
            Job::Watch => self.watch.carry_out(world),
            Job::Unmap => self.unmap.carry_out(world),
            Job::SwapOut => self.swap_out.carry_out(world, workspace),
            Job::Evict => self.evict.carry_out(world, workspace),
            Job::Repack => self.repack.carry_out(world, workspace),
            Job::Release => self.release.carry_out(world),
        }
    }

    /// Pages that were unmapped, or units that were evicted, by the job that was finished last.
    pub fn achieved(&self) -> u64 {
        self.achieved
    }

    /// Whether a job is under way.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }
}
