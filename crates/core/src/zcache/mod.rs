//! zcache: pages compressed in RAM, in front of the swap device.
//!
//! [`codec`] makes zpages, [`pool`] packs them into page frames, [`same_filled`] keeps pages
//! that need no zpage. What eviction takes out again is one whole unit of the pool, the
//! coldest as [`policy`] has it; see [`crate::eviction`].

pub mod codec;
pub mod policy;
pub mod pool;
pub mod same_filled;

use std::str::FromStr;

use crate::budget::Budget;
use crate::page::PageNumber;
use crate::page_table::Backing;
use policy::PolicyKind;
use pool::{Pool, Refusal, ZpageHeader, arena::Arena, zbud::Zbud, zsmalloc::Zsmalloc};
use same_filled::SameFilled;

/// The pools by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Two zpages a frame: simple, quick to empty a frame.
    Zbud,
    /// Size classes over a few frames: a third less memory.
    Zsmalloc,
}

impl FromStr for PoolKind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "zbud" => Ok(PoolKind::Zbud),
            "zsmalloc" => Ok(PoolKind::Zsmalloc),
            _ => Err(()),
        }
    }
}

impl PoolKind {
    /// A pool of this kind over an arena.
    pub fn pool(self, arena: Arena, policy: PolicyKind) -> Box<dyn Pool> {
        match self {
            PoolKind::Zbud => Box::new(Zbud::new(arena, policy)),
            PoolKind::Zsmalloc => Box::new(Zsmalloc::new(arena, policy)),
        }
    }
}

/// A page as a task has prepared it, outside of the lock.
#[derive(Clone, Copy, Debug)]
pub enum Prepared<'a> {
    /// One value over and over.
    SameFilled(u64),
    /// A zpage.
    Zpage(ZpageHeader, &'a [u8]),
    /// It does not get small enough.
    CompressPoor,
}

/// A page as it lies in zcache.
#[derive(Clone, Copy, Debug)]
pub enum Loaded {
    /// Fill the page with this.
    SameFilled(u64),
    /// The zpage's header; its bytes were copied.
    Zpage(ZpageHeader),
}

/// The compressed cache.
pub struct Zcache {
    /// Where the zpages are.
    pub pool: Box<dyn Pool>,
    /// Where the pages are that need none.
    pub same_filled: SameFilled,
    /// Frames that the pool may take beyond what its pages would take uncompressed: the first
    /// zpage of a size class takes as many as a whole zspage.
    pub wasted_frames_max: u32,
}

impl Zcache {
    /// Keeps a page.
    pub fn store(
        &mut self,
        page: PageNumber,
        prepared: Prepared<'_>,
        budget: &mut Budget,
    ) -> Result<Backing, Refusal> {
        match prepared {
            Prepared::SameFilled(value) => match self.same_filled.store(value) {
                Some(index) => Ok(Backing::SameFilled(index)),
                None => {
                    let (header, bytes) = codec::zpage_of_value(page, value);
                    self.store_zpage(header, &bytes, budget)
                }
            },
            Prepared::Zpage(header, bytes) => self.store_zpage(header, bytes, budget),
            Prepared::CompressPoor => Err(Refusal::CompressPoor),
        }
    }

    fn store_zpage(
        &mut self,
        header: ZpageHeader,
        bytes: &[u8],
        budget: &mut Budget,
    ) -> Result<Backing, Refusal> {
        let handle = self.pool.store(header, bytes, budget)?;
        let useful_frames_max = self.pool.zpage_count() + self.wasted_frames_max;
        if self.pool.arena().in_use() > useful_frames_max {
            self.pool.remove(handle, budget);
            return Err(Refusal::NoFrame);
        }
        Ok(Backing::Zpage(handle))
    }

    /// Looks a page up; its zpage, if it has one, is copied to the start of `into`.
    pub fn load(&self, backing: Backing, into: &mut [u8]) -> Loaded {
        match backing {
            Backing::SameFilled(index) => Loaded::SameFilled(self.same_filled.load(index)),
            Backing::Zpage(handle) => Loaded::Zpage(self.pool.load(handle, into)),
            Backing::None | Backing::Slot(_) | Backing::Packed(_) => {
                unreachable!("{backing:?} is not in zcache")
            }
        }
    }

    /// Drops a page.
    pub fn remove(&mut self, backing: Backing, budget: &mut Budget) {
        match backing {
            Backing::SameFilled(index) => self.same_filled.remove(index),
            Backing::Zpage(handle) => self.pool.remove(handle, budget),
            Backing::None | Backing::Slot(_) | Backing::Packed(_) => {
                unreachable!("{backing:?} is not in zcache")
            }
        }
    }
}
