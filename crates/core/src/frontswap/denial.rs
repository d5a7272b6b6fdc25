//! The denial bitmap: one bit a swap entry. A set bit makes the entry's next store be refused,
//! so that the page goes to the swap device; the refusal clears the bit.

use crate::page::PageNumber;

/// See the module's description.
pub struct Denial {
    words: Vec<u64>,
    set: u32,
}

impl Denial {
    /// A bitmap for a window of pages, nobody denied.
    pub fn new(window_pages: u32) -> Self {
        Denial { words: vec![0; window_pages.div_ceil(u64::BITS) as usize], set: 0 }
    }

    /// Bits that are set now.
    pub fn count(&self) -> u32 {
        self.set
    }

    /// Denies an entry its next store.
    pub fn deny(&mut self, page: PageNumber) {
        let (word, bit) = place(page);
        self.set += u32::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    /// Whether the next store is going to be refused.
    pub fn is_denied(&self, page: PageNumber) -> bool {
        let (word, bit) = place(page);
        self.words[word] & bit != 0
    }

    /// Clears the bit; whether it was set.
    pub fn clear(&mut self, page: PageNumber) -> bool {
        let was_set = self.is_denied(page);
        let (word, bit) = place(page);
        self.words[word] &= !bit;
        self.set -= u32::from(was_set);
        was_set
    }
}

fn place(page: PageNumber) -> (usize, u64) {
    (page.index() / 64, 1 << (page.0 % 64))
}
