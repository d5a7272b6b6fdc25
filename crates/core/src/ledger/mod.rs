//! The ledger: one number of frames for a tree of processes, each of which has a core of its own ([`share`]).
//!
//! It is a table in memory that all of them share, of atomic words and nothing else, with an entry for each
//! core. There is no lock that somebody could take with him when he is killed, and no count of what is free
//! that could be wrong after that: free is what nobody holds. Who wants more claims it first and then adds up
//! what all hold; of two who claim the last frames at the same time each sees the other, and at least one steps back.
//! An entry counts as long as its owner lives; the world tells that by a word that it changes when he dies.
//!
//! Each entry has a *floor*: what its core cannot do without. All floors together are never more than there is (but
//! for forked children, whom nobody can refuse), so whoever is below his floor finds somebody above his own.
//!
//! # Who gives way
//! Who was refused a frame within the last second is *hungry*, all others are *sated*. When somebody is
//! refused, one other is pressed for a chunk:
//! 1. of the sated the one with the most above its floor: it sleeps, or what it does fits into what it has. If the
//!    chunk was in use after all, it comes back for it, and is hungry then;
//! 2. if all others are hungry: the one with the most, but only from above an equal share to below it, and by a
//!    whole chunk on both sides, so that nothing goes back and forth.
//!
//! One is pressed at a time, and others if he does not answer (he may be stopped). Who asks never waits for that: it
//! reclaims its own pages meanwhile, so that nobody waits for anybody.
//!
//! Where more is held than there is, after a fork or when a process came that could not wait, all are pressed at once, in
//! equal parts of what they have above their floors, until that is paid back.

pub mod share;

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

/// Cores at a time.
pub const ENTRIES: usize = 1023;

/// Set in the word of life of an entry whose owner is dead. The kernel sets this bit ([`Entry::life`]).
pub const DEAD: u32 = 1 << 30;

/// How long somebody is hungry after he was refused.
const HUNGRY_US: u64 = 1_000_000;
/// How long somebody who is pressed has time before others are pressed, too.
const ANSWER_US: u64 = 100_000;
/// How long somebody is left alone who could give nothing.
const DECLINED_US: u64 = 1_000_000;
/// How often a claim on floors is tried again that may have failed because of another that failed, too.
const ATTEMPTS: u32 = 16;

/// What is shared. All zeros is a ledger without entries.
#[repr(C, align(64))]
pub struct Ledger {
    /// The most frames that were held at any time.
    most: AtomicU64,
    /// Owners that there were so far.
    owners: AtomicU64,
    /// Counts what was given back: who was refused need not ask again before.
    changes: AtomicU32,
    /// Entries that were ever used: all from the first on.
    used: AtomicU32,
    entries: [Entry; ENTRIES],
}

/// One core's. Times are in microseconds of a clock that all share, 0 for never.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Entry {
    /// 0 if nobody ever had it; what its owner chose; with [`DEAD`] set, it is free again.
    pub life: AtomicU32,
    /// What its kswapd sleeps on.
    pub alarm: AtomicU32,
    /// Frames that it has, in use or free. Only its owner changes it.
    held: AtomicU32,
    /// Frames that it cannot do without.
    floor: AtomicU32,
    /// Frames that it is to give back. Others set it from 0, its owner counts it down.
    pressed: AtomicU32,
    pressed_us: AtomicU64,
    declined_us: AtomicU64,
    refused_us: AtomicU64,
}

/// The number of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

impl Default for Ledger {
    fn default() -> Self {
        Ledger {
            most: AtomicU64::new(0),
            owners: AtomicU64::new(0),
            changes: AtomicU32::new(0),
            used: AtomicU32::new(0),
            entries: std::array::from_fn(|_| Entry::default()),
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.live().map(|(place, entry)| (place.0, entry.held()));
        formatter.debug_map().entries(held).finish()
    }
}

impl Ledger {
    /// Makes an entry somebody's who is known by this word as long as he lives; each that is tried is told
    /// before. `None`: there are too many.
    pub fn claim(&self, life: u32, mut before_claim: impl FnMut(&Entry)) -> Option<Place> {
        assert!(life != 0 && life & DEAD == 0);
        let place = self.entries.iter().position(|entry| {
            let before = entry.life.load(SeqCst);
            if is_alive(before) {
                return false;
            }
            before_claim(entry);
            entry.life.compare_exchange(before, life, SeqCst, SeqCst).is_ok()
        })?;
        let entry = &self.entries[place];
        // What its last owner held came back with his death, and was seen as his until now for a moment.
        for word in [&entry.held, &entry.floor, &entry.pressed] {
            word.store(0, SeqCst);
        }
        for time in [&entry.pressed_us, &entry.declined_us, &entry.refused_us] {
            time.store(0, SeqCst);
        }
        self.used.fetch_max(place as u32 + 1, SeqCst);
        self.owners.fetch_add(1, SeqCst);
        self.changes.fetch_add(1, SeqCst);
        Some(Place(place))
    }

    /// Frees an entry, and all that it holds.
    pub fn leave(&self, place: Place) {
        self.entry(place).life.store(DEAD, SeqCst);
        self.changes.fetch_add(1, SeqCst);
    }

    /// One entry.
    pub fn entry(&self, place: Place) -> &Entry {
        &self.entries[place.0]
    }

    /// All entries whose owners live.
    pub fn live(&self) -> impl Iterator<Item = (Place, &Entry)> {
        let used = self.used.load(SeqCst) as usize;
        let entries = self.entries[..used.min(ENTRIES)].iter().enumerate();
        let entries = entries.map(|(place, entry)| (Place(place), entry));
        entries.filter(|(_, entry)| is_alive(entry.life.load(SeqCst)))
    }

    /// The alarms of all who are pressed, and may be asleep.
    pub fn alarms(&self) -> impl Iterator<Item = &AtomicU32> {
        self.live().filter(|(_, entry)| entry.pressed() > 0).map(|(_, entry)| &entry.alarm)
    }

    /// Frames that all hold together.
    pub fn held(&self) -> u64 {
        self.live().map(|(_, entry)| u64::from(entry.held())).sum()
    }

    /// The most that this was at any time.
    pub fn most(&self) -> u64 {
        self.most.load(SeqCst)
    }

    /// What all floors come to.
    pub fn floors(&self) -> u64 {
        self.live().map(|(_, entry)| u64::from(entry.floor())).sum()
    }

    /// Gives out as many of `wanted` frames as there are, of `total` in all.
    fn take(&self, place: Place, wanted: u32, total: u32) -> u32 {
        let entry = self.entry(place);
        entry.held.fetch_add(wanted, SeqCst);
        let held = self.held();
        let over = held.saturating_sub(total.into());
        let granted = u64::from(wanted).saturating_sub(over) as u32;
        entry.held.fetch_sub(wanted - granted, SeqCst);
        if granted > 0 {
            self.most.fetch_max(held - u64::from(wanted - granted), SeqCst);
        }
        granted
    }

    /// Takes frames, whether there are any or not.
    fn overdraw(&self, place: Place, frames: u32) {
        self.entry(place).held.fetch_add(frames, SeqCst);
        self.most.fetch_max(self.held(), SeqCst);
    }

    fn give_back(&self, place: Place, frames: u32) {
        self.entry(place).held.fetch_sub(frames, SeqCst);
        self.changes.fetch_add(1, SeqCst);
    }

    /// Sets a floor, if there is room for it. `false`: it is what it was.
    fn promise(&self, place: Place, floor: u32, total: u32) -> bool {
        let entry = self.entry(place);
        for attempt in 0..ATTEMPTS {
            let before = entry.floor.swap(floor, SeqCst);
            if floor <= before || self.floors() <= total.into() {
                return true;
            }
            entry.floor.store(before, SeqCst);
            // Somebody else may have tried at the same moment: not both again.
            (0..(attempt << place.0.min(4))).for_each(|_| std::hint::spin_loop());
        }
        false
    }

    /// Presses somebody for `frames` that `asking` was refused. Whether anybody was.
    fn press_for(&self, asking: Place, frames: u32, total: u32, now_us: u64) -> bool {
        if self.is_answer_awaited(now_us) {
            return false;
        }
        let chosen = self.most_spare(now_us, |place, entry| place != asking && !entry.is_hungry(now_us));
        let chosen = chosen.or_else(|| {
            let asker = self.entry(asking);
            let (hungry, sated) = self.live().fold((0, 0), |(hungry, sated), (place, entry)| {
                let is_hungry = place == asking || entry.is_hungry(now_us);
                if is_hungry { (hungry + 1, sated) } else { (hungry, sated + u64::from(entry.held())) }
            });
            let share = u64::from(total).saturating_sub(sated) / hungry.max(1);
            let is_below_floor = asker.held() < asker.floor();
            if !is_below_floor && u64::from(asker.held()) + u64::from(frames) > share {
                return None;
            }
            self.most_spare(now_us, |place, entry| {
                let is_above_share = u64::from(entry.held()) >= share + u64::from(frames);
                place != asking && (is_below_floor || is_above_share)
            })
        });
        chosen.is_some_and(|entry| entry.press(frames, now_us))
    }

    /// Presses all who have any above their floors, if more is held than there is. Whether anybody was.
    fn press_for_overdraft(&self, total: u32, now_us: u64) -> bool {
        let over = self.held().saturating_sub(total.into());
        if over == 0 || self.is_answer_awaited(now_us) {
            return false;
        }
        let able = || self.live().filter(|(_, entry)| entry.could_give(now_us));
        let spare: u64 = able().map(|(_, entry)| u64::from(entry.spare())).sum();
        // To be paid for in equal parts of what they have to spare.
        able().fold(false, |any, (_, entry)| {
            let frames = (over * u64::from(entry.spare())).div_ceil(spare.max(1));
            entry.press(frames as u32, now_us) || any
        })
    }

    fn is_answer_awaited(&self, now_us: u64) -> bool {
        self.live().any(|(_, entry)| {
            entry.pressed() > 0 && is_recent(entry.pressed_us.load(SeqCst), now_us, ANSWER_US)
        })
    }

    /// Of those that `may_be` it, and of whom anything could be had now, the one with the most above its floor.
    fn most_spare(&self, now_us: u64, may_be: impl Fn(Place, &Entry) -> bool) -> Option<&Entry> {
        let all = self.live().filter(|(place, entry)| entry.could_give(now_us) && may_be(*place, entry));
        all.map(|(_, entry)| entry).max_by_key(|entry| entry.spare())
    }
}

impl Entry {
    /// Frames that it has.
    pub fn held(&self) -> u32 {
        self.held.load(SeqCst)
    }

    /// Frames that it cannot do without.
    pub fn floor(&self) -> u32 {
        self.floor.load(SeqCst)
    }

    /// Frames that it is to give back.
    pub fn pressed(&self) -> u32 {
        self.pressed.load(SeqCst)
    }

    fn spare(&self) -> u32 {
        self.held().saturating_sub(self.floor())
    }

    fn could_give(&self, now_us: u64) -> bool {
        let has_declined = is_recent(self.declined_us.load(SeqCst), now_us, DECLINED_US);
        self.pressed() == 0 && self.spare() > 0 && !has_declined
    }

    /// It is to give so many frames. `false`: somebody else was faster, or it has none any more.
    fn press(&self, frames: u32, now_us: u64) -> bool {
        let frames = frames.min(self.spare());
        self.pressed_us.store(now_us, SeqCst);
        frames > 0 && self.pressed.compare_exchange(0, frames, SeqCst, SeqCst).is_ok()
    }

    fn is_hungry(&self, now_us: u64) -> bool {
        is_recent(self.refused_us.load(SeqCst), now_us, HUNGRY_US)
    }
}

fn is_alive(life: u32) -> bool {
    life != 0 && life & DEAD == 0
}

fn is_recent(time_us: u64, now_us: u64, within_us: u64) -> bool {
    time_us != 0 && now_us.saturating_sub(time_us) < within_us
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    const NOW_US: u64 = 5_000_000;

    /// A ledger whose entries hold so much, with such floors.
    fn ledger(entries: &[[u32; 2]]) -> (Ledger, Vec<Place>) {
        let ledger = Ledger::default();
        let places = entries.iter().map(|[held, floor]| {
            let place = ledger.claim(7, |_| ()).unwrap();
            ledger.overdraw(place, *held);
            assert!(ledger.promise(place, *floor, 1000));
            place
        });
        let places = places.collect();
        (ledger, places)
    }

    #[test]
    fn no_more_is_given_out_than_there_is_whoever_asks_at_the_same_time() {
        const TOTAL: u32 = 1000;
        let ledger = Ledger::default();
        let is_over = AtomicBool::new(false);
        let granted_all = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for life in 1..5 {
                let (ledger, is_over, granted_all) = (&ledger, &is_over, &granted_all);
                scope.spawn(move || {
                    let place = ledger.claim(life, |_| ()).unwrap();
                    for turn in 0..20_000 {
                        let granted = ledger.take(place, 1 + (turn * life) % 700, TOTAL);
                        // What others claim in vain is seen for a moment; what was granted is not.
                        let all = granted_all.fetch_add(granted.into(), SeqCst) + u64::from(granted);
                        is_over.fetch_or(all > TOTAL.into(), SeqCst);
                        granted_all.fetch_sub(granted.into(), SeqCst);
                        ledger.give_back(place, granted);
                    }
                });
            }
        });
        assert!(!is_over.load(SeqCst));
        assert_eq!(ledger.held(), 0);
        assert!(ledger.most() > 0 && ledger.most() <= TOTAL.into());
    }

    #[test]
    fn the_share_of_the_dead_is_free_and_so_is_their_place() {
        let (ledger, places) = ledger(&[[600, 100], [400, 100]]);
        assert_eq!(ledger.take(places[1], 100, 1000), 0);
        ledger.entry(places[0]).life.fetch_or(DEAD, SeqCst);
        assert_eq!((ledger.held(), ledger.floors()), (400, 100));
        assert_eq!(ledger.take(places[1], 800, 1000), 600);
        assert_eq!(ledger.claim(9, |_| ()), Some(places[0]));
        assert_eq!(ledger.entry(places[0]).held(), 0);
    }

    #[test]
    fn floors_are_never_more_than_there_is() {
        let (ledger, places) = ledger(&[[0, 600], [0, 300]]);
        assert!(!ledger.promise(places[1], 401, 1000));
        assert_eq!(ledger.entry(places[1]).floor(), 300);
        assert!(ledger.promise(places[0], 500, 1000) && ledger.promise(places[1], 401, 1000));
    }

    fn pressed(ledger: &Ledger, places: &[Place]) -> Vec<u32> {
        places.iter().map(|place| ledger.entry(*place).pressed()).collect()
    }

    #[test]
    fn the_sated_with_the_most_to_spare_is_pressed_and_one_at_a_time() {
        let (ledger, places) = ledger(&[[200, 100], [300, 100], [400, 350], [100, 100]]);
        assert!(ledger.press_for(places[0], 150, 1000, NOW_US));
        assert_eq!(pressed(&ledger, &places), [0, 150, 0, 0]);
        assert!(!ledger.press_for(places[0], 150, 1000, NOW_US + ANSWER_US - 1));
        assert!(ledger.press_for(places[0], 150, 1000, NOW_US + ANSWER_US), "the first may be stopped");
        assert_eq!(pressed(&ledger, &places), [0, 150, 50, 0]);
        assert_eq!(ledger.alarms().count(), 2);
        assert!(!ledger.press_for(places[0], 150, 1000, NOW_US + 10 * ANSWER_US), "nobody else has any");
    }

    #[test]
    fn who_declined_is_left_alone_for_a_while() {
        let (ledger, places) = ledger(&[[200, 100], [300, 100]]);
        ledger.entry(places[1]).declined_us.store(NOW_US, SeqCst);
        assert!(!ledger.press_for(places[0], 10, 1000, NOW_US + 1));
        assert!(ledger.press_for(places[0], 10, 1000, NOW_US + DECLINED_US));
    }

    #[test]
    fn among_the_hungry_only_an_equal_share_is_enforced() {
        let cases = [
            // Mine, the other's, whether it is pressed for a hundred frames.
            ([300, 700], true),
            ([400, 600], true),
            ([401, 599], false),
            ([700, 300], false),
        ];
        for (held, is_pressed) in cases {
            let (ledger, places) = ledger(&[[held[0], 100], [held[1], 100]]);
            places.iter().for_each(|place| ledger.entry(*place).refused_us.store(NOW_US, SeqCst));
            assert_eq!(ledger.press_for(places[0], 100, 1000, NOW_US), is_pressed, "{held:?}");
            assert_eq!(pressed(&ledger, &places), [0, if is_pressed { 100 } else { 0 }], "{held:?}");
        }
    }

    #[test]
    fn who_is_below_his_floor_may_press_anybody_who_is_not() {
        let (ledger, places) = ledger(&[[450, 500], [550, 100]]);
        places.iter().for_each(|place| ledger.entry(*place).refused_us.store(NOW_US, SeqCst));
        assert!(ledger.press_for(places[0], 100, 1000, NOW_US));
        assert_eq!(pressed(&ledger, &places), [0, 100]);
    }

    #[test]
    fn what_is_overdrawn_is_paid_for_by_all_in_equal_parts() {
        let (ledger, places) = ledger(&[[700, 100], [400, 100], [50, 100]]);
        assert!(!ledger.press_for_overdraft(1150, NOW_US));
        assert!(ledger.press_for_overdraft(1000, NOW_US));
        assert_eq!(pressed(&ledger, &places), [100, 50, 0]);
    }
}
