//! The border between resident pages and pool, and how it finds its place: where the next frame
//! saves as much time on either side.
//!
//! A page's shadow tells how many pages have left since it did: resident memory, or the pool. A
//! refault that came so soon that a little more room would have kept the page is what that side
//! would have saved: for resident memory the whole fault, for the pool a read from the device but
//! for the decompression. After so many refaults the border moves a step to where more was missed
//! (the idea of mm/workingset.c's refault distance, and of ghost lists as in ARC, with what each
//! miss costs measured).
//!
//! The two directions are not alike. A pool that is too small costs reads from the device at once, so
//! it grows fast, each step twice as wide as the last. What a smaller pool costs shows only when its
//! pages are wanted again, so it shrinks by narrow steps, only where the gain is worth it, and more
//! and more reluctantly where it has had to grow again after that.

use crate::engine::Core;
use crate::eviction;
use crate::reclaim::shadow::{self, Left};

/// Refaults between two steps.
const REFAULTS_PER_STEP: u32 = 256;
/// The narrowest step, the widest, and the little more room that refaults are judged by, are such parts
/// of RAM.
const NARROW_ONE_IN: u32 = 64;
const WIDE_ONE_IN: u32 = 16;
const REACH_ONE_IN: u32 = 16;
/// One side must have missed so much more than the other for a step.
const ADVANTAGE: f32 = 1.2;
/// The pool shrinks only if the time of faults that this would have saved is such a part of all.
const WORTH: f32 = 0.05;
/// Of what was missed before, so much counts where there was no step.
const MEMORY: f32 = 0.5;
/// How often in a row it must look better to shrink, at most.
const PATIENCE_MAX: u32 = 64;
/// How much a new fault counts in the mean cost of its kind.
const COST_WEIGHT: f32 = 1.0 / 64.0;

/// Where a refault found its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// In zcache.
    Zcache,
    /// On the device.
    Device,
}

/// See the module's description.
pub struct Border {
    limit_frames: u32,
    /// Mean times of a fault, by where it found its page.
    cost_us: [f32; 2],
    resident_missed_us: f32,
    pool_missed_us: f32,
    /// What all refaults have cost.
    spent_us: f32,
    refaults: u32,
    /// How wide the last step was, if the pool grew; or 0.
    grown_frames: u32,
    /// The last step made the pool smaller.
    has_shrunk: bool,
    /// How often in a row it has looked better to shrink, and how often it must.
    votes: u32,
    patience: u32,
}

impl Border {
    /// Half and half, to begin with.
    pub fn new(ram_frames: u32) -> Self {
        Border {
            limit_frames: ram_frames / 2,
            // A decompression, and a read of a page from a common disk.
            cost_us: [5.0, 80.0],
            resident_missed_us: 0.0,
            pool_missed_us: 0.0,
            spent_us: 0.0,
            refaults: 0,
            grown_frames: 0,
            has_shrunk: false,
            votes: 0,
            patience: 1,
        }
    }

    /// Frames that the pool may have.
    pub fn limit_frames(&self) -> u32 {
        self.limit_frames
    }
}

/// A page came back: what its shadow says, where it was found, how long that took.
pub fn refaulted(core: &mut Core, shadow: u32, found: Found, took_us: u64) {
    let reach_frames = core.config.ram_frames / REACH_ONE_IN;
    let pool = &core.frontswap.zcache.pool;
    let pages_per_frame = pool.zpage_count() as f32 / pool.arena().in_use().max(1) as f32;
    let distance = shadow::distance(core, shadow) as f32;
    let border = &mut core.border;
    let cost_us = &mut border.cost_us[found as usize];
    *cost_us += (took_us as f32 - *cost_us) * COST_WEIGHT;
    border.spent_us += *cost_us;
    match shadow::left(shadow) {
        Left::Resident if distance <= reach_frames as f32 => border.resident_missed_us += *cost_us,
        Left::Pool if distance <= reach_frames as f32 * pages_per_frame => {
            let [zcache_us, device_us] = border.cost_us;
            border.pool_missed_us += (device_us - zcache_us).max(0.0);
        }
        Left::Resident | Left::Pool => {}
    }
    border.refaults += 1;
    if border.refaults < REFAULTS_PER_STEP {
        return;
    }
    // A limit that is not reached keeps nothing from resident pages.
    let is_reached = eviction::is_almost_full(core);
    let before_frames = core.border.limit_frames;
    core.border.step(core.config.ram_frames, is_reached);
    // What left before there was so much more room would not leave now: it is no more a miss.
    let limit_frames = core.border.limit_frames;
    let moved_frames = limit_frames.abs_diff(before_frames);
    if limit_frames > before_frames {
        core.pool_evictions += (moved_frames as f32 * pages_per_frame) as u64;
    } else {
        core.evictions += u64::from(moved_frames);
    }
    core.limit_pool();
}

impl Border {
    fn step(&mut self, ram_frames: u32, is_reached: bool) {
        let narrow = (ram_frames / NARROW_ONE_IN).max(1);
        let grows = self.pool_missed_us > self.resident_missed_us * ADVANTAGE;
        let would_shrink = is_reached
            && self.resident_missed_us > self.pool_missed_us * ADVANTAGE
            && self.resident_missed_us > self.spent_us * WORTH;
        self.votes = if would_shrink { self.votes + 1 } else { 0 };
        let shrinks = self.votes >= self.patience;
        if grows {
            self.grown_frames = (self.grown_frames * 2).clamp(narrow, ram_frames / WIDE_ONE_IN);
            self.limit_frames = (self.limit_frames + self.grown_frames).min(ram_frames);
            if self.has_shrunk {
                self.patience = (self.patience * 4).min(PATIENCE_MAX);
            }
        } else if shrinks {
            self.limit_frames = self.limit_frames.saturating_sub(narrow).max(narrow);
            if self.has_shrunk {
                self.patience = (self.patience / 2).max(1);
            }
        }
        if grows || shrinks {
            self.has_shrunk = shrinks;
            self.votes = 0;
        }
        if !grows {
            self.grown_frames = 0;
        }
        let kept = if grows || shrinks { 0.0 } else { MEMORY };
        self.pool_missed_us *= kept;
        self.resident_missed_us *= kept;
        self.spent_us *= kept;
        self.refaults = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the limit becomes when so much was missed, of a millisecond that all refaults took.
    fn step(border: &mut Border, resident_missed_us: f32, pool_missed_us: f32) -> u32 {
        (border.resident_missed_us, border.pool_missed_us) = (resident_missed_us, pool_missed_us);
        border.spent_us = 1000.0;
        border.step(6400, true);
        border.limit_frames()
    }

    #[test]
    fn the_pool_grows_fast_and_shrinks_slowly_and_both_alike_is_no_step() {
        let border = &mut Border::new(6400);
        assert_eq!([step(border, 0.0, 0.0), step(border, 100.0, 110.0)], [3200, 3200]);
        let grown = [(); 4].map(|()| step(border, 100.0, 130.0));
        assert_eq!(grown, [3300, 3500, 3900, 4300]);
        let shrunk = [(); 3].map(|()| step(border, 130.0, 100.0));
        assert_eq!(shrunk, [4200, 4100, 4000]);
        assert_eq!(step(border, 40.0, 0.0), 4000, "not worth it");
        for _ in 0..100 {
            step(border, 1000.0, 0.0);
        }
        assert_eq!(border.limit_frames(), 100);
        for _ in 0..100 {
            step(border, 0.0, 1.0);
        }
        assert_eq!(border.limit_frames(), 6400);
    }

    #[test]
    fn a_pool_that_had_to_grow_again_is_slow_to_shrink() {
        let border = &mut Border::new(6400);
        assert_eq!([step(border, 100.0, 0.0), step(border, 0.0, 100.0)], [3100, 3200]);
        let shrunk = [(); 5].map(|()| step(border, 100.0, 0.0));
        assert_eq!(shrunk, [3200, 3200, 3200, 3100, 3100]);
    }

    #[test]
    fn a_limit_that_is_not_reached_stays() {
        let mut border = Border::new(6400);
        (border.resident_missed_us, border.spent_us) = (100.0, 100.0);
        border.step(6400, false);
        assert_eq!(border.limit_frames(), 3200);
    }
}
