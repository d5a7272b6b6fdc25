//! A core's side of the ledger: what it holds of the frames of its budget, the rest of them being
//! [`Use::Elsewhere`].
//!
//! After each plan and commit the core *settles*: below the low watermark it asks for a chunk before anybody
//! reclaims; with far more free than that it gives some back; and what it is pressed for it gives from what is free,
//! kswapd's watermarks being raised by as much until that is done. All of this is a few atomic words, and most
//! of the time none: who was refused asks again when somebody has given back, or after a while.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::{Ledger, Place};
use crate::budget::Use;
use crate::engine::{Config, Core};

/// Frames that are asked for at once: such a part of all, but a MiB at least.
const CHUNK_ONE_IN: u32 = 64;
const CHUNK_FRAMES_MIN: u32 = 256;
/// How soon somebody asks again who was refused, if nobody has given back.
const ASK_AGAIN_US: u64 = 10_000;
/// How long who is pressed gives only what its own faults do not need.
const GENTLE_US: u64 = 20_000;

/// See the module's description.
pub struct Share {
    ledger: &'static Ledger,
    place: Place,
    /// What the clock that all share was at this core's 0.
    epoch_us: u64,
    /// The count of changes at the last refusal, and when that was.
    refused: Option<(u32, u64)>,
    /// What the floor was last set for: pages of all regions, slots that were lost, frames that are not managed,
    /// locked pages.
    floor_for: [u32; 4],
    /// Somebody was pressed, and has to be woken.
    calls: bool,
    dealings: Dealings,
}

/// What came of sharing so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dealings {
    /// Times that a frame was wanted and there was none in the ledger.
    pub refusals: u64,
    /// Frames that were given to others because they were wanted there.
    pub given_frames: u64,
    /// Times that this could not be done, or not with all of them.
    pub declines: u64,
}

/// How somebody comes to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Rather later than to hold more, all together, than there is.
    Patient,
    /// Now, if its floor has room.
    Impatient,
    /// What it holds is there already, and nobody can refuse it.
    Forked,
}

/// How that came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It has its frames.
    Entered,
    /// There is no room yet for the least that it needs.
    Later {
        /// Somebody was pressed for it, and has to be woken.
        calls: bool,
    },
    /// There is no room for what it cannot do without.
    TooSmall {
        /// That, in frames.
        floor_frames: u32,
    },
}

impl Core {
    /// Enters the ledger at a place that was just claimed, with what is in use and the least that has to be free.
    pub fn join(
        &mut self,
        ledger: &'static Ledger,
        place: Place,
        arrival: Arrival,
        epoch_us: u64,
        now_us: u64,
    ) -> Joined {
        let total = self.budget.total();
        let floor_for = self.floor_for();
        let floor = self.floor_frames(floor_for[0]);
        if arrival == Arrival::Forked {
            ledger.entry(place).floor.store(floor, SeqCst);
        } else if !ledger.promise(place, floor, total) {
            return Joined::TooSmall { floor_frames: floor };
        }
        let now_us = epoch_us + now_us;
        let needed = (self.budget.in_use() + self.watermarks.min + Config::RAM_FRAMES_MIN).min(total);
        if arrival == Arrival::Patient {
            let granted = ledger.take(place, needed, total);
            if granted < needed {
                ledger.give_back(place, granted);
                ledger.entry(place).refused_us.store(now_us, SeqCst);
                return Joined::Later { calls: ledger.press_for(place, needed, total, now_us) };
            }
        } else {
            ledger.overdraw(place, needed);
        }
        self.budget.give_back(Use::Elsewhere, self.budget.used(Use::Elsewhere));
        let are_free = self.budget.take(Use::Elsewhere, total - needed);
        assert!(are_free, "what is not needed is free");
        let calls = ledger.press_for_overdraft(total, now_us);
        let dealings = Dealings::default();
        self.share = Some(Share { ledger, place, epoch_us, refused: None, floor_for, calls, dealings });
        self.resize();
        Joined::Entered
    }

    /// After a fork, in the child: the share is the parent's.
    pub fn forget_share(&mut self) {
        self.share = None;
    }

    /// What came of sharing so far, if there is anything to share.
    pub fn dealings(&self) -> Option<Dealings> {
        self.share.as_ref().map(|share| share.dealings)
    }

    /// Frames that others want of us.
    pub fn pressed(&self) -> u32 {
        self.share.as_ref().map_or(0, |share| share.ledger.entry(share.place).pressed())
    }

    /// What this core's kswapd sleeps on, if others can wake it.
    pub fn alarm(&self) -> Option<&'static AtomicU32> {
        self.share.as_ref().map(|share| &share.ledger.entry(share.place).alarm)
    }

    /// The ledger, if somebody was pressed there who has to be woken.
    pub fn take_call(&mut self) -> Option<&'static Ledger> {
        let share = self.share.as_mut()?;
        std::mem::take(&mut share.calls).then_some(share.ledger)
    }

    /// Brings the ledger and this core's part of it up to date. Called after every plan and commit.
    pub fn settle(&mut self, now_us: u64) {
        let floor_for = self.floor_for();
        let Some(share) = &mut self.share else { return };
        let now_us = share.epoch_us + now_us;
        if floor_for != share.floor_for {
            share.floor_for = floor_for;
            self.promise(floor_for[0]);
        }
        if self.pressed() > 0 {
            self.give_what_is_pressed_for(now_us);
        }
        let free = self.budget.free();
        if free < self.watermarks.low + self.unmanaged_owed {
            self.ask(now_us);
        } else {
            let chunk = self.chunk_frames();
            let kept = self.watermarks.high + self.unmanaged_owed + chunk;
            if free > kept + chunk {
                self.part_with(free - kept);
            }
        }
    }

    /// Asks for so many frames at once, for which nobody is pressed. `false`: there are not so many.
    pub fn ask_for_all(&mut self, frames: u32) -> bool {
        let Some(Share { ledger, place, .. }) = self.share else { return false };
        let granted = ledger.take(place, frames, self.budget.total());
        if granted < frames {
            ledger.give_back(place, granted);
            return false;
        }
        self.receive(granted);
        true
    }

    /// kswapd has tried in vain to free what others want.
    pub fn decline(&mut self, now_us: u64) {
        if let Some(share) = &self.share
            && self.pressed() > 0
        {
            self.has_declined(share.epoch_us + now_us);
        }
    }

    /// Sets what this core cannot do without when its regions have so many pages. `false`: there is no room for that.
    pub fn promise(&self, page_count: u32) -> bool {
        let Some(share) = &self.share else { return true };
        share.ledger.promise(share.place, self.floor_frames(page_count), self.budget.total())
    }

    /// Has the floor rise by so many frames more, or by as many of them as there is room for. How many.
    pub(crate) fn promise_more(&self, frames: u32) -> u32 {
        let Some(share) = &self.share else { return frames };
        let total = self.budget.total();
        let others = share.ledger.floors() - u64::from(share.ledger.entry(share.place).floor());
        let floor = self.floor_frames(self.regions.page_count());
        let room = u64::from(total).saturating_sub(others + u64::from(floor));
        let granted = u64::from(frames).min(room) as u32;
        if share.ledger.promise(share.place, floor + granted, total) { granted } else { 0 }
    }

    /// The most pages that its regions could have beside what others cannot do without.
    pub fn promised_pages_max(&self) -> u32 {
        let most = self.capacity_pages();
        let Some(share) = &self.share else { return most };
        let others = share.ledger.floors() - u64::from(share.ledger.entry(share.place).floor());
        let left = u64::from(self.budget.total()).saturating_sub(others);
        let (mut fits, mut too_many) = (0, most + 1);
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            if u64::from(self.floor_frames(middle)) <= left { fits = middle } else { too_many = middle }
        }
        fits
    }

    /// Panics unless what this core holds is what the ledger has of it.
    pub fn check_share(&self) {
        if let Some(share) = &self.share {
            assert_eq!(self.held_frames(), share.ledger.entry(share.place).held(), "frames held");
        }
    }

    fn floor_for(&self) -> [u32; 4] {
        let unmanaged = self.budget.used(Use::Unmanaged) + self.unmanaged_owed;
        [self.regions.page_count(), self.swap_map.retired(), unmanaged, self.locked.length()]
    }

    fn chunk_frames(&self) -> u32 {
        (self.budget.total() / CHUNK_ONE_IN).max(CHUNK_FRAMES_MIN)
    }

    fn ask(&mut self, now_us: u64) {
        let total = self.budget.total();
        let wanted = self.chunk_frames().max(self.watermarks.high + self.unmanaged_owed - self.budget.free());
        let Some(share) = &mut self.share else { return };
        let Share { ledger, place, .. } = *share;
        let changes = ledger.changes.load(SeqCst);
        if share.refused.is_some_and(|(then, at_us)| then == changes && now_us < at_us + ASK_AGAIN_US) {
            return;
        }
        let granted = ledger.take(place, wanted, total);
        if granted < wanted {
            let share = self.share.as_mut().expect("it was here");
            share.refused = Some((changes, now_us));
            share.dealings.refusals += 1;
            ledger.entry(place).refused_us.store(now_us, SeqCst);
            share.calls |= ledger.press_for(place, wanted - granted, total, now_us);
        }
        if granted > 0 {
            self.receive(granted);
        }
    }

    /// Gives from what is free. When somebody waits already, its own faults have to reclaim for themselves.
    fn give_what_is_pressed_for(&mut self, now_us: u64) {
        let Some(Share { ledger, place, .. }) = self.share else { return };
        let entry = ledger.entry(place);
        let is_gentle = super::is_recent(entry.pressed_us.load(SeqCst), now_us, GENTLE_US);
        let kept =
            if is_gentle { self.watermarks.high } else { self.watermarks.min + self.config.batch_pages / 2 };
        let spare = entry.spare();
        let frames = self.budget.free().saturating_sub(kept).min(entry.pressed()).min(spare);
        if frames > 0 {
            self.part_with(frames);
        }
        let left = entry.pressed.fetch_sub(frames, SeqCst) - frames;
        let share = self.share.as_mut().expect("it was here");
        share.dealings.given_frames += u64::from(frames);
        if left == 0 {
            self.has_answered(now_us);
        } else if frames == spare {
            // It is at its floor.
            self.has_declined(now_us);
        }
    }

    fn has_declined(&mut self, now_us: u64) {
        let Some(share) = &mut self.share else { return };
        share.dealings.declines += 1;
        share.ledger.entry(share.place).declined_us.store(now_us, SeqCst);
        self.has_answered(now_us);
    }

    fn has_answered(&mut self, now_us: u64) {
        let total = self.budget.total();
        let Some(share) = &mut self.share else { return };
        share.ledger.entry(share.place).pressed.store(0, SeqCst);
        share.calls |= share.ledger.press_for_overdraft(total, now_us);
    }

    fn receive(&mut self, frames: u32) {
        self.budget.give_back(Use::Elsewhere, frames);
        self.resize();
        self.pay_for_unmanaged();
    }

    fn part_with(&mut self, frames: u32) {
        let are_free = self.budget.take(Use::Elsewhere, frames);
        assert!(are_free, "free frames are given");
        let Some(share) = &self.share else { return };
        share.ledger.give_back(share.place, frames);
        self.resize();
    }
}
