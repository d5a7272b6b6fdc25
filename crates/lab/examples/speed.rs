//! How many accesses a second are replayed: `cargo run --release -p zpager-lab --example speed`.

use std::time::Instant;

use zpager_core::engine::Config;
use zpager_core::eviction::EvictionKind;
use zpager_core::simulation::random::Random;
use zpager_core::zcache::PoolKind;
use zpager_core::zcache::policy::PolicyKind;
use zpager_lab::costs::Costs;
use zpager_lab::replay::{Replay, Step};

const PAGES: u32 = 100_000;
const ACCESSES: usize = 20_000_000;

fn main() {
    let ram_frames = 50_000;
    let batch_pages = Config::batch_pages_for(ram_frames);
    let config = Config {
        ram_frames,
        buffer_frames: 0,
        swap_slots: PAGES,
        batch_pages,
        window_pages: 2 * (ram_frames + PAGES),
        pool: PoolKind::Zsmalloc,
        policy: PolicyKind::FrameLru,
        pool_limit_frames: None,
        reserve_frames: Config::reserve_frames_min(batch_pages),
        eviction: EvictionKind::Intact,
        unwatched_pages_min: u32::MAX,
        readahead_pages: 32,
        is_encrypted: false,
    };
    let costs = Costs {
        access_ns: 100,
        fault_ns: 1000,
        wake_ns: 5000,
        map_ns: 500,
        unmap_call_ns: 2000,
        unmap_ns: 500,
        move_ns: 1300,
        compress_ns: 1500,
        decompress_ns: 600,
        read_ns: 60_000,
        write_ns: 60_000,
        seek_ns: 0,
        transfer_ns: 1400,
        queue_depth: 16,
        cpus: 2,
    };
    let mut random = Random::new(1);
    let zpage_bytes = (0..PAGES).map(|_| 400 + random.below(2000) as u16).collect();
    // By Zipf's law with an exponent of 1, the pages in no order.
    let steps = (0..ACCESSES).map(|_| {
        let uniform = f64::from(random.below(1 << 30)) / f64::from(1 << 30);
        let rank = f64::from(PAGES).powf(uniform) as u32;
        Step::new(rank.wrapping_mul(2_654_435_761) % PAGES, random.one_in(5), 0)
    });
    let threads = vec![steps.collect()];
    let mut replay = Replay::new(config, costs, zpage_bytes, threads, 0, None).expect("it fits");
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
