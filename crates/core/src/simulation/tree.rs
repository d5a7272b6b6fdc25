//! Several simulated processes that share one ledger: they work, sleep, are killed at any moment, and others come.
//!
//! Beside the invariants of each there is the tree's: all together never hold more than there is, but for
//! what somebody overdrew who could not wait, and that is only ever paid back.

use super::random::Random;
use super::{Scenario, Simulation};
use crate::engine::Config;
use crate::ledger::share::{Arrival, Dealings, Joined};
use crate::ledger::{Ledger, Place};

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
    dealings: Dealings,
    deaths: u64,
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
            dealings: Dealings::default(),
            deaths: 0,
        };
        (0..processes).for_each(|_| tree.bear());
        tree
    }

    fn bear(&mut self) {
        self.born += 1;
        let seed = self.seed * 1000 + self.born;
        let mut scenario = Scenario::of_seed(seed);
        scenario.config.ram_frames = self.total;
        // A small device means a high floor, and nothing to share.
        scenario.config.swap_slots = self.random.choose(&[300, 1500, 3000, 6000]);
        scenario.config.window_pages = 2 * (self.total + scenario.config.swap_slots);
        scenario.config.pool_limit_frames =
            scenario.config.pool_limit_frames.map(|_| self.total * (5 + self.random.below(85)) / 100);
        scenario.is_full = false;
        let place = self.ledger.claim(self.born as u32, |_| ()).expect("there is a place");
        let simulation = Simulation::new(scenario, seed);
        self.processes.push(Process {
            simulation,
            place,
            waits_since_us: Some(self.now_us),
            is_asleep: false,
        });
    }

    /// Runs until so many operations of all processes have come to their end, then has one process after the
    /// other give everything back. What came of it, and how
    /// many were killed.
    pub fn run(mut self, operations: u64) -> (Dealings, u64) {
        while self.operations < operations {
            self.half_step();
        }
        while let Some(Process { mut simulation, place, waits_since_us, .. }) = self.processes.pop() {
            if waits_since_us.is_none() {
                simulation.now_us = self.now_us;
                simulation.finish();
                self.now_us = simulation.now_us;
                self.buried(&simulation, place);
                self.check();
            }
        }
        (self.dealings, self.deaths)
    }

    fn buried(&mut self, simulation: &Simulation, place: Place) {
        let dealings = simulation.core.dealings().unwrap_or_default();
        self.dealings.refusals += dealings.refusals;
        self.dealings.given_frames += dealings.given_frames;
        self.dealings.declines += dealings.declines;
        self.ledger.leave(place);
    }

    fn half_step(&mut self) {
        self.half_steps += 1;
        let chosen = self.random.below(self.processes.len() as u32) as usize;
        if self.random.one_in(DIES_ONE_IN) {
            let dead = self.processes.swap_remove(chosen);
            self.buried(&dead.simulation, dead.place);
            self.deaths += 1;
            return self.bear();
        }
        self.processes[chosen].is_asleep ^= self.random.one_in(SLEEPS_ONE_IN);
        let is_awake = !self.processes[chosen].is_asleep;
        self.half_step_of(chosen, is_awake);
    }

    /// Who sleeps has a kswapd still, and finishes what is under way.
    fn half_step_of(&mut self, chosen: usize, is_awake: bool) {
        let process = &mut self.processes[chosen];
        process.simulation.now_us = self.now_us;
        if let Some(since_us) = process.waits_since_us {
            self.let_in(chosen, since_us);
            self.now_us += 10;
        } else {
            let before = process.simulation.operations;
            process.simulation.half_step(is_awake);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets one process work until so many of its operations have come to their end; the other ones sleep.
    fn work(tree: &mut Tree, process: usize, operations: u64) {
        let until = tree.processes[process].simulation.operations + operations;
        while tree.processes[process].simulation.operations < until {
            tree.half_step_of(process, true);
            let sleepers = (0..tree.processes.len()).filter(|sleeper| *sleeper != process);
            sleepers.for_each(|sleeper| tree.half_step_of(sleeper, false));
        }
    }

    #[test]
    fn who_sleeps_gives_way_to_who_works() {
        let mut seeds_that_tell = 0;
        for seed in 1..100 {
            let mut tree = Tree::new(seed, 2);
            let [sleeper, worker] = [0, 1].map(|process: usize| tree.processes[process].place);
            work(&mut tree, 0, 3000);
            let before = tree.ledger.entry(sleeper).held();
            work(&mut tree, 1, 6000);
            let [sleeper, worker] = [sleeper, worker].map(|place| tree.ledger.entry(place));
            // Some floors are high, and some workers small.
            if before > sleeper.floor() + 400 && worker.held() + before > tree.total {
                seeds_that_tell += 1;
                let [held, floor] = [sleeper.held(), sleeper.floor()];
                assert!(held <= floor + 64, "seed {seed}: {held} of {before}, floor {floor}");
            }
        }
        assert!(seeds_that_tell >= 3, "{seeds_that_tell}");
    }
}
