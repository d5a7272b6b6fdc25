//! How large must the reserve be? Runs the simulation with reserves from none to more than enough,
//! each by the same seeds, with RAM and device given out to the last page, and prints one JSON object
//! for each size and mechanism: in how many runs everything came to a standstill, and what the others
//! did.
//!
//! `cargo run --release -p zpager-core --example reserve -- [SEEDS] [OPERATIONS]`

use std::panic::{self, AssertUnwindSafe};

use zpager_core::engine::Config;
use zpager_core::eviction::EvictionKind;
use zpager_core::simulation::contents::Compressibility;
use zpager_core::simulation::{STANDSTILL, Scenario, Simulation};
use zpager_core::stats::Counters;

const RESERVES_FRAMES: [u32; 8] = [0, 8, 16, 32, 48, 64, 80, 128];
const MECHANISMS: [(&str, EvictionKind); 3] = [
    ("unuse", EvictionKind::Unuse),
    ("writeback", EvictionKind::Writeback),
    ("intact", EvictionKind::Intact),
];

const BATCH_PAGES: u32 = 32;

/// `None`: a standstill.
fn run(seed: u64, eviction: EvictionKind, reserve_frames: u32, operations: u64) -> Option<Counters> {
    let mut scenario = Scenario::of_seed(seed);
    scenario.is_full = true;
    scenario.compressibility = Compressibility::Mixed;
    scenario.failures = Default::default();
    scenario.config.eviction = eviction;
    scenario.config.pool_limit_frames = Some(scenario.config.ram_frames / 4);
    scenario.config.batch_pages = BATCH_PAGES;
    // What the reserve takes is not taken from the rest.
    scenario.config.ram_frames += reserve_frames;
    scenario.config.ram_frames -= scenario.config.reserve_frames;
    scenario.config.reserve_frames = reserve_frames;
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut simulation = Simulation::new(scenario, seed);
        simulation.run(operations);
        simulation.core().counters
    }));
    result
        .inspect_err(|panic| {
            let message = panic.downcast_ref::<String>().map_or("", String::as_str);
            assert!(message.starts_with(STANDSTILL), "seed {seed}: {message}");
        })
        .ok()
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let (seeds, operations) = (numbers.next().unwrap_or(20), numbers.next().unwrap_or(5_000));
    panic::set_hook(Box::new(|_| {}));
    for (name, eviction) in MECHANISMS {
        for reserve_frames in RESERVES_FRAMES {
            let runs: Vec<_> =
                (0..seeds).map(|seed| run(seed, eviction, reserve_frames, operations)).collect();
            let sum = |of: fn(&Counters) -> u64| runs.iter().flatten().map(of).sum::<u64>();
            println!(
                "{{\"eviction\": \"{name}\", \"reserve_frames\": {reserve_frames}, \"is_legal\": {}, \
                 \"runs\": {seeds}, \"standstills\": {}, \"evicted_units\": {}, \"succ_stores\": {}, \
                 \"reject_alloc_fail\": {}, \"direct_reclaims\": {}}}",
                reserve_frames >= Config::reserve_frames_min(BATCH_PAGES),
                runs.iter().filter(|run| run.is_none()).count(),
                sum(|counters| counters.evicted_units),
                sum(|counters| counters.succ_stores),
                sum(|counters| counters.reject_alloc_fail),
                sum(|counters| counters.direct_reclaims),
            );
        }
    }
}
