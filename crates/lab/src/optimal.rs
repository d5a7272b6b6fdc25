//! The optimum: the page goes that is wanted again the latest (Bélády, "A study of replacement algorithms for a
//! virtual-storage computer", 1966). No policy misses less often, and none can do this, since it takes the future.

use std::collections::BinaryHeap;

const NEVER: u64 = u64::MAX;

/// How many of these accesses find that their page is not kept, where at most `capacity` of `page_count` are.
pub fn misses(accesses: &[u32], page_count: u32, capacity: u32) -> u64 {
    let next_uses = next_uses(accesses, page_count);
    // The page's next use if it is kept: what says otherwise in the heap is out of date.
    let mut kept: Vec<Option<u64>> = vec![None; page_count as usize];
    let mut latest_first = BinaryHeap::new();
    let mut kept_count = 0;
    let mut misses = 0;
    for (&page, &next_use) in accesses.iter().zip(&next_uses) {
        if kept[page as usize].is_none() {
            misses += 1;
            kept_count += 1;
            if kept_count > capacity {
                let gone = std::iter::from_fn(|| latest_first.pop());
                let is_kept = |(next_use, page): &(u64, u32)| kept[*page as usize] == Some(*next_use);
                let (_, gone) = gone.into_iter().find(is_kept).expect("a cache that is full");
                kept[gone as usize] = None;
                kept_count -= 1;
            }
        }
        kept[page as usize] = Some(next_use);
        latest_first.push((next_use, page));
    }
    misses
}

/// For each access, which one is the next to the same page.
fn next_uses(accesses: &[u32], page_count: u32) -> Vec<u64> {
    let mut next_of_page = vec![NEVER; page_count as usize];
    let mut next_uses = vec![NEVER; accesses.len()];
    for (at, &page) in accesses.iter().enumerate().rev() {
        next_uses[at] = std::mem::replace(&mut next_of_page[page as usize], at as u64);
    }
    next_uses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alone::{self, Alone};
    use zpager_core::simulation::random::Random;

    /// By trying everything: the fewest misses from here on.
    fn fewest(accesses: &[u32], kept: &mut Vec<u32>, capacity: usize) -> u64 {
        let Some((&page, rest)) = accesses.split_first() else { return 0 };
        if kept.contains(&page) {
            return fewest(rest, kept, capacity);
        }
        if kept.len() < capacity {
            kept.push(page);
            let misses = fewest(rest, kept, capacity);
            kept.pop();
            return 1 + misses;
        }
        let each = (0..capacity).map(|place| {
            let gone = std::mem::replace(&mut kept[place], page);
            let misses = fewest(rest, kept, capacity);
            kept[place] = gone;
            misses
        });
        1 + each.min().expect("there is a place")
    }

    #[test]
    fn nothing_is_better() {
        let mut random = Random::new(1);
        for _ in 0..200 {
            let accesses: Vec<u32> = (0..16).map(|_| random.below(6)).collect();
            for capacity in 1..4 {
                let expected = fewest(&accesses, &mut Vec::new(), capacity);
                assert_eq!(misses(&accesses, 6, capacity as u32), expected, "{accesses:?}, {capacity}");
            }
        }
    }

    #[test]
    fn no_policy_is_better() {
        let mut random = Random::new(2);
        let accesses: Vec<u32> = (0..20_000).map(|_| random.below(1000).min(random.below(1000))).collect();
        let optimum = misses(&accesses, 1000, 200);
        for alone in [Alone::Lru, Alone::Fifo, Alone::Clock, Alone::Sieve, Alone::S3Fifo] {
            assert!(alone::misses(alone, &accesses, 1000, 200) > optimum, "{alone:?}");
        }
    }
}
