//! The border between resident pages and pool, and how it finds its place: where the next frame
//! saves as much time on either side.
//!
//! A page's shadow tells how many pages have left since it did: resident memory, or the pool. With
//! so much more room it would still be there, which would have saved that side the whole fault, or
//! for the pool a read from the device but for the decompression. After so many refaults the border
//! moves a step to where a frame more would have saved more (the idea of mm/workingset.c's refault
//! distance, and of ghost lists as in ARC, with what each miss costs measured). Where a little more
//! room would save nothing, much more may: the best of a few widths counts, for each of its frames.
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
/// The narrowest step and the widest are such parts of RAM.
const NARROW_ONE_IN: u32 = 64;
const WIDE_ONE_IN: u32 = 16;
/// So much more room would have kept a page: such a part of RAM, twice that, and so on.
const REACH_ONE_IN: u32 = 16;
const REACHES: usize = 4;
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

/// What would have been saved by one reach more room, by two, by four, and so on, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Missed([f32; REACHES]);

impl Missed {
    /// A page was missed that so many frames more would have kept.
    fn add(&mut self, frames: f32, reach_frames: f32, us: f32) {
        for (width, missed_us) in self.0.iter_mut().enumerate() {
            if frames <= reach_frames * (1 << width) as f32 {
                *missed_us += us;
            }
        }
    }

    /// The most that one reach of frames would have saved.
    fn best_us(&self) -> f32 {
        let for_one = self.0.iter().enumerate().map(|(width, missed_us)| missed_us / (1 << width) as f32);
        for_one.fold(0.0, f32::max)
    }
}

/// See the module's description.
pub struct Border {
    limit_frames: u32,
    /// Mean times of a fault, by where it found its page.
    cost_us: [f32; 2],
    resident_missed: Missed,
    pool_missed: Missed,
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
            resident_missed: Missed::default(),
            pool_missed: Missed::default(),
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
    let reach_frames = (core.held_frames() / REACH_ONE_IN) as f32;
    let pool = &core.frontswap.zcache.pool;
    let pages_per_frame = pool.zpage_count() as f32 / pool.arena().in_use().max(1) as f32;
    let distance = shadow::distance(core, shadow) as f32;
    let border = &mut core.border;
    let cost_us = &mut border.cost_us[found as usize];
    *cost_us += (took_us as f32 - *cost_us) * COST_WEIGHT;
    border.spent_us += *cost_us;
    match shadow::left(shadow) {
        Left::Resident => border.resident_missed.add(distance, reach_frames, *cost_us),
        Left::Pool => {
            let [zcache_us, device_us] = border.cost_us;
            let saved_us = (device_us - zcache_us).max(0.0);
            border.pool_missed.add(distance / pages_per_frame, reach_frames, saved_us);
        }
    }
    border.refaults += 1;
    if border.refaults < REFAULTS_PER_STEP {
        return;
    }
    // A pool that has not filled its last step yet says nothing of the next one.
    let is_reached = eviction::is_almost_full(core);
    core.border.step(core.config.ram_frames, is_reached);
    core.limit_pool();
}

impl Border {
    fn step(&mut self, ram_frames: u32, is_reached: bool) {
        let narrow = (ram_frames / NARROW_ONE_IN).max(1);
        let [resident_us, pool_us] = [&self.resident_missed, &self.pool_missed].map(Missed::best_us);
        let grows = is_reached && pool_us > resident_us * ADVANTAGE;
        let is_worth_it = resident_us > self.spent_us * WORTH;
        let would_shrink = is_reached && is_worth_it && resident_us > pool_us * ADVANTAGE;
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
        if is_reached && !grows {
            self.grown_frames = 0;
        }
        let kept = if grows || shrinks { 0.0 } else { MEMORY };
        let missed = [&mut self.resident_missed, &mut self.pool_missed].into_iter();
        missed.flat_map(|missed| &mut missed.0).chain([&mut self.spent_us]).for_each(|us| *us *= kept);
        self.refaults = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the limit becomes when so much was missed, of a millisecond that all refaults took.
    fn step(border: &mut Border, resident_missed_us: f32, pool_missed_us: f32) -> u32 {
        border.resident_missed.add(0.0, 400.0, resident_missed_us);
        border.pool_missed.add(0.0, 400.0, pool_missed_us);
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
        for missed_us in [[100.0, 0.0], [0.0, 100.0]] {
            border.resident_missed.add(0.0, 400.0, missed_us[0]);
            border.pool_missed.add(0.0, 400.0, missed_us[1]);
            border.step(6400, false);
            assert_eq!(border.limit_frames(), 3200);
        }
    }

    #[test]
    fn much_more_room_counts_where_a_little_more_saves_nothing() {
        let mut missed = Missed::default();
        missed.add(1000.0, 400.0, 80.0);
        assert_eq!(missed.0, [0.0, 0.0, 80.0, 80.0]);
        assert_eq!(missed.best_us(), 20.0);
        missed.add(100.0, 400.0, 30.0);
        assert_eq!(missed.best_us(), 30.0);
    }
}
