//! The LRU of units, which the RFC has as an LRU of page frames.
//!
//! A unit is as recent as the last zpage that came into it or was used; a zpage that leaves
//! changes nothing. In the RFC only a store promotes, but there a page that leaves RAM is stored
//! every time. Here a clean one keeps its zpage, and leaving once more is what counts as a store.

use super::{Policy, Units};
use crate::page::PageNumber;
use crate::zcache::pool::unit_list::{NONE, Side, UnitList};

/// See the module's description.
pub struct FrameLru {
    list: UnitList,
}

impl FrameLru {
    /// A policy without units.
    pub const EMPTY: FrameLru = FrameLru { list: UnitList::EMPTY };

    fn promote(&mut self, units: &mut dyn Units, unit: u32) {
        if self.list.end(Side::Front) != Some(unit) {
            self.list.remove(units, unit);
            self.list.push(units, Side::Front, unit);
        }
    }

    /// The units from the coldest on.
    pub(super) fn coldest_first(&self, units: &dyn Units) -> impl Iterator<Item = u32> {
        let next = |&unit: &u32| Some(units.neighbour(unit, Side::Front)).filter(|&next| next != NONE);
        std::iter::successors(self.list.end(Side::Back), next)
    }
}

impl Policy for FrameLru {
    fn insert(&mut self, units: &mut dyn Units, unit: u32) {
        self.list.push(units, Side::Front, unit);
    }

    fn stored(&mut self, units: &mut dyn Units, unit: u32, _: PageNumber) {
        self.promote(units, unit);
    }

    fn used(&mut self, units: &mut dyn Units, unit: u32) {
        self.promote(units, unit);
    }

    fn left(&mut self, _: &mut dyn Units, _: u32, _: PageNumber, _: bool) {}

    fn remove(&mut self, units: &mut dyn Units, unit: u32) {
        self.list.remove(units, unit);
    }

    fn take_coldest(&mut self, units: &mut dyn Units) -> Option<u32> {
        let unit = self.list.end(Side::Back)?;
        self.list.remove(units, unit);
        Some(unit)
    }

    fn put_back(&mut self, units: &mut dyn Units, unit: u32) {
        self.list.push(units, Side::Back, unit);
    }

    fn walk(&self, neighbour: &dyn Fn(u32, Side) -> u32, each: &mut dyn FnMut(u32)) {
        self.list.walk(neighbour).for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use crate::zcache::policy::{PolicyKind, fake::Fake};

    #[test]
    fn stores_and_uses_promote_and_leaving_does_not() {
        let mut fake = Fake::new(PolicyKind::FrameLru);
        fake.open_pairs(4);
        fake.store(1, 12);
        fake.used(0, 1);
        fake.leave(2, 20);
        assert_eq!(fake.evict_all(), [2, 3, 1, 0]);
    }
}
