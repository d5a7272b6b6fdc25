//! Operations that fail by their number, so that a test can go through all of them.

use std::cell::Cell;

/// What can fail, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A write to the device, with an error.
    Write,
    /// A write to the device, for want of space: another time there may be some.
    NoSpace,
    /// A read of the device, from its first page on.
    Read,
    /// A read of the device, from the middle on.
    ShortRead,
    /// Mapping pages: none of them.
    Map,
    /// Moving pages out of the program's sight: none of them.
    Move,
    /// Moving a page back.
    MoveBack,
    /// Putting a page into a staging slot.
    Stage,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] = [
        Kind::Write,
        Kind::NoSpace,
        Kind::Read,
        Kind::ShortRead,
        Kind::Map,
        Kind::Move,
        Kind::MoveBack,
        Kind::Stage,
    ];
}

/// Which operations of a kind fail: the first one is number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// The kind.
    pub kind: Kind,
    /// The first to fail.
    pub from: u64,
    /// The first that does not fail again.
    pub until: u64,
}

/// Counts operations, and lets fail those that shall.
#[derive(Default)]
pub struct Numbered {
    failing: Cell<Option<Failing>>,
    counts: [Cell<u64>; Kind::ALL.len()],
}

impl Numbered {
    /// From the first operation on.
    pub fn new(failing: Option<Failing>) -> Self {
        Numbered { failing: Cell::new(failing), counts: Default::default() }
    }

    /// Another operation of this kind: whether it fails.
    pub fn fails(&self, kind: Kind) -> bool {
        let count = &self.counts[kind as usize];
        let number = count.replace(count.get() + 1);
        let is_meant =
            |failing: Failing| failing.kind == kind && (failing.from..failing.until).contains(&number);
        self.failing.get().is_some_and(is_meant)
    }

    /// Operations of this kind so far.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts[kind as usize].get()
    }

    /// Lets nothing fail any more.
    pub fn heal(&self) {
        self.failing.set(None);
    }
}
