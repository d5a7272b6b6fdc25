//! The RFC's code with its defects, in the simulated world: however wrong it is, no page is ever lost, and
//! each defect does what it is said to do.

use zpager_core::eviction::EvictionKind;
use zpager_core::eviction::rfc::{Defect, Defects};
use zpager_core::simulation::{Scenario, Simulation};

const SEEDS: u64 = 24;
const OPERATIONS: u64 = 4_000;

fn scenario(seed: u64, eviction: EvictionKind) -> Scenario {
    let mut scenario = Scenario::of_seed(seed);
    scenario.config.eviction = eviction;
    // Without a limit of its own, and a small one, eviction has little to do.
    scenario.config.pool_limit_frames = Some(scenario.config.ram_frames / 8);
    scenario.config.swap_slots = 1500;
    scenario.config.window_pages = 2 * (scenario.config.ram_frames + scenario.config.swap_slots);
    scenario.is_full = false;
    // RAM can end up full of pages that never leave.
    scenario.gives_up = true;
    scenario
}

fn run(seed: u64, eviction: EvictionKind) -> Simulation {
    let mut simulation = Simulation::new(scenario(seed, eviction), seed);
    simulation.run(OPERATIONS);
    simulation
}

fn every_read_returns_the_last_write(defects: Defects) {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        run(seed, EvictionKind::Rfc(defects));
    }
}

#[test]
fn without_defects_it_is_unuse() {
    for seed in 0..SEEDS {
        let [rfc, unuse] = [EvictionKind::Rfc(Defects::default()), EvictionKind::Unuse]
            .map(|eviction| run(seed, eviction).core().counters);
        assert_eq!(rfc, unuse, "seed {seed}");
    }
}

#[test]
fn no_page_is_lost_with_any_one_defect() {
    for (name, defect) in Defect::ALL {
        println!("{name}");
        every_read_returns_the_last_write(Defects::default().with(defect));
    }
}

#[test]
fn no_page_is_lost_with_all_of_them() {
    let all = |defects: Defects, (_, defect): (&str, Defect)| defects.with(defect);
    every_read_returns_the_last_write(Defect::ALL.into_iter().fold(Defects::default(), all));
    // The guard hides what the others do.
    let others = Defect::ALL.into_iter().filter(|(_, defect)| *defect != Defect::InvertedGuard);
    every_read_returns_the_last_write(others.fold(Defects::default(), all));
}
