//! frontswap: the door between the swap path and zcache.
//!
//! `store`, `load`, `invalidate_page` and `invalidate_area` by swap entry, as in the kernel's
//! mm/frontswap.c (2012 to 2022), plus the RFC's [`denial`] bit. All of it under the lock.

pub mod denial;

use crate::budget::Budget;
use crate::page::PageNumber;
use crate::page_table::Backing;
use crate::stats::Counters;
use crate::zcache::pool::Refusal;
use crate::zcache::{Loaded, Prepared, Zcache};
use denial::Denial;

/// Why a page was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It must go to the device: it is denied, or compresses poorly, or RAM has no frame.
    Now,
    /// The pool is at its limit.
    WhileFull,
}

/// See the module's description.
pub struct Frontswap {
    /// What is behind the door.
    pub zcache: Zcache,
    /// Who may not enter.
    pub denial: Denial,
}

impl Frontswap {
    /// Offers a page to zcache. The caller has no older copy of the page: writing it anew has
    /// invalidated that.
    pub fn store(
        &mut self,
        page: PageNumber,
        prepared: Prepared<'_>,
        budget: &mut Budget,
        counters: &mut Counters,
    ) -> Result<Backing, Refused> {
        let (count, refused) = if self.denial.clear(page) {
            (&mut counters.denials, Refused::Now)
        } else {
            match self.zcache.store(page, prepared, budget) {
                Ok(backing) => {
                    counters.succ_stores += 1;
                    counters.zswpout += 1;
                    return Ok(backing);
                }
                Err(Refusal::CompressPoor) => (&mut counters.reject_compress_poor, Refused::Now),
                Err(Refusal::PoolLimit) => (&mut counters.pool_limit_hit, Refused::WhileFull),
                Err(Refusal::NoFrame) => (&mut counters.reject_alloc_fail, Refused::Now),
            }
        };
        *count += 1;
        counters.failed_stores += 1;
        Err(refused)
    }

    /// Looks a page up for the program; its zpage is copied to the start of `into`.
    pub fn load(&self, backing: Backing, into: &mut [u8], counters: &mut Counters) -> Loaded {
        counters.loads += 1;
        counters.zswpin += 1;
        self.zcache.load(backing, into)
    }

    /// A page's copy in zcache was loaded and stays; or the page is gone from resident memory, and
    /// the copy is all there is.
    pub fn used(&mut self, backing: Backing) {
        if let Backing::Zpage(handle) = backing {
            self.zcache.pool.used(handle);
        }
    }

    /// Drops what zcache has of a page.
    pub fn invalidate_page(&mut self, backing: Backing, budget: &mut Budget, counters: &mut Counters) {
        counters.invalidates += 1;
        self.zcache.remove(backing, budget);
    }

    /// The swap entries of this range are no more: nothing that was known of them holds for
    /// whoever has the range next. The caller has invalidated the pages.
    pub fn invalidate_area(&mut self, first: PageNumber, count: u32) {
        for page in 0..count {
            self.denial.clear(first.plus(page));
        }
    }
}
