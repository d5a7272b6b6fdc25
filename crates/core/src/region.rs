//! Ranges of the window that were given out. A page between two regions always separates
//! them, so that an access just past the end of one is caught and not served.

use std::ops::Range;

use crate::page::{HUGE_PAGE_PAGES, PageNumber};

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
    /// The pages from this one on are the kernel's ([`crate::watch`]).
    pub watched_until: PageNumber,
    /// A task is telling the kernel something about those; everybody else waits.
    pub is_changing: bool,
}

impl Region {
    /// The page behind the last one.
    pub fn end(&self) -> PageNumber {
        self.first.plus(self.page_count)
    }

    /// Whether it has pages that are the kernel's.
    pub fn is_unwatched(&self) -> bool {
        self.watched_until < self.end()
    }
}

/// All regions, in the order of their addresses.
#[derive(Default)]
pub struct Regions {
    sorted: Vec<Region>,
    page_count: u32,
    unwatched_pages: u32,
}

impl Regions {
    /// Pages in all regions.
    pub fn page_count(&self) -> u32 {
        self.page_count
    }

    /// Pages of those that are the kernel's.
    pub fn unwatched_pages(&self) -> u32 {
        self.unwatched_pages
    }

    /// The next pages from this one on that are the kernel's, and lie in one region.
    pub fn unwatched_from(&self, page: PageNumber) -> Option<Range<PageNumber>> {
        if self.unwatched_pages == 0 {
            return None;
        }
        let first = self.sorted.partition_point(|region| region.end() <= page);
        let region = self.sorted[first..].iter().find(|region| region.is_unwatched())?;
        Some(page.max(region.watched_until)..region.end())
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

    /// Finds the lowest gap in a window of `window_pages` and makes it a region: one for huge pages, if
    /// it is as long as one. `None` where no gap is wide enough.
    pub fn insert(&mut self, page_count: u32, item_bytes: u8, window_pages: u32) -> Option<PageNumber> {
        let (at, first) = [HUGE_PAGE_PAGES, 1]
            .into_iter()
            .filter(|alignment| *alignment <= page_count)
            .find_map(|alignment| self.find_gap(page_count, alignment, window_pages))?;
        self.add(at, first, page_count, item_bytes);
        Some(first)
    }

    /// Makes pages a region, if it touches no other and lies in the window.
    pub fn insert_at(
        &mut self,
        first: PageNumber,
        page_count: u32,
        item_bytes: u8,
        window_pages: u32,
    ) -> Option<PageNumber> {
        let at = self.sorted.partition_point(|region| region.first <= first);
        let is_apart_before = at == 0 || self.sorted[at - 1].end() < first;
        let end = u64::from(first.0) + u64::from(page_count);
        let next = self.sorted.get(at).map_or(u64::from(window_pages) + 1, |next| next.first.0.into());
        (is_apart_before && end < next).then(|| {
            self.add(at, first, page_count, item_bytes);
            first
        })
    }

    fn add(&mut self, at: usize, first: PageNumber, page_count: u32, item_bytes: u8) {
        let watched_until = first.plus(page_count);
        let region =
            Region { first, page_count, item_bytes, is_closing: false, watched_until, is_changing: false };
        self.sorted.insert(at, region);
        self.page_count += page_count;
    }

    fn find_gap(&self, page_count: u32, alignment: u32, window_pages: u32) -> Option<(usize, PageNumber)> {
        let mut first = 0;
        let mut at = self.sorted.len();
        for (index, region) in self.sorted.iter().enumerate() {
            if u64::from(first) + u64::from(page_count) < u64::from(region.first.0) {
                at = index;
                break;
            }
            first = (region.end().0 + 1).next_multiple_of(alignment);
        }
        if u64::from(first) + u64::from(page_count) > u64::from(window_pages) {
            return None;
        }
        Some((at, PageNumber(first)))
    }

    /// A region is about to be freed.
    pub fn close(&mut self, first: PageNumber) {
        let at = self.position(first);
        self.sorted[at].is_closing = true;
    }

    /// The pages of a region are watched up to this one.
    pub fn watch_until(&mut self, first: PageNumber, until: PageNumber) {
        let at = self.position(first);
        let before = std::mem::replace(&mut self.sorted[at].watched_until, until);
        self.unwatched_pages = self.unwatched_pages + before.0 - until.0;
    }

    /// A task begins or ends to tell the kernel something about a region's unwatched pages.
    pub fn set_changing(&mut self, first: PageNumber, is_changing: bool) {
        let at = self.position(first);
        let before = std::mem::replace(&mut self.sorted[at].is_changing, is_changing);
        assert_ne!(before, is_changing, "two tasks at the region from {first:?} on");
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
        regions.remove(b);
        for (first, page_count) in [(5, 9), (4, 3), (13, 1), (28, 1), (90, 11)] {
            assert!(regions.insert_at(PageNumber(first), page_count, 1, 100).is_none(), "{first}");
        }
        assert_eq!(regions.insert_at(PageNumber(99), 1, 1, 100).unwrap().0, 99);
        regions.remove(PageNumber(99));
        assert_eq!(regions.insert_at(b, 8, 1, 100).unwrap(), b);
        assert_eq!(regions.page_count(), 25);
    }
}
