//! SIEVE: a FIFO of units, and a hand that sifts out those which were not visited.
//!
//! The hand moves from old units to young ones, takes the visits of those that it passes, and
//! the first one without a visit goes. It stays where it was: units that it has passed over are
//! older than the hand, and new ones are soon before it (Zhang et al., "SIEVE is Simpler than
//! LRU", NSDI 2024).
//!
//! A use of any of its zpages visits a unit, and so does a store. In the paper what arrives is
//! not visited, so that it goes soon if it is wanted once only. But a page arrives here when it
//! has just left RAM, where it was sifted already: with stores that were no visits, a program
//! that writes to random pages read an eighth more from the device.

use super::{Policy, Units};
use crate::page::PageNumber;
use crate::zcache::pool::unit_list::{NONE, Side, UnitList};

// A unit's mark.
const IS_VISITED: u8 = 1;

/// See the module's description.
pub struct Sieve {
    queue: UnitList,
    /// The unit to be looked at next; [`NONE`] is the oldest.
    hand: u32,
    passed_over_max: u32,
}

impl Sieve {
    /// A policy without units.
    pub fn new(passed_over_max: u32) -> Self {
        Sieve { queue: UnitList::EMPTY, hand: NONE, passed_over_max }
    }

    fn under_hand(&self) -> Option<u32> {
        if self.hand == NONE { self.queue.end(Side::Back) } else { Some(self.hand) }
    }
}

impl Policy for Sieve {
    fn insert(&mut self, units: &mut dyn Units, unit: u32) {
        self.queue.push(units, Side::Front, unit);
    }

    fn stored(&mut self, units: &mut dyn Units, unit: u32, _: PageNumber) {
        self.used(units, unit);
    }

    fn used(&mut self, units: &mut dyn Units, unit: u32) {
        units.set_mark(unit, IS_VISITED);
    }

    fn left(&mut self, _: &mut dyn Units, _: u32, _: PageNumber, _: bool) {}

    fn remove(&mut self, units: &mut dyn Units, unit: u32) {
        if self.hand == unit {
            self.hand = units.neighbour(unit, Side::Front);
        }
        self.queue.remove(units, unit);
    }

    fn take_coldest(&mut self, units: &mut dyn Units) -> Option<u32> {
        let mut unit = self.under_hand()?;
        for _ in 0..self.passed_over_max {
            if units.mark(unit) != IS_VISITED {
                break;
            }
            units.set_mark(unit, 0);
            self.hand = units.neighbour(unit, Side::Front);
            unit = self.under_hand()?;
        }
        units.set_mark(unit, 0);
        self.hand = unit;
        self.remove(units, unit);
        Some(unit)
    }

    /// The cold end is where the hand is.
    fn put_back(&mut self, units: &mut dyn Units, unit: u32) {
        if self.hand == NONE {
            self.queue.push(units, Side::Back, unit);
        } else {
            self.queue.insert(units, self.hand, Side::Back, unit);
            self.hand = unit;
        }
    }

    fn walk(&self, neighbour: &dyn Fn(u32, Side) -> u32, each: &mut dyn FnMut(u32)) {
        let mut is_hand_somewhere = self.hand == NONE;
        for unit in self.queue.walk(neighbour) {
            is_hand_somewhere |= unit == self.hand;
            each(unit);
        }
        assert!(is_hand_somewhere, "the hand is at {}, which is not in the queue", self.hand);
    }
}

#[cfg(test)]
mod tests {
    use crate::zcache::policy::{PASSED_OVER_MAX, PolicyKind, fake::Fake};

    /// So many units, the hand at the oldest; no visit is left.
    fn after_one_round(units: u32) -> Fake {
        let mut fake = Fake::new(PolicyKind::Sieve);
        fake.open_pairs(units);
        // Stores were visits, so the hand has come round once.
        assert_eq!(fake.take_coldest(), Some(0));
        fake.put_back(0);
        fake
    }

    #[test]
    fn the_hand_stays_where_it_was() {
        let mut fake = after_one_round(5);
        fake.used(1, 10);
        fake.used(3, 30);
        assert_eq!([fake.evict(), fake.evict()], [Some(0), Some(2)]);
        // Unit 1 has lost its visit and is the oldest, but the hand is beyond it.
        assert_eq!(fake.evict(), Some(4));
        // The hand passes over this one, and comes round.
        let young = fake.open(1, [50]);
        assert_eq!(fake.evict_all(), [1, 3, young]);
    }

    #[test]
    fn a_store_is_a_visit() {
        let mut fake = after_one_round(3);
        fake.store(0, 2);
        fake.leave(1, 10);
        assert_eq!(fake.evict_all(), [1, 2, 0]);
    }

    #[test]
    fn what_comes_back_is_under_the_hand() {
        let mut fake = after_one_round(4);
        fake.used(0, 0);
        assert_eq!(fake.take_coldest(), Some(1));
        fake.put_back(1);
        // Unit 0 is older, but the hand is beyond it.
        assert_eq!(fake.evict_all(), [1, 2, 3, 0]);
    }

    #[test]
    fn the_hand_survives_its_unit() {
        let mut fake = after_one_round(4);
        fake.used(0, 0);
        assert_eq!(fake.evict(), Some(1));
        (20..22).for_each(|page| fake.leave(2, page));
        assert_eq!(fake.evict_all(), [3, 0]);
    }

    #[test]
    fn an_isolation_passes_over_so_many() {
        let mut fake = Fake::new(PolicyKind::Sieve);
        fake.open_pairs(PASSED_OVER_MAX + 3);
        assert_eq!(fake.evict(), Some(PASSED_OVER_MAX));
        assert_eq!(fake.evict(), Some(0), "the hand has come round");
    }
}
