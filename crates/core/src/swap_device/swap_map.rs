//! The swap map: which slots of the swap device are in use, and each page's checksum.
//!
//! Per slot: one bit (in use) and four bytes (checksum of the page in it, bound to page and
//! slot). Slots are given out in runs, lowest first, so that pages that leave together can be
//! written, and later read, in one go, and so that the tables grow no further than the most
//! slots ever used at once.

use crate::page::{Page, PageNumber};
use xxhash_rust::xxh3::xxh3_64_with_seed;

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

/// See the module's description.
pub struct SwapMap {
    /// A set bit is a slot in use.
    words: Vec<u64>,
    checksums: Vec<u32>,
    slot_count: u32,
    used: u32,
    retired: u32,
    /// No word before this one has a free slot.
    lowest: usize,
    /// Slots from here on were never used.
    untouched: u32,
}

impl SwapMap {
    /// A map of `slot_count` free slots. Nothing allocates after this.
    pub fn new(slot_count: u32) -> Self {
        let word_count = slot_count.div_ceil(WORD_SLOTS) as usize;
        let mut words = vec![0; word_count];
        if !slot_count.is_multiple_of(WORD_SLOTS) {
            words[word_count - 1] = u64::MAX << (slot_count % WORD_SLOTS);
        }
        SwapMap {
            words,
            checksums: vec![0; slot_count as usize],
            slot_count,
            used: 0,
            retired: 0,
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
        self.used + self.retired < self.slot_count
    }

    /// Slots that were taken out of use after a write to them failed.
    pub fn retired(&self) -> u32 {
        self.retired
    }

    /// Bytes that the tables have come to occupy.
    pub fn metadata_bytes(&self) -> u64 {
        u64::from(self.untouched) * 4 + u64::from(self.untouched).div_ceil(8)
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
        Some((first, best_length))
    }

    /// Gives a slot back.
    pub fn give_back(&mut self, slot: Slot) {
        let word = (slot.0 / WORD_SLOTS) as usize;
        let bit = 1 << (slot.0 % WORD_SLOTS);
        assert!(self.words[word] & bit != 0, "{slot:?} is free already");
        self.words[word] &= !bit;
        self.used -= 1;
        self.lowest = self.lowest.min(word);
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

    /// Remembers the checksum of what is being written to a slot.
    pub fn set_checksum(&mut self, slot: Slot, checksum: u32) {
        self.checksums[slot.0 as usize] = checksum;
    }

    /// The checksum that a slot's contents must have.
    pub fn checksum(&self, slot: Slot) -> u32 {
        self.checksums[slot.0 as usize]
    }
}

/// The checksum of a page's contents, bound to the page and to the slot: a write that went to
/// the wrong place, or was never done, does not pass either.
pub fn checksum(page: PageNumber, slot: Slot, contents: &Page) -> u32 {
    let identity = u64::from(page.0) << 32 | u64::from(slot.0);
    xxh3_64_with_seed(&contents[..], identity) as u32
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
        let mut map = SwapMap::new(100);
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
    fn a_checksum_knows_page_and_slot() {
        let contents = Page::ZERO;
        let right = checksum(PageNumber(1), Slot(2), &contents);
        assert_ne!(right, checksum(PageNumber(2), Slot(2), &contents));
        assert_ne!(right, checksum(PageNumber(1), Slot(1), &contents));
        let mut torn = contents.clone();
        torn[4095] = 1;
        assert_ne!(right, checksum(PageNumber(1), Slot(2), &torn));
    }
}
