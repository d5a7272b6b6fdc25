//! Doubly linked lists of things that have an index.
//!
//! A list is its two ends; the links stand with the things themselves (in a table, in the
//! frames), so that a list costs no memory of its own and nothing is allocated. One thing may
//! be on several lists at once if it has a pair of links for each.

/// The index that stands for nothing.
pub const NONE: u32 = u32::MAX;

/// The two ends of a list, and the two directions from a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first member; the hot end of an LRU list.
    Front,
    /// The last member; the cold end of an LRU list.
    Back,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Front => Side::Back,
            Side::Back => Side::Front,
        }
    }
}

/// Where the links of a list stand.
pub trait Links {
    /// The neighbour on this side of a member, or [`NONE`].
    fn neighbour(&self, of: u32, side: Side) -> u32;

    /// Sets the neighbour on this side of a member.
    fn set_neighbour(&mut self, of: u32, side: Side, to: u32);
}

/// The ends of a list. Each call must be given the same list's links.
#[derive(Clone, Copy, Debug)]
pub struct UnitList {
    ends: [u32; 2],
}

impl UnitList {
    /// A list without members.
    pub const EMPTY: UnitList = UnitList { ends: [NONE; 2] };

    /// The member at this end.
    pub fn end(&self, side: Side) -> Option<u32> {
        let index = self.ends[side as usize];
        (index != NONE).then_some(index)
    }

    /// Puts what is on no such list at this end.
    pub fn push(&mut self, links: &mut (impl Links + ?Sized), side: Side, index: u32) {
        let next = self.ends[side as usize];
        links.set_neighbour(index, side, NONE);
        links.set_neighbour(index, side.other(), next);
        match next {
            NONE => self.ends[side.other() as usize] = index,
            next => links.set_neighbour(next, side, index),
        }
        self.ends[side as usize] = index;
    }

    /// Puts what is on no such list beside a member, on this side of it.
    pub fn insert(&mut self, links: &mut (impl Links + ?Sized), member: u32, side: Side, index: u32) {
        match links.neighbour(member, side) {
            NONE => self.push(links, side, index),
            beyond => {
                links.set_neighbour(index, side, beyond);
                links.set_neighbour(index, side.other(), member);
                links.set_neighbour(member, side, index);
                links.set_neighbour(beyond, side.other(), index);
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, links: &mut (impl Links + ?Sized), index: u32) {
        for side in [Side::Front, Side::Back] {
            let neighbour = links.neighbour(index, side);
            let beyond = links.neighbour(index, side.other());
            match neighbour {
                NONE => {
                    debug_assert_eq!(self.ends[side as usize], index, "not a member");
                    self.ends[side as usize] = beyond;
                }
                neighbour => links.set_neighbour(neighbour, side.other(), beyond),
            }
        }
    }

    /// The members from front to back. Panics where the links of the two directions disagree.
    pub fn walk(&self, neighbour: impl Fn(u32, Side) -> u32) -> impl Iterator<Item = u32> {
        let [mut at, back] = self.ends;
        let mut before = NONE;
        std::iter::from_fn(move || {
            if at == NONE {
                assert_eq!(before, back, "the list ends elsewhere than at its back");
                return None;
            }
            assert_eq!(neighbour(at, Side::Front), before, "the links disagree at {at}");
            before = at;
            at = neighbour(at, Side::Back);
            Some(before)
        })
    }
}
