//! Memory of the process that is in no region: its code, its stacks, its small blocks. Where RAM is that of
//! the whole process it counts like any other, as the kernel tells it now and then.
//!
//! It is there already when it is counted. What there are no frames for is *owed*: kswapd goes on until
//! that is paid, from frames above the low watermark.
//!
//! It cannot be reclaimed, so there is an end to what it may take from the regions: half of RAM, and
//! what regions need that were given out. Beyond that the process has more than RAM.

use crate::budget::Use;
use crate::engine::{Config, Core};

impl Core {
    /// The kernel says that the process has so many frames; what is counted nowhere else is not managed. Of the
    /// unwatched pages, which all count, so many are not there, or it is not known how many.
    pub fn count_unmanaged(&mut self, process_frames: u32, untouched: Option<u32>) {
        let before = self.unmanaged();
        let counted = self.managed_frames().saturating_sub(untouched.unwrap_or(0));
        let mut wanted = process_frames.saturating_sub(counted);
        if untouched.is_none() {
            // What was not touched would hide as much of what is not managed.
            wanted = wanted.max(before);
        }
        wanted = wanted.min(self.unmanaged_max());
        while wanted > before && self.capacity_pages_beside(wanted) < self.regions.page_count() {
            wanted = before + (wanted - before) / 2;
        }
        self.budget.give_back(Use::Unmanaged, before.saturating_sub(wanted));
        // Nobody can take it away: other processes cannot count on it any more.
        self.unmanaged_owed = 0;
        self.unmanaged_owed = self.promise_more(wanted.saturating_sub(before));
        self.pay_for_unmanaged();
        self.limit_pool();
    }

    /// Takes frames that can be spared for what is owed.
    pub(crate) fn pay_for_unmanaged(&mut self) {
        let paid = self.unmanaged_owed.min(self.budget.free().saturating_sub(self.watermarks.low));
        assert!(self.budget.take(Use::Unmanaged, paid), "so many are free");
        self.unmanaged_owed -= paid;
    }

    /// Frames that have to be free so that all is paid.
    pub fn frames_owed(&self) -> u32 {
        match self.unmanaged_owed {
            0 => 0,
            owed => owed + self.watermarks.low - self.watermarks.min,
        }
    }

    /// Frames that are in any other use.
    pub fn managed_frames(&self) -> u32 {
        self.budget.in_use() - self.unmanaged()
    }

    /// Frames in this use.
    pub fn unmanaged(&self) -> u32 {
        self.budget.used(Use::Unmanaged)
    }

    /// What may be kept from coming and going: what is not managed, and what is locked.
    pub(crate) fn standing_max(&self) -> u32 {
        let wasted = Config::wasted_frames_max(self.config.ram_frames);
        let for_others = Config::RAM_FRAMES_MIN + wasted + self.fixed_table_frames() as u32;
        (self.config.ram_frames / 2).min(self.frames_left_by(0).saturating_sub(for_others))
    }

    fn unmanaged_max(&self) -> u32 {
        self.standing_max().saturating_sub(self.locked.length())
    }
}
