//! The state of every page, in eight bytes a page, changed through one checked function.
//!
//! An entry packs, from the low end:
//!
//! | bits | field | meaning |
//! | --- | --- | --- |
//! | 3 | state | see [`State`] |
//! | 1 | busy | a task is carrying something out for this page; everybody else waits |
//! | 2 | kind of the copy | none or same-filled value, zpage, slot of the swap device, zpage in a unit on the device |
//! | 32 | place of the copy | 0 or index of the value plus 1, handle of the zpage, number of the slot, unit and index in it |
//! | 26 | frame | resident: its node in the lists; swap cache and writing: its staging slot; lost: why; elsewhere: when it was evicted (the shadow) |
//!
//! A resident page *with* a copy is clean: it is mapped write-protected, and the first write
//! invalidates the copy. A resident page without one is dirty.

use crate::page::PageNumber;
use crate::swap_device::swap_map::Slot;
use crate::swap_device::unit_map::Packed;
use crate::zcache::pool::Handle;

/// Frames, staging slots and shadows are numbers below this.
pub const FRAME_LIMIT: u32 = 1 << 26;

/// Where a page is. Each page is in exactly one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Never touched, or discarded: reads as zeros.
    Empty,
    /// Mapped: the program reads and writes it.
    Resident,
    /// Unmapped, uncompressed in a staging slot.
    SwapCache,
    /// In a staging slot still, while it is being written to the device.
    Writing,
    /// A zpage, or a same-filled value.
    Zcache,
    /// On the swap device, in a slot of its own or as a zpage of a unit.
    Device,
    /// The only copy could not be read back.
    Lost,
}

impl State {
    const ALL: [State; 7] = [
        State::Empty,
        State::Resident,
        State::SwapCache,
        State::Writing,
        State::Zcache,
        State::Device,
        State::Lost,
    ];

    fn may_become(self, next: State) -> bool {
        use State::*;
        self == next
            || matches!(
                (self, next),
                (Empty, Resident)
                    | (Resident, SwapCache | Zcache | Device | Empty)
                    | (SwapCache, Resident | Zcache | Writing | Empty)
                    | (Writing, Resident | Device | SwapCache | Empty)
                    | (Zcache, Resident | SwapCache | Device | Empty | Lost)
                    | (Device, Resident | SwapCache | Zcache | Empty | Lost)
                    | (Lost, Empty)
            )
    }
}

/// A copy of the page that is not the page itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// There is none: what is in RAM is all there is.
    None,
    /// The page is one value over and over; its index in the table of values.
    SameFilled(u32),
    /// A zpage in the pool.
    Zpage(Handle),
    /// A slot of the swap device.
    Slot(Slot),
    /// A zpage of a unit that was written to the device as it was.
    Packed(Packed),
}

/// What is known of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the page is.
    pub state: State,
    /// A task is carrying something out for this page.
    pub busy: bool,
    /// A copy of it elsewhere.
    pub backing: Backing,
    /// Node, staging slot, loss, or shadow, as the state has it.
    pub frame: u32,
}

impl Entry {
    const EMPTY: Entry = Entry { state: State::Empty, busy: false, backing: Backing::None, frame: 0 };

    fn pack(self) -> u64 {
        let (kind, place) = match self.backing {
            Backing::None => (0, 0),
            Backing::SameFilled(index) => (0, index + 1),
            Backing::Zpage(handle) => (1, handle.0),
            Backing::Slot(slot) => (2, slot.0),
            Backing::Packed(packed) => (3, packed.to_bits()),
        };
        debug_assert!(self.frame < FRAME_LIMIT);
        self.state as u64
            | u64::from(self.busy) << 3
            | kind << 4
            | u64::from(place) << 6
            | u64::from(self.frame) << 38
    }

    fn unpack(bits: u64) -> Self {
        let place = (bits >> 6) as u32;
        Entry {
            state: State::ALL[(bits & 7) as usize],
            busy: bits & 8 != 0,
            backing: match bits >> 4 & 3 {
                0 if place == 0 => Backing::None,
                0 => Backing::SameFilled(place - 1),
                1 => Backing::Zpage(Handle(place)),
                2 => Backing::Slot(Slot(place)),
                _ => Backing::Packed(Packed::from_bits(place)),
            },
            frame: (bits >> 38) as u32,
        }
    }

    /// The same entry, busy or no longer.
    #[must_use]
    pub fn with_busy(self, busy: bool) -> Entry {
        Entry { busy, ..self }
    }

    /// A mapped page whose copy would still be good if it left now.
    pub fn is_clean(&self) -> bool {
        self.state == State::Resident && self.backing != Backing::None
    }
}

/// The entries of all pages in the window.
pub struct PageTable {
    /// Zero is [`Entry::EMPTY`], so untouched parts of the table need no RAM.
    entries: Vec<u64>,
}

impl PageTable {
    /// Bytes of an entry.
    pub const ENTRY_BYTES: u64 = 8;

    /// A table of `pages` empty pages.
    pub fn new(pages: u32) -> Self {
        debug_assert_eq!(Entry::EMPTY.pack(), 0);
        PageTable { entries: vec![0; pages as usize] }
    }

    /// Pages in the window.
    pub fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Whether the window has no page at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is known of a page.
    pub fn get(&self, page: PageNumber) -> Entry {
        Entry::unpack(self.entries[page.index()])
    }

    /// The one way to change a page's state.
    pub fn set(&mut self, page: PageNumber, next: Entry) {
        let before = self.get(page).state;
        assert!(before.may_become(next.state), "{page:?} cannot go from {before:?} to {:?}", next.state);
        let has_copy = next.backing != Backing::None;
        match next.state {
            State::Empty | State::SwapCache | State::Lost => assert!(!has_copy, "{page:?}: {next:?}"),
            State::Writing => assert!(matches!(next.backing, Backing::Slot(_)), "{page:?}: {next:?}"),
            State::Device => {
                assert!(matches!(next.backing, Backing::Slot(_) | Backing::Packed(_)), "{page:?}: {next:?}");
            }
            State::Zcache => assert!(
                matches!(next.backing, Backing::Zpage(_) | Backing::SameFilled(_)),
                "{page:?}: {next:?}"
            ),
            State::Resident => {}
        }
        self.entries[page.index()] = next.pack();
    }

    /// Marks a page, or no longer.
    pub fn set_busy(&mut self, page: PageNumber, busy: bool) {
        self.set(page, self.get(page).with_busy(busy));
    }

    /// Makes a page empty, from any state.
    pub fn clear(&mut self, page: PageNumber) {
        self.set(page, Entry::EMPTY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_packing() {
        for state in State::ALL {
            for backing in [
                Backing::None,
                Backing::SameFilled(7),
                Backing::Zpage(Handle(u32::MAX)),
                Backing::Slot(Slot(u32::MAX - 1)),
                Backing::Packed(Packed { unit: Slot(Packed::SLOT_LIMIT - 1), index: 63 }),
            ] {
                for (busy, frame) in [(false, 0), (true, FRAME_LIMIT - 1)] {
                    let entry = Entry { state, busy, backing, frame };
                    assert_eq!(Entry::unpack(entry.pack()), entry);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "cannot go from Empty to Device")]
    fn an_illegal_transition_is_a_panic() {
        let mut table = PageTable::new(1);
        let on_device =
            Entry { state: State::Device, busy: false, backing: Backing::Slot(Slot(0)), frame: 0 };
        table.set(PageNumber(0), on_device);
    }
}
