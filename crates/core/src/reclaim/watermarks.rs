//! Watermarks on free frames: where kswapd starts and stops, and where a fault must reclaim by
//! itself.

use crate::page::BATCH;
use crate::zcache::pool::ZPAGES_PER_UNIT_MAX;

/// Numbers of free frames, as in the kernel's mm/page_alloc.c.
#[derive(Clone, Copy, Debug)]
pub struct Watermarks {
    /// The reserve: a fault that would leave fewer must reclaim first. Only those who make room
    /// take from it.
    pub min: u32,
    /// kswapd is woken below this.
    pub low: u32,
    /// kswapd sleeps from here on.
    pub high: u32,
}

impl Watermarks {
    /// What one step of eviction can need before it gives anything back: a frame for each
    /// zpage of a unit, and the frames of one new zspage for each page of a batch, since no two
    /// of them need to be of one size class; half of them, since the other half of the batch
    /// can be written to the device.
    pub const RESERVE_FRAMES: u32 = ZPAGES_PER_UNIT_MAX as u32 + BATCH as u32 / 2;

    /// Watermarks for so much RAM.
    pub fn new(ram_frames: u32) -> Self {
        let step = (ram_frames / 256).max(BATCH as u32);
        let min = Self::RESERVE_FRAMES;
        Watermarks { min, low: min + step, high: min + 2 * step }
    }
}
