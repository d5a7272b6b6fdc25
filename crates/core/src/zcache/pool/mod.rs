//! Pools: how zpages are packed into page frames.
//!
//! [`zbud`] puts at most two zpages into a frame; [`zsmalloc`] packs zpages of one size class
//! over a few frames. What unuse evicts as a whole is a *unit*: a frame of zbud, a zspage of
//! zsmalloc. Which one goes next is for the [policy](super::policy) to say.
//!
//! A pool is touched only under the pager's lock; zpages are copied in and out, so nobody
//! holds a pointer into a frame when the lock is dropped, and compaction may move any zpage
//! that is not in an isolated unit. Nothing here allocates after construction: stores happen
//! inside page faults. A full pool returns a [`Refusal`]; it never calls up.

pub mod arena;
pub mod layout;
pub mod unit_list;
pub mod zbud;
pub mod zsmalloc;

use super::policy::Policy;
use crate::budget::Budget;
use crate::page::PageNumber;
use arena::Arena;
use layout::UnitLayout;

/// The most zpages that a unit may hold, in any pool: unuse needs a frame for each of them.
pub const ZPAGES_PER_UNIT_MAX: usize = 64;

/// Where in a zpage's header, which is one byte shorter than its place, it is kept whether the
/// zpage is *referenced*: it was stored or used since the policy last asked. There it costs no
/// memory, and stands in a cache line that a load has just touched.
const REFERENCED: usize = 11;

/// Where a zpage is. It changes when compaction moves the zpage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u32);

/// A frame of zbud, a zspage of zsmalloc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit(pub u32);

/// Why a zpage was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pool may have no more frames.
    PoolLimit,
    /// The budget has no frame left.
    NoFrame,
    /// The zpage is too large to save anything in this pool.
    CompressPoor,
}

/// What stands before a zpage's bytes in its frame. It counts as part of the zpage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZpageHeader {
    /// Whose zpage this is.
    pub page: PageNumber,
    /// Of the compressed bytes, bound to the page.
    pub checksum: u32,
    /// Length of the compressed bytes.
    pub length: u16,
    /// What the codec did to the page's bytes before it compressed them.
    pub form: u8,
}

impl ZpageHeader {
    /// Bytes that a header takes in a frame.
    pub const BYTES: usize = 12;

    /// The header as it stands in a frame.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..4].copy_from_slice(&self.page.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.length.to_le_bytes());
        bytes[10] = self.form;
        bytes
    }

    /// The header that stands in a frame.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        ZpageHeader {
            page: PageNumber(word(0)),
            checksum: word(4),
            length: u16::from_le_bytes([bytes[8], bytes[9]]),
            form: bytes[10],
        }
    }
}

/// A way to pack zpages into frames.
pub trait Pool: Send {
    /// The longest zpage, without its header, that this pool takes.
    fn zpage_bytes_max(&self) -> usize;

    /// Copies a zpage in; `header.length` is `bytes.len()`.
    fn store(&mut self, header: ZpageHeader, bytes: &[u8], budget: &mut Budget) -> Result<Handle, Refusal>;

    /// The header of a zpage.
    fn header(&self, handle: Handle) -> ZpageHeader;

    /// Copies a zpage's bytes to the start of `into`, which is at least as long.
    fn load(&self, handle: Handle, into: &mut [u8]) -> ZpageHeader;

    /// A zpage was loaded for the program, which keeps it as a clean copy; or the program's page
    /// is gone again, and the zpage is the only copy. Does nothing in an isolated unit.
    fn used(&mut self, handle: Handle);

    /// Drops a zpage. Its unit's frames go back to the arena if this was the last zpage and the
    /// unit is not isolated.
    fn remove(&mut self, handle: Handle, budget: &mut Budget);

    /// Takes out the unit that the policy calls the coldest: it gets no new zpage, is not
    /// compacted, and stays (even empty) until [`Pool::end_isolation`].
    fn isolate_coldest(&mut self) -> Option<Unit>;

    /// The zpages of a unit, at most [`ZPAGES_PER_UNIT_MAX`].
    fn zpages_of(&self, unit: Unit, each: &mut dyn FnMut(Handle));

    /// Frees an isolated unit if it is empty, and puts it back at the cold end otherwise.
    /// Returns the frames that were freed.
    fn end_isolation(&mut self, unit: Unit, budget: &mut Budget) -> u32;

    /// Moves at most `moves_max` zpages out of sparse units into their fuller neighbours,
    /// telling each moved zpage's page and new handle. Returns the frames that were freed.
    fn compact(
        &mut self,
        moves_max: u32,
        budget: &mut Budget,
        moved: &mut dyn FnMut(PageNumber, Handle),
    ) -> u32;

    /// How the zpages of a unit lie in its frames.
    fn layout(&self, unit: Unit) -> UnitLayout;

    /// Copies a unit's frames, one behind the other; `into` is as long as they are.
    fn copy_unit(&self, unit: Unit, into: &mut [u8]);

    /// Which place in its unit a zpage has, by the unit's layout.
    fn index_in_unit(&self, handle: Handle) -> u8;

    /// Zpages stored now.
    fn zpage_count(&self) -> u32;

    /// Bytes of zpages stored now, with their headers, before packing.
    fn zpage_bytes(&self) -> u64;

    /// Bytes that the pool's own tables outside its frames have come to occupy.
    fn metadata_bytes(&self) -> u64;

    /// The pool's frames.
    fn arena(&self) -> &Arena;

    /// The pool's frames, to reserve, release, or limit them.
    fn arena_mut(&mut self) -> &mut Arena;

    /// Has another policy from now on. Panics unless the pool is empty.
    fn set_policy(&mut self, policy: Box<dyn Policy>);

    /// Panics unless the pool's tables agree with one another.
    fn check(&self);
}
