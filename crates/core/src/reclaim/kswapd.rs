//! kswapd: the background reclaimer. It is woken when free frames fall below `low` and goes on
//! until there are `high`, and as many more as other processes want, and until everything that unuse took
//! out of zcache has been written.

use crate::engine::Core;
use crate::reclaim::release::Release;
use crate::reclaim::{Reclaim, Step};
use crate::task::{Next, Task, Workspace};
use crate::world::World;
use crate::zcache::codec::CodecKind;

/// Whether kswapd should be woken.
pub fn is_wanted(core: &Core) -> bool {
    core.budget.free() < core.watermarks.low
        || core.unmanaged_owed > 0
        || core.swap_cache.unused() > 0
        || core.pressed() > 0
}

fn has_work(core: &Core) -> bool {
    core.is_short() || core.swap_cache.unused() > 0 || Release::is_due(core)
}

/// One waking of kswapd, from start to sleep; driven anew each time.
pub struct Kswapd {
    workspace: Workspace,
    reclaim: Reclaim,
    /// Jobs since it last got on.
    futile: u32,
    /// The most frames that were not used, and what had been written then.
    got_to: (u32, u64),
}

/// Jobs that get nowhere after which it sleeps, to be woken by the next fault: where the device takes
/// nothing, pages can go back and forth between zcache and swap cache for ever.
const FUTILE_MAX: u32 = 64;

impl Kswapd {
    /// A kswapd with all its memory.
    pub fn new(codec: CodecKind, batch_pages: usize) -> Self {
        Kswapd {
            workspace: Workspace::new(codec, batch_pages),
            reclaim: Reclaim::new(),
            futile: 0,
            got_to: (0, 0),
        }
    }

    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        self.workspace.memory_bytes() + self.reclaim.memory_bytes()
    }
}

impl Kswapd {
    /// Whether the jobs since it was woken have brought anything.
    fn gets_on(&mut self, core: &Core) -> bool {
        let (unused, written) = (core.budget.total() - core.budget.in_use(), core.counters.pswpout);
        let has_got_on = unused > self.got_to.0 || written > self.got_to.1;
        self.futile = if has_got_on { 0 } else { self.futile + 1 };
        self.got_to = (self.got_to.0.max(unused), written);
        self.futile <= FUTILE_MAX
    }

    fn sleep(&mut self, core: &mut Core, now_us: u64) -> Next {
        self.futile = 0;
        if !core.is_resting && core.is_short() {
            core.decline(now_us);
        }
        self.got_to = (0, core.counters.pswpout);
        Next::Done
    }
}

impl Task for Kswapd {
    fn locked(&mut self, core: &mut Core, now_us: u64) -> Next {
        if !self.reclaim.is_running() && (core.is_resting || !has_work(core)) {
            return self.sleep(core, now_us);
        }
        match self.reclaim.locked(core, now_us, &mut self.workspace, false) {
            Step::CarryOut => Next::CarryOut,
            Step::Finished if self.gets_on(core) => Next::Again,
            Step::Finished | Step::NothingToDo => self.sleep(core, now_us),
        }
    }

    fn carry_out(&mut self, world: World<'_>) {
        self.reclaim.carry_out(world, &mut self.workspace);
    }
}
