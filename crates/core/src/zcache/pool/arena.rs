//! The page frames that a pool packs zpages into.
//!
//! The frames are one mapping that the world made. A frame is *in use* (it holds zpages),
//! *reserved* (it holds nothing and is still backed by RAM, so it can be used again at no
//! cost), or *cold* (the system has its RAM; the next use faults in a frame of zeros).

use std::ptr::NonNull;

use super::Refusal;
use crate::budget::{Budget, Use};
use crate::page::Page;

/// A frame of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameIndex(pub u32);

/// See the module's description. Nothing here allocates after `new`.
pub struct Arena {
    base: NonNull<Page>,
    frame_count: u32,
    frame_count_limit: u32,
    in_use: u32,
    reserved: Vec<FrameIndex>,
    cold: Vec<FrameIndex>,
    /// Frames from here on have never been used.
    untouched: u32,
    /// The most frames that were ever in `reserved`, and in `cold`.
    free_high: [usize; 2],
}

// SAFETY: the arena is the only owner of its mapping (the contract of `new`), so moving it
// to another thread moves all access to that memory with it.
unsafe impl Send for Arena {}

impl Arena {
    /// An arena over `frame_count` frames at `base`, none of them in use.
    ///
    /// # Safety
    /// The frames must be readable and writable, must not be accessed by anybody else but to
    /// release the RAM of frames from [`Arena::take_reserved`], and must outlive the arena.
    pub unsafe fn new(base: NonNull<Page>, frame_count: u32) -> Self {
        Arena {
            base,
            frame_count,
            frame_count_limit: frame_count,
            in_use: 0,
            reserved: Vec::with_capacity(frame_count as usize),
            cold: Vec::with_capacity(frame_count as usize),
            untouched: 0,
            free_high: [0; 2],
        }
    }

    /// All frames that there could ever be.
    pub fn frame_count(&self) -> u32 {
        self.frame_count
    }

    /// Frames that were ever used: all from the first on.
    pub fn touched(&self) -> u32 {
        self.untouched
    }

    /// Frames that hold zpages.
    pub fn in_use(&self) -> u32 {
        self.in_use
    }

    /// Frames that hold nothing and are still backed by RAM.
    pub fn reserved(&self) -> u32 {
        self.reserved.len() as u32
    }

    /// Bytes that the lists of free frames have come to occupy.
    pub fn metadata_bytes(&self) -> u64 {
        (self.free_high.iter().sum::<usize>() * size_of::<FrameIndex>()) as u64
    }

    /// The most frames that may hold zpages.
    pub fn limit(&self) -> u32 {
        self.frame_count_limit
    }

    /// Sets the most frames that may hold zpages. Frames above it stay in use until they empty.
    pub fn set_limit(&mut self, frames: u32) {
        self.frame_count_limit = frames.min(self.frame_count);
    }

    /// Takes a frame, reserved ones first. Its contents are arbitrary.
    pub fn take(&mut self, budget: &mut Budget) -> Result<FrameIndex, Refusal> {
        if self.in_use >= self.frame_count_limit {
            return Err(Refusal::PoolLimit);
        }
        let frame = if let Some(frame) = self.reserved.pop() {
            budget.transfer(Use::Reserve, Use::Pool, 1);
            frame
        } else if self.cold.is_empty() && self.untouched == self.frame_count {
            // The rest is being released.
            return Err(Refusal::NoFrame);
        } else if !budget.take(Use::Pool, 1) {
            return Err(Refusal::NoFrame);
        } else if let Some(frame) = self.cold.pop() {
            frame
        } else {
            let frame = FrameIndex(self.untouched);
            self.untouched += 1;
            frame
        };
        self.in_use += 1;
        Ok(frame)
    }

    /// Gives a frame back: it becomes a reserved one.
    pub fn give_back(&mut self, frame: FrameIndex, budget: &mut Budget) {
        budget.transfer(Use::Pool, Use::Reserve, 1);
        self.in_use -= 1;
        self.reserved.push(frame);
        self.free_high[0] = self.free_high[0].max(self.reserved.len());
    }

    /// Takes up to `count` reserved frames out, for their RAM to be released. They stay in the
    /// budget until [`Arena::released`].
    pub fn take_reserved(&mut self, count: usize, into: &mut Vec<FrameIndex>) {
        let from = self.reserved.len().saturating_sub(count);
        into.extend(self.reserved.drain(from..));
    }

    /// The system has the RAM of these frames again.
    pub fn released(&mut self, frames: &[FrameIndex], budget: &mut Budget) {
        budget.give_back(Use::Reserve, frames.len() as u32);
        self.cold.extend_from_slice(frames);
        self.free_high[1] = self.free_high[1].max(self.cold.len());
    }

    /// A frame's contents.
    pub fn frame(&self, frame: FrameIndex) -> &Page {
        assert!(frame.0 < self.untouched);
        // SAFETY: in bounds, and the arena is the only one to access the frames (`new`).
        unsafe { self.base.add(frame.0 as usize).as_ref() }
    }

    /// A frame's contents, to be written.
    pub fn frame_mut(&mut self, frame: FrameIndex) -> &mut Page {
        assert!(frame.0 < self.untouched);
        // SAFETY: as in `frame`, and `self` is borrowed mutably.
        unsafe { self.base.add(frame.0 as usize).as_mut() }
    }
}
