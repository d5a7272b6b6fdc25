//! What everything here is counted in: the page.

use std::ops::{Deref, DerefMut};

/// The most pages that are worked on together: one unmap and one TLB shootdown, one write, one read.
/// A set of them is a word.
pub const BATCH_MAX: usize = u64::BITS as usize;

/// Bytes of a page, and of the page frame that holds it.
pub const PAGE_BYTES: usize = 4096;

/// Pages of a huge page, as x86-64 has them. A region as long as one begins where one can.
pub const HUGE_PAGE_PAGES: u32 = 512;

/// The bytes of one page, at a page's alignment.
#[derive(Clone)]
#[repr(C, align(4096))]
pub struct Page(pub [u8; PAGE_BYTES]);

impl Page {
    /// A page of zeros.
    pub const ZERO: Page = Page([0; PAGE_BYTES]);
}

/// A batch of pages of zeros, to copy from.
pub static ZEROS: [Page; BATCH_MAX] = [const { Page::ZERO }; BATCH_MAX];

impl Deref for Page {
    type Target = [u8; PAGE_BYTES];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Page {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Pages as the bytes that they are.
pub fn bytes_of(pages: &[Page]) -> &[u8] {
    // SAFETY: a page is an array of bytes, without padding.
    unsafe { std::slice::from_raw_parts(pages.as_ptr().cast(), size_of_val(pages)) }
}

/// The same, to be written.
pub fn bytes_of_mut(pages: &mut [Page]) -> &mut [u8] {
    // SAFETY: as above, and whatever bytes are written make a page.
    unsafe { std::slice::from_raw_parts_mut(pages.as_mut_ptr().cast(), size_of_val(pages)) }
}

/// A page of managed memory, counted from the start of the pager's window of addresses.
///
/// It is also the page's swap entry: a page needs no second name when it is swapped out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNumber(pub u32);

impl PageNumber {
    /// The page as an index into a table.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The page `count` pages further on.
    pub fn plus(self, count: u32) -> PageNumber {
        PageNumber(self.0 + count)
    }
}
