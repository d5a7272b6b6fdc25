//! What the state machine asks of the world: memory, and through [`World`] the swap device.
//!
//! There are two worlds, userfaultfd and a file, and the simulation. All of this is called
//! without the lock, by any thread, while the pages concerned are busy; none of it may touch
//! managed memory, allocate, or wait for another task.

use crate::page::{Page, PageNumber};
use crate::swap_cache::StagingSlot;
use crate::swap_device::{SwapDevice, seal::Sealer};
use crate::zcache::pool::arena::FrameIndex;

/// The program's memory and the pager's own places for pages.
pub trait Memory {
    /// Leaves pages, none of which is there, to the kernel. `false`: it does not take them.
    fn unwatch(&self, first: PageNumber, count: u32) -> bool;

    /// Has the kernel report all faults on these pages from now on; those that are there stay.
    fn watch(&self, first: PageNumber, count: u32);

    /// Which of at most [`BATCH_MAX`](crate::page::BATCH_MAX) pages, all watched, are there: bit `i` for
    /// the page `i` behind the first.
    fn present(&self, first: PageNumber, count: u32) -> u64;

    /// Maps new pages with these contents, write-protected or not, and wakes who waits for
    /// them. Returns how many were mapped: fewer only where the system had no memory.
    fn map(&self, first: PageNumber, contents: &[Page], protect: bool) -> usize;

    /// Lifts the write protection of mapped pages, and wakes who waits. Where one of them is
    /// not there (the program has discarded it behind our back) it becomes zeros.
    fn unprotect(&self, first: PageNumber, count: u32);

    /// Moves pages out of the program's sight: at most [`BATCH_MAX`](crate::page::BATCH_MAX) pairs.
    fn unmap_to_staging(&self, pairs: &[(PageNumber, StagingSlot)]) -> Staged;

    /// Unmaps pages whose contents exist elsewhere and that nobody can have written since.
    fn unmap_clean(&self, pages: &[PageNumber]);

    /// Moves a page back from its staging slot, unprotected. `false`: it cannot be moved.
    fn restore_by_move(&self, slot: StagingSlot, page: PageNumber) -> bool;

    /// The contents of a staging slot that is busy.
    fn staged(&self, slot: StagingSlot) -> &Page;

    /// Hears of a page that is about to be stored, for whoever records what pages come to.
    fn storing(&self, _page: PageNumber, _contents: &Page, _item_bytes: u8) {}

    /// Puts contents into an empty staging slot. `false`: the system had no memory.
    fn stage(&self, slot: StagingSlot, contents: &Page) -> bool;

    /// Releases the memory of staging slots; one that was never filled has none.
    fn release_staged(&self, slots: &[StagingSlot]);

    /// Releases the memory of frames of the pool.
    fn release_frames(&self, frames: &[FrameIndex]);

    /// Unmaps pages whose contents nobody wants any more.
    fn discard(&self, first: PageNumber, count: u32);

    /// Makes every access to a page fail. Who waits for it is woken by whoever reports that.
    fn poison(&self, page: PageNumber);

    /// Wakes who waits for a page that is there already. `false`: it was not (the program has
    /// discarded it behind our back), and is zeros now.
    fn wake(&self, page: PageNumber) -> bool;
}

/// What became of pairs of pages and staging slots: bit `i` for pair `i`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Staged {
    /// The page is in its slot. All others (pinned by the kernel) are as they were.
    pub moved: u64,
    /// Of those: the page was not there (the program has discarded it behind our back), and is zeros.
    pub vanished: u64,
}

/// All of a world.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The program's memory.
    pub memory: &'a dyn Memory,
    /// Where pages end up.
    pub device: &'a dyn SwapDevice,
    /// What makes them unreadable there.
    pub sealer: &'a Sealer,
}
