//! Units of the pool on the device: which slots they are in, and how many of their zpages are still
//! wanted. A unit's slots are free again when none is.
//!
//! One word for a unit, kept at its first slot; a page's entry holds that slot and the zpage's
//! index in the unit ([`Packed`]), and the zpages' headers tell the rest.

use super::swap_map::Slot;
use crate::zcache::pool::layout::UnitLayout;

/// Where a zpage is on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The first slot of its unit.
    pub unit: Slot,
    /// Which of the unit's zpages it is.
    pub index: u8,
}

const INDEX_BITS: u32 = 6;

impl Packed {
    /// Units lie in slots below this: 256 GiB.
    pub const SLOT_LIMIT: u32 = 1 << (u32::BITS - INDEX_BITS);

    /// As it stands in a page's entry.
    pub fn to_bits(self) -> u32 {
        debug_assert!(self.unit.0 < Self::SLOT_LIMIT && self.index >> INDEX_BITS == 0);
        self.unit.0 << INDEX_BITS | u32::from(self.index)
    }

    /// What stands in a page's entry.
    pub fn from_bits(bits: u32) -> Self {
        Packed { unit: Slot(bits >> INDEX_BITS), index: (bits & ((1 << INDEX_BITS) - 1)) as u8 }
    }
}

/// A unit on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedUnit {
    /// How its zpages lie in it.
    pub layout: UnitLayout,
    /// Zpages that a page's entry still names.
    pub live: u8,
    /// Zpages that it was written with.
    pub written: u8,
    /// Somebody reads it: its slots stay taken when its last zpage goes.
    pub is_pinned: bool,
}

impl PackedUnit {
    /// Its pages would need fewer slots one by one.
    pub fn is_sparse(&self) -> bool {
        u32::from(self.live) < self.layout.frames()
    }

    /// Half of what was written is wanted no more.
    pub fn is_half_dead(&self) -> bool {
        self.live <= self.written / 2
    }

    fn to_bits(self) -> u32 {
        u32::from(self.layout.to_bits())
            | u32::from(self.live) << 16
            | u32::from(self.written) << 23
            | u32::from(self.is_pinned) << 30
            // Of a slot at which no unit begins all bits are zero.
            | 1 << 31
    }

    fn from_bits(bits: u32) -> Option<Self> {
        (bits != 0).then(|| PackedUnit {
            layout: UnitLayout::from_bits(bits as u16),
            live: (bits >> 16 & 0x7f) as u8,
            written: (bits >> 23 & 0x7f) as u8,
            is_pinned: bits >> 30 & 1 != 0,
        })
    }
}

/// See the module's description. The slots themselves are [`super::swap_map`]'s.
pub struct UnitMap {
    words: Vec<u32>,
    /// Words from here on were never used.
    untouched: u32,
    slots: u32,
    zpages: u32,
    sparse: u32,
    half_dead: u32,
    /// Where the search for a unit goes on.
    cursor: u32,
}

/// Words that one search looks at.
const SEARCHED_MAX: u32 = 1 << 14;

impl UnitMap {
    /// A map without units. Nothing allocates after this, and untouched memory costs nothing.
    pub fn new(slot_count: u32) -> Self {
        UnitMap {
            words: vec![0; slot_count as usize],
            untouched: 0,
            slots: 0,
            zpages: 0,
            sparse: 0,
            half_dead: 0,
            cursor: 0,
        }
    }

    /// Slots that units are in.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Zpages on the device that a page's entry names.
    pub fn zpages(&self) -> u32 {
        self.zpages
    }

    /// Units whose pages would need fewer slots one by one.
    pub fn sparse(&self) -> u32 {
        self.sparse
    }

    /// Units of which half is wanted no more.
    pub fn half_dead(&self) -> u32 {
        self.half_dead
    }

    /// Bytes that the table has come to occupy.
    pub fn metadata_bytes(&self) -> u64 {
        u64::from(self.untouched) * size_of::<u32>() as u64
    }

    /// The unit that begins at a slot.
    pub fn get(&self, first: Slot) -> PackedUnit {
        PackedUnit::from_bits(self.words[first.0 as usize]).unwrap_or_else(|| panic!("no unit at {first:?}"))
    }

    /// A unit was written.
    pub fn insert(&mut self, first: Slot, unit: PackedUnit) {
        debug_assert_eq!(self.words[first.0 as usize], 0);
        self.untouched = self.untouched.max(first.0 + 1);
        self.set(first, None, Some(unit));
    }

    /// A zpage of a unit is wanted no more. The unit's slots, if they are free now: how many there
    /// are from its first on.
    #[must_use]
    pub fn remove_zpage(&mut self, packed: Packed) -> Option<u32> {
        let unit = self.get(packed.unit);
        self.leave(packed.unit, unit, PackedUnit { live: unit.live - 1, ..unit })
    }

    /// Keeps a unit's slots taken while somebody reads them.
    pub fn pin(&mut self, first: Slot) {
        let unit = self.get(first);
        debug_assert!(!unit.is_pinned);
        self.set(first, Some(unit), Some(PackedUnit { is_pinned: true, ..unit }));
    }

    /// Nobody reads a unit any more; as [`UnitMap::remove_zpage`].
    #[must_use]
    pub fn unpin(&mut self, first: Slot) -> Option<u32> {
        let unit = self.get(first);
        self.leave(first, unit, PackedUnit { is_pinned: false, ..unit })
    }

    /// A unit that fits, that nobody reads, found soon or not at all: a long table is searched in
    /// parts.
    pub fn find(&mut self, fits: impl Fn(&PackedUnit) -> bool) -> Option<Slot> {
        for _ in 0..SEARCHED_MAX.min(self.untouched) {
            let first = Slot(self.cursor);
            self.cursor = (self.cursor + 1) % self.untouched;
            let unit = PackedUnit::from_bits(self.words[first.0 as usize]);
            if unit.is_some_and(|unit| !unit.is_pinned && fits(&unit)) {
                return Some(first);
            }
        }
        None
    }

    fn leave(&mut self, first: Slot, before: PackedUnit, after: PackedUnit) -> Option<u32> {
        let is_dead = after.live == 0 && !after.is_pinned;
        self.set(first, Some(before), (!is_dead).then_some(after));
        is_dead.then_some(before.layout.frames())
    }

    fn set(&mut self, first: Slot, before: Option<PackedUnit>, after: Option<PackedUnit>) {
        let count =
            |of: fn(&PackedUnit) -> u32| (before.as_ref().map_or(0, of), after.as_ref().map_or(0, of));
        for (total, (before, after)) in [
            (&mut self.slots, count(|unit| unit.layout.frames())),
            (&mut self.zpages, count(|unit| unit.live.into())),
            (&mut self.sparse, count(|unit| unit.is_sparse().into())),
            (&mut self.half_dead, count(|unit| unit.is_half_dead().into())),
        ] {
            *total = *total - before + after;
        }
        self.words[first.0 as usize] = after.map_or(0, PackedUnit::to_bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_dies_with_its_last_zpage_or_its_last_reader() {
        let mut map = UnitMap::new(100);
        let layout = UnitLayout::objects(4, 3264);
        map.insert(Slot(5), PackedUnit { layout, live: 5, written: 5, is_pinned: false });
        assert_eq!((map.zpages(), map.sparse(), map.half_dead()), (5, 0, 0));
        let zpage = |index| Packed { unit: Slot(5), index };
        assert_eq!(map.remove_zpage(zpage(0)), None);
        assert_eq!(map.find(PackedUnit::is_sparse), None);
        assert_eq!(map.remove_zpage(zpage(1)), None);
        assert_eq!((map.zpages(), map.sparse(), map.half_dead()), (3, 1, 0));
        assert_eq!(map.find(PackedUnit::is_sparse), Some(Slot(5)));
        map.pin(Slot(5));
        assert_eq!(map.find(PackedUnit::is_sparse), None);
        for index in 2..5 {
            assert_eq!(map.remove_zpage(zpage(index)), None, "it is being read");
        }
        assert_eq!(map.unpin(Slot(5)), Some(4));
        assert_eq!((map.zpages(), map.sparse(), map.half_dead()), (0, 0, 0));
        map.insert(Slot(5), PackedUnit { layout, live: 1, written: 1, is_pinned: false });
        assert_eq!(map.remove_zpage(zpage(0)), Some(4));
    }
}
