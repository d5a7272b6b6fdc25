//! Policies: which unit of the pool goes next.
//!
//! A pool tells its policy what becomes of its units; the policy answers which one is the
//! coldest. What a policy knows stands with the units: a pair of links, a byte of mark, and a
//! bit in each zpage's header. So a policy works alike for every pool, costs no memory but a few
//! words (and [`s3_fifo`]'s ghost), and allocates nothing after construction: stores happen
//! inside page faults.
//!
//! [`frame_lru`] is the RFC's. The others are known from caches of single objects. Here the
//! object is a unit, and evicting it evicts all its zpages: what each makes of that is said in
//! its module.

pub mod frame_aware;
pub mod frame_lru;
pub mod s3_fifo;
pub mod second_chance;
pub mod sieve;

use std::str::FromStr;

use crate::page::PageNumber;
use crate::zcache::pool::unit_list::{Links, Side};
use frame_aware::FrameAware;
use frame_lru::FrameLru;
use s3_fifo::S3Fifo;
use second_chance::SecondChance;
use sieve::Sieve;

/// The policies by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// The unit that was used the longest ago.
    FrameLru,
    /// The oldest unit most of whose zpages were not used.
    SecondChance,
    /// The first unit before a hand that was not used since the hand came by.
    Sieve,
    /// Units prove their use in a small queue before they belong to the main one.
    S3Fifo,
    /// Of the coldest few units the one that frees the most frames for its zpages.
    FrameAware,
}

impl FromStr for PolicyKind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "frame-lru" => Ok(PolicyKind::FrameLru),
            "second-chance" => Ok(PolicyKind::SecondChance),
            "sieve" => Ok(PolicyKind::Sieve),
            "s3-fifo" => Ok(PolicyKind::S3Fifo),
            "frame-aware" => Ok(PolicyKind::FrameAware),
            _ => Err(()),
        }
    }
}

impl PolicyKind {
    /// Every policy.
    pub const ALL: [PolicyKind; 5] = [
        PolicyKind::FrameLru,
        PolicyKind::SecondChance,
        PolicyKind::Sieve,
        PolicyKind::S3Fifo,
        PolicyKind::FrameAware,
    ];

    /// A policy of this kind for the units of at most `frames` frames.
    pub fn policy(self, frames: u32) -> Box<dyn Policy> {
        match self {
            PolicyKind::FrameLru => Box::new(FrameLru::EMPTY),
            PolicyKind::SecondChance => Box::new(SecondChance::new(PASSED_OVER_MAX)),
            PolicyKind::Sieve => Box::new(Sieve::new(PASSED_OVER_MAX)),
            PolicyKind::S3Fifo => Box::new(S3Fifo::new(frames, PASSED_OVER_MAX)),
            PolicyKind::FrameAware => Box::new(FrameAware::EMPTY),
        }
    }

    /// Bytes of the tables that such a policy has beside the units.
    pub fn table_bytes(self, frames: u32) -> u64 {
        match self {
            PolicyKind::S3Fifo => u64::from(frames) * s3_fifo::GHOST_ENTRY_BYTES,
            _ => 0,
        }
    }
}

/// Units that one isolation may pass over. It is done under the lock, perhaps for a fault that
/// waits: when everything was used lately, one unit is as good as another.
const PASSED_OVER_MAX: u32 = 32;

/// What a policy sees of the pool's units. The links are the policy's.
pub trait Units: Links {
    /// The policy's byte; 0 in a new unit.
    fn mark(&self, unit: u32) -> u8;

    /// Sets the policy's byte.
    fn set_mark(&mut self, unit: u32, mark: u8);

    /// Frames that are freed with the unit.
    fn frame_count(&self, unit: u32) -> u32;

    /// Zpages in the unit.
    fn zpage_count(&self, unit: u32) -> u32;

    /// How many of the unit's zpages were stored or used since the last such call.
    fn take_referenced(&mut self, unit: u32) -> u32;
}

/// A replacement policy. It has every unit of the pool but the isolated ones.
pub trait Policy: Send {
    /// There is a new unit, about to get its first zpage.
    fn insert(&mut self, units: &mut dyn Units, unit: u32);

    /// A page's zpage was stored into a unit.
    fn stored(&mut self, units: &mut dyn Units, unit: u32, page: PageNumber);

    /// A zpage of the unit was loaded for the program, or is its page's only copy again.
    fn used(&mut self, units: &mut dyn Units, unit: u32);

    /// A page's zpage has left a unit, which may be isolated: that is how zpages are evicted.
    /// Not told of zpages that compaction moves.
    fn left(&mut self, units: &mut dyn Units, unit: u32, page: PageNumber, is_isolated: bool);

    /// A unit is empty and goes.
    fn remove(&mut self, units: &mut dyn Units, unit: u32);

    /// Takes the coldest unit out.
    fn take_coldest(&mut self, units: &mut dyn Units) -> Option<u32>;

    /// A unit that was taken out comes back, since it could not be emptied: it is the coldest.
    fn put_back(&mut self, units: &mut dyn Units, unit: u32);

    /// Tells each unit that the policy has. Panics where its lists are broken.
    fn walk(&self, neighbour: &dyn Fn(u32, Side) -> u32, each: &mut dyn FnMut(u32));
}

#[cfg(test)]
mod fake;

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;

    /// What happens is the same for all; which unit goes when is not.
    #[test]
    fn one_history_has_five_ends() {
        let orders = PolicyKind::ALL.map(|kind| {
            let mut fake = Fake::new(kind);
            fake.open_pairs(6);
            assert_eq!(fake.evict(), Some(0));
            fake.used(1, 10);
            fake.used(2, 20);
            fake.used(2, 21);
            fake.leave(5, 50);
            fake.open_pairs(1);
            fake.store(3, 0);
            fake.evict_all()
        });
        let [frame_lru, second_chance, sieve, s3_fifo, frame_aware] = orders;
        assert_eq!(frame_lru, [4, 5, 1, 2, 6, 3]);
        // Wanted are one zpage of two in unit 1, and one of three in unit 3, but all in 2 and 6.
        assert_eq!(second_chance, [1, 3, 4, 5, 2, 6]);
        // The hand passes over 1, 2, 3 and 6, then takes them as they are.
        assert_eq!(sieve, [4, 5, 1, 2, 3, 6]);
        // Unit 1 was used too little, 2 enough, and in unit 3 is an acquaintance.
        assert_eq!(s3_fifo, [1, 4, 5, 6, 3, 2]);
        // Unit 5 is a frame for one zpage, the others for two or three.
        assert_eq!(frame_aware, [5, 4, 1, 2, 6, 3]);
    }

    #[test]
    fn what_comes_back_is_the_coldest() {
        for kind in PolicyKind::ALL {
            let mut fake = Fake::new(kind);
            fake.open_pairs(5);
            let [first, second] = [(); 2].map(|()| fake.take_coldest().unwrap());
            fake.put_back(second);
            fake.put_back(first);
            assert_eq!(fake.evict_all(), [first, second, 2, 3, 4], "{kind:?}");
        }
    }

    #[test]
    fn an_isolation_ends_though_everything_is_in_use() {
        for kind in PolicyKind::ALL {
            let mut fake = Fake::new(kind);
            fake.open_pairs(200);
            for unit in 0..200 {
                (0..3).for_each(|_| fake.used(unit, 10 * unit));
            }
            let mut order = fake.evict_all();
            order.sort();
            assert!(order.into_iter().eq(0..200), "{kind:?}");
        }
    }

    #[test]
    fn without_units_nothing_is_cold() {
        for kind in PolicyKind::ALL {
            let mut fake = Fake::new(kind);
            assert_eq!(fake.evict(), None, "{kind:?}");
            let unit = fake.open(1, [1]);
            fake.used(unit, 1);
            fake.leave(unit, 1);
            assert_eq!(fake.evict(), None, "{kind:?}");
        }
    }
}
