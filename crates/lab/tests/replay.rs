//! Replays: the state stays whole, the same comes of the same, and time passes as the costs say.

use zpager_core::engine::Config;
use zpager_core::eviction::EvictionKind;
use zpager_core::simulation::random::Random;
use zpager_lab::costs::Costs;
use zpager_lab::replay::{Impossible, Replay, Step, TIERS};

const PAGES: u32 = 4000;

const COSTS: Costs = Costs::ROUND;

fn config(eviction: EvictionKind) -> Config {
    Config { pool_limit_frames: Some(300), eviction, ..Config::of_size(1000, PAGES) }
}

fn zpage_bytes(seed: u64) -> Vec<u16> {
    let mut random = Random::new(seed);
    (0..PAGES).map(|_| random.choose(&[0, 300, 1000, 2000, 3000, 4096])).collect()
}

fn steps(seed: u64, accesses: u32) -> Vec<Step> {
    let mut random = Random::new(seed);
    let step = |_| {
        let page = random.below(PAGES).min(random.below(PAGES));
        Step::new(page, random.one_in(3), random.choose(&[0, 0, 0, 100_000]))
    };
    (0..accesses).map(step).collect()
}

fn replay(eviction: EvictionKind, costs: Costs, threads: Vec<Vec<Step>>) -> Replay {
    Replay::new(config(eviction), costs, zpage_bytes(1), threads, 1_000_000, None).expect("there is room")
}

#[test]
fn the_state_stays_whole_and_the_same_comes_of_the_same() {
    for eviction in [EvictionKind::None, EvictionKind::Unuse, EvictionKind::Writeback, EvictionKind::Intact] {
        let run = |turns| {
            let mut replay = replay(eviction, COSTS, vec![steps(1, 20_000), steps(2, 20_000), steps(3, 9)]);
            while !replay.run_turns(turns).unwrap() {
                replay.check();
            }
            let last = replay.samples().last().expect("the end is a sample");
            assert_eq!(last.pages.iter().sum::<u32>(), PAGES);
            assert!(replay.counters().pswpout > 0);
            (replay.threads().cloned().collect::<Vec<_>>(), *replay.counters(), replay.samples().len())
        };
        let often = run(1000);
        assert_eq!(often, run(u32::MAX), "{eviction:?}");
        assert_eq!(often.0.iter().map(|thread| thread.accesses).collect::<Vec<_>>(), [20_000, 20_000, 9]);
    }
}

/// What a thread takes, from nothing but the costs.
#[test]
fn time_passes_as_the_costs_say() {
    // Pages that fit: each is touched anew, written, and read.
    let touch = |is_write| (0..100).map(move |page| Step::new(page * 7 % 100, is_write, 5));
    let mut replay = replay(EvictionKind::Intact, COSTS, vec![touch(true).chain(touch(false)).collect()]);
    replay.run().unwrap();
    let thread = replay.threads().next().unwrap();
    assert_eq!(thread.found, [100, 0, 0, 0, 0], "{TIERS:?}");
    let fault_ns = COSTS.fault_ns + COSTS.map_ns;
    assert_eq!((thread.faults, thread.lost_ns), (100, 100 * fault_ns));
    assert_eq!(thread.end_ns, 100 * fault_ns + 200 * (COSTS.access_ns + 5));
    let buckets: Vec<_> = thread.latency.buckets().collect();
    assert!(matches!(buckets[..], [(bound_ns, 100)] if fault_ns < bound_ns && bound_ns <= fault_ns * 5 / 4));
}

#[test]
fn a_disk_that_seeks_is_slower_the_more_it_jumps() {
    let run = |seek_ns| {
        let costs = Costs { seek_ns, queue_depth: 1, ..COSTS };
        let mut replay = replay(EvictionKind::Writeback, costs, vec![steps(1, 20_000)]);
        replay.run().unwrap();
        (replay.end_ns(), replay.counters().faults_device)
    };
    let (quick_ns, _) = run(0);
    let (slow_ns, reads) = run(8_000_000);
    assert!(slow_ns > quick_ns + reads / 2 * 8_000_000, "{quick_ns} ns, {slow_ns} ns, {reads} reads");
}

#[test]
fn what_cannot_be_is_told() {
    let new = |pages: Vec<u16>, step| {
        let replay = Replay::new(config(EvictionKind::Intact), COSTS, pages, vec![vec![step]], 0, None);
        replay.err()
    };
    assert_eq!(new(vec![100; 3], Step::new(3, false, 0)), Some(Impossible::NoSuchPage(3)));
    let beyond = new(vec![100; 3 * PAGES as usize], Step::new(0, false, 0));
    assert!(matches!(beyond, Some(Impossible::BeyondCapacity(pages)) if pages > PAGES));
}
