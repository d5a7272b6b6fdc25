//! A set of pages of the window: a bit for each.

use crate::page::PageNumber;

/// See the module's description.
pub struct PageSet {
    words: Vec<u64>,
    length: u32,
}

impl PageSet {
    /// Of a window of pages, none of them.
    pub fn new(window_pages: u32) -> Self {
        PageSet { words: vec![0; window_pages.div_ceil(u64::BITS) as usize], length: 0 }
    }

    /// How many there are.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Whether a page is one of them.
    pub fn contains(&self, page: PageNumber) -> bool {
        let (word, bit) = place(page);
        self.words[word] & bit != 0
    }

    /// Adds a page; whether it was not there.
    pub fn insert(&mut self, page: PageNumber) -> bool {
        let is_new = !self.contains(page);
        let (word, bit) = place(page);
        self.words[word] |= bit;
        self.length += u32::from(is_new);
        is_new
    }

    /// Removes a page; whether it was there.
    pub fn remove(&mut self, page: PageNumber) -> bool {
        let was_there = self.contains(page);
        let (word, bit) = place(page);
        self.words[word] &= !bit;
        self.length -= u32::from(was_there);
        was_there
    }
}

fn place(page: PageNumber) -> (usize, u64) {
    (page.index() / 64, 1 << (page.0 % 64))
}
