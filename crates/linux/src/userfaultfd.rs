//! userfaultfd: its descriptor, its messages, its ioctls (linux/userfaultfd.h). The crate of
//! that name stops at Linux 5.13; what is needed here is little, and newer.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use zpager_core::fault::Access;
use zpager_core::page::PAGE_BYTES;

use crate::descriptors::{Kept, moved_up};
use crate::last_words::abort;
use crate::stop::replace_descriptor;
use crate::system_call;

const API: u64 = 0xaa;

const fn ioctl_number(direction: u64, number: u64, bytes: usize) -> u64 {
    direction << 30 | (bytes as u64) << 16 | 0xaa << 8 | number
}
const READ: u64 = 2;
const WRITE: u64 = 1;

const UFFDIO_API: u64 = ioctl_number(READ | WRITE, 0x3f, size_of::<ApiArgument>());
const UFFDIO_REGISTER: u64 = ioctl_number(READ | WRITE, 0x00, size_of::<RegisterArgument>());
const UFFDIO_UNREGISTER: u64 = ioctl_number(READ, 0x01, size_of::<Range>());
const UFFDIO_WAKE: u64 = ioctl_number(READ, 0x02, size_of::<Range>());
const UFFDIO_COPY: u64 = ioctl_number(READ | WRITE, 0x03, size_of::<CopyArgument>());
const UFFDIO_MOVE: u64 = ioctl_number(READ | WRITE, 0x05, size_of::<CopyArgument>());
const UFFDIO_WRITEPROTECT: u64 = ioctl_number(READ | WRITE, 0x06, size_of::<ProtectArgument>());
const UFFDIO_POISON: u64 = ioctl_number(READ | WRITE, 0x08, size_of::<PoisonArgument>());
/// Of /dev/userfaultfd.
const USERFAULTFD_IOC_NEW: u64 = ioctl_number(0, 0x00, 0);

const USER_MODE_ONLY: i32 = 1;
const COPY_MODE_WRITE_PROTECT: u64 = 2;
const PROTECT_MODE_PROTECT: u64 = 1;
const POISON_MODE_DONT_WAKE: u64 = 1;

const EVENT_PAGEFAULT: u8 = 0x12;
const PAGEFAULT_FLAG_WRITE: u64 = 1;
const PAGEFAULT_FLAG_WRITE_PROTECT: u64 = 2;

/// The features that zpager knows, by the kernel's names without `UFFD_FEATURE_`.
pub const FEATURES: [(&str, u64); 9] = [
    ("PAGEFAULT_FLAG_WP", 1 << 0),
    ("SIGBUS", 1 << 7),
    ("THREAD_ID", 1 << 8),
    ("EXACT_ADDRESS", 1 << 11),
    ("WP_HUGETLBFS_SHMEM", 1 << 12),
    ("WP_UNPOPULATED", 1 << 13),
    ("POISON", 1 << 14),
    ("WP_ASYNC", 1 << 15),
    ("MOVE", 1 << 16),
];

/// What must be there in any mode.
pub const FEATURES_NEEDED: [&str; 4] = ["PAGEFAULT_FLAG_WP", "SIGBUS", "POISON", "MOVE"];

fn bit(name: &str) -> u64 {
    FEATURES.iter().find(|(feature, _)| *feature == name).expect("a feature of the table").1
}

#[repr(C)]
struct ApiArgument {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Range {
    start: u64,
    length: u64,
}

#[repr(C)]
struct RegisterArgument {
    range: Range,
    mode: u64,
    ioctls: u64,
}

/// Of UFFDIO_COPY and UFFDIO_MOVE alike.
#[repr(C)]
struct CopyArgument {
    target: u64,
    source: u64,
    length: u64,
    mode: u64,
    /// Bytes done, or an error number below zero.
    done: i64,
}

#[repr(C)]
struct ProtectArgument {
    range: Range,
    mode: u64,
}

#[repr(C)]
struct PoisonArgument {
    range: Range,
    mode: u64,
    done: i64,
}

/// What a range of addresses is watched for.
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum Watch {
    /// Touches of pages that are not there.
    Missing = 1,
    /// The same, and writes to protected ones.
    MissingAndProtected = 3,
}

/// How faults are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message to a thread that reads the descriptor.
    Thread,
    /// SIGBUS in the thread that faulted.
    Signal,
}

/// A fault that was read from the descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The address, of the page at least.
    pub address: usize,
    /// What the program was about to do.
    pub access: Access,
    /// The page was there, only write-protected.
    pub was_mapped: bool,
}

/// The descriptor.
pub struct Userfaultfd {
    descriptor: Kept<OwnedFd>,
    /// Faults inside of system calls cannot be served.
    pub is_user_mode_only: bool,
}

impl Userfaultfd {
    /// Opens a descriptor for all features that are needed.
    pub fn open(delivery: Delivery) -> io::Result<Self> {
        let opened = Self::open_any()?;
        let mut features = bit("PAGEFAULT_FLAG_WP") | bit("POISON") | bit("MOVE");
        if delivery == Delivery::Signal {
            features |= bit("SIGBUS");
        }
        opened.handshake(features)?;
        Ok(opened)
    }

    /// In a forked child: a userfaultfd of its own, by the same number.
    pub fn renew(&self, delivery: Delivery) -> io::Result<()> {
        replace_descriptor(self, &Self::open(delivery)?)
    }

    /// The features that this kernel has, as bits.
    pub fn features_of_kernel() -> io::Result<(u64, bool)> {
        let opened = Self::open_any()?;
        Ok((opened.handshake(0)?, opened.is_user_mode_only))
    }

    /// By the system call; or by the device node, which can be opened to ordinary users; or for
    /// faults in user mode only, which every user may have.
    fn open_any() -> io::Result<Self> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        let by_call = |flags: i32| {
            // SAFETY: makes a new descriptor, or none.
            let descriptor =
                unsafe { system_call::call(libc::SYS_userfaultfd, [flags as usize, 0, 0, 0, 0, 0]) };
            own(descriptor? as RawFd)
        };
        let by_device = || {
            let device = OpenOptions::new().read(true).write(true).open("/dev/userfaultfd")?;
            // SAFETY: makes a new descriptor, or none.
            own(unsafe { libc::ioctl(device.as_raw_fd(), USERFAULTFD_IOC_NEW as _, flags) })
        };
        let full = by_call(flags).or_else(|error| by_device().map_err(|_| error));
        match full {
            Ok(descriptor) => Ok(Userfaultfd { descriptor, is_user_mode_only: false }),
            Err(error) => match by_call(flags | USER_MODE_ONLY) {
                Ok(descriptor) => Ok(Userfaultfd { descriptor, is_user_mode_only: true }),
                Err(_) => Err(error),
            },
        }
    }

    fn handshake(&self, features: u64) -> io::Result<u64> {
        let mut argument = ApiArgument { api: API, features, ioctls: 0 };
        self.ioctl(UFFDIO_API, &mut argument)?;
        Ok(argument.features)
    }

    /// Watches a range.
    pub fn register(&self, start: usize, length: usize, watch: Watch) -> io::Result<()> {
        let range = Range { start: start as u64, length: length as u64 };
        self.ioctl(UFFDIO_REGISTER, &mut RegisterArgument { range, mode: watch as u64, ioctls: 0 })
    }

    /// Watches a range no longer.
    pub fn unregister(&self, start: usize, length: usize) -> io::Result<()> {
        self.ioctl(UFFDIO_UNREGISTER, &mut Range { start: start as u64, length: length as u64 })
    }

    /// Copies bytes to pages that are not there; the bytes copied, and the error that ended it.
    pub fn copy(
        &self,
        target: usize,
        source: *const u8,
        length: usize,
        protect: bool,
    ) -> (usize, io::Result<()>) {
        let mode = if protect { COPY_MODE_WRITE_PROTECT } else { 0 };
        self.copy_or_move(UFFDIO_COPY, target, source as usize, length, mode)
    }

    /// Moves page frames to where none are; as `copy`. Where none is there to be moved, that is ENOENT.
    pub fn move_pages(&self, target: usize, source: usize, length: usize) -> (usize, io::Result<()>) {
        self.copy_or_move(UFFDIO_MOVE, target, source, length, 0)
    }

    fn copy_or_move(
        &self,
        number: u64,
        target: usize,
        source: usize,
        length: usize,
        mode: u64,
    ) -> (usize, io::Result<()>) {
        let mut argument = CopyArgument {
            target: target as u64,
            source: source as u64,
            length: length as u64,
            mode,
            done: 0,
        };
        let result = self.ioctl(number, &mut argument);
        // Below zero it is an error number, not a length.
        (usize::try_from(argument.done).unwrap_or(0), result)
    }

    /// Lifts the write protection of a range, and wakes who waits for it.
    pub fn unprotect(&self, start: usize, length: usize) -> io::Result<()> {
        let range = Range { start: start as u64, length: length as u64 };
        self.ioctl(UFFDIO_WRITEPROTECT, &mut ProtectArgument { range, mode: 0 })
    }

    /// Write-protects what is there of a range.
    pub fn protect(&self, start: usize, length: usize) -> io::Result<()> {
        let range = Range { start: start as u64, length: length as u64 };
        self.ioctl(UFFDIO_WRITEPROTECT, &mut ProtectArgument { range, mode: PROTECT_MODE_PROTECT })
    }

    /// Makes every access to a range that is not there end in SIGBUS. Who waits for it already
    /// does so until `wake`, so that the reason can be told before.
    pub fn poison(&self, start: usize, length: usize) -> io::Result<()> {
        let range = Range { start: start as u64, length: length as u64 };
        self.ioctl(UFFDIO_POISON, &mut PoisonArgument { range, mode: POISON_MODE_DONT_WAKE, done: 0 })
    }

    /// Wakes who waits for a range.
    pub fn wake(&self, start: usize, length: usize) -> io::Result<()> {
        self.ioctl(UFFDIO_WAKE, &mut Range { start: start as u64, length: length as u64 })
    }

    /// The next fault, if one has been told.
    pub fn read(&self) -> io::Result<Option<Fault>> {
        let mut message = [0_u8; 32];
        // SAFETY: writes at most as many bytes as the message has.
        let length =
            unsafe { libc::read(self.descriptor.as_raw_fd(), message.as_mut_ptr().cast(), message.len()) };
        if length < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(None),
                _ => Err(error),
            };
        }
        if length as usize != message.len() || message[0] != EVENT_PAGEFAULT {
            return Err(io::Error::other(format!("an unknown message: {message:02x?}")));
        }
        let word = |at: usize| u64::from_ne_bytes(message[at..at + 8].try_into().expect("eight bytes"));
        let (flags, address) = (word(8), word(16) as usize);
        let was_mapped = flags & PAGEFAULT_FLAG_WRITE_PROTECT != 0;
        let is_write = was_mapped || flags & PAGEFAULT_FLAG_WRITE != 0;
        Ok(Some(Fault {
            address: address & !(PAGE_BYTES - 1),
            access: if is_write { Access::Write } else { Access::Read },
            was_mapped,
        }))
    }

    fn ioctl<T>(&self, number: u64, argument: &mut T) -> io::Result<()> {
        // SAFETY: each number above carries the size of the argument that it is called with, and
        // the kernel reads and writes no more than that.
        let result = unsafe { libc::ioctl(self.descriptor.as_raw_fd(), number as _, argument) };
        if result >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if let Some(libc::EBADF | libc::ENOTTY) = error.raw_os_error() {
            abort(format_args!(
                "the program has closed zpager's userfaultfd ({error}); its memory cannot be served any more. \
                 Aborting."
            ));
        }
        Err(error)
    }
}

impl AsRawFd for Userfaultfd {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

fn own(descriptor: RawFd) -> io::Result<Kept<OwnedFd>> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else's.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(Kept::new(moved_up(descriptor)))
}
