//! Layers: who has written a slot, of a process, its parent, and that one's parents.
//!
//! A forked child finds its pages in its parent's slots, and writes to a device and with a key of its own. The
//! parent does not give out the slots that it had in use again as long as there are such children
//! ([`SwapMap::freeze`](super::swap_map::SwapMap::freeze)); a child's slots have the same numbers.

use std::sync::atomic::{AtomicU8, Ordering};

use super::swap_map::Slot;

/// The layer of each slot's contents. Layer 0 is the oldest process's.
pub struct Layers {
    /// Empty where there is but one layer.
    of_slot: Vec<AtomicU8>,
    newest: u8,
}

impl Layers {
    /// The one layer of a process that has inherited nothing.
    pub fn one() -> Self {
        Layers { of_slot: Vec::new(), newest: 0 }
    }

    /// For a forked child, with a layer of its own on top. `None`: it would be one too many.
    pub fn of_child(&self, slot_count: u32) -> Option<Self> {
        let newest = self.newest.checked_add(1)?;
        let of_slot = (0..slot_count).map(|slot| AtomicU8::new(self.of(Slot(slot)))).collect();
        Some(Layers { of_slot, newest })
    }

    /// This process's own.
    pub fn newest(&self) -> u8 {
        self.newest
    }

    /// The layer of what is in a slot.
    pub fn of(&self, slot: Slot) -> u8 {
        self.of_slot.get(slot.0 as usize).map_or(0, |layer| layer.load(Ordering::Relaxed))
    }

    /// Slots are about to be written.
    pub fn written(&self, first: Slot, count: u32) {
        for slot in first.0..first.0 + count {
            if let Some(layer) = self.of_slot.get(slot as usize) {
                layer.store(self.newest, Ordering::Relaxed);
            }
        }
    }

    /// How many slots from this one on, of at most `most`, are of its layer.
    pub fn run_length(&self, first: Slot, most: u32) -> u32 {
        let layer = self.of(first);
        (1..most).find(|offset| self.of(first.plus(*offset)) != layer).unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_what_its_parent_wrote_until_it_writes_itself() {
        let parent = Layers::one();
        parent.written(Slot(0), 8);
        let child = parent.of_child(8).unwrap();
        child.written(Slot(2), 3);
        let grandchild = child.of_child(8).unwrap();
        grandchild.written(Slot(4), 1);
        let layers = |layers: &Layers| (0..8).map(|slot| layers.of(Slot(slot))).collect::<Vec<_>>();
        assert_eq!(layers(&parent), [0; 8]);
        assert_eq!(layers(&child), [0, 0, 1, 1, 1, 0, 0, 0]);
        assert_eq!(layers(&grandchild), [0, 0, 1, 1, 2, 0, 0, 0]);
        assert_eq!([0, 1, 2, 4].map(|slot| grandchild.run_length(Slot(slot), 8 - slot)), [2, 1, 2, 1]);
        assert_eq!(grandchild.run_length(Slot(5), 2), 2);
    }
}
