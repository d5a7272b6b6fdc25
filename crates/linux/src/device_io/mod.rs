//! Carries out the runs of a call to the device, many at the same time.
//!
//! [`io_uring`] does it by the kernel's queues; where these are not allowed, [`threads`] does it
//! by a small pool of threads. The results are the same. Medians in µs for runs of one page, past
//! the page cache, on a virtual machine with 2 CPUs:
//!
//! | runs | read: ring | threads | one by one | write: ring | threads | one by one |
//! | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
//! |    2 |   83 |   92 |  138 |   66 |   67 |  107 |
//! |    4 |   94 |  103 |  211 |  105 |  144 |  265 |
//! |   16 |  241 |  379 |  859 |  199 |  414 |  893 |
//! |   32 |  482 |  793 | 1939 |  390 |  781 | 2009 |
//!
//! A single run is a plain system call in both: 55 to read a page and 61 to write one, by a ring 56
//! and 65. And a run is never split: 32 pages take 183 to read and 91 to write in one piece, 190
//! and 98 in two, 198 and 110 in eight.
//!
//! A call may come from any thread, also in the middle of a page fault: it allocates nothing, and
//! touches no memory but the runs'.

mod io_uring;
mod threads;

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use zpager_core::page::PAGE_BYTES;
use zpager_core::swap_device::swap_map::Slot;
use zpager_core::swap_device::{DeviceError, ReadRun, WriteRun};

use io_uring::Rings;
use threads::Helpers;

/// How often the system may be short of something before that is an error.
const ATTEMPTS: u32 = 10;
/// How long it is given each time.
const PAUSE: Duration = Duration::from_millis(1);

/// How runs are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoKind {
    /// By io_uring where it is allowed, else by threads.
    Auto,
    /// By io_uring.
    IoUring,
    /// By threads.
    Threads,
}

impl IoKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            IoKind::Auto => "auto",
            IoKind::IoUring => "io_uring",
            IoKind::Threads => "threads",
        }
    }
}

impl FromStr for IoKind {
    type Err = ();
    fn from_str(name: &str) -> Result<Self, ()> {
        [IoKind::Auto, IoKind::IoUring, IoKind::Threads]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or(())
    }
}

enum Mechanism {
    IoUring(Rings),
    Threads(Helpers),
}

/// See the module's description.
pub struct DeviceIo {
    mechanism: ManuallyDrop<Mechanism>,
    process: u32,
}

impl DeviceIo {
    /// Sets up all that calls will need. Fails where io_uring is asked for and not allowed, or
    /// where no thread can be had.
    pub fn new(kind: IoKind) -> io::Result<Self> {
        let threads = || Helpers::new().map(Mechanism::Threads);
        let rings = || Rings::new().map(Mechanism::IoUring);
        let mechanism = match kind {
            IoKind::Auto => rings().or_else(|_| threads()),
            IoKind::IoUring => rings(),
            IoKind::Threads => threads(),
        }?;
        Ok(DeviceIo { mechanism: ManuallyDrop::new(mechanism), process: std::process::id() })
    }

    /// What it has come to: never [`IoKind::Auto`].
    pub fn kind(&self) -> IoKind {
        match &*self.mechanism {
            Mechanism::IoUring(_) => IoKind::IoUring,
            Mechanism::Threads(_) => IoKind::Threads,
        }
    }

    /// RAM that this takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        match &*self.mechanism {
            Mechanism::IoUring(_) => Rings::MEMORY_BYTES,
            Mechanism::Threads(_) => Helpers::MEMORY_BYTES,
        }
    }

    /// Carries out runs on a file, and leaves in each how it ended.
    pub(crate) fn carry_out(&self, descriptor: RawFd, runs: &mut [impl Request]) {
        match (runs, &*self.mechanism) {
            ([], _) => {}
            ([run], _) => {
                let result = run.transfer().carry_out(descriptor);
                run.end(result);
            }
            (runs, Mechanism::IoUring(rings)) => rings.carry_out(descriptor, runs),
            (runs, Mechanism::Threads(helpers)) => helpers.carry_out(descriptor, runs),
        }
    }
}

impl Drop for DeviceIo {
    fn drop(&mut self) {
        // A forked child has neither the threads nor the memory of the rings, at whose addresses
        // there may be something else by now: leave everything alone.
        if self.process == std::process::id() {
            // SAFETY: this is the end of `self`; nobody uses the field again.
            unsafe { ManuallyDrop::drop(&mut self.mechanism) }
        }
    }
}

/// Why io_uring is not to be had here, if it is not.
pub fn why_no_io_uring() -> Option<io::Error> {
    Rings::new().err()
}

/// A run of either direction.
pub(crate) trait Request: Send {
    /// All of it, yet to be done.
    fn transfer(&mut self) -> Transfer;
    /// Leaves how it ended.
    fn end(&mut self, result: Result<(), DeviceError>);
}

impl Request for WriteRun<'_> {
    fn transfer(&mut self) -> Transfer {
        let address = self.pages.as_ptr().cast_mut().cast();
        Transfer::new(Direction::Write, self.first, address, size_of_val(self.pages))
    }

    fn end(&mut self, result: Result<(), DeviceError>) {
        self.result = result;
    }
}

impl Request for ReadRun<'_> {
    fn transfer(&mut self) -> Transfer {
        let address = self.pages.as_mut_ptr().cast();
        Transfer::new(Direction::Read, self.first, address, size_of_val(self.pages))
    }

    fn end(&mut self, result: Result<(), DeviceError>) {
        self.result = result;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Write,
    Read,
}

/// What is left to do of a run, whose pages are borrowed as long as this is in use.
#[derive(Clone, Copy)]
pub(crate) struct Transfer {
    direction: Direction,
    /// Where in the file.
    offset: u64,
    /// Where in memory.
    address: *mut u8,
    bytes: usize,
    attempts_left: u32,
}

/// What comes after a system call.
enum Step {
    Ended(Result<(), DeviceError>),
    Again,
    /// The system was short of something.
    AgainAfterPause,
}

impl Transfer {
    /// As much as each of the mechanisms can be asked for in one go, and whole pages.
    const BYTES_MAX: usize = 1 << 30;

    fn new(direction: Direction, first: Slot, address: *mut u8, bytes: usize) -> Self {
        let offset = u64::from(first.0) * PAGE_BYTES as u64;
        Transfer { direction, offset, address, bytes, attempts_left: ATTEMPTS }
    }

    /// Bytes that the next system call is to move.
    fn bytes_of_call(&self) -> usize {
        self.bytes.min(Self::BYTES_MAX)
    }

    /// Takes account of what a system call has done: bytes, or an error number.
    fn advance(&mut self, done: Result<usize, i32>) -> Step {
        match done {
            Ok(bytes) => {
                // Whole pages: a page that was done in part is done again.
                let bytes = bytes / PAGE_BYTES * PAGE_BYTES;
                if bytes == 0 {
                    return Step::Ended(Err(DeviceError { errno: libc::EIO }));
                }
                self.offset += bytes as u64;
                self.address = self.address.wrapping_add(bytes);
                self.bytes -= bytes;
                if self.bytes == 0 { Step::Ended(Ok(())) } else { Step::Again }
            }
            Err(libc::EINTR) => Step::Again,
            Err(libc::EAGAIN | libc::ENOMEM) if self.attempts_left > 0 => {
                self.attempts_left -= 1;
                Step::AgainAfterPause
            }
            Err(errno) => Step::Ended(Err(DeviceError { errno })),
        }
    }

    /// Does all that is left by plain system calls.
    fn carry_out(&mut self, descriptor: RawFd) -> Result<(), DeviceError> {
        if self.bytes == 0 {
            return Ok(());
        }
        loop {
            let (address, bytes) = (self.address.cast(), self.bytes_of_call());
            // SAFETY: the address and the bytes are within pages that are borrowed, to be written
            // to for a read.
            let done = unsafe {
                match self.direction {
                    Direction::Write => libc::pwrite(descriptor, address, bytes, self.offset as i64),
                    Direction::Read => libc::pread(descriptor, address, bytes, self.offset as i64),
                }
            };
            let errno = |_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
            match self.advance(usize::try_from(done).map_err(errno)) {
                Step::Ended(result) => return result,
                Step::Again => {}
                Step::AgainAfterPause => thread::sleep(PAUSE),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;

    use zpager_core::page::{BATCH_MAX, Page};

    use super::*;

    /// Each kind that can be had here.
    fn kinds() -> Vec<DeviceIo> {
        [IoKind::IoUring, IoKind::Threads].into_iter().filter_map(|kind| DeviceIo::new(kind).ok()).collect()
    }

    fn file_of(bytes: u64) -> File {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(libc::O_TMPFILE);
        let file = options.open(std::env::temp_dir()).unwrap();
        file.set_len(bytes).unwrap();
        file
    }

    fn page(value: usize) -> Page {
        Page([value as u8; PAGE_BYTES])
    }

    /// Writes one page to each of some slots, in one call.
    fn write(io: &DeviceIo, file: &File, slots: &[u32]) -> Vec<Result<(), DeviceError>> {
        let pages: Vec<Page> = slots.iter().map(|slot| page(*slot as usize)).collect();
        let run = |(slot, page)| WriteRun::new(Slot(slot), std::slice::from_ref(page));
        let mut runs: Vec<_> = slots.iter().copied().zip(&pages).map(run).collect();
        io.carry_out(file.as_raw_fd(), &mut runs);
        runs.iter().map(|run| run.result).collect()
    }

    /// Reads one page from each of some slots in one call, which have to be what `write` writes.
    fn read(io: &DeviceIo, file: &File, slots: &[u32]) -> Vec<Result<(), DeviceError>> {
        let mut pages = vec![page(0xa5); slots.len()];
        let run = |(slot, page)| ReadRun::new(Slot(slot), std::slice::from_mut(page));
        let mut runs: Vec<_> = slots.iter().copied().zip(&mut pages).map(run).collect();
        io.carry_out(file.as_raw_fd(), &mut runs);
        for (run, slot) in runs.iter().zip(slots) {
            assert!(run.result.is_err() || run.pages[0][..] == page(*slot as usize)[..], "slot {slot}");
        }
        runs.iter().map(|run| run.result).collect()
    }

    const EIO: Result<(), DeviceError> = Err(DeviceError { errno: libc::EIO });

    #[test]
    fn a_transfer_goes_on_behind_the_whole_pages_that_were_done() {
        let mut pages = [const { Page::ZERO }; 4];
        let base = pages.as_ptr().addr();
        let mut transfer = ReadRun::new(Slot(3), &mut pages[..]).transfer();
        assert!(matches!(transfer.advance(Ok(2 * PAGE_BYTES + 1)), Step::Again));
        assert_eq!(transfer.offset, 5 * PAGE_BYTES as u64);
        assert_eq!(transfer.address.addr(), base + 2 * PAGE_BYTES);
        assert!(matches!(transfer.advance(Ok(PAGE_BYTES)), Step::Again));
        assert!(matches!(transfer.advance(Ok(PAGE_BYTES)), Step::Ended(Ok(()))));
    }

    #[test]
    fn a_transfer_that_gets_nowhere_ends() {
        let mut transfer = WriteRun::new(Slot(0), &[const { Page::ZERO }; 2][..]).transfer();
        assert!(matches!(transfer.advance(Ok(0)), Step::Ended(EIO)));
        assert!(matches!(transfer.advance(Ok(PAGE_BYTES - 1)), Step::Ended(EIO)));
        for _ in 0..100 {
            assert!(matches!(transfer.advance(Err(libc::EINTR)), Step::Again));
        }
        for attempt in 0..ATTEMPTS {
            let errno = [libc::EAGAIN, libc::ENOMEM][attempt as usize % 2];
            assert!(matches!(transfer.advance(Err(errno)), Step::AgainAfterPause));
        }
        let ended = transfer.advance(Err(libc::EAGAIN));
        assert!(matches!(ended, Step::Ended(Err(DeviceError { errno: libc::EAGAIN }))));
        let ended = transfer.advance(Err(libc::ENOSPC));
        assert!(matches!(ended, Step::Ended(Err(DeviceError { errno: libc::ENOSPC }))));
    }

    #[test]
    fn a_file_that_ends_in_the_middle_of_a_page_fails_from_there_on() {
        for io in kinds() {
            let file = file_of(0);
            assert_eq!(write(&io, &file, &[0, 1, 2]), [Ok(()); 3]);
            file.set_len(2 * PAGE_BYTES as u64 + 100).unwrap();
            assert_eq!(read(&io, &file, &[3, 1, 2, 0]), [EIO, Ok(()), EIO, Ok(())]);
            assert_eq!(read(&io, &file, &[2]), [EIO]);
            let mut pages = vec![Page::ZERO; 6];
            let (first, second) = pages.split_at_mut(3);
            let mut runs = [ReadRun::new(Slot(0), &mut first[..2]), ReadRun::new(Slot(0), second)];
            io.carry_out(file.as_raw_fd(), &mut runs);
            assert_eq!(runs.map(|run| run.result), [Ok(()), EIO]);
            assert_eq!(pages[1][..], page(1)[..]);
        }
    }

    #[test]
    fn an_error_is_left_in_every_run_that_has_it() {
        for io in kinds() {
            let file = File::open("/proc/self/exe").unwrap();
            let slots: Vec<u32> = (0..3 * BATCH_MAX as u32).collect();
            let failed = write(&io, &file, &slots);
            assert!(failed.iter().all(|result| *result == Err(DeviceError { errno: libc::EBADF })));
        }
    }

    #[test]
    fn more_runs_than_can_be_under_way_and_runs_of_no_pages() {
        for io in kinds() {
            let file = file_of(0);
            let slots: Vec<u32> = (0..3 * BATCH_MAX as u32 + 5).rev().collect();
            assert!(write(&io, &file, &slots).iter().all(Result::is_ok));
            assert!(read(&io, &file, &slots).iter().all(Result::is_ok));
            let mut runs = [4, 5].map(|slot| WriteRun::new(Slot(slot), &[]));
            runs[0].result = EIO;
            io.carry_out(file.as_raw_fd(), &mut runs);
            assert_eq!(runs.map(|run| run.result), [Ok(()); 2]);
            io.carry_out(file.as_raw_fd(), &mut [] as &mut [WriteRun<'_>]);
        }
    }

    #[test]
    fn a_forked_child_leaves_everything_alone() {
        for io in kinds() {
            // SAFETY: the child calls nothing but the drop, which does nothing there, and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: ends the child, at the latest when the alarm comes.
                unsafe {
                    libc::alarm(10);
                    drop(io);
                    libc::_exit(0);
                }
            }
            let mut status = -1;
            // SAFETY: waits for the child that was just made.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
            let file = file_of(0);
            assert_eq!(write(&io, &file, &[0, 1, 2]), [Ok(()); 3]);
        }
    }

    /// Lets a system call fail from now on, for this thread and those that it starts.
    fn refuse(call: libc::c_long) {
        let statement =
            |code: u32, value: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value };
        let is_it = libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32)
        };
        let mut filter = [
            // The number of the call is the first word of what the filter sees.
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
            is_it,
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: a program as long as it says, which concerns this thread only.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
        }
    }

    #[test]
    fn where_io_uring_is_not_allowed_threads_do_it() {
        let body = || {
            refuse(libc::SYS_io_uring_setup);
            assert_eq!(why_no_io_uring().and_then(|error| error.raw_os_error()), Some(libc::EPERM));
            assert!(DeviceIo::new(IoKind::IoUring).is_err());
            let io = DeviceIo::new(IoKind::Auto).unwrap();
            assert_eq!(io.kind(), IoKind::Threads);
            let file = file_of(0);
            assert_eq!(write(&io, &file, &[0, 1, 2]), [Ok(()); 3]);
        };
        thread::spawn(body).join().unwrap();
    }

    #[test]
    fn where_io_uring_is_forbidden_later_runs_are_still_carried_out() {
        let body = || {
            let Ok(io) = DeviceIo::new(IoKind::IoUring) else { return };
            let file = file_of(0);
            let slots: Vec<u32> = (0..3 * BATCH_MAX as u32).collect();
            assert!(write(&io, &file, &slots).iter().all(Result::is_ok));
            refuse(libc::SYS_io_uring_enter);
            for _ in 0..2 {
                assert!(read(&io, &file, &slots).iter().all(Result::is_ok));
                assert!(write(&io, &file, &slots).iter().all(Result::is_ok));
            }
        };
        thread::spawn(body).join().unwrap();
    }
}
