//! Every operation on device and memory fails, one after the other: the first, the second, and so
//! on to the last of a fixed scenario, each once, and each with all that follow it.
//!
//! Whatever fails, reads return the last write or the named error, everything comes to its end,
//! the tables agree with one another, and all can be freed. What fails once, or for a while, costs
//! no page.
//!
//! A failure prints what failed. `FAILING_SEEDS=n` goes through n scenarios a mechanism instead of
//! one.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use zpager_core::engine::Config;
use zpager_core::eviction::EvictionKind;
use zpager_core::simulation::contents::Compressibility;
use zpager_core::simulation::device::Failures;
use zpager_core::simulation::failing::{Failing, Kind};
use zpager_core::simulation::{Scenario, Simulation};
use zpager_core::stats::Counters;
use zpager_core::zcache::PoolKind;
use zpager_core::zcache::codec::CodecKind;

const BATCH_PAGES: u32 = 32;
const OPERATIONS: u64 = 300;
/// For each pool, a seed by which pages are read and written much.
const FIRST_SEEDS: [(PoolKind, u64); 2] = [(PoolKind::Zbud, 7), (PoolKind::Zsmalloc, 39)];
/// Writes for which a full device stays full: more than are tried between two pauses.
const FULL_FOR_WRITES: u64 = 40;

fn scenario(
    eviction: EvictionKind,
    pool: PoolKind,
    is_encrypted: bool,
    failing: Option<Failing>,
) -> Scenario {
    let ram_frames = Config::reserve_frames_min(BATCH_PAGES) + Config::RAM_FRAMES_MIN;
    Scenario {
        config: Config {
            pool,
            pool_limit_frames: Some(24),
            batch_pages: BATCH_PAGES,
            reserve_frames: Config::reserve_frames_min(BATCH_PAGES),
            eviction,
            readahead_pages: 8,
            is_encrypted,
            ..Config::of_size(ram_frames, 160)
        },
        codec: CodecKind::Lz4,
        failures: Failures::default(),
        refusals_one_in: 0,
        failing,
        damage_one_in: 0,
        compressibility: Compressibility::Mixed,
        writes_in_ten: 7,
        is_full: false,
        gives_up: failing.is_some_and(may_take_all_room),
        check_every: 64,
    }
}

/// What fails for ever and leaves pages nowhere to go, or no frame to come to.
fn may_take_all_room(failing: Failing) -> bool {
    failing.until == u64::MAX && matches!(failing.kind, Kind::Write | Kind::NoSpace | Kind::Map | Kind::Move)
}

fn run(scenario: Scenario, seed: u64) -> Simulation {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut simulation = Simulation::new(scenario, seed);
        simulation.run(OPERATIONS);
        simulation
    }));
    result.unwrap_or_else(|panic| {
        eprintln!("this failure is of seed {seed}, {scenario:#?}");
        resume_unwind(panic)
    })
}

/// What may be lost, and what it cost.
fn require(failing: Failing, counters: &Counters) {
    let reads_fail = failing.until == u64::MAX && matches!(failing.kind, Kind::Read | Kind::ShortRead);
    assert!(counters.lost_pages == 0 || reads_fail, "{failing:?} has lost {} pages", counters.lost_pages);
    assert_eq!(counters.lost_pages, counters.device_read_errors, "{failing:?}");
    assert!(
        counters.device_write_errors == 0 || failing.kind == Kind::Write,
        "{failing:?} has retired slots"
    );
    assert!(counters.faults_given_up == 0 || may_take_all_room(failing), "{failing:?}");
}

fn sweep(eviction: EvictionKind) {
    let seeds =
        std::env::var("FAILING_SEEDS").map_or(1, |seeds| seeds.parse().expect("FAILING_SEEDS is a number"));
    for more in 0..seeds {
        for (index, (pool, first_seed)) in FIRST_SEEDS.into_iter().enumerate() {
            let seed = first_seed + more;
            let is_encrypted = (index as u64 + more) % 2 == 1;
            let untroubled = run(scenario(eviction, pool, is_encrypted, None), seed);
            assert_eq!(untroubled.core().counters.lost_pages, 0);
            let counts = Kind::ALL.map(|kind| (kind, untroubled.count(kind)));
            println!("{eviction:?}, {pool:?}, seed {seed}: {counts:?}");
            if more == 0 {
                let must_be = [Kind::Write, Kind::Read, Kind::Map, Kind::Move];
                must_be.iter().for_each(|kind| assert!(untroubled.count(*kind) > 5, "too few of {kind:?}"));
            }
            for (kind, count) in counts {
                for from in 0..count {
                    let mut ends = vec![from + 1, u64::MAX];
                    if kind == Kind::NoSpace {
                        ends.push(from + FULL_FOR_WRITES);
                    }
                    for until in ends {
                        let failing = Failing { kind, from, until };
                        let troubled = run(scenario(eviction, pool, is_encrypted, Some(failing)), seed);
                        require(failing, &troubled.core().counters);
                    }
                }
            }
        }
    }
}

#[test]
fn without_eviction() {
    sweep(EvictionKind::None);
}

#[test]
fn with_unuse() {
    sweep(EvictionKind::Unuse);
}

#[test]
fn with_writeback() {
    sweep(EvictionKind::Writeback);
}

#[test]
fn with_intact() {
    sweep(EvictionKind::Intact);
}
