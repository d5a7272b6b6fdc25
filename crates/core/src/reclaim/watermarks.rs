//! Watermarks on free frames: where kswapd starts and stops, and where a fault must reclaim by
//! itself.

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
    /// Watermarks for so much RAM with this reserve and batches of so many pages.
    pub fn new(ram_frames: u32, reserve_frames: u32, batch_pages: u32) -> Self {
        let step = (ram_frames / 256).max(batch_pages);
        let min = reserve_frames;
        Watermarks { min, low: min + step, high: min + 2 * step }
    }
}
