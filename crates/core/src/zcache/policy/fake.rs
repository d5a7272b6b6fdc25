//! A policy over units that are only made up, for tests.

use std::collections::BTreeMap;

use super::{Policy, PolicyKind, Units};
use crate::page::PageNumber;
use crate::zcache::pool::unit_list::{Links, NONE, Side};

struct FakeUnit {
    frames: u32,
    /// Whether it is referenced, by page.
    zpages: BTreeMap<u32, bool>,
    mark: u8,
    links: [u32; 2],
    is_isolated: bool,
}

struct FakeUnits(Vec<FakeUnit>);

impl Links for FakeUnits {
    fn neighbour(&self, of: u32, side: Side) -> u32 {
        self.0[of as usize].links[side as usize]
    }

    fn set_neighbour(&mut self, of: u32, side: Side, to: u32) {
        self.0[of as usize].links[side as usize] = to;
    }
}

impl Units for FakeUnits {
    fn mark(&self, unit: u32) -> u8 {
        self.0[unit as usize].mark
    }

    fn set_mark(&mut self, unit: u32, mark: u8) {
        self.0[unit as usize].mark = mark;
    }

    fn frame_count(&self, unit: u32) -> u32 {
        self.0[unit as usize].frames
    }

    fn zpage_count(&self, unit: u32) -> u32 {
        self.0[unit as usize].zpages.len() as u32
    }

    fn take_referenced(&mut self, unit: u32) -> u32 {
        self.0[unit as usize].zpages.values_mut().map(|bit| u32::from(std::mem::take(bit))).sum()
    }
}

/// A policy and its units, which are numbered as they come.
pub struct Fake {
    policy: Box<dyn Policy>,
    units: FakeUnits,
}

impl Fake {
    pub fn new(kind: PolicyKind) -> Self {
        Fake { policy: kind.policy(1000), units: FakeUnits(Vec::new()) }
    }

    /// A new unit of so many frames with these pages.
    pub fn open(&mut self, frames: u32, pages: impl IntoIterator<Item = u32>) -> u32 {
        let unit = self.units.0.len() as u32;
        let zpages = BTreeMap::new();
        self.units.0.push(FakeUnit { frames, zpages, mark: 0, links: [NONE; 2], is_isolated: false });
        self.policy.insert(&mut self.units, unit);
        pages.into_iter().for_each(|page| self.store(unit, page));
        unit
    }

    /// So many units of one frame, with two pages each: 10 and 11 in unit 1, and so on.
    pub fn open_pairs(&mut self, count: u32) {
        for _ in 0..count {
            let unit = self.units.0.len() as u32;
            self.open(1, [10 * unit, 10 * unit + 1]);
        }
    }

    pub fn store(&mut self, unit: u32, page: u32) {
        self.units.0[unit as usize].zpages.insert(page, true);
        self.policy.stored(&mut self.units, unit, PageNumber(page));
    }

    pub fn used(&mut self, unit: u32, page: u32) {
        *self.units.0[unit as usize].zpages.get_mut(&page).unwrap() = true;
        self.policy.used(&mut self.units, unit);
    }

    pub fn leave(&mut self, unit: u32, page: u32) {
        let of = &mut self.units.0[unit as usize];
        of.zpages.remove(&page).unwrap();
        let (is_isolated, is_empty) = (of.is_isolated, of.zpages.is_empty());
        self.policy.left(&mut self.units, unit, PageNumber(page), is_isolated);
        if is_empty && !is_isolated {
            self.policy.remove(&mut self.units, unit);
        }
    }

    pub fn take_coldest(&mut self) -> Option<u32> {
        let unit = self.policy.take_coldest(&mut self.units)?;
        self.units.0[unit as usize].is_isolated = true;
        let neighbour = |of, side| self.units.neighbour(of, side);
        self.policy.walk(&neighbour, &mut |other| assert_ne!(other, unit, "it was taken out"));
        Some(unit)
    }

    pub fn put_back(&mut self, unit: u32) {
        self.units.0[unit as usize].is_isolated = false;
        self.policy.put_back(&mut self.units, unit);
    }

    /// Takes the coldest unit, and all its pages leave.
    pub fn evict(&mut self) -> Option<u32> {
        let unit = self.take_coldest()?;
        let pages: Vec<u32> = self.units.0[unit as usize].zpages.keys().copied().collect();
        pages.into_iter().for_each(|page| self.leave(unit, page));
        Some(unit)
    }

    /// The order in which all units go.
    pub fn evict_all(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.evict()).collect()
    }
}
