//! The border between resident pages and pool, and how it finds its place: where the next frame
//! saves as much time on either side.
//!
//! A page's shadow tells how many pages have left since it did: resident memory, or the pool. A
//! refault that came so soon that a little more room would have kept the page is what that side
//! would have saved: for resident memory the whole fault, for the pool a read from the device but
//! for the decompression. After so many refaults the border moves a step to where more was missed
//! (the idea of mm/workingset.c's refault distance, and of ghost lists as in ARC, with what each
//! miss costs measured).

use crate::engine::Core;
use crate::reclaim::shadow::{self, Left};

/// Refaults between two steps.
const REFAULTS_PER_STEP: u32 = 512;
/// A step, and the little more room that refaults are judged by, are such parts of RAM.
const STEP_ONE_IN: u32 = 64;
const REACH_ONE_IN: u32 = 16;
/// One side must have missed so much more than the other for a step.
const ADVANTAGE: f32 = 1.2;
/// Of what was missed before, so much counts after a step.
const MEMORY: f32 = 0.5;
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
    refaults: u32,
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
            refaults: 0,
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
    match shadow::left(shadow) {
        Left::Resident if distance <= reach_frames as f32 => border.resident_missed_us += *cost_us,
        Left::Pool if distance <= reach_frames as f32 * pages_per_frame => {
            let [zcache_us, device_us] = border.cost_us;
            border.pool_missed_us += (device_us - zcache_us).max(0.0);
        }
        Left::Resident | Left::Pool => {}
    }
    border.refaults += 1;
    if border.refaults >= REFAULTS_PER_STEP {
        border.refaults = 0;
        border.step(core.config.ram_frames);
        core.limit_pool();
    }
}

impl Border {
    fn step(&mut self, ram_frames: u32) {
        let step = (ram_frames / STEP_ONE_IN).max(1);
        if self.pool_missed_us > self.resident_missed_us * ADVANTAGE {
            self.limit_frames = (self.limit_frames + step).min(ram_frames);
        } else if self.resident_missed_us > self.pool_missed_us * ADVANTAGE {
            self.limit_frames = self.limit_frames.saturating_sub(step).max(step);
        }
        self.pool_missed_us *= MEMORY;
        self.resident_missed_us *= MEMORY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_moves_to_where_more_was_missed_and_stays_where_both_are_alike() {
        let mut border = Border::new(6400);
        let mut step = |resident, pool| {
            border.resident_missed_us = resident;
            border.pool_missed_us = pool;
            border.step(6400);
            border.limit_frames()
        };
        assert_eq!(step(0.0, 0.0), 3200);
        assert_eq!(step(100.0, 110.0), 3200);
        assert_eq!(step(100.0, 130.0), 3300);
        assert_eq!(step(130.0, 100.0), 3200);
        for _ in 0..100 {
            step(1.0, 0.0);
        }
        assert_eq!(step(1.0, 0.0), 100);
        for _ in 0..100 {
            step(0.0, 1.0);
        }
        assert_eq!(step(0.0, 1.0), 6400);
    }
}
