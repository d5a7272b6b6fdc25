//! The swap device: a file without a name.
//!
//! It is made by `O_TMPFILE`, or else with a name of chance, `O_EXCL`, `O_NOFOLLOW` and mode
//! 0600, and unlinked at once, so that it is gone when the process is, however that ends. It takes
//! its room on the disk ahead of what is written, so that it lies in one piece: all of it at once, so that
//! a full disk shows at the start, or step by step where many processes have such a file. Pages go past the
//! page cache (`O_DIRECT`) where the file system can do that: a swap device that is cached in RAM
//! would be RAM that nobody counts.

use std::ffi::CString;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use zpager_core::page::{PAGE_BYTES, Page, ZEROS};
use zpager_core::swap_device::layers::Layers;
use zpager_core::swap_device::swap_map::Slot;
use zpager_core::swap_device::{DeviceError, ReadRun, SwapDevice, WriteRun};

use crate::descriptors::{Kept, moved_up};
use crate::device_io::{DeviceIo, IoKind};

/// Room for so many slots is taken at a time, where it is not taken at once: 256 MiB.
const STEP_SLOTS: u32 = (256 << 20) / PAGE_BYTES as u32;

/// See the module's description.
pub struct SwapFile {
    /// By layer: this process's own is the last.
    files: Vec<Kept<File>>,
    layers: Arc<Layers>,
    io: DeviceIo,
    slots: u32,
    /// There is room for slots before this one, or was none to be had.
    room: AtomicU32,
}

impl SwapFile {
    /// Makes a file of so many slots in a directory, to be written and read so.
    pub fn new(directory: &Path, slots: u32, io: DeviceIo, takes_room_at_once: bool) -> io::Result<Self> {
        let file = open_unnamed(directory)?;
        // Otherwise the disk would be full for a moment, for everybody, before this fails.
        if u64::from(slots) * PAGE_BYTES as u64 > free_bytes(&file)? {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let room = if takes_room_at_once { slots } else { 0 };
        take_room(&file, 0, room)?;
        let (layers, room) = (Arc::new(Layers::one()), AtomicU32::new(room));
        let file = SwapFile { files: vec![kept(file)], layers, io, slots, room };
        set_direct(file.own(), true);
        // Some file systems take the flag and refuse the pages.
        if slots > 0 && file.write_run(Slot(0), &ZEROS[..1]).is_err() {
            set_direct(file.own(), false);
        }
        Ok(file)
    }

    /// The device of a forked child: its parent's to read, and a file of its own, which takes room step by step.
    pub fn of_child(self, directory: &Path, slots: u32, io: DeviceIo) -> io::Result<Self> {
        let layers = self.layers.of_child(slots).ok_or_else(|| io::Error::other("forked too deeply"))?;
        let is_direct = is_direct(self.own());
        let mut files = self.files;
        files.push(kept(open_unnamed(directory)?));
        let file = SwapFile { files, layers: Arc::new(layers), io, slots, room: AtomicU32::new(0) };
        set_direct(file.own(), is_direct);
        // What was the parent's is nothing that works here, and `drop` knows.
        drop(self.io);
        Ok(file)
    }

    /// Who wrote what.
    pub fn layers(&self) -> &Arc<Layers> {
        &self.layers
    }

    fn own(&self) -> &Kept<File> {
        self.files.last().expect("a process has a file")
    }

    /// How it is written and read.
    pub fn io_kind(&self) -> IoKind {
        self.io.kind()
    }
}

impl SwapDevice for SwapFile {
    fn write(&self, runs: &mut [WriteRun<'_>]) {
        for run in &*runs {
            let length = run.pages.len() as u32;
            self.layers.written(run.first, length);
            self.take_room_before(run.first.plus(length));
        }
        self.io.carry_out(self.own().as_raw_fd(), runs);
    }

    fn read(&self, runs: &mut [ReadRun<'_>]) {
        if let [file] = &self.files[..] {
            return self.io.carry_out(file.as_raw_fd(), runs);
        }
        for run in runs {
            run.result = self.read_layers(run.first, run.pages);
        }
    }
}

impl SwapFile {
    /// If there is none, the writing fails, or does not.
    fn take_room_before(&self, end: Slot) {
        let room = self.room.load(Ordering::Relaxed);
        if end.0 > room {
            let wanted = end.0.next_multiple_of(STEP_SLOTS).min(self.slots);
            let _ = take_room(self.own(), room, wanted);
            self.room.fetch_max(wanted, Ordering::Relaxed);
        }
    }

    /// Reads slots of maybe several layers, one piece after the other.
    fn read_layers(&self, mut first: Slot, mut pages: &mut [Page]) -> Result<(), DeviceError> {
        while !pages.is_empty() {
            let length = self.layers.run_length(first, pages.len() as u32);
            let (piece, rest) = pages.split_at_mut(length as usize);
            let mut run = ReadRun::new(first, piece);
            let file = &self.files[usize::from(self.layers.of(first))];
            self.io.carry_out(file.as_raw_fd(), std::slice::from_mut(&mut run));
            run.result?;
            (first, pages) = (first.plus(length), rest);
        }
        Ok(())
    }
}

fn kept(file: File) -> Kept<File> {
    Kept::new(moved_up(file.into()).into())
}

/// Takes room on the disk for slots from one to before another.
fn take_room(file: &File, first: u32, end: u32) -> io::Result<()> {
    let [offset, end] = [first, end].map(|slot| i64::from(slot) * PAGE_BYTES as i64);
    // SAFETY: only the file's blocks are concerned.
    while end > offset && unsafe { libc::fallocate(file.as_raw_fd(), 0, offset, end - offset) } != 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// What the file system has left for this user.
fn free_bytes(file: &File) -> io::Result<u64> {
    let mut status = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: writes the status, which is read only if that succeeded.
    unsafe {
        if libc::fstatvfs(file.as_raw_fd(), status.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let status = status.assume_init();
        Ok(status.f_bavail * status.f_frsize)
    }
}

fn open_unnamed(directory: &Path) -> io::Result<File> {
    let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
    let open = |path: &CString, flags: i32| {
        // SAFETY: opens a new descriptor, which the file then owns.
        unsafe {
            let descriptor = libc::open(path.as_ptr(), flags | libc::O_RDWR | libc::O_CLOEXEC, 0o600);
            if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(File::from_raw_fd(descriptor)) }
        }
    };
    let unnamed = open(&path(directory)?, libc::O_TMPFILE);
    let is_unsupported = |error: &io::Error| {
        matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL | libc::ENOENT))
    };
    match unnamed {
        Err(error) if is_unsupported(&error) && directory.is_dir() => {
            let name = format!(".zpager-{:016x}", RandomState::new().hash_one(directory));
            let path = path(&directory.join(name))?;
            let file = open(&path, libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW)?;
            // SAFETY: removes the name that was just made.
            if unsafe { libc::unlink(path.as_ptr()) } != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(file)
        }
        result => result,
    }
}

/// Turns the way past the page cache on or off. A file system that has none says so, and the file
/// is used through the page cache.
fn set_direct(file: &File, on: bool) {
    // SAFETY: changes a flag of the descriptor.
    unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        let flags = if on { flags | libc::O_DIRECT } else { flags & !libc::O_DIRECT };
        libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags);
    }
}

fn is_direct(file: &File) -> bool {
    // SAFETY: reads a flag of the descriptor.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) & libc::O_DIRECT != 0 }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn io() -> DeviceIo {
        DeviceIo::new(IoKind::Auto).unwrap()
    }

    fn page(value: u8) -> Page {
        Page([value; PAGE_BYTES])
    }

    #[test]
    fn pages_come_back_from_their_slots_and_no_name_is_left() {
        let directory = std::env::temp_dir().join(format!("zpager-test-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let file = SwapFile::new(&directory, 64, io(), true).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        std::fs::remove_dir(&directory).unwrap();
        assert_eq!(file.own().metadata().unwrap().mode() & 0o777, 0o600);
        let pages: Vec<Page> = (0..32).map(page).collect();
        file.write_run(Slot(7), &pages).unwrap();
        file.write_run(Slot(63), &[page(99)]).unwrap();
        let mut back = vec![Page::ZERO; 32];
        file.read_run(Slot(7), &mut back).unwrap();
        assert!(back.iter().zip(&pages).all(|(back, page)| back[..] == page[..]));
        file.read_run(Slot(63), &mut back[..1]).unwrap();
        assert_eq!(back[0][..], page(99)[..]);
    }

    #[test]
    fn room_is_taken_at_once_or_step_by_step() {
        let taken_slots = |file: &SwapFile| {
            let blocks_in_page = PAGE_BYTES as u64 / 512;
            (file.own().metadata().unwrap().blocks() / blocks_in_page) as u32
        };
        let slots = 2 * STEP_SLOTS + 1;
        let at_once = SwapFile::new(&std::env::temp_dir(), slots, io(), true).unwrap();
        assert!(taken_slots(&at_once) >= slots);
        let file = SwapFile::new(&std::env::temp_dir(), slots, io(), false).unwrap();
        assert!((STEP_SLOTS..slots).contains(&taken_slots(&file)), "a first page was written");
        file.write_run(Slot(2 * STEP_SLOTS - 1), &[page(7), page(8)]).unwrap();
        assert!(taken_slots(&file) >= slots);
        let mut back = vec![Page::ZERO; 2];
        file.read_run(Slot(2 * STEP_SLOTS - 1), &mut back).unwrap();
        assert_eq!(
            (back[0][..].to_vec(), back[1][..].to_vec()),
            (page(7)[..].to_vec(), page(8)[..].to_vec())
        );
    }

    #[test]
    fn a_file_that_does_not_fit_is_refused_at_the_start() {
        assert!(SwapFile::new(&std::env::temp_dir(), u32::MAX, io(), true).is_err());
        assert!(SwapFile::new(Path::new("/nonexistent"), 1, io(), true).is_err());
    }

    #[test]
    fn reading_past_the_end_is_an_error_and_no_zeros() {
        let file = SwapFile::new(&std::env::temp_dir(), 1, io(), true).unwrap();
        assert_eq!(file.read_run(Slot(5), &mut [Page::ZERO]), Err(DeviceError { errno: libc::EIO }));
    }
}
