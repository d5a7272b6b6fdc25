//! The swap device: a file without a name.
//!
//! It is made by `O_TMPFILE`, or else with a name of chance, `O_EXCL`, `O_NOFOLLOW` and mode
//! 0600, and unlinked at once, so that it is gone when the process is, however that ends. It is
//! preallocated, so that a full disk shows at the start. Pages go past the page cache
//! (`O_DIRECT`) where the file system can do that: a swap device that is cached in RAM would be
//! RAM that nobody counts.

use std::ffi::CString;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use zpager_core::page::{PAGE_BYTES, Page, ZEROS};
use zpager_core::swap_device::layers::Layers;
use zpager_core::swap_device::swap_map::Slot;
use zpager_core::swap_device::{DeviceError, ReadRun, SwapDevice, WriteRun};

use crate::descriptors::{Kept, moved_up};
use crate::device_io::{DeviceIo, IoKind};

/// See the module's description.
pub struct SwapFile {
    /// By layer: this process's own is the last.
    files: Vec<Kept<File>>,
    layers: Arc<Layers>,
    io: DeviceIo,
}

impl SwapFile {
    /// Makes and preallocates a file of so many slots in a directory, to be written and read so.
    pub fn new(directory: &Path, slots: u32, io: DeviceIo) -> io::Result<Self> {
        let file = open_unnamed(directory)?;
        let bytes = i64::from(slots) * PAGE_BYTES as i64;
        // Otherwise the disk would be full for a moment, for everybody, before this fails.
        if bytes as u64 > free_bytes(&file)? {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        // SAFETY: only the file's blocks are concerned.
        while bytes > 0 && unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) } != 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let file = SwapFile { files: vec![kept(file)], layers: Arc::new(Layers::one()), io };
        set_direct(file.own(), true);
        // Some file systems take the flag and refuse the pages.
        if slots > 0 && file.write_run(Slot(0), &ZEROS[..1]).is_err() {
            set_direct(file.own(), false);
        }
        Ok(file)
    }

    /// The device of a forked child: its parent's to read, and a file of its own, which takes room only as it
    /// is written.
    pub fn of_child(self, directory: &Path, slots: u32, io: DeviceIo) -> io::Result<Self> {
        let layers = self.layers.of_child(slots).ok_or_else(|| io::Error::other("forked too deeply"))?;
        let is_direct = is_direct(self.own());
        let mut files = self.files;
        files.push(kept(open_unnamed(directory)?));
        let file = SwapFile { files, layers: Arc::new(layers), io };
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
            self.layers.written(run.first, run.pages.len() as u32);
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
        let file = SwapFile::new(&directory, 64, io()).unwrap();
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
    fn a_file_that_does_not_fit_is_refused_at_the_start() {
        assert!(SwapFile::new(&std::env::temp_dir(), u32::MAX, io()).is_err());
        assert!(SwapFile::new(Path::new("/nonexistent"), 1, io()).is_err());
    }

    #[test]
    fn reading_past_the_end_is_an_error_and_no_zeros() {
        let file = SwapFile::new(&std::env::temp_dir(), 1, io()).unwrap();
        assert_eq!(file.read_run(Slot(5), &mut [Page::ZERO]), Err(DeviceError { errno: libc::EIO }));
    }
}
