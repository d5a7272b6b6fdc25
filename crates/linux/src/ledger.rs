//! The ledger of a tree of processes, as memory that all of them share, and a process's life in it.
//!
//! An entry's word of life is the number of the thread that kswapd runs on, and this thread has told the kernel that
//! it holds a robust futex there: when it ends in whatever way, by the end of the process, a SIGKILL, or
//! another program in its place, the kernel marks the word as its owner's death, in the very bit that the core looks
//! at ([`DEAD`]). So nobody has to look after others, and no number of a process that is used again misleads anybody.

use std::fs::OpenOptions;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use zpager_core::ledger::{DEAD, Ledger, Place};

use crate::system_call;

const _: () = assert!(DEAD == libc::FUTEX_OWNER_DIED, "the kernel's word for it");

/// Maps a ledger for the rest of the process. A new file is an empty ledger.
pub fn open(path: &Path) -> io::Result<&'static Ledger> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(path)?;
    let bytes = size_of::<Ledger>();
    if file.metadata()?.len() < bytes as u64 {
        file.set_len(bytes as u64)?;
    }
    // SAFETY: a new mapping of a file that is long enough, at an address of the kernel's choice, which is never
    // unmapped. All of a ledger are atomic words, so others may write there, and any bytes are good.
    unsafe {
        let address = system_call::map_shared(file.as_raw_fd(), bytes)?;
        system_call::advise(address, bytes, libc::MADV_DONTDUMP)?;
        Ok(&*(address as *const Ledger))
    }
}

/// A clock that all processes share.
pub fn now_us() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: written before it is read; this clock is always there.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// Sleeps until an alarm is rung, if it has not been since it was `seen`.
pub fn wait(alarm: &AtomicU32, seen: u32) {
    while alarm.load(Ordering::SeqCst) == seen {
        // SAFETY: a word that lives as long as the call. It may be another process's, so it is no private futex.
        let _ = unsafe { futex(alarm, libc::FUTEX_WAIT, seen) };
    }
}

/// Wakes who sleeps on an alarm, or is about to.
pub fn ring(alarm: &AtomicU32) {
    alarm.fetch_add(1, Ordering::SeqCst);
    // SAFETY: as above.
    let _ = unsafe { futex(alarm, libc::FUTEX_WAKE, i32::MAX as u32) };
}

/// futex(2), without a limit of time.
///
/// # Safety
/// An operation that takes a value and nothing else.
unsafe fn futex(word: &AtomicU32, operation: i32, value: u32) -> io::Result<usize> {
    let arguments = [word.as_ptr() as usize, operation as usize, value as usize, 0, 0, 0];
    // SAFETY: the caller's.
    unsafe { system_call::call(libc::SYS_futex, arguments) }
}

/// The kernel's, of which it has one for each thread.
#[repr(C)]
struct RobustList {
    first: *mut RobustNode,
    /// From a node to its futex.
    futex_offset: libc::c_long,
    pending: *mut RobustNode,
}

#[repr(C)]
struct RobustNode {
    next: *mut RobustNode,
}

/// What the kernel reads when the thread ends, at an address that stays.
struct Robust {
    list: RobustList,
    node: RobustNode,
}

/// An entry that is this thread's as long as both live.
pub struct Life {
    ledger: &'static Ledger,
    place: Option<Place>,
    robust: *mut Robust,
    /// What the C library had told the kernel of this thread.
    before: (*mut RobustList, usize),
}

impl Life {
    /// Claims an entry for this thread.
    pub fn begin(ledger: &'static Ledger) -> io::Result<Self> {
        let before = robust_list()?;
        let robust = Box::into_raw(Box::new(Robust {
            list: RobustList { first: ptr::null_mut(), futex_offset: 0, pending: ptr::null_mut() },
            node: RobustNode { next: ptr::null_mut() },
        }));
        // SAFETY: a ring that is empty but for its head, as the kernel has it, of memory that is there until the
        // kernel has been told otherwise, in `drop`.
        unsafe {
            let head = (&raw mut (*robust).list).cast::<RobustNode>();
            (*robust).list.first = head;
            (*robust).node.next = head;
            set_robust_list(&raw mut (*robust).list, size_of::<RobustList>())?;
        }
        // SAFETY: no preconditions.
        let thread = unsafe { libc::gettid() } as u32;
        let place = ledger.claim(thread, |entry| {
            // Before the claim: there is no moment in which the kernel would not know. A word that is not this
            // thread's it leaves alone.
            // SAFETY: the memory is there, and only this thread and the kernel, at its end, look at it.
            unsafe {
                let node = &raw mut (*robust).node;
                (&raw mut (*robust).list.futex_offset)
                    .write_volatile((entry.life.as_ptr() as libc::c_long) - node as libc::c_long);
                (&raw mut (*robust).list.first).write_volatile(node);
            }
        });
        Ok(Life { ledger, place, robust, before })
    }

    /// The entry. `None`: there are too many already.
    pub fn place(&self) -> Option<Place> {
        self.place
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.ledger.leave(place);
        }
        let (list, length) = self.before;
        // SAFETY: what the kernel had before; after that nobody looks at ours.
        unsafe {
            if set_robust_list(list, length).is_ok() {
                drop(Box::from_raw(self.robust));
            }
        }
    }
}

fn robust_list() -> io::Result<(*mut RobustList, usize)> {
    let mut list = ptr::null_mut();
    let mut length = 0_usize;
    let arguments = [0, (&raw mut list) as usize, (&raw mut length) as usize, 0, 0, 0];
    // SAFETY: writes the two.
    unsafe { system_call::call(libc::SYS_get_robust_list, arguments) }?;
    Ok((list, length))
}

/// # Safety
/// The list is one, or null, and stays until the thread ends or sets another.
unsafe fn set_robust_list(list: *mut RobustList, length: usize) -> io::Result<()> {
    // SAFETY: the caller's.
    unsafe { system_call::call(libc::SYS_set_robust_list, [list as usize, length, 0, 0, 0, 0]) }.map(drop)
}
