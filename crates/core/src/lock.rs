//! Pages that the program has locked into RAM (mlock): once there they are not unmapped.
//!
//! They stay in the lists, and whoever looks for pages to unmap passes over them. There are at most so many
//! that all others still have room to come and go.

use crate::engine::Core;
use crate::page::PageNumber;

impl Core {
    /// Locks pages of a region, each of which is to be touched after this. `false`: that would be too many, and
    /// none of them is locked that was not before.
    pub fn lock_pages(&mut self, first: PageNumber, count: u32) -> bool {
        let pages = (0..count).map(|offset| first.plus(offset));
        let new = pages.clone().filter(|page| !self.locked.contains(*page)).count() as u32;
        if self.locked.length() + new + self.unmanaged() > self.standing_max() {
            return false;
        }
        if self.promise_more(new) < new {
            self.promise(self.regions.page_count());
            return false;
        }
        pages.for_each(|page| {
            self.locked.insert(page);
        });
        true
    }

    /// Lets pages come and go again.
    pub fn unlock_pages(&mut self, first: PageNumber, count: u32) {
        // Most programs lock nothing.
        if self.locked.length() > 0 {
            (0..count).for_each(|offset| {
                self.locked.remove(first.plus(offset));
            });
        }
    }
}
