//! The swap map: which slots of the swap device are in use, and the seal of what is in each.
//!
//! Per slot: one bit (in use), and the seal: with encryption a generation and a tag, 20 bytes,
//! without it a checksum of 4. Slots are given out in runs, lowest first, so that pages that leave
//! together can be written, and later read, in one go, and so that the tables grow no further than
//! the most slots ever used at once.

use super::seal::{CHECKSUM_BYTES, Tag};
use super::unit_map::{Packed, PackedUnit, UnitMap};

/// A place for one page on the swap device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// The slot `count` slots further on.
    pub fn plus(self, count: u32) -> Slot {
        Slot(self.0 + count)
    }
}

const WORD_SLOTS: u32 = u64::BITS;
/// How many words with room, but with runs that are too short, are looked at before the
/// longest run of them is taken.
const WORDS_SEARCHED: usize = 256;

/// The generation, and the tag. An array of numbers and no structure, since only of such a table does
/// the system make the zeros, and those that are not touched cost no RAM.
type Sealed = [u32; 1 + size_of::<Tag>() / size_of::<u32>()];

enum Seals {
    Checksums(Vec<[u8; CHECKSUM_BYTES]>),
    Tags(Vec<Sealed>),
}

/// See the module's description.
pub struct SwapMap {
    /// A set bit is a slot in use.
    words: Vec<u64>,
    seals: Seals,
    units: UnitMap,
    slot_count: u32,
    used: u32,
    retired: u32,
    /// Slots that forked children read, too.
    frozen: Vec<u64>,
    /// Those of them that are not used any more.
    in_limbo: Vec<u64>,
    limbo: u32,
    /// No word before this one has a free slot.
    lowest: usize,
    /// Slots from here on were never used.
    untouched: u32,
}

impl SwapMap {
    /// A map of `slot_count` free slots, for contents that are encrypted or not. Nothing allocates
    /// after this, and untouched memory costs nothing.
    pub fn new(slot_count: u32, is_encrypted: bool) -> Self {
        let word_count = slot_count.div_ceil(WORD_SLOTS) as usize;
        let mut words = vec![0; word_count];
        if !slot_count.is_multiple_of(WORD_SLOTS) {
            words[word_count - 1] = u64::MAX << (slot_count % WORD_SLOTS);
        }
        SwapMap {
            words,
            seals: if is_encrypted {
                Seals::Tags(vec![Sealed::default(); slot_count as usize])
            } else {
                Seals::Checksums(vec![Default::default(); slot_count as usize])
            },
            units: UnitMap::new(slot_count),
            slot_count,
            used: 0,
            retired: 0,
            frozen: vec![0; word_count],
            in_limbo: vec![0; word_count],
            limbo: 0,
            lowest: 0,
            untouched: 0,
        }
    }

    /// All slots of the device.
    pub fn slot_count(&self) -> u32 {
        self.slot_count
    }

    /// Slots that hold a page, or are about to.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Whether a slot could be taken now.
    pub fn has_room(&self) -> bool {
        self.free() > 0
    }

    /// Slots that were taken out of use after a write to them failed.
    pub fn retired(&self) -> u32 {
        self.retired
    }

    /// Bytes that the tables have come to occupy.
    pub fn metadata_bytes(&self) -> u64 {
        u64::from(self.untouched) * Self::seal_bytes(matches!(self.seals, Seals::Tags(_)))
            + u64::from(self.untouched).div_ceil(8)
            + self.units.metadata_bytes()
    }

    /// Bytes that the seal of a slot takes.
    pub fn seal_bytes(is_encrypted: bool) -> u64 {
        (if is_encrypted { size_of::<Sealed>() } else { CHECKSUM_BYTES }) as u64
    }

    /// Slots that could be taken now.
    pub fn free(&self) -> u32 {
        self.slot_count - self.used - self.retired - self.limbo
    }

    /// Takes a run of up to `wanted` adjacent slots: as long as can be found soon, and at
    /// least one where there is any. Returns the first slot and the run's length.
    pub fn take_run(&mut self, wanted: u32) -> Option<(Slot, u32)> {
        while *self.words.get(self.lowest)? == u64::MAX {
            self.lowest += 1;
        }
        let wanted = wanted.min(WORD_SLOTS);
        let (mut best_at, mut best_length) = (0, 0);
        let with_room = self.words[self.lowest..].iter().enumerate().filter(|(_, word)| **word != u64::MAX);
        for (index, word) in with_room.take(WORDS_SEARCHED) {
            let (bit, length) = longest_run_of_zeros(*word, wanted);
            if length > best_length {
                best_length = length;
                best_at = (self.lowest + index) as u32 * WORD_SLOTS + bit;
            }
            if best_length == wanted {
                break;
            }
        }
        let first = Slot(best_at);
        self.words[(best_at / WORD_SLOTS) as usize] |= ones(best_length) << (best_at % WORD_SLOTS);
        self.used += best_length;
        self.untouched = self.untouched.max(best_at + best_length);
        if let Seals::Tags(seals) = &mut self.seals {
            let run = &mut seals[best_at as usize..][..best_length as usize];
            run.iter_mut().for_each(|[generation, ..]| *generation += 1);
        }
        Some((first, best_length))
    }

    /// Gives a slot back.
    pub fn give_back(&mut self, slot: Slot) {
        let word = (slot.0 / WORD_SLOTS) as usize;
        let bit = 1 << (slot.0 % WORD_SLOTS);
        assert!(self.words[word] & bit != 0, "{slot:?} is free already");
        if self.generation(slot) == u32::MAX {
            // The next generation would be an old one again.
            return self.retire(slot);
        }
        self.used -= 1;
        if self.frozen[word] & bit != 0 {
            self.in_limbo[word] |= bit;
            self.limbo += 1;
            return;
        }
        self.words[word] &= !bit;
        self.lowest = self.lowest.min(word);
    }

    /// A child is forked, which reads what is in use now: none of that is given out again before `thaw`.
    pub fn freeze(&mut self) {
        for (frozen, used) in
            self.frozen.iter_mut().zip(&self.words[..self.untouched.div_ceil(WORD_SLOTS) as usize])
        {
            *frozen |= used;
        }
    }

    /// No forked child is left.
    pub fn thaw(&mut self) {
        for word in 0..self.untouched.div_ceil(WORD_SLOTS) as usize {
            self.frozen[word] = 0;
            let free = std::mem::take(&mut self.in_limbo[word]);
            self.words[word] &= !free;
            if free != 0 {
                self.lowest = self.lowest.min(word);
            }
        }
        self.limbo = 0;
    }

    /// Takes a slot out of use for good.
    pub fn retire(&mut self, slot: Slot) {
        assert!(self.is_used(slot));
        self.used -= 1;
        self.retired += 1;
    }

    /// Whether a slot is in use (or retired).
    pub fn is_used(&self, slot: Slot) -> bool {
        self.words[(slot.0 / WORD_SLOTS) as usize] >> (slot.0 % WORD_SLOTS) & 1 != 0
    }

    /// Remembers the tag of what is in a slot, or in a unit that begins there.
    pub fn set_tag(&mut self, slot: Slot, tag: &Tag) {
        match &mut self.seals {
            Seals::Checksums(seals) => seals[slot.0 as usize].copy_from_slice(&tag[..CHECKSUM_BYTES]),
            Seals::Tags(seals) => {
                let words = tag.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
                seals[slot.0 as usize].iter_mut().skip(1).zip(words).for_each(|(word, tag)| *word = tag);
            }
        }
    }

    /// The tag that a slot's contents must have.
    pub fn tag(&self, slot: Slot) -> Tag {
        match &self.seals {
            Seals::Checksums(seals) => {
                let mut tag = Tag::default();
                tag[..CHECKSUM_BYTES].copy_from_slice(&seals[slot.0 as usize]);
                tag
            }
            Seals::Tags(seals) => {
                let mut tag = Tag::default();
                let [_, words @ ..] = seals[slot.0 as usize];
                for (bytes, word) in tag.as_chunks_mut().0.iter_mut().zip(words) {
                    *bytes = word.to_le_bytes();
                }
                tag
            }
        }
    }

    /// How often a slot has been given out, where that matters.
    pub fn generation(&self, slot: Slot) -> u32 {
        match &self.seals {
            Seals::Checksums(_) => 0,
            Seals::Tags(seals) => seals[slot.0 as usize][0],
        }
    }

    /// The units that were written as they are.
    pub fn units(&self) -> &UnitMap {
        &self.units
    }

    /// The same, to pin and to search.
    pub fn units_mut(&mut self) -> &mut UnitMap {
        &mut self.units
    }

    /// A unit was written to slots from this one on.
    pub fn insert_unit(&mut self, first: Slot, unit: PackedUnit) {
        self.units.insert(first, unit);
    }

    /// A zpage on the device is wanted no more.
    pub fn give_zpage_back(&mut self, packed: Packed) {
        let freed = self.units.remove_zpage(packed);
        self.give_run_back(packed.unit, freed.unwrap_or(0));
    }

    /// Nobody reads a unit any more.
    pub fn unpin(&mut self, first: Slot) {
        let freed = self.units.unpin(first);
        self.give_run_back(first, freed.unwrap_or(0));
    }

    /// Gives adjacent slots back.
    pub fn give_run_back(&mut self, first: Slot, count: u32) {
        (0..count).for_each(|offset| self.give_back(first.plus(offset)));
    }
}

fn ones(count: u32) -> u64 {
    u64::MAX >> (WORD_SLOTS - count)
}

/// The first run of `wanted` zeros in a word, or else its longest: (start, length).
fn longest_run_of_zeros(word: u64, wanted: u32) -> (u32, u32) {
    let (mut best_at, mut best_length) = (0, 0);
    let mut at = 0;
    while at < WORD_SLOTS {
        at += (word >> at).trailing_ones();
        if at >= WORD_SLOTS {
            break;
        }
        let length = (word >> at).trailing_zeros().min(WORD_SLOTS - at);
        if length >= wanted {
            return (at, wanted);
        }
        if length > best_length {
            (best_at, best_length) = (at, length);
        }
        at += length;
    }
    (best_at, best_length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_lowest_first_and_as_long_as_can_be() {
        let mut map = SwapMap::new(100, true);
        assert_eq!(map.take_run(32), Some((Slot(0), 32)));
        assert_eq!(map.take_run(32), Some((Slot(32), 32)));
        assert_eq!(map.take_run(40), Some((Slot(64), 36)), "the last word has 36 slots");
        assert_eq!(map.take_run(1), None);
        for slot in [3, 10, 11, 12, 40] {
            map.give_back(Slot(slot));
        }
        assert_eq!(map.take_run(3), Some((Slot(10), 3)));
        assert_eq!(map.take_run(3), Some((Slot(3), 1)), "only single slots are left");
        map.retire(Slot(10));
        assert_eq!((map.used(), map.retired()), (98, 1));
        assert_eq!(map.take_run(8), Some((Slot(40), 1)));
        assert_eq!(map.take_run(8), None, "a retired slot is never given out again");
    }

    #[test]
    fn what_a_child_reads_is_not_given_out_again_before_it_has_gone() {
        let mut map = SwapMap::new(64, true);
        map.take_run(4).unwrap();
        map.freeze();
        map.take_run(2).unwrap();
        for slot in [1, 3, 4] {
            map.give_back(Slot(slot));
        }
        assert_eq!((map.used(), map.free()), (3, 64 - 3 - 2));
        assert_eq!(map.take_run(1), Some((Slot(4), 1)), "what came after the fork is free again");
        assert_eq!(map.take_run(1), Some((Slot(6), 1)));
        map.thaw();
        assert_eq!((map.used(), map.free()), (5, 59));
        assert_eq!(map.take_run(1), Some((Slot(1), 1)));
        map.give_back(Slot(1));
        assert_eq!(map.take_run(1), Some((Slot(1), 1)), "nothing is frozen any more");
    }

    #[test]
    fn a_slot_is_of_another_generation_each_time() {
        let mut map = SwapMap::new(64, true);
        let (slot, _) = map.take_run(1).unwrap();
        let first = map.generation(slot);
        map.give_back(slot);
        assert_eq!(map.take_run(1), Some((slot, 1)));
        assert_ne!(map.generation(slot), first);
    }
}
