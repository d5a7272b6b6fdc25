//! How work is done: plan under the lock, carry out without it, commit under the lock.
//!
//! A [`Task`] alternates between [`Task::locked`], which plans or commits, and
//! [`Task::carry_out`]. Whoever drives it decides what happens in between: a thread of the real
//! world goes straight on; the simulation lets a seed choose whose turn it is. Pages that a
//! task has marked busy are left alone by all others until it commits.

use crate::engine::Core;
use crate::page::{PAGE_BYTES, Page};
use crate::world::World;
use crate::zcache::codec::{CodecKind, Compressor};

/// What a task wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Drop the lock and carry out.
    CarryOut,
    /// Call `locked` again; the lock may be dropped in between.
    Again,
    /// Call `locked` again once another task has committed something.
    Wait,
    /// It is finished.
    Done,
}

/// One piece of work. See the module's description.
pub trait Task {
    /// Plans or commits.
    fn locked(&mut self, core: &mut Core, now_us: u64) -> Next;

    /// Does what was planned.
    fn carry_out(&mut self, world: World<'_>);
}

/// One plan or commit of a task, after which the core settles with the others of its tree.
pub fn plan_or_commit(task: &mut dyn Task, core: &mut Core, now_us: u64) -> Next {
    let next = task.locked(core, now_us);
    core.settle(now_us);
    next
}

/// The memory that a task works with, made beforehand: a task may run in a page fault.
pub struct Workspace {
    /// Codec contexts.
    pub compressor: Compressor,
    /// A page's worth of bytes for each zpage of a batch.
    pub bytes: Vec<u8>,
    /// A batch of uncompressed pages.
    pub pages: Vec<Page>,
    /// A batch of pages as they are on the device.
    pub sealed: Vec<Page>,
}

impl Workspace {
    /// Working memory for one task at a time, for batches of so many pages.
    pub fn new(codec: CodecKind, batch_pages: usize) -> Self {
        Workspace {
            compressor: Compressor::new(codec),
            bytes: vec![0; batch_pages * PAGE_BYTES],
            pages: vec![Page::ZERO; batch_pages],
            sealed: vec![Page::ZERO; batch_pages],
        }
    }

    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        self.compressor.memory_bytes()
            + self.bytes.len()
            + (self.pages.len() + self.sealed.len()) * PAGE_BYTES
    }

    /// Where zpage number `index` of a batch lies.
    pub fn zpage(&mut self, index: usize) -> &mut [u8] {
        &mut self.bytes[index * PAGE_BYTES..][..PAGE_BYTES]
    }
}
