//! Runs by io_uring: a ring takes all of a call at once, and one system call waits for them.
//!
//! The rings have no flags. SINGLE_ISSUER, and with it DEFER_TASKRUN, is for rings that belong to
//! one thread, which these do not; COOP_TASKRUN makes no difference that could be measured, since
//! who has submitted does nothing but wait.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};
use std::sync::{Condvar, Mutex};
use std::thread;

use io_uring::{IoUring, opcode, squeue, types};
use zpager_core::page::{BATCH_MAX, PAGE_BYTES};

use crate::descriptors::{Kept, moved_up};

use super::{ATTEMPTS, Direction, PAUSE, Request, Step, Transfer};

/// One for each thread that may call at the same time, more or less: kswapd, reclaim on demand,
/// faults. Who finds none waits for one.
const RINGS: usize = 4;
/// Runs that are under way at the same time in a ring.
const ENTRIES: usize = BATCH_MAX;

/// Entries of 64 bytes; queues of 4 bytes an entry, and of 16 bytes for each of twice as many.
const RING_BYTES: usize = 2 * PAGE_BYTES;
const _: () = assert!(ENTRIES * 64 <= PAGE_BYTES && ENTRIES * (4 + 2 * 16) + 512 <= PAGE_BYTES);

/// A fixed set of rings.
pub struct Rings {
    free: Mutex<Vec<Ring>>,
    given_back: Condvar,
}

struct Ring {
    queues: Kept<IoUring>,
    /// Entries that were ever put into the queue.
    pushed: u64,
    /// The kernel refuses to work on it: a filter of system calls was installed since. Runs are
    /// carried out one by one.
    is_broken: bool,
}

impl Rings {
    /// Memory that is mapped for them.
    pub const MEMORY_BYTES: usize = RINGS * RING_BYTES;

    pub fn new() -> io::Result<Self> {
        let rings = (0..RINGS).map(|_| Ring::new()).collect::<io::Result<_>>()?;
        Ok(Rings { free: Mutex::new(rings), given_back: Condvar::new() })
    }

    pub fn carry_out(&self, descriptor: RawFd, runs: &mut [impl Request]) {
        let mut ring = self.take();
        for portion in runs.chunks_mut(ENTRIES) {
            ring.carry_out(descriptor, portion);
        }
        // There was room for it before, so this allocates nothing.
        self.free.lock().expect("no panic under the lock").push(ring);
        self.given_back.notify_one();
    }

    fn take(&self) -> Ring {
        let mut free = self.free.lock().expect("no panic under the lock");
        loop {
            match free.pop() {
                Some(ring) => return ring,
                None => free = self.given_back.wait(free).expect("no panic under the lock"),
            }
        }
    }
}

impl Ring {
    fn new() -> io::Result<Self> {
        let low = IoUring::new(ENTRIES as u32)?;
        // SAFETY: a descriptor of those queues, which are mapped anew for it, and which nobody else has.
        let queues = unsafe {
            let descriptor = BorrowedFd::borrow_raw(low.as_raw_fd()).try_clone_to_owned()?;
            IoUring::from_fd(moved_up(descriptor).into_raw_fd(), low.params().clone())?
        };
        Ok(Ring { queues: Kept::new(queues), pushed: 0, is_broken: false })
    }

    /// Carries out at most as many runs as there are entries. Returns only when the kernel is
    /// done with the memory of all of them, whatever happens.
    fn carry_out(&mut self, descriptor: RawFd, runs: &mut [impl Request]) {
        let mut transfers = [Transfer::NOTHING; ENTRIES];
        let mut pushed = [0; ENTRIES];
        // Bits, one a run: what is yet to be put into the queue, and what the kernel has.
        let mut waiting = 0;
        let mut under_way = 0_u64;
        for (index, (run, transfer)) in runs.iter_mut().zip(&mut transfers).enumerate() {
            *transfer = run.transfer();
            if transfer.bytes == 0 {
                run.end(Ok(()));
            } else {
                waiting |= 1 << index;
            }
        }
        let mut attempts_left = ATTEMPTS;
        loop {
            for index in bits(std::mem::take(&mut waiting)) {
                if self.is_broken {
                    let result = transfers[index].carry_out(descriptor);
                    runs[index].end(result);
                } else {
                    // SAFETY: the run's pages are borrowed for this call, which does not end as
                    // long as this is under way.
                    unsafe { self.push(&transfers[index].entry(descriptor, index)) };
                    pushed[index] = self.pushed;
                    under_way |= 1 << index;
                }
            }
            if under_way == 0 {
                return;
            }
            if !self.submit_and_wait(under_way.count_ones() as usize, &mut attempts_left) {
                // What the kernel has not taken out of the queue it will not, since nobody asks it
                // again.
                let taken = self.pushed - self.queues.submission().len() as u64;
                waiting = bits(under_way)
                    .filter(|index| pushed[*index] > taken)
                    .fold(0, |set, index| set | 1 << index);
                under_way &= !waiting;
                thread::sleep(PAUSE);
            }
            let mut is_short = false;
            for completion in self.queues.completion() {
                let index = completion.user_data() as usize;
                under_way &= !(1 << index);
                let done = completion.result();
                match transfers[index].advance(usize::try_from(done).map_err(|_| -done)) {
                    Step::Ended(result) => runs[index].end(result),
                    Step::Again => waiting |= 1 << index,
                    Step::AgainAfterPause => {
                        waiting |= 1 << index;
                        is_short = true;
                    }
                }
            }
            if is_short {
                thread::sleep(PAUSE);
            }
        }
    }

    /// # Safety
    /// The memory that the entry names can be used by the kernel until it has ended.
    unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: as the caller says.
        let result = unsafe { self.queues.submission().push(entry) };
        result.expect("the queue has an entry for each run of a portion");
        self.pushed += 1;
    }

    /// Hands over what is in the queue, and waits until so many have ended or there is reason to
    /// look. `false`: the kernel does not work on this ring any more.
    fn submit_and_wait(&mut self, count: usize, attempts_left: &mut u32) -> bool {
        if self.is_broken {
            return false;
        }
        match self.queues.submit_and_wait(count).map_err(|error| error.raw_os_error()) {
            Ok(_) | Err(Some(libc::EINTR)) => {}
            Err(Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM)) if *attempts_left > 0 => {
                *attempts_left -= 1;
                thread::sleep(PAUSE);
            }
            Err(_) => self.is_broken = true,
        }
        !self.is_broken
    }
}

impl Transfer {
    /// Fills places that no run has.
    const NOTHING: Transfer = Transfer {
        direction: Direction::Read,
        offset: 0,
        address: std::ptr::null_mut(),
        bytes: 0,
        attempts_left: 0,
    };

    /// What is to be done next, as an entry of the queue.
    fn entry(&self, descriptor: RawFd, index: usize) -> squeue::Entry {
        let (descriptor, bytes) = (types::Fd(descriptor), self.bytes_of_call() as u32);
        let entry = match self.direction {
            Direction::Write => {
                opcode::Write::new(descriptor, self.address, bytes).offset(self.offset).build()
            }
            Direction::Read => opcode::Read::new(descriptor, self.address, bytes).offset(self.offset).build(),
        };
        entry.user_data(index as u64)
    }
}

/// The bits that are set in a word.
fn bits(word: u64) -> impl Iterator<Item = usize> {
    (0..ENTRIES).filter(move |bit| word & 1 << bit != 0)
}
