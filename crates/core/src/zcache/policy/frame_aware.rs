//! Of the coldest few units of the LRU, the one that frees the most frames for its zpages.
//!
//! Each zpage of an evicted unit is decompressed and written, perhaps to be read again; what
//! that buys is the unit's frames. Among units of much the same age a frame with one zpage is
//! worth twice a frame with two.

use super::frame_lru::FrameLru;
use super::{Policy, Units};
use crate::page::PageNumber;
use crate::zcache::pool::unit_list::Side;

/// Units that are compared. They should differ little in age.
const COLDEST: usize = 16;

/// See the module's description.
pub struct FrameAware {
    lru: FrameLru,
}

impl FrameAware {
    /// A policy without units.
    pub const EMPTY: FrameAware = FrameAware { lru: FrameLru::EMPTY };
}

impl Policy for FrameAware {
    fn insert(&mut self, units: &mut dyn Units, unit: u32) {
        self.lru.insert(units, unit);
    }

    fn stored(&mut self, units: &mut dyn Units, unit: u32, page: PageNumber) {
        self.lru.stored(units, unit, page);
    }

    fn used(&mut self, units: &mut dyn Units, unit: u32) {
        self.lru.used(units, unit);
    }

    fn left(&mut self, _: &mut dyn Units, _: u32, _: PageNumber, _: bool) {}

    fn remove(&mut self, units: &mut dyn Units, unit: u32) {
        self.lru.remove(units, unit);
    }

    fn take_coldest(&mut self, units: &mut dyn Units) -> Option<u32> {
        let frees_more = |best: u32, unit: u32| {
            let of_best = units.frame_count(best) * units.zpage_count(unit);
            if units.frame_count(unit) * units.zpage_count(best) > of_best { unit } else { best }
        };
        let unit = self.lru.coldest_first(units).take(COLDEST).reduce(frees_more)?;
        self.lru.remove(units, unit);
        Some(unit)
    }

    fn put_back(&mut self, units: &mut dyn Units, unit: u32) {
        self.lru.put_back(units, unit);
    }

    fn walk(&self, neighbour: &dyn Fn(u32, Side) -> u32, each: &mut dyn FnMut(u32)) {
        self.lru.walk(neighbour, each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zcache::policy::{PolicyKind, fake::Fake};

    #[test]
    fn frames_for_zpages() {
        let mut fake = Fake::new(PolicyKind::FrameAware);
        let two_a_frame = fake.open(1, 0..2);
        let five_on_four = fake.open(4, 10..15);
        let one_a_frame = fake.open(1, 20..21);
        let three_on_four = fake.open(4, 30..33);
        let one_a_frame_too = fake.open(1, 40..41);
        let expected = [three_on_four, one_a_frame, one_a_frame_too, five_on_four, two_a_frame];
        assert_eq!(fake.evict_all(), expected);
    }

    #[test]
    fn only_among_the_coldest() {
        let mut fake = Fake::new(PolicyKind::FrameAware);
        fake.open_pairs(COLDEST as u32);
        let worth_more = fake.open(1, 1000..1001);
        assert_eq!([fake.evict(), fake.evict()], [Some(0), Some(worth_more)]);
    }
}
