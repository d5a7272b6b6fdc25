//! How many accesses a second are replayed: `cargo run --release -p zpager-lab --example speed`.

use std::time::Instant;

use zpager_core::engine::Config;
use zpager_core::simulation::random::Random;
use zpager_lab::costs::Costs;
use zpager_lab::replay::{Replay, Step};

const PAGES: u32 = 100_000;
const ACCESSES: usize = 20_000_000;

fn main() {
    let config = Config::of_size(PAGES / 2, PAGES);
    let mut random = Random::new(1);
    let zpage_bytes = (0..PAGES).map(|_| 400 + random.below(2000) as u16).collect();
    // By Zipf's law with an exponent of 1, the pages in no order.
    let steps = (0..ACCESSES).map(|_| {
        let uniform = f64::from(random.below(1 << 30)) / f64::from(1 << 30);
        let rank = f64::from(PAGES).powf(uniform) as u32;
        Step::new(rank.wrapping_mul(2_654_435_761) % PAGES, random.one_in(5), 0)
    });
    let threads = vec![steps.collect()];
    let mut replay = Replay::new(config, Costs::ROUND, zpage_bytes, threads, 0, None).expect("it fits");
    let began = Instant::now();
    replay.run().expect("there is room");
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{:.1} million accesses a second, {} faults of {}",
        ACCESSES as f64 / seconds / 1e6,
        replay.counters().faults,
        ACCESSES
    );
}
