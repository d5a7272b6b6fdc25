//! One number, `ram`, counted in page frames, and what each frame of it is used for.
//!
//! A frame is entered here before it comes into being and leaves after it has been given back
//! to the system, so what the kernel says of the process is never more than what is counted.

/// What a page frame is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A page that the program can touch.
    Resident,
    /// An uncompressed page on its way, out of the program's sight.
    SwapCache,
    /// Zpages.
    Pool,
    /// A frame of the pool that holds nothing now and waits to be used again.
    Reserve,
    /// Tables that grow with the pages they describe.
    Metadata,
    /// Batches, codec contexts, stacks: fixed, whatever the number of pages.
    Buffers,
    /// Frames that other processes of the tree have, or may take ([`crate::ledger`]).
    Elsewhere,
    /// What the process has besides ([`crate::unmanaged`]).
    Unmanaged,
}

const USES: usize = 8;

/// One process's account of page frames.
#[derive(Clone, Debug)]
pub struct Budget {
    total: u32,
    used: [u32; USES],
    used_most: u32,
}

impl Budget {
    /// A budget of `total` frames, all of them free.
    pub fn new(total: u32) -> Self {
        Budget { total, used: [0; USES], used_most: 0 }
    }

    /// All frames, whatever their use.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The frames in this use.
    pub fn used(&self, what: Use) -> u32 {
        self.used[what as usize]
    }

    /// The frames in no use.
    pub fn free(&self) -> u32 {
        self.total - self.used.iter().sum::<u32>()
    }

    /// The frames that this process uses.
    pub fn in_use(&self) -> u32 {
        self.total - self.free() - self.used(Use::Elsewhere)
    }

    /// The most frames that it used at any time.
    pub fn used_most(&self) -> u32 {
        self.used_most
    }

    /// Takes `frames` for a use, or none of them where fewer are free.
    #[must_use]
    pub fn take(&mut self, what: Use, frames: u32) -> bool {
        let granted = frames <= self.free();
        if granted {
            self.used[what as usize] += frames;
            self.used_most = self.used_most.max(self.in_use());
        }
        granted
    }

    /// Gives frames back that the system has again.
    pub fn give_back(&mut self, what: Use, frames: u32) {
        let used = &mut self.used[what as usize];
        assert!(*used >= frames, "{frames} frames of {what:?} given back, {used} were taken");
        *used -= frames;
    }

    /// The same frames, put to another use.
    pub fn transfer(&mut self, from: Use, to: Use, frames: u32) {
        self.give_back(from, frames);
        self.used[to as usize] += frames;
    }
}
