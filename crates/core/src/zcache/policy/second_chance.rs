//! A FIFO of units with a second chance for zpages, as the LRU of zswap.
//!
//! A zpage is referenced when it is stored (as in mm/zswap.c) and when it is used. The oldest
//! unit loses its zpages' references, and goes back to the young end if most of them had one.
//! Most, since the unit goes as a whole: sparing it for a few would keep many zpages that nobody
//! wants, and with dozens of zpages a unit some are always wanted; evicting it though half are
//! wanted would send pages to the device that come straight back.

use super::{Policy, Units};
use crate::page::PageNumber;
use crate::zcache::pool::unit_list::{Side, UnitList};

/// See the module's description.
pub struct SecondChance {
    queue: UnitList,
    passed_over_max: u32,
}

impl SecondChance {
    /// A policy without units.
    pub fn new(passed_over_max: u32) -> Self {
        SecondChance { queue: UnitList::EMPTY, passed_over_max }
    }
}

impl Policy for SecondChance {
    fn insert(&mut self, units: &mut dyn Units, unit: u32) {
        self.queue.push(units, Side::Front, unit);
    }

    fn stored(&mut self, _: &mut dyn Units, _: u32, _: PageNumber) {}

    fn used(&mut self, _: &mut dyn Units, _: u32) {}

    fn left(&mut self, _: &mut dyn Units, _: u32, _: PageNumber, _: bool) {}

    fn remove(&mut self, units: &mut dyn Units, unit: u32) {
        self.queue.remove(units, unit);
    }

    fn take_coldest(&mut self, units: &mut dyn Units) -> Option<u32> {
        for _ in 0..self.passed_over_max {
            let unit = self.queue.end(Side::Back)?;
            self.queue.remove(units, unit);
            if units.take_referenced(unit) * 2 <= units.zpage_count(unit) {
                return Some(unit);
            }
            self.queue.push(units, Side::Front, unit);
        }
        let unit = self.queue.end(Side::Back)?;
        self.queue.remove(units, unit);
        units.take_referenced(unit);
        Some(unit)
    }

    fn put_back(&mut self, units: &mut dyn Units, unit: u32) {
        self.queue.push(units, Side::Back, unit);
    }

    fn walk(&self, neighbour: &dyn Fn(u32, Side) -> u32, each: &mut dyn FnMut(u32)) {
        self.queue.walk(neighbour).for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use crate::zcache::policy::{PASSED_OVER_MAX, PolicyKind, fake::Fake};

    /// Three units of four zpages, none of which is referenced any more.
    fn after_one_round() -> Fake {
        let mut fake = Fake::new(PolicyKind::SecondChance);
        for unit in 0..3 {
            fake.open(1, 10 * unit..10 * unit + 4);
        }
        // All were stored, so all go round once.
        assert_eq!(fake.take_coldest(), Some(0));
        fake.put_back(0);
        fake
    }

    #[test]
    fn most_zpages_must_be_referenced() {
        let mut fake = after_one_round();
        (0..2).for_each(|page| fake.used(0, page));
        (10..13).for_each(|page| fake.used(1, page));
        assert_eq!(fake.evict_all(), [0, 2, 1]);
    }

    #[test]
    fn the_chance_is_gone_when_it_was_taken() {
        let mut fake = after_one_round();
        (0..3).for_each(|page| fake.used(0, page));
        assert_eq!(fake.evict(), Some(1));
        // Of two zpages that are left, a use of one is not most.
        fake.leave(2, 20);
        fake.leave(2, 21);
        fake.used(2, 22);
        assert_eq!(fake.evict_all(), [2, 0]);
    }

    #[test]
    fn an_isolation_passes_over_so_many() {
        let mut fake = Fake::new(PolicyKind::SecondChance);
        fake.open_pairs(PASSED_OVER_MAX + 3);
        assert_eq!(fake.evict(), Some(PASSED_OVER_MAX));
        // The next one passes over those behind it, and comes to the first.
        assert_eq!(fake.evict(), Some(0));
    }
}
