//! Several simulated processes that share one ledger: they work, sleep, are killed at any moment, and others come.
//!
//! Beside the invariants of each there is the tree's: all together never hold more than there is, but for
//! what somebody overdrew who could not wait, and that is only ever paid back.

use super::random::Random;
use super::{Scenario, Simulation};
use crate::engine::Config;
use crate::ledger::share::{Arrival, Joined};
use crate::ledger::{Ledger, Place};
use crate::stats::Counters;

/// How long somebody waits for room before he overdraws.
const PATIENCE_US: u64 = 20_000;
/// One in so many half steps is the death of somebody, or the moment when somebody falls asleep or wakes up.
const DIES_ONE_IN: u32 = 60_000;
const SLEEPS_ONE_IN: u32 = 4_000;
/// Half steps within which what was overdrawn has to be paid back.
const PAID_BACK_WITHIN: u32 = 200_000;

struct Process {
    simulation: Simulation,
    place: Place,
    /// When it first asked, if it has not been let in yet.
    waits_since_us: Option<u64>,
    is_asleep: bool,
}

/// One run.
pub struct Tree {
    ledger: &'static Ledger,
    total: u32,
    random: Random,
    seed: u64,
    processes: Vec<Process>,
    /// Processes that there were so far.
    born: u64,
    now_us: u64,
    half_steps: u32,
    /// The most that may be held now.
    allowed: u64,
    overdrawn_since: Option<u32>,
    operations: u64,
    counters: Counters,
}

impl Tree {
    /// A tree of this many processes, all of it decided by this seed.
    pub fn new(seed: u64, processes: u32) -> Self {
        let mut random = Random::new(seed);
        let least = Config::reserve_frames_min(64) + 100 + Config::RAM_FRAMES_MIN + 60;
        let total = processes * least + random.below(1000);
        let mut tree = Tree {
            // The real one is there to the end of the process, too.
            ledger: Box::leak(Box::default()),
            total,
            random,
            seed,
            processes: Vec::new(),
            born: 0,
            now_us: 1,
            half_steps: 0,
            allowed: total.into(),
            overdrawn_since: None,
            operations: 0,
            counters: Counters::default(),
        };
        (0..processes).for_each(|_| tree.bear());
        tree
    }

    fn bear(&mut self) {
        self.born += 1;
        let seed = self.seed * 1000 + self.born;
        let mut scenario = Scenario::of_seed(seed);
        scenario.config.ram_frames = self.total;
        scenario.config.window_pages = 2 * (self.total + scenario.config.swap_slots);
        scenario.config.pool_limit_frames =
            scenario.config.pool_limit_frames.map(|_| self.total * (5 + self.random.below(85)) / 100);
        scenario.is_full = false;
        let place = self.ledger.claim(self.born as u32).expect("there is a place");
        let simulation = Simulation::new(scenario, seed);
        self.processes.push(Process {
            simulation,
            place,
            waits_since_us: Some(self.now_us),
            is_asleep: false,
        });
    }

    /// Runs until so many operations of all processes have come to their end, then has one process after the
    /// other give everything back. What has happened in all.
    pub fn run(mut self, operations: u64) -> Counters {
        while self.operations < operations {
            self.half_step();
        }
        while let Some(Process { mut simulation, place, waits_since_us, .. }) = self.processes.pop() {
            if waits_since_us.is_none() {
                simulation.now_us = self.now_us;
                simulation.finish();
                self.now_us = simulation.now_us;
                self.counters.add(&simulation.core().counters);
                self.ledger.leave(place);
                self.check();
            }
        }
        self.counters
    }

    fn half_step(&mut self) {
        self.half_steps += 1;
        let chosen = self.random.below(self.processes.len() as u32) as usize;
        if self.random.one_in(DIES_ONE_IN) {
            let dead = self.processes.swap_remove(chosen);
            self.counters.add(&dead.simulation.core().counters);
            self.ledger.leave(dead.place);
            return self.bear();
        }
        let now_us = self.now_us;
        let falls_asleep = self.random.one_in(SLEEPS_ONE_IN);
        let process = &mut self.processes[chosen];
        process.simulation.now_us = now_us;
        if let Some(since_us) = process.waits_since_us {
            self.let_in(chosen, since_us);
            self.now_us += 10;
        } else {
            process.is_asleep ^= falls_asleep;
            let before = process.simulation.operations;
            // Who sleeps has a kswapd still, and finishes what is under way.
            process.simulation.half_step(!process.is_asleep);
            self.operations += process.simulation.operations - before;
            self.now_us = process.simulation.now_us;
            process.simulation.core.take_call();
        }
        self.check();
    }

    fn let_in(&mut self, chosen: usize, since_us: u64) {
        let process = &mut self.processes[chosen];
        let is_patient = self.now_us < since_us + PATIENCE_US;
        let arrival = if is_patient { Arrival::Patient } else { Arrival::Impatient };
        let joined = process.simulation.core.join(self.ledger, process.place, arrival, 0, self.now_us);
        match joined {
            Joined::Entered => process.waits_since_us = None,
            Joined::Later { .. } => assert!(is_patient),
            // Whoever has freed something, or has died, makes room for its floor.
            Joined::TooSmall { .. } => process.waits_since_us = Some(self.now_us),
        }
        if !is_patient {
            self.allowed = self.allowed.max(self.ledger.held());
        }
    }

    fn check(&mut self) {
        let held = self.ledger.held();
        assert!(held <= self.allowed, "{held} frames are held, of {}", self.allowed);
        self.allowed = held.max(self.total.into());
        if held <= self.total.into() {
            self.overdrawn_since = None;
        } else {
            let since = *self.overdrawn_since.get_or_insert(self.half_steps);
            let overdrawn = held - u64::from(self.total);
            assert!(self.half_steps - since < PAID_BACK_WITHIN, "{overdrawn} frames are not paid back");
        }
        assert!(self.ledger.floors() <= self.total.into(), "more is promised than there is");
        assert!(self.ledger.most() >= held);
    }
}
