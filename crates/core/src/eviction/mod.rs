//! Eviction: how a full zcache makes room. [`unuse`] is the RFC's mechanism, [`writeback`] the
//! kernel's of today, and [`intact`] the alternative that the RFC names; without any, a full pool
//! refuses, and whatever comes next goes to the slow device. [`repack`] gets slots back from what
//! [`intact`] has written. [`rfc`] is the patch of 2012, defects and all, for the lab.

pub mod border;
mod intact;
pub(crate) mod repack;
pub mod rfc;
mod unuse;
mod writeback;

use crate::engine::Core;
use crate::page::PageNumber;
use crate::page_table::{Backing, Entry, State};
use crate::task::Workspace;
use crate::world::World;
use std::str::FromStr;

/// The mechanisms by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionKind {
    /// The baseline that the RFC complains about: nothing is evicted, but as the last resort.
    None,
    /// Decompress the coldest frame's pages into the swap cache, denied.
    Unuse,
    /// Decompress the coldest frames' pages and write them at once.
    Writeback,
    /// Write the coldest frames as they are.
    Intact,
    /// Unuse as the RFC's code had it: for the lab, and without a name.
    Rfc(rfc::Defects),
}

impl EvictionKind {
    /// What is wrong with it.
    pub fn defects(self) -> rfc::Defects {
        match self {
            EvictionKind::Rfc(defects) => defects,
            _ => rfc::Defects::default(),
        }
    }
}

impl FromStr for EvictionKind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "none" => Ok(EvictionKind::None),
            "unuse" => Ok(EvictionKind::Unuse),
            "writeback" => Ok(EvictionKind::Writeback),
            "intact" => Ok(EvictionKind::Intact),
            _ => Err(()),
        }
    }
}

/// Frames below the pool's limit at which eviction starts, so that the next batch finds room whatever
/// it compresses to; it goes on until there is twice as much. A small pool keeps a smaller part free.
fn headroom_frames(core: &Core) -> u32 {
    core.config.batch_pages.min(core.frontswap.zcache.pool.arena().limit() / 8)
}

/// Whether the pool could not take the next batch.
pub fn is_full(core: &Core) -> bool {
    let arena = core.frontswap.zcache.pool.arena();
    arena.in_use() + headroom_frames(core) > arena.limit()
}

/// Whether eviction has begun or soon will.
pub fn is_almost_full(core: &Core) -> bool {
    let arena = core.frontswap.zcache.pool.arena();
    arena.in_use() + 4 * headroom_frames(core) > arena.limit()
}

/// Whether zcache can take a page more, now or after it has made room.
pub fn has_room(core: &Core) -> bool {
    core.config.eviction != EvictionKind::None || !is_full(core)
}

/// Whether a full pool is about to have room, so that a page that was refused should wait for it
/// rather than go to the slow device: the page that was used last must not be the first to go there.
pub fn makes_room(core: &Core) -> bool {
    let is_evicting = core.config.eviction != EvictionKind::None && core.rfc.defects().is_empty();
    is_evicting && core.swap_map.has_room()
}

/// Whether the coldest unit should go now. When nothing else is left to go and a fault waits for a
/// frame, it goes in any case.
pub fn is_due(core: &mut Core) -> bool {
    let arena = core.frontswap.zcache.pool.arena();
    if is_full(core) {
        core.is_evicting = true;
    } else if arena.in_use() + 2 * headroom_frames(core) <= arena.limit() {
        core.is_evicting = false;
    }
    // What was taken out already has to reach the device before more is.
    let is_keeping_up = core.swap_cache.unused() < core.config.batch_pages;
    // Without a slot for them its pages could only come back.
    let has_slots = core.swap_map.has_room();
    let is_wanted = match core.rfc.defects().has(rfc::Defect::TargetSign) {
        true => rfc::is_due(core),
        false => core.config.eviction != EvictionKind::None && core.is_evicting,
    };
    is_wanted && is_keeping_up && has_slots
}

/// What came of planning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planned {
    /// There is something to carry out.
    CarryOut,
    /// Frames are free already.
    Finished,
    /// The pool is empty, or has nothing that could go.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Running {
    Unuse,
    Writeback,
    Intact,
}

/// One eviction by whatever mechanism is chosen, with the memory of all of them.
pub(crate) struct Evict {
    running: Running,
    unuse: unuse::Unuse,
    writeback: writeback::Writeback,
    intact: intact::Intact,
}

impl Evict {
    /// Nothing is under way.
    pub fn new() -> Self {
        Evict {
            running: Running::Unuse,
            unuse: unuse::Unuse::new(),
            writeback: writeback::Writeback::new(),
            intact: intact::Intact::new(),
        }
    }

    /// Takes the coldest unit, or a batch of at most `most` of them.
    pub fn plan(&mut self, core: &mut Core, workspace: &mut Workspace, most: usize, now_us: u64) -> Planned {
        let (running, is_planned) = match core.config.eviction {
            EvictionKind::None | EvictionKind::Unuse => {
                (Running::Unuse, self.unuse.plan(core, workspace, now_us))
            }
            EvictionKind::Rfc(_) => (Running::Unuse, self.unuse.plan_by_rfc(core, workspace, now_us)),
            EvictionKind::Writeback => {
                (Running::Writeback, self.writeback.plan(core, workspace, most, now_us))
            }
            EvictionKind::Intact => match self.intact.plan(core, workspace, most, now_us) {
                intact::Plan::Batch => (Running::Intact, true),
                intact::Plan::Freed => return Planned::Finished,
                intact::Plan::Nothing => return Planned::Nothing,
                intact::Plan::Unfit(unit) => {
                    self.unuse.plan_unit(core, workspace, unit, now_us);
                    (Running::Unuse, true)
                }
            },
        };
        self.running = running;
        if is_planned { Planned::CarryOut } else { Planned::Nothing }
    }

    /// Does what was planned.
    pub fn carry_out(&mut self, world: World<'_>, workspace: &mut Workspace) {
        match self.running {
            Running::Unuse => self.unuse.carry_out(world, workspace),
            Running::Writeback => self.writeback.carry_out(world, workspace),
            Running::Intact => self.intact.carry_out(world, workspace),
        }
    }

    /// `true`: there is more to carry out.
    pub fn commit(&mut self, core: &mut Core, now_us: u64) -> bool {
        match self.running {
            Running::Unuse => return self.unuse.commit(core),
            Running::Writeback => self.writeback.commit(core, now_us),
            Running::Intact => self.intact.commit(core, now_us),
        }
        false
    }

    /// Whether the last one made the pool any smaller.
    pub fn has_helped(&self) -> bool {
        match self.running {
            Running::Unuse => self.unuse.has_helped(),
            Running::Writeback => self.writeback.has_helped(),
            Running::Intact => self.intact.has_helped(),
        }
    }
}

/// When it was decided that something goes.
#[derive(Clone, Copy, Debug, Default)]
struct Decision {
    at_us: u64,
}

impl Decision {
    fn at(now_us: u64) -> Self {
        Decision { at_us: now_us }
    }

    /// So many frames are free now.
    fn freed(&self, frames: u32, core: &mut Core, now_us: u64) {
        (0..frames).for_each(|_| core.counters.eviction_us.record(now_us - self.at_us));
    }
}

/// Whether a page's zpage would have to go somewhere: it is all there is of the page, and nobody is
/// at work on it. The copy of a resident page is dropped: the page is dirty without it, that is
/// all.
fn is_to_be_moved(core: &mut Core, page: PageNumber) -> bool {
    let entry = core.pages.get(page);
    let is_copy = entry.state == State::Resident;
    if is_copy && !entry.busy {
        core.drop_copy(entry.backing);
        core.pages.set(page, Entry { backing: Backing::None, ..entry });
    }
    !is_copy && !entry.busy
}
