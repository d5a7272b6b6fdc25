//! /proc/self/pagemap: which pages of a range are there (`PAGEMAP_SCAN`, linux/fs.h, Linux 6.7).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use zpager_core::page::{BATCH_MAX, PAGE_BYTES};

use crate::descriptors::{Kept, moved_up};
use crate::last_words::abort;
use crate::stop::replace_descriptor;

const PAGEMAP_SCAN: u64 = 3 << 30 | (size_of::<ScanArgument>() as u64) << 16 | 0x66 << 8 | 16;

const PAGE_IS_PRESENT: u64 = 1 << 3;
/// The kernel has swapped it out, or is just moving it.
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// Ranges that one call tells: those of a batch, if every other page is there.
const RANGES_MAX: usize = BATCH_MAX / 2;

#[repr(C)]
#[derive(Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    ranges: u64,
    ranges_length: u64,
    pages_max: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    returned: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRange {
    start: u64,
    end: u64,
    categories: u64,
}

/// The file.
pub struct Pagemap(Kept<OwnedFd>);

impl Pagemap {
    /// Opens it, if the kernel answers what is to be asked. `address`: a page of ours.
    pub fn open(address: usize) -> Option<Self> {
        let file = File::open("/proc/self/pagemap").ok()?;
        let pagemap = Pagemap(Kept::new(moved_up(file.into())));
        pagemap.scan(address, address + PAGE_BYTES, &mut [PageRange::default(); 1]).ok()?;
        Some(pagemap)
    }

    /// In a forked child, whose pages these are now.
    pub fn renew(&self) -> io::Result<()> {
        replace_descriptor(&*self.0, &File::open("/proc/self/pagemap")?)
    }

    /// Which of at most [`BATCH_MAX`] pages are there, as bits: mapped, or where the kernel itself has put them.
    pub fn present(&self, start: usize, pages: usize) -> u64 {
        let mut present = 0;
        let page_of = |address: u64| (address as usize - start) / PAGE_BYTES;
        let told = self.for_each_range(start, pages, |range| {
            for page in page_of(range.start)..page_of(range.end) {
                present |= 1 << page;
            }
        });
        if let Err(error) = told {
            abort(format_args!(
                "/proc/self/pagemap cannot be asked any more which pages are there ({error}); the program may \
                 have closed it. Aborting."
            ));
        }
        present
    }

    /// How many pages of a range of any length are there, if the kernel says.
    pub fn count_present(&self, start: usize, pages: usize) -> Option<usize> {
        let mut bytes = 0;
        self.for_each_range(start, pages, |range| bytes += (range.end - range.start) as usize).ok()?;
        Some(bytes / PAGE_BYTES)
    }

    fn for_each_range(&self, start: usize, pages: usize, mut tell: impl FnMut(&PageRange)) -> io::Result<()> {
        let mut ranges = [PageRange::default(); RANGES_MAX];
        let end = start + pages * PAGE_BYTES;
        let mut from = start;
        while from < end {
            let (count, walk_end) = self.scan(from, end, &mut ranges)?;
            ranges[..count].iter().for_each(&mut tell);
            from = walk_end;
        }
        Ok(())
    }

    /// Ranges found, and how far it looked.
    fn scan(&self, start: usize, end: usize, ranges: &mut [PageRange]) -> io::Result<(usize, usize)> {
        let mut argument = ScanArgument {
            size: size_of::<ScanArgument>() as u64,
            start: start as u64,
            end: end as u64,
            ranges: ranges.as_mut_ptr() as u64,
            ranges_length: ranges.len() as u64,
            any_of: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            returned: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            ..ScanArgument::default()
        };
        // SAFETY: reads and writes the argument, and writes at most `ranges_length` ranges.
        let count = unsafe { libc::ioctl(self.0.as_raw_fd(), PAGEMAP_SCAN as _, &raw mut argument) };
        match usize::try_from(count) {
            Ok(count) => Ok((count, argument.walk_end as usize)),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Mapping;

    #[test]
    fn it_tells_touched_pages_also_where_every_other_one_is() {
        let pages = BATCH_MAX + 3;
        let mapping = Mapping::new(pages).unwrap();
        let Some(pagemap) = Pagemap::open(mapping.address(0)) else { return };
        assert_eq!(pagemap.present(mapping.address(0), BATCH_MAX), 0);
        for page in (0..pages).step_by(2).chain([3]) {
            // SAFETY: a page of the mapping, which nobody else knows.
            unsafe { mapping.base().add(page).cast::<u8>().write(1) };
        }
        assert_eq!(pagemap.present(mapping.address(0), BATCH_MAX), 0x5555_5555_5555_555d);
        assert_eq!(pagemap.present(mapping.address(BATCH_MAX), 3), 0b101);
        assert_eq!(pagemap.count_present(mapping.address(0), pages), Some(pages.div_ceil(2) + 1));
    }
}
