//! The core's policies alone, over uncompressed pages: how many accesses miss if so many pages are kept.
//!
//! This is what caches of single objects are compared by, and where the policies can be compared with other
//! implementations. The code is the pool's: each page is a unit of one frame with one zpage. Unlike the pool,
//! nothing bounds how many units one eviction passes over, and an arrival is no use of a page, as the papers
//! have it.

use std::collections::VecDeque;
use std::str::FromStr;

use zpager_core::page::PageNumber;
use zpager_core::zcache::policy::frame_lru::FrameLru;
use zpager_core::zcache::policy::s3_fifo::{Ghost, S3Fifo};
use zpager_core::zcache::policy::second_chance::SecondChance;
use zpager_core::zcache::policy::sieve::Sieve;
use zpager_core::zcache::policy::{Policy, Units};
use zpager_core::zcache::pool::unit_list::{Links, NONE, Side};

/// Of S3-FIFO: the share of the capacity that the small queue has, is one in so many.
const SMALL_ONE_IN: u32 = 10;
/// And of as many pages as this share of the capacity it remembers that they were evicted.
const GHOST_PERCENT: u64 = 90;

/// The policies by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// The page that was used the longest ago goes.
    Lru,
    /// The page that came the longest ago goes: an LRU that is told of no use.
    Fifo,
    /// The oldest page that was not used since it came or was last spared: second chance, one page a unit.
    Clock,
    /// SIEVE.
    Sieve,
    /// S3-FIFO.
    S3Fifo,
}

impl FromStr for Alone {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "lru" => Ok(Alone::Lru),
            "fifo" => Ok(Alone::Fifo),
            "clock" => Ok(Alone::Clock),
            "sieve" => Ok(Alone::Sieve),
            "s3-fifo" => Ok(Alone::S3Fifo),
            _ => Err(()),
        }
    }
}

/// How many of these accesses find that their page is not kept, where at most `capacity` of `page_count` are.
pub fn misses(alone: Alone, accesses: &[u32], page_count: u32, capacity: u32) -> u64 {
    match alone {
        Alone::Lru => Cache::new(FrameLru::EMPTY, page_count).misses(accesses, capacity, true),
        Alone::Fifo => Cache::new(FrameLru::EMPTY, page_count).misses(accesses, capacity, false),
        Alone::Clock => Cache::new(SecondChance::new(u32::MAX), page_count).misses(accesses, capacity, true),
        Alone::Sieve => Cache::new(Sieve::new(u32::MAX), page_count).misses(accesses, capacity, true),
        Alone::S3Fifo => {
            let small = capacity / SMALL_ONE_IN;
            let remembered = (u64::from(capacity) * GHOST_PERCENT / 100) as u32;
            let policy = S3Fifo::with_ghost(GhostQueue::new(page_count, remembered, small), u32::MAX);
            Cache::new(policy, page_count).misses(accesses, capacity, true)
        }
    }
}

/// A page as a unit of a pool.
#[derive(Clone, Copy)]
struct PageUnit {
    links: [u32; 2],
    mark: u8,
    is_kept: bool,
    is_referenced: bool,
}

/// All pages, by their number.
struct Pages(Vec<PageUnit>);

impl Links for Pages {
    fn neighbour(&self, of: u32, side: Side) -> u32 {
        self.0[of as usize].links[side as usize]
    }

    fn set_neighbour(&mut self, of: u32, side: Side, to: u32) {
        self.0[of as usize].links[side as usize] = to;
    }
}

impl Units for Pages {
    fn mark(&self, unit: u32) -> u8 {
        self.0[unit as usize].mark
    }

    fn set_mark(&mut self, unit: u32, mark: u8) {
        self.0[unit as usize].mark = mark;
    }

    fn frame_count(&self, _: u32) -> u32 {
        1
    }

    fn zpage_count(&self, _: u32) -> u32 {
        1
    }

    fn take_referenced(&mut self, unit: u32) -> u32 {
        std::mem::take(&mut self.0[unit as usize].is_referenced).into()
    }
}

/// What a policy makes of a page that arrives.
trait Arrivals: Policy {
    /// Looks for a page that is not kept, before room is made for it. Whether it is an acquaintance.
    fn recalls(&mut self, _: u32) -> bool {
        false
    }

    /// It is kept from now on. So many are, if none has had to go so far.
    fn arrives(&mut self, pages: &mut Pages, page: u32, _is_recalled: bool, _filling: Option<u32>) {
        self.insert(pages, page);
    }
}

impl Arrivals for FrameLru {}
impl Arrivals for SecondChance {}
impl Arrivals for Sieve {}

impl Arrivals for S3Fifo<GhostQueue> {
    fn recalls(&mut self, page: u32) -> bool {
        self.ghost_mut().forget(PageNumber(page))
    }

    /// What comes when nothing had to go yet has nothing to prove: beyond the small queue's share it belongs to the
    /// main one.
    fn arrives(&mut self, pages: &mut Pages, page: u32, is_recalled: bool, filling: Option<u32>) {
        self.insert(pages, page);
        if is_recalled || filling.is_some_and(|kept| kept >= self.ghost_mut().small) {
            self.promote(pages, page);
        }
    }
}

/// The pages that were evicted last, the oldest first.
struct GhostQueue {
    queue: VecDeque<(u32, u32)>,
    /// For each page which of its entries counts; 0 is none.
    stamps: Vec<u32>,
    remembered: u32,
    capacity: u32,
    small: u32,
    last_stamp: u32,
}

impl GhostQueue {
    fn new(page_count: u32, capacity: u32, small: u32) -> Self {
        GhostQueue {
            queue: VecDeque::new(),
            stamps: vec![0; page_count as usize],
            remembered: 0,
            capacity,
            small,
            last_stamp: 0,
        }
    }
}

impl Ghost for GhostQueue {
    fn remember(&mut self, page: PageNumber) {
        while self.remembered >= self.capacity {
            let (oldest, stamp) = self.queue.pop_front().expect("what is remembered is in the queue");
            if self.stamps[oldest as usize] == stamp {
                self.forget(PageNumber(oldest));
            }
        }
        self.last_stamp += 1;
        self.stamps[page.index()] = self.last_stamp;
        self.queue.push_back((page.0, self.last_stamp));
        self.remembered += 1;
    }

    fn forget(&mut self, page: PageNumber) -> bool {
        let was_remembered = std::mem::take(&mut self.stamps[page.index()]) != 0;
        self.remembered -= u32::from(was_remembered);
        was_remembered
    }
}

struct Cache<P> {
    policy: P,
    pages: Pages,
    kept: u32,
    has_evicted: bool,
}

impl<P: Arrivals> Cache<P> {
    fn new(policy: P, page_count: u32) -> Self {
        let page = PageUnit { links: [NONE; 2], mark: 0, is_kept: false, is_referenced: false };
        Cache { policy, pages: Pages(vec![page; page_count as usize]), kept: 0, has_evicted: false }
    }

    fn misses(mut self, accesses: &[u32], capacity: u32, tells_uses: bool) -> u64 {
        let mut misses = 0;
        for &page in accesses {
            let unit = &mut self.pages.0[page as usize];
            if !unit.is_kept {
                misses += 1;
                self.bring(page, capacity);
            } else if tells_uses {
                unit.is_referenced = true;
                self.policy.used(&mut self.pages, page);
            }
        }
        misses
    }

    fn bring(&mut self, page: u32, capacity: u32) {
        let is_recalled = self.policy.recalls(page);
        if self.kept == capacity {
            self.evict();
        }
        let unit = &mut self.pages.0[page as usize];
        (unit.is_kept, unit.is_referenced, unit.mark) = (true, false, 0);
        let filling = (!self.has_evicted).then_some(self.kept);
        self.policy.arrives(&mut self.pages, page, is_recalled, filling);
        self.kept += 1;
    }

    fn evict(&mut self) {
        let page = self.policy.take_coldest(&mut self.pages).expect("a cache that is full");
        self.policy.left(&mut self.pages, page, PageNumber(page), true);
        self.pages.0[page as usize].is_kept = false;
        self.kept -= 1;
        self.has_evicted = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Alone; 5] = [Alone::Lru, Alone::Fifo, Alone::Clock, Alone::Sieve, Alone::S3Fifo];

    fn of_all(accesses: &[u32], page_count: u32, capacity: u32) -> [u64; 5] {
        ALL.map(|alone| misses(alone, accesses, page_count, capacity))
    }

    #[test]
    fn a_loop_that_fits_misses_once_a_page_and_one_that_does_not_is_where_policies_differ() {
        let accesses: Vec<u32> = (0..1000).map(|access| access % 50).collect();
        assert_eq!(of_all(&accesses, 50, 50), [50; 5]);
        let [others @ .., s3_fifo] = of_all(&accesses, 50, 40);
        assert_eq!(others, [1000; 4], "what comes next has just gone");
        assert!(s3_fifo < 700, "{s3_fifo}: the main queue is left alone");
    }

    #[test]
    fn uses_save_a_page_from_all_but_fifo() {
        // Page 0 is used all the time, and a scan goes by.
        let accesses: Vec<u32> = (1..1000).flat_map(|page| [0, 0, page]).collect();
        let [lru, fifo, others @ ..] = of_all(&accesses, 1000, 10);
        assert_eq!(lru, 1000);
        assert_eq!(fifo, 1000 + 999 / 10, "it goes whenever ten others have come");
        assert_eq!(others, [1000; 3]);
    }

    #[test]
    fn the_ghost_holds_the_last_ones() {
        let mut ghost = GhostQueue::new(10, 3, 1);
        (0..3).for_each(|page| ghost.remember(PageNumber(page)));
        assert!(ghost.forget(PageNumber(1)));
        assert!(!ghost.forget(PageNumber(1)));
        ghost.remember(PageNumber(3));
        assert!(ghost.forget(PageNumber(0)), "there was room");
        (4..7).for_each(|page| ghost.remember(PageNumber(page)));
        let remembered: Vec<u32> = (0..10).filter(|page| ghost.forget(PageNumber(*page))).collect();
        assert_eq!(remembered, [4, 5, 6]);
    }
}
