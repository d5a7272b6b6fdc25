//! The swap cache: pages that the program cannot see any more and that are not yet compressed
//! or written. A touch brings them straight back.
//!
//! Each is in a *staging slot*, a page-sized place outside the program's sight to which the
//! page frame itself is moved. Pages that leave resident memory form a list in the order of age.
//! What unuse has taken out of zcache is colder than all of them: it waits in a queue of its own,
//! first come, first written, and batches take from it before they take from the list's tail.
//!
//! A slot is *free*; *idle* (it holds a page, and is on the list); *being read* by a task; or
//! *emptying* (memory that is just being filled, or moved or released). While a task reads a
//! slot its page may be copied back to the program, which makes the slot an *orphan*; the last
//! reader releases it.

use crate::page::PageNumber;

const NIL: u32 = u32::MAX;

/// A page-sized place outside the program's sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StagingSlot(pub u32);

impl StagingSlot {
    /// The slot as an index into a table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Nothing,
    Idle,
    Read { readers: u8, is_orphan: bool },
    Emptying,
}

#[derive(Clone, Copy)]
struct Place {
    page: PageNumber,
    /// Towards the head (newer).
    previous: u32,
    /// Towards the tail (colder).
    next: u32,
    /// When unuse put the page here, in microseconds, wrapping; 0 where it came otherwise.
    unused_us: u32,
    holds: Holds,
    /// It waits, or would, in the queue of what unuse has taken out.
    is_queued: bool,
}

/// New pages come in at the head, and batches take from the tail.
#[derive(Clone, Copy)]
struct Chain {
    head: u32,
    tail: u32,
    length: u32,
}

const BY_AGE: usize = 0;
const UNUSED: usize = 1;

/// See the module's description.
pub struct SwapCache {
    places: Vec<Place>,
    chains: [Chain; 2],
    free: u32,
    /// Slots that should be in use at most.
    limit: u32,
    /// Where the search for a free slot goes on: slots in a row are released in one call.
    cursor: u32,
}

impl SwapCache {
    /// A swap cache of so many staging slots. Nothing allocates after this.
    pub fn new(slots: u32) -> Self {
        let nothing = Place {
            page: PageNumber(0),
            previous: NIL,
            next: NIL,
            unused_us: 0,
            holds: Holds::Nothing,
            is_queued: false,
        };
        SwapCache {
            places: vec![nothing; slots as usize],
            chains: [Chain { head: NIL, tail: NIL, length: 0 }; 2],
            free: slots,
            limit: slots,
            cursor: 0,
        }
    }

    /// Pages that wait, those from unuse included.
    pub fn length(&self) -> u32 {
        self.chains[BY_AGE].length + self.chains[UNUSED].length
    }

    /// Pages that unuse put there, on their way to the device.
    pub fn unused(&self) -> u32 {
        self.chains[UNUSED].length
    }

    /// Slots that hold nothing.
    pub fn free_slots(&self) -> u32 {
        self.free
    }

    /// Slots that should still be taken; there may be more in need.
    pub fn room(&self) -> u32 {
        self.free.saturating_sub(self.slots() - self.limit)
    }

    /// Sets how many slots should be in use at most.
    pub fn set_limit(&mut self, slots: u32) {
        self.limit = slots.min(self.slots());
    }

    /// All slots.
    pub fn slots(&self) -> u32 {
        self.places.len() as u32
    }

    /// Bytes of the table.
    pub fn metadata_bytes(&self) -> u64 {
        size_of_val(&self.places[..]) as u64
    }

    /// Takes a free slot for a page that is about to be moved there.
    pub fn take_slot(&mut self, page: PageNumber) -> Option<StagingSlot> {
        if self.free == 0 {
            return None;
        }
        while self.places[self.cursor as usize].holds != Holds::Nothing {
            self.cursor = (self.cursor + 1) % self.slots();
        }
        let slot = StagingSlot(self.cursor);
        self.cursor = (self.cursor + 1) % self.slots();
        self.free -= 1;
        self.places[slot.index()] =
            Place { page, previous: NIL, next: NIL, unused_us: 0, holds: Holds::Emptying, is_queued: false };
        Some(slot)
    }

    /// The page is in its slot now, the youngest of all.
    pub fn insert_newest(&mut self, slot: StagingSlot) {
        self.link(slot);
    }

    /// Unuse has put a page into its slot at this time: it joins the queue.
    pub fn insert_unused(&mut self, slot: StagingSlot, now_us: u64) {
        self.places[slot.index()].is_queued = true;
        self.insert_unused_newest(slot, now_us);
    }

    /// The same, but the page is the youngest of all: a defect of the RFC's code.
    pub fn insert_unused_newest(&mut self, slot: StagingSlot, now_us: u64) {
        self.places[slot.index()].unused_us = (now_us as u32).max(1);
        self.link(slot);
    }

    /// Takes the coldest page for a task to read. It stays in the swap cache.
    pub fn take_coldest(&mut self) -> Option<(StagingSlot, PageNumber)> {
        let Chain { tail, .. } = self.chains[if self.unused() > 0 { UNUSED } else { BY_AGE }];
        (tail != NIL).then(|| {
            let slot = StagingSlot(tail);
            self.unlink(slot);
            self.places[slot.index()].holds = Holds::Read { readers: 1, is_orphan: false };
            (slot, self.places[slot.index()].page)
        })
    }

    /// The one reader has not got rid of the page: it is back at the head, so that others get a
    /// turn.
    pub fn put_back(&mut self, slot: StagingSlot) {
        let place = self.place(slot, Holds::Read { readers: 1, is_orphan: false });
        place.holds = Holds::Emptying;
        (place.unused_us, place.is_queued) = (0, false);
        self.link(slot);
    }

    /// A reader is done, and the page elsewhere. `true`: it was the last one, or had the slot to
    /// itself, and has to release the memory and then give the slot back.
    pub fn reader_done(&mut self, slot: StagingSlot) -> bool {
        let holds = &mut self.places[slot.index()].holds;
        match holds {
            Holds::Read { readers: 1, .. } | Holds::Emptying => *holds = Holds::Emptying,
            Holds::Read { readers, .. } => *readers -= 1,
            _ => unreachable!("{slot:?} holds {holds:?}"),
        }
        *holds == Holds::Emptying
    }

    /// A page that was taken back could not be had: it is here as before. `true`: another task
    /// reads it still, and finds no orphan. `false`: it waits for its turn again.
    pub fn stay(&mut self, slot: StagingSlot) -> bool {
        let holds = &mut self.places[slot.index()].holds;
        if let Holds::Read { readers: readers @ 2.., is_orphan } = holds {
            *readers -= 1;
            *is_orphan = false;
            return true;
        }
        *holds = Holds::Emptying;
        self.link(slot);
        false
    }

    /// Whether the page went elsewhere while a task reads it.
    pub fn is_orphan(&self, slot: StagingSlot) -> bool {
        matches!(self.places[slot.index()].holds, Holds::Read { is_orphan: true, .. })
    }

    /// Whether a task reads the slot, so that its memory cannot be taken away.
    pub fn is_being_read(&self, slot: StagingSlot) -> bool {
        matches!(self.places[slot.index()].holds, Holds::Read { .. })
    }

    /// The page goes back to the program, or is discarded. `true`: its memory is the caller's to
    /// move or release. `false`: a task reads it, so it can only be copied; the caller is a reader
    /// itself from now on.
    pub fn take_back(&mut self, slot: StagingSlot) -> bool {
        match &mut self.places[slot.index()].holds {
            Holds::Idle => {
                self.unlink(slot);
                self.places[slot.index()].holds = Holds::Emptying;
                true
            }
            Holds::Read { readers, is_orphan } if !*is_orphan => {
                *is_orphan = true;
                *readers += 1;
                false
            }
            holds => unreachable!("{slot:?} holds {holds:?}"),
        }
    }

    /// The slot's memory has been released or moved away.
    pub fn give_slot_back(&mut self, slot: StagingSlot) {
        self.place(slot, Holds::Emptying).holds = Holds::Nothing;
        self.free += 1;
    }

    /// When unuse put the page there.
    pub fn unused_us(&self, slot: StagingSlot) -> Option<u32> {
        Some(self.places[slot.index()].unused_us).filter(|time| *time != 0)
    }

    /// The slots with pages that wait, the coldest first.
    pub fn coldest_first(&self) -> impl Iterator<Item = (StagingSlot, PageNumber)> {
        [UNUSED, BY_AGE].into_iter().flat_map(move |chain| {
            let mut slot = self.chains[chain].tail;
            std::iter::from_fn(move || {
                let place = self.places.get(slot as usize)?;
                let here = StagingSlot(slot);
                slot = place.previous;
                Some((here, place.page))
            })
        })
    }

    fn place(&mut self, slot: StagingSlot, expected: Holds) -> &mut Place {
        let place = &mut self.places[slot.index()];
        assert_eq!(place.holds, expected, "{slot:?}");
        place
    }

    fn link(&mut self, slot: StagingSlot) {
        let place = self.place(slot, Holds::Emptying);
        place.holds = Holds::Idle;
        let chain = place.chain();
        let old_head = self.chains[chain].head;
        self.places[slot.index()].next = old_head;
        self.chains[chain].head = slot.0;
        if old_head == NIL {
            self.chains[chain].tail = slot.0;
        } else {
            self.places[old_head as usize].previous = slot.0;
        }
        self.chains[chain].length += 1;
    }

    fn unlink(&mut self, slot: StagingSlot) {
        let place = &mut self.places[slot.index()];
        let Place { previous, next, .. } = *place;
        (place.previous, place.next) = (NIL, NIL);
        let chain = &mut self.chains[place.chain()];
        chain.length -= 1;
        if previous == NIL {
            chain.head = next;
        } else {
            self.places[previous as usize].next = next;
        }
        if next == NIL {
            chain.tail = previous;
        } else {
            self.places[next as usize].previous = previous;
        }
    }
}

impl Place {
    fn chain(&self) -> usize {
        if self.is_queued { UNUSED } else { BY_AGE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_pages_leave_before_all_others() {
        let mut cache = SwapCache::new(5);
        let slots: Vec<_> = (0..5).map(|page| cache.take_slot(PageNumber(page)).unwrap()).collect();
        assert!(cache.take_slot(PageNumber(9)).is_none());
        cache.insert_newest(slots[0]);
        cache.insert_newest(slots[1]);
        cache.insert_unused(slots[2], 5);
        cache.insert_newest(slots[3]);
        cache.insert_unused(slots[4], 6);
        assert_eq!((cache.length(), cache.unused()), (5, 2));
        let order: Vec<u32> = cache.coldest_first().map(|(_, page)| page.0).collect();
        assert_eq!(order, [2, 4, 0, 1, 3]);
        assert_eq!(cache.take_coldest(), Some((slots[2], PageNumber(2))), "first come, first written");
        assert_eq!((cache.unused(), cache.unused_us(slots[2])), (1, Some(5)));
        assert_eq!(cache.take_coldest(), Some((slots[4], PageNumber(4))));
        assert!(!cache.take_back(slots[2]), "it is being read");
        assert!(cache.is_orphan(slots[2]));
        assert!(cache.take_back(slots[0]));
        assert!(!cache.reader_done(slots[2]), "one task copies it still");
        assert!(cache.reader_done(slots[2]));
        cache.give_slot_back(slots[2]);
        cache.give_slot_back(slots[0]);
        cache.put_back(slots[4]);
        assert_eq!((cache.length(), cache.unused(), cache.free_slots()), (3, 0, 2));
        let order: Vec<u32> = cache.coldest_first().map(|(_, page)| page.0).collect();
        assert_eq!(order, [1, 3, 4], "what could not be written is the youngest");
    }

    #[test]
    fn a_page_that_cannot_be_taken_back_stays() {
        let mut cache = SwapCache::new(2);
        let slot = cache.take_slot(PageNumber(7)).unwrap();
        cache.insert_newest(slot);
        assert!(cache.take_back(slot));
        assert!(!cache.stay(slot), "nobody else has it");
        assert_eq!(cache.take_coldest(), Some((slot, PageNumber(7))));
        assert!(!cache.take_back(slot));
        assert!(cache.stay(slot), "it is being read");
        assert!(!cache.is_orphan(slot));
        assert!(!cache.take_back(slot));
        assert!(!cache.reader_done(slot), "one task copies it still");
        assert!(!cache.stay(slot));
        assert_eq!((cache.length(), cache.free_slots()), (1, 1));
    }
}
