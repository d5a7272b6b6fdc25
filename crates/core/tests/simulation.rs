//! A million operations in the simulated world, by many seeds.
//!
//! A failure prints its seed; `SIMULATION_SEED=n cargo test --test simulation` replays it alone.
//! `SIMULATION_OPERATIONS=n` runs so many in all.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use zpager_core::ledger::share::Dealings;
use zpager_core::simulation::{Scenario, Simulation, tree::Tree};
use zpager_core::stats::Counters;

const SEEDS: u64 = 100;
const OPERATIONS: u64 = 1_000_000;

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// What the seeds need not bring about: somebody would have to wait for half a minute.
const NEVER: [&str; 1] = ["faults_given_up"];

fn run(seed: u64, operations: u64) -> Counters {
    let scenario = Scenario::of_seed(seed);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut simulation = Simulation::new(scenario, seed);
        simulation.run(operations);
        simulation.core().counters
    }));
    match result {
        Ok(counters) => {
            if number("SIMULATION_SEED").is_some() {
                println!("{scenario:#?}\n{counters:#?}");
            }
            counters
        }
        Err(panic) => {
            eprintln!("SIMULATION_SEED={seed} replays this failure, of {scenario:#?}");
            resume_unwind(panic);
        }
    }
}

#[test]
fn every_read_returns_the_last_write() {
    if let Some(seed) = number("SIMULATION_SEED") {
        run(seed, number("SIMULATION_OPERATIONS").unwrap_or(OPERATIONS / SEEDS));
        return;
    }
    let operations = number("SIMULATION_OPERATIONS").unwrap_or(OPERATIONS);
    let mut totals = BTreeMap::<_, u64>::new();
    for seed in 0..SEEDS {
        for (name, count) in run(seed, operations / SEEDS).by_name() {
            *totals.entry(name).or_default() += count;
        }
    }
    println!("{totals:#?}");
    let untried: Vec<_> =
        totals.iter().filter(|(name, total)| **total == 0 && !NEVER.contains(name)).collect();
    assert!(untried.is_empty(), "no seed has brought about {untried:?}");
}

fn run_tree(seed: u64, operations: u64) -> (Dealings, u64) {
    let run = || Tree::new(seed, 2 + (seed % 3) as u32).run(operations);
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        eprintln!("SIMULATION_TREE_SEED={seed} replays this failure");
        resume_unwind(panic);
    })
}

#[test]
fn several_processes_share_one_number_of_frames() {
    if let Some(seed) = number("SIMULATION_TREE_SEED") {
        println!("{:#?}", run_tree(seed, number("SIMULATION_OPERATIONS").unwrap_or(OPERATIONS / SEEDS)));
        return;
    }
    let operations = number("SIMULATION_OPERATIONS").unwrap_or(OPERATIONS) / 20;
    let seeds = SEEDS / 5;
    let came_of = (0..seeds).map(|seed| run_tree(seed, operations / seeds));
    let sums = came_of.fold([0; 4], |[refusals, given, declines, deaths], (dealings, died)| {
        let Dealings { refusals: refused, given_frames, declines: declined } = dealings;
        [refusals + refused, given + given_frames, declines + declined, deaths + died]
    });
    println!("refusals, frames given, declines, deaths: {sums:?}");
    assert!(sums.iter().all(|sum| *sum > 0), "something never happens: {sums:?}");
}
