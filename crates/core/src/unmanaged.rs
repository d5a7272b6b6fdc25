//! Memory of the process that is in no region: its code, its stacks, its small blocks. Where RAM is that of
//! the whole process it counts like any other, as the kernel tells it now and then.
//!
//! It is there already when it is counted. What there are no frames for is *owed*: kswapd goes on until
//! that is paid, from frames above the low watermark.
//!
//! It cannot be reclaimed, so there is an end to what it may take from the regions: half of RAM, and
//! what regions need that were given out. Beyond that the process has more than RAM.

use crate::budget::Use;
use crate::engine::Core;

impl Core {
    /// The kernel says that the process has so many frames; what is counted nowhere else is not managed.
    pub fn count_unmanaged(&mut self, process_frames: u32) {
        let before = self.budget.used(Use::Unmanaged);
        let wanted = process_frames.saturating_sub(self.managed_frames()).min(self.unmanaged_max());
        self.unmanaged_owed = wanted.saturating_sub(before);
        self.budget.give_back(Use::Unmanaged, before.saturating_sub(wanted));
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
        self.budget.in_use() - self.budget.used(Use::Unmanaged)
    }

    fn unmanaged_max(&self) -> u32 {
        let spare = self.capacity_pages().saturating_sub(self.regions.page_count());
        let others = (self.config.ram_frames / 2).saturating_sub(self.locked.length());
        others.min(self.budget.used(Use::Unmanaged) + spare)
    }
}
