//! A page fault, from its arrival to its end.
//!
//! | the page is | so |
//! | --- | --- |
//! | empty | map zeros |
//! | resident | lift the write protection; its copy, if any, is invalid from now on |
//! | in the swap cache | move the page frame back; copy it where a task is reading it, or it cannot be moved |
//! | in zcache | decompress, and map write-protected: the zpage stays as a clean copy |
//! | on the device | read, and map write-protected: the slot stays as a clean copy |
//! | lost | poison |
//!
//! A write fault maps without protection and drops the copy. Sequential faults bring more pages
//! ([`readahead`]). A fault takes its frames from above the `min` watermark, and reclaims by
//! itself where there are none.
//!
//! Called by the handler thread, or in signal mode by the thread that faulted: nothing here
//! allocates.

pub mod readahead;

use crate::budget::Use;
use crate::engine::Core;
use crate::eviction;
use crate::eviction::border::{self, Found};
use crate::loss::Loss;
use crate::page::{BATCH_MAX, PAGE_BYTES, PageNumber, ZEROS};
use crate::page_table::{Backing, Entry, State};
use crate::reclaim::lists::List;
use crate::reclaim::{Reclaim, Step, shadow};
use crate::swap_cache::StagingSlot;
use crate::swap_device::fetch::{self, Fetch, Source};
use crate::task::{Next, Task, Workspace};
use crate::world::World;
use crate::zcache::codec::CodecKind;
use crate::zcache::{Loaded, Prepared, same_filled};

/// What the program was about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It wants to read, or nobody knows.
    Read,
    /// It wants to write.
    Write,
}

/// How a fault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The page is there; the access can be tried again.
    Resolved,
    /// The page belongs to no region.
    OutOfBounds,
    /// The page's contents are lost.
    Lost(Loss),
    /// For a long time no frame could be had: the device is full or fails, pages are pinned, or the
    /// system has no memory.
    NoRoom,
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Zero,
    Unprotect,
    Wake,
    Restore { slot: StagingSlot, by_move: bool, before: Entry },
    Load,
    Read,
    Poison,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Plan,
    Reclaim,
    Commit,
    /// A copied page's staging slot has no other reader any more.
    Release(StagingSlot),
}

/// A page that this fault brings.
#[derive(Clone, Copy)]
struct Item {
    before: Entry,
    from: From,
}

#[derive(Clone, Copy)]
enum From {
    /// It holds zeros, or is here already.
    Nowhere,
    Zcache(Loaded),
    Device(Source),
}

/// See the module's description. One fault at a time: `begin`, then drive it to its end.
pub struct FaultTask {
    workspace: Workspace,
    reclaim: Reclaim,
    page: PageNumber,
    access: Access,
    was_mapped: bool,
    /// When it was first looked at.
    began_us: Option<u64>,
    /// When what is carried out was planned.
    planned_us: u64,
    phase: Phase,
    plan: Plan,
    /// The pages from `page` on.
    items: Vec<Item>,
    /// As many of them, from the first on, were brought.
    brought: usize,
    fetch: Fetch,
    has_reclaimed: bool,
    /// The page could not be moved back: the next attempt copies it.
    cannot_move: bool,
    /// Why the page is lost, if this fault has found out.
    loss: Option<Loss>,
    outcome: Outcome,
}

/// Pages right behind this one that come along where they were read with it anyway.
const BUDDIES_MAX: u32 = 3;

/// How long a fault looks for a frame before it ends in an error: nobody waits for ever.
const GIVE_UP_US: u64 = 30_000_000;

impl FaultTask {
    /// A task with all its memory, for faults to come and batches of so many pages.
    pub fn new(codec: CodecKind, batch_pages: usize) -> Self {
        FaultTask {
            workspace: Workspace::new(codec, batch_pages),
            reclaim: Reclaim::new(),
            page: PageNumber(0),
            access: Access::Read,
            was_mapped: false,
            began_us: None,
            planned_us: 0,
            phase: Phase::Plan,
            plan: Plan::Wake,
            items: Vec::with_capacity(BATCH_MAX),
            brought: 0,
            fetch: Fetch::new(batch_pages),
            has_reclaimed: false,
            cannot_move: false,
            loss: None,
            outcome: Outcome::Resolved,
        }
    }

    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        self.workspace.memory_bytes() + self.reclaim.memory_bytes() + Fetch::MEMORY_BYTES
    }

    /// A fault arrives. `was_mapped`: the page was there, only write-protected.
    pub fn begin(&mut self, page: PageNumber, access: Access, was_mapped: bool) {
        self.page = page;
        self.access = access;
        self.was_mapped = was_mapped;
        self.began_us = None;
        self.phase = Phase::Plan;
        self.has_reclaimed = false;
        self.cannot_move = false;
        self.loss = None;
        self.outcome = Outcome::Resolved;
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    fn plan(&mut self, core: &mut Core, now_us: u64) -> Next {
        let Some(region) = core.regions.find(self.page).filter(|region| !region.is_closing) else {
            self.outcome = Outcome::OutOfBounds;
            return Next::Done;
        };
        let entry = core.pages.get(self.page);
        if entry.busy || self.page >= region.watched_until {
            return Next::Wait;
        }
        let pages_left = region.end().0 - self.page.0;
        match entry.state {
            State::Resident if self.was_mapped => return self.plan_unprotect(core, pages_left),
            // Another thread's fault on the same page was served first; or else the program has
            // discarded the page behind our back.
            State::Resident => self.plan = Plan::Wake,
            State::Lost => self.plan = Plan::Poison,
            State::SwapCache | State::Writing => return self.plan_restore(core, now_us, entry),
            State::Empty | State::Zcache | State::Device => return self.plan_bring(core, now_us, pages_left),
        }
        core.pages.set_busy(self.page, true);
        self.go(Phase::Commit, Next::CarryOut)
    }

    fn plan_unprotect(&mut self, core: &mut Core, pages_left: u32) -> Next {
        self.plan = Plan::Unprotect;
        let window = core.write_ahead.window(self.page, core.config.readahead_pages).min(pages_left);
        self.items.clear();
        for page in (0..window).map(|offset| self.page.plus(offset)) {
            let before = core.pages.get(page);
            let is_first = page == self.page;
            if !is_first && (before.busy || !before.is_clean()) {
                break;
            }
            self.items.push(Item { before, from: From::Nowhere });
            core.drop_copy(before.backing);
            core.pages.set(page, Entry { busy: true, backing: Backing::None, ..before });
        }
        core.write_ahead.served(self.page, self.items.len() as u32);
        self.go(Phase::Commit, Next::CarryOut)
    }

    fn plan_restore(&mut self, core: &mut Core, now_us: u64, before: Entry) -> Next {
        let slot = StagingSlot(before.frame);
        let by_copy = self.cannot_move || core.swap_cache.is_being_read(slot);
        if by_copy && !core.budget.take(Use::Resident, 1) {
            return self.reclaim_first(core, now_us);
        }
        core.arriving += u32::from(by_copy);
        core.swap_cache.take_back(slot);
        // Whoever is writing the page gives its slot of the device back.
        let entry = Entry { state: State::SwapCache, busy: true, backing: Backing::None, ..before };
        core.pages.set(self.page, entry);
        self.plan = Plan::Restore { slot, by_move: !by_copy, before };
        self.go(Phase::Commit, Next::CarryOut)
    }

    fn plan_bring(&mut self, core: &mut Core, now_us: u64, pages_left: u32) -> Next {
        let frames = core.frames_for_faults();
        if frames == 0 {
            return self.reclaim_first(core, now_us);
        }
        let window = core.readahead.window(self.page, core.config.readahead_pages);
        let state = core.pages.get(self.page).state;
        // What was read along with the page costs little more than nothing.
        let most = if state == State::Device { window.max(1 + BUDDIES_MAX) } else { window };
        self.items.clear();
        self.fetch.clear();
        self.loss = None;
        for offset in 0..most.min(pages_left).min(frames) {
            let page = self.page.plus(offset);
            let before = core.pages.get(page);
            if before.busy || before.state != state {
                break;
            }
            let from = match before.backing {
                Backing::None => From::Nowhere,
                Backing::SameFilled(_) | Backing::Zpage(_) => {
                    let into = self.workspace.zpage(offset as usize);
                    let loaded = core.frontswap.load(before.backing, into, &mut core.counters);
                    // A write drops the copy.
                    if self.access == Access::Read {
                        core.frontswap.used(before.backing);
                    }
                    From::Zcache(loaded)
                }
                Backing::Slot(_) | Backing::Packed(_) => {
                    if offset >= window && !self.fetch.includes(before.backing) {
                        break;
                    }
                    let Some(source) = self.fetch.add(page, before.backing, &core.swap_map) else { break };
                    From::Device(source)
                }
            };
            self.items.push(Item { before, from });
            core.pages.set_busy(page, true);
        }
        let count = self.items.len() as u32;
        let granted = core.budget.take(Use::Resident, count);
        assert!(granted, "at most `frames` pages are brought");
        core.arriving += count;
        core.readahead.served(self.page, count);
        self.plan = match state {
            State::Empty => Plan::Zero,
            State::Zcache => Plan::Load,
            _ => Plan::Read,
        };
        self.go(Phase::Commit, Next::CarryOut)
    }

    /// Reclaim may say for ever that it gets on, while pages only go back and forth.
    fn reclaim_first(&mut self, core: &mut Core, now_us: u64) -> Next {
        if self.has_waited_long(now_us) {
            return self.give_up(core);
        }
        core.counters.direct_reclaims += u64::from(!self.has_reclaimed);
        self.has_reclaimed = true;
        self.go(Phase::Reclaim, Next::Again)
    }

    fn go(&mut self, phase: Phase, next: Next) -> Next {
        self.phase = phase;
        next
    }

    /// New pages are dirty from the start; others only if this is a write.
    fn protects(&self) -> bool {
        self.access == Access::Read && !matches!(self.plan, Plan::Zero)
    }

    fn commit(&mut self, core: &mut Core, now_us: u64) -> Next {
        let next = match self.plan {
            Plan::Wake => {
                let entry = core.pages.get(self.page);
                if self.brought == 0 {
                    core.drop_copy(entry.backing);
                    core.pages.set(self.page, Entry { backing: Backing::None, ..entry });
                    core.counters.vanished_pages += 1;
                }
                core.pages.set_busy(self.page, false);
                Next::Done
            }
            Plan::Poison => {
                core.pages.set_busy(self.page, false);
                self.outcome = Outcome::Lost(Loss::from_bits(core.pages.get(self.page).frame));
                Next::Done
            }
            Plan::Unprotect => {
                for page in (0..self.items.len()).map(|offset| self.page.plus(offset as u32)) {
                    core.pages.set_busy(page, false);
                }
                core.counters.faults_write_protect += 1;
                Next::Done
            }
            Plan::Restore { slot, by_move, before } if self.brought == 0 => {
                self.commit_not_restored(core, now_us, slot, by_move, before)
            }
            Plan::Restore { slot, by_move, .. } => self.commit_restore(core, slot, by_move),
            Plan::Zero | Plan::Load | Plan::Read => self.commit_bring(core, now_us),
        };
        if next == Next::Done {
            return self.finish(core, now_us);
        }
        core.committed();
        next
    }

    fn finish(&mut self, core: &mut Core, now_us: u64) -> Next {
        core.counters.faults += 1;
        let took_us = now_us - self.began_us.unwrap_or(now_us);
        core.counters.fault_us.record(took_us);
        core.counters.fault_time_us += took_us;
        core.committed();
        Next::Done
    }

    fn commit_restore(&mut self, core: &mut Core, slot: StagingSlot, by_move: bool) -> Next {
        if by_move {
            core.swap_cache.give_slot_back(slot);
            core.budget.transfer(Use::SwapCache, Use::Resident, 1);
        } else {
            core.arriving -= 1;
        }
        core.make_resident(self.page, Backing::None, List::Active);
        core.counters.faults_swap_cache += 1;
        core.counters.refaults += 1;
        core.counters.activations += 1;
        if !by_move && core.swap_cache.reader_done(slot) {
            return self.go(Phase::Release(slot), Next::CarryOut);
        }
        Next::Done
    }

    /// The page stays in the swap cache. Whoever is writing it goes on as if nothing had been.
    fn commit_not_restored(
        &mut self,
        core: &mut Core,
        now_us: u64,
        slot: StagingSlot,
        by_move: bool,
        before: Entry,
    ) -> Next {
        let is_being_read = core.swap_cache.stay(slot);
        let here = Entry { state: State::SwapCache, backing: Backing::None, ..before };
        core.pages.set(self.page, if is_being_read { before } else { here });
        self.cannot_move = by_move;
        if by_move {
            return self.go(Phase::Plan, Next::Again);
        }
        core.arriving -= 1;
        core.budget.give_back(Use::Resident, 1);
        self.wait_or_give_up(core, now_us)
    }

    fn commit_bring(&mut self, core: &mut Core, now_us: u64) -> Next {
        let planned = self.items.len();
        core.arriving -= planned as u32;
        core.budget.give_back(Use::Resident, (planned - self.brought) as u32);
        for (offset, item) in self.items.iter().enumerate() {
            let page = self.page.plus(offset as u32);
            // Compaction may have moved the zpage since.
            let now = core.pages.get(page);
            if offset >= self.brought {
                core.pages.set(page, now.with_busy(false));
                continue;
            }
            let was_evicted = item.before.state != State::Empty;
            let is_refault = offset == 0 && was_evicted;
            let is_recent = is_refault && shadow::is_recent(core, item.before.frame);
            core.counters.refaults += u64::from(is_refault);
            core.counters.activations += u64::from(is_recent);
            let backing = if self.protects() {
                if is_refault { self.copy_to_keep(core, item) } else { now.backing }
            } else {
                core.drop_copy(now.backing);
                Backing::None
            };
            core.make_resident(page, backing, if is_recent { List::Active } else { List::Inactive });
        }
        if self.brought == 0 {
            return self.commit_nothing_brought(core, now_us);
        }
        let found = match self.plan {
            Plan::Load => Some(Found::Zcache),
            Plan::Read => Some(Found::Device),
            _ => None,
        };
        if let Some(found) = found {
            border::refaulted(core, self.items[0].before.frame, found, now_us - self.planned_us);
        }
        let by_source = match self.plan {
            Plan::Zero => &mut core.counters.faults_zero,
            Plan::Load => &mut core.counters.faults_zcache,
            _ => {
                core.counters.pswpin += self.brought as u64;
                &mut core.counters.faults_device
            }
        };
        *by_source += 1;
        core.counters.readahead_pages += self.brought as u64 - 1;
        Next::Done
    }

    /// Which copy the page that has come back keeps. One that is wanted again while zcache would still
    /// have had it is worth a place there: with a copy on the device it would go back to that when
    /// it leaves. A zpage goes to the pool as it is, if that has room; otherwise the page keeps no copy,
    /// and waits for room when it leaves.
    fn copy_to_keep(&self, core: &mut Core, item: &Item) -> Backing {
        let backing = core.pages.get(self.page).backing;
        let From::Device(source) = item.from else { return backing };
        let would_be_there =
            shadow::distance(core, item.before.frame) <= core.frontswap.zcache.pool.zpage_count();
        if !would_be_there || !eviction::has_room(core) {
            return backing;
        }
        let Core { frontswap, budget, counters, .. } = core;
        let stored = self.fetch.zpage(source, &self.workspace.bytes).and_then(|(header, bytes)| {
            frontswap.store(self.page, Prepared::Zpage(header, bytes), budget, counters).ok()
        });
        core.drop_copy(backing);
        stored.unwrap_or(Backing::None)
    }

    /// Either the system had no memory, and the page is still where it was, or the page could
    /// not be read back.
    fn commit_nothing_brought(&mut self, core: &mut Core, now_us: u64) -> Next {
        let Some(loss) = self.loss else { return self.wait_or_give_up(core, now_us) };
        core.lose(self.page, loss);
        // The next round poisons it.
        self.go(Phase::Plan, Next::Again)
    }

    /// There is no frame for the page now; the next attempt begins anew, unless it has been long.
    fn wait_or_give_up(&mut self, core: &mut Core, now_us: u64) -> Next {
        if self.has_waited_long(now_us) { self.give_up(core) } else { self.go(Phase::Plan, Next::Wait) }
    }

    fn has_waited_long(&self, now_us: u64) -> bool {
        now_us - self.began_us.unwrap_or(now_us) > GIVE_UP_US
    }

    fn give_up(&mut self, core: &mut Core) -> Next {
        core.counters.faults_given_up += 1;
        self.outcome = Outcome::NoRoom;
        Next::Done
    }

    /// Decompresses or reads what was planned into the workspace's pages; how many, from the
    /// first on, are good.
    fn fetch(&mut self, world: World<'_>) -> usize {
        let Workspace { compressor, bytes, pages, sealed } = &mut self.workspace;
        if matches!(self.plan, Plan::Read) {
            self.fetch.carry_out(world, sealed, bytes);
        }
        for (index, (item, into)) in self.items.iter().zip(pages).enumerate() {
            let page = self.page.plus(index as u32);
            let result = match &item.from {
                From::Nowhere => unreachable!("there is nothing to be fetched"),
                From::Zcache(Loaded::SameFilled(value)) => {
                    same_filled::fill(into, *value);
                    Ok(())
                }
                From::Zcache(Loaded::Zpage(header)) => {
                    let zpage = &bytes[index * PAGE_BYTES..][..header.length.into()];
                    fetch::decompress(page, header, zpage, compressor, into)
                }
                From::Device(source) => self.fetch.page(*source, page, bytes, compressor, into),
            };
            if let Err(loss) = result {
                self.loss = (index == 0).then_some(loss);
                return index;
            }
        }
        self.items.len()
    }
}

impl Task for FaultTask {
    fn locked(&mut self, core: &mut Core, now_us: u64) -> Next {
        self.began_us.get_or_insert(now_us);
        match self.phase {
            Phase::Plan => {
                self.planned_us = now_us;
                self.plan(core, now_us)
            }
            Phase::Commit => self.commit(core, now_us),
            Phase::Release(slot) => {
                core.swap_cache.give_slot_back(slot);
                core.budget.give_back(Use::SwapCache, 1);
                self.finish(core, now_us)
            }
            Phase::Reclaim => match self.reclaim.locked(core, now_us, &mut self.workspace, true) {
                Step::CarryOut => Next::CarryOut,
                Step::Finished => self.go(Phase::Plan, Next::Again),
                Step::NothingToDo => self.wait_or_give_up(core, now_us),
            },
        }
    }

    fn carry_out(&mut self, world: World<'_>) {
        let memory = world.memory;
        match self.phase {
            Phase::Reclaim => return self.reclaim.carry_out(world, &mut self.workspace),
            Phase::Release(slot) => return memory.release_staged(&[slot]),
            Phase::Plan | Phase::Commit => {}
        }
        match self.plan {
            Plan::Wake => self.brought = usize::from(memory.wake(self.page)),
            Plan::Poison => memory.poison(self.page),
            Plan::Unprotect => memory.unprotect(self.page, self.items.len() as u32),
            Plan::Restore { slot, by_move: true, .. } => {
                self.brought = usize::from(memory.restore_by_move(slot, self.page));
            }
            Plan::Restore { slot, .. } => {
                self.workspace.pages[0].copy_from_slice(&memory.staged(slot)[..]);
                self.brought = memory.map(self.page, &self.workspace.pages[..1], false);
            }
            Plan::Zero => self.brought = memory.map(self.page, &ZEROS[..self.items.len()], false),
            Plan::Load | Plan::Read => {
                let good = self.fetch(world);
                self.brought = memory.map(self.page, &self.workspace.pages[..good], self.protects());
            }
        }
    }
}
