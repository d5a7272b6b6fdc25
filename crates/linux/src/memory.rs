//! The program's memory on userfaultfd: how the core's [`Memory`] is carried out.
//!
//! Three mappings: the *window*, whose pages the program sees; the *staging* slots of the swap
//! cache, to which page frames are moved with their contents; and the *frames* of the pool.
//! Everything here may be called by any thread without the lock, touches no page of the window,
//! and allocates nothing.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use zpager_core::page::{PAGE_BYTES, Page, PageNumber, ZEROS};
use zpager_core::swap_cache::StagingSlot;
use zpager_core::world::{Memory, Staged};
use zpager_core::zcache::pool::arena::FrameIndex;

use crate::descriptors::{Kept, moved_up};
use crate::last_words::abort;
use crate::mapping::Mapping;
use crate::pagemap::Pagemap;
use crate::recorder::Recorder;
use crate::stop::replace_descriptor;
use crate::system_call;
use crate::userfaultfd::{Delivery, Userfaultfd, Watch};

/// There was no page to be moved.
#[derive(Clone, Copy, Debug)]
struct Vanished;

/// What unmaps pages: also where the program has locked them (5.18).
const UNMAP: i32 = libc::MADV_DONTNEED_LOCKED;

/// Ranges that are given to one call.
const RANGES_MAX: usize = 64;

/// See the module's description.
pub struct ManagedMemory {
    pub userfaultfd: Userfaultfd,
    pub window: Mapping,
    pub staging: Mapping,
    pub frames: Mapping,
    /// Tells which pages are there, where the kernel can.
    pagemap: Option<Pagemap>,
    /// There has been a forked child that shares page frames with us, or we are one.
    may_be_shared: AtomicBool,
    /// This process, where the kernel can unmap many ranges of it in one call (6.13).
    this_process: Option<Kept<OwnedFd>>,
    /// Who is told of pages that are stored.
    recorder: Option<&'static Recorder>,
    /// Whether what is left to the kernel is to be in huge pages, as far as nobody else asks for any.
    advises_huge_pages: bool,
}

impl ManagedMemory {
    /// Maps and registers everything.
    pub fn new(
        userfaultfd: Userfaultfd,
        window_pages: usize,
        staging_slots: usize,
        frame_count: usize,
        recorder: Option<&'static Recorder>,
        advises_huge_pages: bool,
    ) -> io::Result<Self> {
        let window = Mapping::new(window_pages)?;
        let staging = Mapping::new(staging_slots)?;
        let frames = Mapping::new(frame_count)?;
        userfaultfd.register(window.address(0), window.bytes(), Watch::MissingAndProtected)?;
        // A target of moves has to be watched; and what is not there must not read as zeros.
        userfaultfd.register(staging.address(0), staging.bytes(), Watch::Missing)?;
        let this_process = self_for_process_madvise(staging.address(0));
        let pagemap = Pagemap::open(window.address(0));
        let may_be_shared = AtomicBool::new(false);
        let memory = ManagedMemory {
            userfaultfd,
            window,
            staging,
            frames,
            pagemap,
            may_be_shared,
            this_process,
            recorder,
            advises_huge_pages,
        };
        // The kernel merges its areas of memory again, after parts of the window were left to it, only
        // if all of them have one `anon_vma`. They have the one that the window has before it is split.
        memory.map(PageNumber(0), &ZEROS[..1], false);
        memory.discard(PageNumber(0), 1);
        Ok(memory)
    }

    /// How many pages of a range are there, if the kernel says.
    pub fn count_present(&self, pages: Range<PageNumber>) -> Option<u32> {
        let count = (pages.end.0 - pages.start.0) as usize;
        self.pagemap.as_ref()?.count_present(self.of_page(pages.start), count).map(|count| count as u32)
    }

    /// Whether a forked child gets the memory, all of it.
    pub fn inherit(&self, is_inherited: bool) {
        let advice = if is_inherited { libc::MADV_DOFORK } else { libc::MADV_DONTFORK };
        if is_inherited {
            self.may_be_shared.store(true, Ordering::Relaxed);
        }
        for mapping in [&self.window, &self.staging, &self.frames] {
            self.advise(mapping.address(0), mapping.bytes(), advice);
        }
    }

    /// In a forked child: descriptors of its own, and everything registered but `unwatched` pages, a
    /// number of pages from a first one on. Nothing is protected.
    pub fn renew(
        &self,
        delivery: Delivery,
        unwatched: impl Iterator<Item = (PageNumber, u32)>,
    ) -> io::Result<()> {
        self.inherit(false);
        self.userfaultfd.renew(delivery)?;
        if let Some(pagemap) = &self.pagemap {
            pagemap.renew()?;
        }
        if let Some(process) = &self.this_process {
            replace_descriptor(&**process, &*open_this_process()?)?;
        }
        let (window, staging) = (&self.window, &self.staging);
        self.userfaultfd.register(window.address(0), window.bytes(), Watch::MissingAndProtected)?;
        for (first, count) in unwatched {
            self.userfaultfd.unregister(self.of_page(first), count as usize * PAGE_BYTES)?;
        }
        self.userfaultfd.register(staging.address(0), staging.bytes(), Watch::Missing)
    }

    /// Whether pages that nobody watches may be in huge ones. A kernel without these refuses it, and needs it not.
    pub fn advise_huge_pages(&self, first: PageNumber, count: u32, are_wanted: bool) {
        let advice = if are_wanted { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
        self.advise(self.of_page(first), count as usize * PAGE_BYTES, advice);
    }

    /// Write-protects pages that are there.
    pub fn protect(&self, first: PageNumber, count: u32) -> io::Result<()> {
        self.userfaultfd.protect(self.of_page(first), count as usize * PAGE_BYTES)
    }

    fn of_page(&self, page: PageNumber) -> usize {
        self.window.address(page.index())
    }

    fn of_slot(&self, slot: StagingSlot) -> usize {
        self.staging.address(slot.index())
    }

    /// Unmaps pages: neighbours together, and all with one TLB shootdown where the kernel can.
    fn unmap(&self, addresses: impl Iterator<Item = usize>) {
        let mut ranges = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; RANGES_MAX];
        let mut count = 0;
        for address in addresses {
            if count > 0 && ranges[count - 1].iov_base as usize + ranges[count - 1].iov_len == address {
                ranges[count - 1].iov_len += PAGE_BYTES;
                continue;
            }
            if count == RANGES_MAX {
                self.unmap_ranges(&mut ranges);
                count = 0;
            }
            ranges[count] = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: PAGE_BYTES };
            count += 1;
        }
        self.unmap_ranges(&mut ranges[..count]);
    }

    fn unmap_ranges(&self, mut ranges: &mut [libc::iovec]) {
        while let (Some(process), 2..) = (&self.this_process, ranges.len()) {
            // SAFETY: the ranges lie in mappings of ours, and the caller wants them unmapped.
            let done = unsafe { unmap_of_process(process, ranges) };
            // It stops early for a signal that is pending; what it has not done is tried again.
            let Ok(mut done) = done else { break };
            while done > 0 {
                let step = done.min(ranges[0].iov_len);
                ranges[0].iov_base = ranges[0].iov_base.wrapping_byte_add(step);
                ranges[0].iov_len -= step;
                done -= step;
                if ranges[0].iov_len == 0 {
                    ranges = &mut ranges[1..];
                }
            }
        }
        for range in ranges {
            // SAFETY: as above.
            let result = unsafe { system_call::advise(range.iov_base as usize, range.iov_len, UNMAP) };
            assert!(result.is_ok(), "madvise: {result:?}");
        }
    }

    fn advise(&self, start: usize, length: usize, advice: i32) {
        // SAFETY: advice about a range of ours that changes nothing in it.
        let _ = unsafe { system_call::advise(start, length, advice) };
    }

    /// Moves a run of pages to where nothing is; how many were. A page that the kernel has pinned ends
    /// it, and so does one that is not there: then that is the error.
    fn move_run(&self, target: usize, source: usize, pages: usize) -> (usize, Result<(), Vanished>) {
        let mut moved = 0;
        // Pages before this one were made ours alone.
        let mut unshared = 0;
        let mut pages_at_once = pages;
        while moved < pages {
            let at = moved * PAGE_BYTES;
            let length = (pages - moved).min(pages_at_once) * PAGE_BYTES;
            let (bytes, result) = self.userfaultfd.move_pages(target + at, source + at, length);
            moved += bytes / PAGE_BYTES;
            match result.map_err(|error| error.raw_os_error()) {
                Ok(()) => {}
                // The layout of the address space is just changing, or part was moved.
                Err(Some(libc::EAGAIN)) => {}
                // Linux 6.18 forgets what it has moved where it had to begin again (a huge page was split,
                // a page was just migrating), and runs into it. Having failed, it has woken nobody.
                Err(Some(libc::EEXIST)) => {
                    let _ = self.userfaultfd.wake(target + at + bytes, PAGE_BYTES);
                    moved += 1;
                }
                Err(Some(libc::ENOENT)) => return (moved, Err(Vanished)),
                // The program has protected some of the pages, so that they are no one area of memory, or
                // cannot be written.
                Err(Some(libc::EINVAL)) if pages_at_once > 1 => pages_at_once = 1,
                Err(Some(libc::EINVAL)) if self.window.contains(source) => {
                    let at = moved * PAGE_BYTES;
                    if !self.move_by_copy(target + at, source + at) {
                        break;
                    }
                    moved += 1;
                }
                // The page frame may be a forked child's, too: then a write makes it ours.
                Err(Some(libc::EBUSY)) if self.may_be_shared.load(Ordering::Relaxed) && moved >= unshared => {
                    let page = source + moved * PAGE_BYTES;
                    // One that has no copy any more may still be protected, and nobody would answer us.
                    let _ = self.userfaultfd.unprotect(page, PAGE_BYTES);
                    self.advise(page, PAGE_BYTES, libc::MADV_POPULATE_WRITE);
                    unshared = moved + 1;
                }
                Err(_) => break,
            }
        }
        (moved, Ok(()))
    }

    /// Moves a page of the window that is there, and can be read but not written. `false`: it could not be done.
    fn move_by_copy(&self, target: usize, source: usize) -> bool {
        // What is not there would be a fault of this thread, which may be the one that serves it.
        let is_present = self.pagemap.as_ref().is_some_and(|pagemap| pagemap.present(source, 1) == 1);
        if !is_present || self.userfaultfd.protect(source, PAGE_BYTES).is_err() {
            return false;
        }
        // The program may let it be written meanwhile; such a write waits.
        let (copied, _) = self.userfaultfd.copy(target, source as *const u8, PAGE_BYTES, false);
        if copied == PAGE_BYTES {
            self.unmap(std::iter::once(source));
        } else {
            let _ = self.userfaultfd.unprotect(source, PAGE_BYTES);
        }
        copied == PAGE_BYTES
    }

    fn copy_run(&self, target: usize, contents: &[Page], protect: bool) -> usize {
        let mut copied = 0;
        let mut attempts_left = 100;
        while copied < contents.len() {
            let rest = &contents[copied..];
            let (bytes, result) = self.userfaultfd.copy(
                target + copied * PAGE_BYTES,
                rest.as_ptr().cast(),
                size_of_val(rest),
                protect,
            );
            copied += bytes / PAGE_BYTES;
            match result.map_err(|error| error.raw_os_error()) {
                Ok(()) => break,
                Err(Some(libc::EAGAIN)) => {}
                Err(Some(libc::ENOMEM)) if attempts_left > 0 => {
                    attempts_left -= 1;
                    thread::sleep(Duration::from_millis(1));
                }
                // The mark of a poisoned one is no page to the kernel. Better no answer than to let go
                // of what may have been written there.
                Err(Some(libc::EEXIST)) => abort(format_args!(
                    "a page at {:#x} is mapped that only the pager may map. Aborting.",
                    target + copied * PAGE_BYTES
                )),
                Err(_) => break,
            }
        }
        copied
    }
}

impl Memory for ManagedMemory {
    fn unwatch(&self, first: PageNumber, count: u32) -> bool {
        let (start, length) = (self.of_page(first), count as usize * PAGE_BYTES);
        if self.pagemap.is_none() || self.userfaultfd.unregister(start, length).is_err() {
            return false;
        }
        if self.advises_huge_pages {
            self.advise_huge_pages(first, count, true);
        }
        true
    }

    fn watch(&self, first: PageNumber, count: u32) {
        let (start, length) = (self.of_page(first), count as usize * PAGE_BYTES);
        self.advise_huge_pages(first, count, false);
        // Nothing is split by this, so it needs no memory; and what was not watched would read as zeros.
        let result = self.userfaultfd.register(start, length, Watch::MissingAndProtected);
        assert!(result.is_ok(), "UFFDIO_REGISTER: {result:?}");
    }

    fn present(&self, first: PageNumber, count: u32) -> u64 {
        let pagemap = self.pagemap.as_ref().expect("nothing is left to a kernel that cannot tell");
        pagemap.present(self.of_page(first), count as usize)
    }

    fn storing(&self, page: PageNumber, contents: &Page, item_bytes: u8) {
        if let Some(recorder) = self.recorder {
            recorder.stored(page, contents, item_bytes);
        }
    }

    fn map(&self, first: PageNumber, contents: &[Page], protect: bool) -> usize {
        self.copy_run(self.of_page(first), contents, protect)
    }

    fn unprotect(&self, first: PageNumber, count: u32) {
        while let Err(error) = self.userfaultfd.unprotect(self.of_page(first), count as usize * PAGE_BYTES) {
            assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "UFFDIO_WRITEPROTECT: {error}");
        }
    }

    fn unmap_to_staging(&self, pairs: &[(PageNumber, StagingSlot)]) -> Staged {
        let mut staged = Staged::default();
        let follows = |before: &(PageNumber, StagingSlot), after: &(PageNumber, StagingSlot)| {
            after.0.0 == before.0.0 + 1 && after.1.0 == before.1.0 + 1
        };
        let mut index = 0;
        for run in pairs.chunk_by(follows) {
            let mut at = 0;
            while at < run.len() {
                let (page, slot) = run[at];
                let (mut done, result) =
                    self.move_run(self.of_slot(slot), self.of_page(page), run.len() - at);
                // The program has discarded the page behind our back: it reads as zeros.
                let is_filled = result.is_err() && self.stage(run[at + done].1, &ZEROS[0]);
                if is_filled {
                    staged.vanished |= 1 << (index + at + done);
                    done += 1;
                }
                staged.moved |= (0..done).fold(0, |bits, done| bits | 1 << (index + at + done));
                // The page behind those stays where it is.
                at += done + usize::from(!is_filled);
            }
            index += run.len();
        }
        staged
    }

    fn unmap_clean(&self, pages: &[PageNumber]) {
        self.unmap(pages.iter().map(|page| self.of_page(*page)));
    }

    fn restore_by_move(&self, slot: StagingSlot, page: PageNumber) -> bool {
        let (moved, result) = self.move_run(self.of_page(page), self.of_slot(slot), 1);
        // Better no answer than a page of zeros that nobody has written.
        assert!(result.is_ok(), "a page has vanished from the swap cache");
        moved == 1
    }

    fn staged(&self, slot: StagingSlot) -> &Page {
        // SAFETY: in bounds; a slot that is being read is neither moved nor released until its
        // last reader is done (`SwapCache`), and nobody writes to a slot that holds a page.
        unsafe { self.staging.base().add(slot.index()).as_ref() }
    }

    fn stage(&self, slot: StagingSlot, contents: &Page) -> bool {
        self.copy_run(self.of_slot(slot), std::slice::from_ref(contents), false) == 1
    }

    fn release_staged(&self, slots: &[StagingSlot]) {
        self.unmap(slots.iter().map(|slot| self.of_slot(*slot)));
    }

    fn release_frames(&self, frames: &[FrameIndex]) {
        self.unmap(frames.iter().map(|frame| self.frames.address(frame.0 as usize)));
    }

    fn discard(&self, first: PageNumber, count: u32) {
        self.unmap((0..count).map(|offset| self.of_page(first.plus(offset))));
    }

    fn poison(&self, page: PageNumber) {
        // EEXIST: it is poisoned already. Whoever waits is woken when the reason has been told.
        let _ = self.userfaultfd.poison(self.of_page(page), PAGE_BYTES);
    }

    fn wake(&self, page: PageNumber) -> bool {
        let zeros: *const u8 = ZEROS[0].as_ptr();
        let (_, result) = self.userfaultfd.copy(self.of_page(page), zeros, PAGE_BYTES, false);
        let was_there = result.is_err();
        if was_there {
            // It fails only where the range is gone, and then nobody waits.
            let _ = self.userfaultfd.wake(self.of_page(page), PAGE_BYTES);
        }
        was_there
    }
}

fn open_this_process() -> io::Result<Kept<OwnedFd>> {
    // SAFETY: makes a new descriptor, or none.
    unsafe {
        let process = libc::getpid() as usize;
        let descriptor = system_call::call(libc::SYS_pidfd_open, [process, 0, 0, 0, 0, 0])?;
        Ok(Kept::new(moved_up(OwnedFd::from_raw_fd(descriptor as RawFd))))
    }
}

/// Unmaps ranges of a process in one call; the bytes that were.
///
/// # Safety
/// It is this process, and nobody wants what is there.
unsafe fn unmap_of_process(process: &OwnedFd, ranges: &[libc::iovec]) -> io::Result<usize> {
    let process = process.as_raw_fd() as usize;
    let arguments = [process, ranges.as_ptr() as usize, ranges.len(), UNMAP as usize, 0, 0];
    // SAFETY: the caller's.
    unsafe { system_call::call(libc::SYS_process_madvise, arguments) }
}

/// A descriptor of this process, if `process_madvise` takes it to unmap pages. `address` is a
/// page that nobody uses.
pub fn self_for_process_madvise(address: usize) -> Option<Kept<OwnedFd>> {
    // SAFETY: unmaps a page that nobody uses.
    unsafe {
        let process = open_this_process().ok()?;
        let range = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: PAGE_BYTES };
        let done = unmap_of_process(&process, &[range]).ok()?;
        (done == PAGE_BYTES).then_some(process)
    }
}
