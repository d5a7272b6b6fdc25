//! S3-FIFO: a small queue where units prove their use, a main queue, and a ghost queue.
//!
//! A new unit joins the small queue. At its end it goes, unless it was used more than once
//! meanwhile: then it joins the main queue, where each use, up to three, lets it go round once
//! more. A unit that goes is from the small queue if that has a tenth of all. What was evicted from it is
//! remembered in the ghost, and what comes back while it is remembered belongs to the main queue
//! at once (Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023).
//!
//! Units are not what comes back, so the ghost is one of pages, and a page that it remembers
//! takes its unit to the main queue. It remembers also whose zpage was dropped by a write: that
//! page is in use, and should it be stored again, it is an acquaintance. A store is no use
//! otherwise, as the stores that fill a unit would take it to the main queue.
//!
//! The ghost is direct-mapped: a page's number stands where the number says, until another page
//! needs the place. It has as many places as the pool could have frames.

use super::{Policy, Units};
use crate::page::PageNumber;
use crate::zcache::pool::unit_list::{Side, UnitList};

/// Bytes of the ghost for each frame that the pool could have.
pub const GHOST_ENTRY_BYTES: u64 = size_of::<u32>() as u64;

/// The small queue's share of the units is one in so many.
const SMALL_ONE_IN: u32 = 10;

// A unit's mark: how often it was used, and its queue.
const USES_MAX: u8 = 3;
const IS_MAIN: u8 = 4;

/// Uses beyond which a unit belongs to the main queue.
const PROVING_USES: u8 = 1;

struct Queue {
    list: UnitList,
    length: u32,
}

impl Queue {
    const EMPTY: Queue = Queue { list: UnitList::EMPTY, length: 0 };

    fn push(&mut self, units: &mut dyn Units, side: Side, unit: u32) {
        self.list.push(units, side, unit);
        self.length += 1;
    }

    fn remove(&mut self, units: &mut dyn Units, unit: u32) {
        self.list.remove(units, unit);
        self.length -= 1;
    }
}

/// Which pages were evicted from the small queue lately.
pub trait Ghost: Send {
    /// This one was.
    fn remember(&mut self, page: PageNumber);

    /// Whether it remembered the page, which it does no longer.
    fn forget(&mut self, page: PageNumber) -> bool;
}

/// See the module's description. A place is a page's number plus one, or 0.
pub struct DirectMapped(Vec<u32>);

impl DirectMapped {
    fn place(&mut self, page: PageNumber) -> &mut u32 {
        let places = self.0.len() as u32;
        &mut self.0[(page.0 % places) as usize]
    }
}

impl Ghost for DirectMapped {
    fn remember(&mut self, page: PageNumber) {
        *self.place(page) = page.0 + 1;
    }

    fn forget(&mut self, page: PageNumber) -> bool {
        let place = self.place(page);
        let remembered = *place == page.0 + 1;
        if remembered {
            *place = 0;
        }
        remembered
    }
}

/// See the module's description.
pub struct S3Fifo<G = DirectMapped> {
    small: Queue,
    main: Queue,
    ghost: G,
    passed_over_max: u32,
}

impl S3Fifo {
    /// A policy without units, for a pool of at most `frames` frames.
    pub fn new(frames: u32, passed_over_max: u32) -> Self {
        S3Fifo::with_ghost(DirectMapped(vec![0; frames.max(1) as usize]), passed_over_max)
    }
}

impl<G: Ghost> S3Fifo<G> {
    /// A policy without units, with a ghost that remembers nothing yet.
    pub fn with_ghost(ghost: G, passed_over_max: u32) -> Self {
        S3Fifo { small: Queue::EMPTY, main: Queue::EMPTY, ghost, passed_over_max }
    }

    /// What was evicted lately.
    pub fn ghost_mut(&mut self) -> &mut G {
        &mut self.ghost
    }

    fn queue_of(&mut self, units: &dyn Units, unit: u32) -> &mut Queue {
        if units.mark(unit) & IS_MAIN != 0 { &mut self.main } else { &mut self.small }
    }

    fn push(&mut self, units: &mut dyn Units, side: Side, unit: u32) {
        self.queue_of(units, unit).push(units, side, unit);
    }

    /// Moves a unit of the small queue to the young end of the main one, its uses forgotten.
    pub fn promote(&mut self, units: &mut dyn Units, unit: u32) {
        self.small.remove(units, unit);
        units.set_mark(unit, IS_MAIN);
        self.main.push(units, Side::Front, unit);
    }

    /// Whether the small queue has its share, rounded down as in libCacheSim.
    fn is_small_due(&self) -> bool {
        self.small.length >= (self.small.length + self.main.length) / SMALL_ONE_IN
    }

    /// The oldest unit of one queue, or of the other where that has none.
    fn oldest(&self, of_small: bool) -> Option<u32> {
        let [first, second] = if of_small { [&self.small, &self.main] } else { [&self.main, &self.small] };
        first.list.end(Side::Back).or_else(|| second.list.end(Side::Back))
    }
}

impl<G: Ghost> Policy for S3Fifo<G> {
    fn insert(&mut self, units: &mut dyn Units, unit: u32) {
        self.push(units, Side::Front, unit);
    }

    fn stored(&mut self, units: &mut dyn Units, unit: u32, page: PageNumber) {
        if self.ghost.forget(page) && units.mark(unit) & IS_MAIN == 0 {
            self.promote(units, unit);
        }
    }

    fn used(&mut self, units: &mut dyn Units, unit: u32) {
        let mark = units.mark(unit);
        if mark & USES_MAX < USES_MAX {
            units.set_mark(unit, mark + 1);
        }
    }

    fn left(&mut self, units: &mut dyn Units, unit: u32, page: PageNumber, is_isolated: bool) {
        let was_evicted_from_main = is_isolated && units.mark(unit) & IS_MAIN != 0;
        if !was_evicted_from_main {
            self.ghost.remember(page);
        }
    }

    fn remove(&mut self, units: &mut dyn Units, unit: u32) {
        self.queue_of(units, unit).remove(units, unit);
    }

    fn take_coldest(&mut self, units: &mut dyn Units) -> Option<u32> {
        let of_small = self.is_small_due();
        let mut unit = self.oldest(of_small)?;
        for _ in 0..self.passed_over_max {
            let mark = units.mark(unit);
            if mark & IS_MAIN == 0 && mark & USES_MAX > PROVING_USES {
                self.promote(units, unit);
            } else if mark & IS_MAIN != 0 && mark & USES_MAX > 0 {
                self.main.remove(units, unit);
                units.set_mark(unit, mark - 1);
                self.main.push(units, Side::Front, unit);
            } else {
                break;
            }
            unit = self.oldest(of_small)?;
        }
        self.remove(units, unit);
        units.set_mark(unit, units.mark(unit) & IS_MAIN);
        Some(unit)
    }

    fn put_back(&mut self, units: &mut dyn Units, unit: u32) {
        self.push(units, Side::Back, unit);
    }

    fn walk(&self, neighbour: &dyn Fn(u32, Side) -> u32, each: &mut dyn FnMut(u32)) {
        for queue in [&self.small, &self.main] {
            let mut length = 0;
            for unit in queue.list.walk(neighbour) {
                length += 1;
                each(unit);
            }
            assert_eq!(length, queue.length, "units in a queue");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::zcache::policy::{PolicyKind, fake::Fake};

    #[test]
    fn units_prove_their_use_in_the_small_queue() {
        let mut fake = Fake::new(PolicyKind::S3Fifo);
        fake.open_pairs(4);
        fake.used(0, 0);
        (0..2).for_each(|_| fake.used(1, 10));
        assert_eq!(fake.evict_all(), [0, 2, 3, 1]);
    }

    #[test]
    fn the_main_queue_is_left_alone_while_the_small_one_has_its_share() {
        let mut fake = Fake::new(PolicyKind::S3Fifo);
        fake.open_pairs(20);
        for unit in 0..18 {
            (0..2).for_each(|_| fake.used(unit, 10 * unit));
        }
        // One of nineteen is a tenth still, none of eighteen is not.
        assert_eq!([fake.evict(), fake.evict()], [Some(18), Some(19)]);
        assert_eq!(fake.evict(), Some(0), "in the main queue, and not used since");
        // A use in the main queue is worth a round.
        fake.used(1, 10);
        assert_eq!([fake.evict(), fake.evict()], [Some(2), Some(3)]);
    }

    #[test]
    fn what_the_ghost_remembers_belongs_to_the_main_queue() {
        let mut fake = Fake::new(PolicyKind::S3Fifo);
        fake.open_pairs(4);
        assert_eq!(fake.evict(), Some(0));
        fake.store(1, 1);
        // The program has written to this one, and it is stored anew.
        fake.leave(2, 20);
        fake.store(2, 20);
        // Another page's number has the same place.
        fake.leave(3, 30);
        fake.leave(3, 31);
        let unit = fake.open(1, [1030, 1031]);
        let young = fake.open(1, [50]);
        assert_eq!(fake.evict_all(), [unit, young, 1, 2]);
    }

    #[test]
    fn what_is_evicted_from_the_main_queue_is_not_remembered() {
        let mut fake = Fake::new(PolicyKind::S3Fifo);
        fake.open_pairs(1);
        (0..2).for_each(|_| fake.used(0, 0));
        assert_eq!(fake.evict(), Some(0));
        let again = fake.open(1, [0, 1]);
        let young = fake.open(1, [50]);
        assert_eq!(fake.evict_all(), [again, young]);
    }
}
