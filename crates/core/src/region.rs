//! Ranges of the window that were given out. A page between two regions always separates
//! them, so that an access just past the end of one is caught and not served.

use crate::page::PageNumber;

/// A range of pages that belongs to one allocation.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its first page.
    pub first: PageNumber,
    /// Its length in pages.
    pub page_count: u32,
    /// The item size that its pages are shuffled by before they are compressed; 1 is not at all.
    pub item_bytes: u8,
    /// It is being freed: faults find nothing here any more.
    pub is_closing: bool,
}

impl Region {
    /// The page behind the last one.
    pub fn end(&self) -> PageNumber {
        self.first.plus(self.page_count)
    }
}

/// All regions, in the order of their addresses.
#[derive(Default)]
pub struct Regions {
    sorted: Vec<Region>,
    page_count: u32,
}

impl Regions {
    /// Pages in all regions.
    pub fn page_count(&self) -> u32 {
        self.page_count
    }

    /// All regions in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Region> {
        self.sorted.iter()
    }

    /// The region that a page belongs to.
    pub fn find(&self, page: PageNumber) -> Option<&Region> {
        let after = self.sorted.partition_point(|region| region.first <= page);
        let region = self.sorted.get(after.checked_sub(1)?)?;
        (page < region.end()).then_some(region)
    }

    /// Finds the lowest gap in a window of `window_pages` and makes it a region. `None` where
    /// no gap is wide enough.
    pub fn insert(&mut self, page_count: u32, item_bytes: u8, window_pages: u32) -> Option<PageNumber> {
        let mut first = 0;
        let mut at = self.sorted.len();
        for (index, region) in self.sorted.iter().enumerate() {
            if u64::from(first) + u64::from(page_count) < u64::from(region.first.0) {
                at = index;
                break;
            }
            first = region.end().0 + 1;
        }
        if u64::from(first) + u64::from(page_count) > u64::from(window_pages) {
            return None;
        }
        let first = PageNumber(first);
        self.sorted.insert(at, Region { first, page_count, item_bytes, is_closing: false });
        self.page_count += page_count;
        Some(first)
    }

    /// A region is about to be freed.
    pub fn close(&mut self, first: PageNumber) {
        let at = self.position(first);
        self.sorted[at].is_closing = true;
    }

    /// Takes a region out.
    pub fn remove(&mut self, first: PageNumber) {
        let at = self.position(first);
        self.page_count -= self.sorted.remove(at).page_count;
    }

    fn position(&self, first: PageNumber) -> usize {
        self.sorted.binary_search_by_key(&first, |region| region.first).expect("a region starts here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_never_touch_and_gaps_are_used_again() {
        let mut regions = Regions::default();
        let [a, b, c] = [4, 8, 4].map(|pages| regions.insert(pages, 1, 100).unwrap());
        assert_eq!([a.0, b.0, c.0], [0, 5, 14]);
        assert!(regions.find(PageNumber(4)).is_none(), "the page between two regions belongs to none");
        assert_eq!(regions.find(PageNumber(12)).unwrap().first, b);
        regions.remove(b);
        assert_eq!(regions.insert(9, 1, 100).unwrap().0, 19, "9 pages do not fit between a and c");
        assert_eq!(regions.insert(8, 1, 100).unwrap(), b);
        assert!(regions.insert(100, 1, 100).is_none());
        assert_eq!(regions.page_count(), 25);
    }
}
