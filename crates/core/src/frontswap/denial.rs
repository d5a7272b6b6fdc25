//! The denial bitmap: one bit a swap entry. A set bit makes the entry's next store be refused,
//! so that the page goes to the swap device; the refusal clears the bit.

use crate::page::PageNumber;
use crate::page_set::PageSet;

/// See the module's description.
pub struct Denial(PageSet);

impl Denial {
    /// A bitmap for a window of pages, nobody denied.
    pub fn new(window_pages: u32) -> Self {
        Denial(PageSet::new(window_pages))
    }

    /// Bits that are set now.
    pub fn count(&self) -> u32 {
        self.0.length()
    }

    /// Denies an entry its next store.
    pub fn deny(&mut self, page: PageNumber) {
        self.0.insert(page);
    }

    /// Whether the next store is going to be refused.
    pub fn is_denied(&self, page: PageNumber) -> bool {
        self.0.contains(page)
    }

    /// Clears the bit; whether it was set.
    pub fn clear(&mut self, page: PageNumber) -> bool {
        self.0.remove(page)
    }
}
