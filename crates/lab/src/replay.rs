//! One pager, the threads of a trace, and kswapd, each with a clock of its own: whose clock is the earliest has
//! the turn.
//!
//! A turn is half a step of a task, or as many accesses without a fault as go before somebody else is
//! due. CPU time counts longer where more are at work than there are CPUs.

use zpager_core::engine::{Config, Core};
use zpager_core::fault::{Access, FaultTask, Outcome};
use zpager_core::page::PageNumber;
use zpager_core::reclaim::kswapd::{self, Kswapd};
use zpager_core::simulation::memory::Frames;
use zpager_core::stats::Counters;
use zpager_core::swap_device::seal::Sealer;
use zpager_core::task::{Next, Task, plan_or_commit};
use zpager_core::world::World;
use zpager_core::zcache::codec::{CodecKind, recorded};
use zpager_core::zcache::policy::Policy;

use crate::costs::Costs;
use crate::device::LabDevice;
use crate::latency::Latency;
use crate::memory::LabMemory;
use crate::sample::Sample;

/// How far a thread runs ahead of the others before it is somebody else's turn: less than a fault takes.
const AHEAD_NS: u64 = 2_000;

/// Whoever's clock is so far ahead sleeps, or waits for the device, and takes no CPU.
const AT_WORK_NS: u64 = 20_000;

/// How long who waits does so before it looks again by itself.
const LOOK_AGAIN_NS: u64 = 1_000_000;

/// More would not be seen in a picture, and nobody knows beforehand how long a replay takes.
pub const SAMPLES_MAX: usize = 1024;

/// What a thread does next: it thinks for so long, and then touches a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(pub u64);

impl Step {
    /// The page is below 2³¹, and nobody thinks for more than four seconds at a time.
    pub fn new(page: u32, is_write: bool, think_ns: u32) -> Self {
        Step(u64::from(think_ns) << 32 | u64::from(page) << 1 | u64::from(is_write))
    }

    fn page(self) -> PageNumber {
        PageNumber(self.0 as u32 >> 1)
    }

    fn is_write(self) -> bool {
        self.0 & 1 != 0
    }

    fn think_ns(self) -> u64 {
        self.0 >> 32
    }

    fn without_think(self) -> Self {
        Step(self.0 & u64::from(u32::MAX))
    }
}

/// Where a fault found its page, by name.
pub const TIERS: [&str; 5] = ["new", "write_protected", "swap_cache", "zcache", "device"];

/// What came of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadResult {
    /// Accesses.
    pub accesses: u64,
    /// Faults that it took.
    pub faults: u64,
    /// Those by [`TIERS`]. The others found that somebody else had just brought the page.
    pub found: [u64; TIERS.len()],
    /// When it was done.
    pub end_ns: u64,
    /// How much of that it waited for pages.
    pub lost_ns: u64,
    /// The same, fault by fault.
    pub latency: Latency,
}

/// A task in progress.
struct Actor<T> {
    task: T,
    next: Next,
    clock_ns: u64,
    /// Commits that there were when it began to wait, or to sleep.
    waits_since: u64,
}

impl<T: Task> Actor<T> {
    fn new(task: T) -> Self {
        Actor { task, next: Next::Done, clock_ns: 0, waits_since: u64::MAX }
    }

    fn is_running(&self) -> bool {
        self.next != Next::Done
    }

    /// When it has its turn. Who waits looks again by itself after a while, if nobody has committed anything.
    fn due_ns(&self, core: &Core) -> u64 {
        let waits = self.next == Next::Wait && core.commits == self.waits_since;
        self.clock_ns + if waits { LOOK_AGAIN_NS } else { 0 }
    }
}

struct Thread {
    steps: Vec<Step>,
    position: usize,
    actor: Actor<FaultTask>,
    /// The fault, while there is one.
    faulted_ns: Option<u64>,
    result: ThreadResult,
}

impl Thread {
    fn is_done(&self) -> bool {
        self.position == self.steps.len()
    }
}

/// See the module's description.
pub struct Replay {
    core: Core,
    memory: LabMemory,
    device: LabDevice,
    sealer: Sealer,
    costs: Costs,
    threads: Vec<Thread>,
    kswapd: Actor<Kswapd>,
    page_count: u32,
    /// The earliest clock.
    now_ns: u64,
    sample_every_ns: u64,
    next_sample_ns: u64,
    samples: Vec<Sample>,
    /// After the core, whose arena is made of them.
    _frames: Frames,
}

/// Why a replay cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// RAM and device together do not hold so many pages; at most so many.
    BeyondCapacity(u32),
    /// A thread touches this page, and there are fewer.
    NoSuchPage(u32),
    /// RAM is not enough for a page that was touched.
    NoRoom,
}

impl Replay {
    /// A pager without contents: `zpage_bytes` has the length of each page's zpage, 0 for pages of zeros.
    /// It is looked every `sample_every_ns` what is where, 0 is never; half as often whenever that has
    /// come to [`SAMPLES_MAX`]. `policy` takes
    /// the place of the configuration's.
    pub fn new(
        config: Config,
        costs: Costs,
        zpage_bytes: Vec<u16>,
        threads: Vec<Vec<Step>>,
        sample_every_ns: u64,
        policy: Option<Box<dyn Policy>>,
    ) -> Result<Self, Impossible> {
        let page_count = zpage_bytes.len() as u32;
        let outside = |step: &&Step| step.page().0 >= page_count;
        if let Some(step) = threads.iter().flatten().find(outside) {
            return Err(Impossible::NoSuchPage(step.page().0));
        }
        let batch_pages = config.batch_pages as usize;
        let (frames, arena) = Frames::with_arena(config.ram_frames);
        let mut core = Core::new(config, arena);
        if let Some(policy) = policy {
            core.frontswap.zcache.pool.set_policy(policy);
        }
        let first = core
            .allocate(page_count, 1, None)
            .map_err(|_| Impossible::BeyondCapacity(core.capacity_pages()))?;
        assert_eq!(first, PageNumber(0), "the only region begins where the window does");
        let new_thread = |steps| Thread {
            steps,
            position: 0,
            actor: Actor::new(FaultTask::new(CodecKind::Recorded, batch_pages)),
            faulted_ns: None,
            result: ThreadResult::default(),
        };
        Ok(Replay {
            memory: LabMemory::new(zpage_bytes, config.staging_slots(), costs),
            device: LabDevice::new(config.swap_slots, costs),
            sealer: Sealer::new(None),
            costs,
            threads: threads.into_iter().map(new_thread).collect(),
            kswapd: Actor::new(Kswapd::new(CodecKind::Recorded, batch_pages)),
            page_count,
            now_ns: 0,
            sample_every_ns,
            next_sample_ns: if sample_every_ns == 0 { u64::MAX } else { 0 },
            samples: Vec::new(),
            core,
            _frames: frames,
        })
    }

    /// What has happened.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// What was seen on the way.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The state, to look at.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Whether the tables of the core agree with one another: panics where they do not.
    pub fn check(&self) {
        self.core.check();
    }

    /// What came of the threads so far.
    pub fn threads(&self) -> impl Iterator<Item = &ThreadResult> {
        self.threads.iter().map(|thread| &thread.result)
    }

    /// Replays everything to its end.
    pub fn run(&mut self) -> Result<(), Impossible> {
        while !self.run_turns(u32::MAX)? {}
        Ok(())
    }

    /// Replays so many turns. Whether that was the end.
    pub fn run_turns(&mut self, turns: u32) -> Result<bool, Impossible> {
        recorded::take_counts();
        for _ in 0..turns {
            let Some((thread, horizon_ns)) = self.next_turn() else {
                self.sample(self.end_ns());
                return Ok(true);
            };
            let clock_ns = match thread {
                Some(thread) => {
                    self.now_ns = self.threads[thread].actor.clock_ns;
                    self.turn_of(thread, horizon_ns.min(self.next_sample_ns))?;
                    self.threads[thread].actor.clock_ns
                }
                None => {
                    self.now_ns = self.kswapd.clock_ns;
                    self.turn_of_kswapd();
                    self.kswapd.clock_ns
                }
            };
            if self.now_ns >= self.next_sample_ns {
                self.sample(self.now_ns);
            }
            self.wake(clock_ns);
        }
        Ok(false)
    }

    /// How far everybody has come.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// When the last thread was done.
    pub fn end_ns(&self) -> u64 {
        self.threads().map(|thread| thread.end_ns).max().unwrap_or(0)
    }

    /// Whose turn it is, `None` being kswapd's, and when somebody else is due.
    fn next_turn(&self) -> Option<(Option<usize>, u64)> {
        let is_kswapd_due = self.kswapd.is_running();
        let kswapd = is_kswapd_due.then(|| (self.kswapd.due_ns(&self.core), None));
        let threads = self.threads.iter().enumerate().filter(|(_, thread)| !thread.is_done());
        let threads = threads.map(|(index, thread)| (thread.actor.due_ns(&self.core), Some(index)));
        let (mut earliest, mut second_ns) = (None, u64::MAX);
        for (due_ns, who) in threads.chain(kswapd) {
            match earliest {
                Some((earliest_ns, _)) if due_ns >= earliest_ns => second_ns = second_ns.min(due_ns),
                _ => {
                    second_ns = earliest.map_or(u64::MAX, |(earliest_ns, _)| earliest_ns);
                    earliest = Some((due_ns, who));
                }
            }
        }
        let (_, who) = earliest?;
        let are_all_done = self.threads.iter().all(Thread::is_done);
        (!are_all_done).then_some((who, second_ns.saturating_add(AHEAD_NS)))
    }

    /// CPU time as it takes, with so many at work.
    fn stretched_ns(&self, cpu_ns: u64) -> u64 {
        let cpus = self.costs.cpus as usize;
        if self.threads.len() < cpus {
            return cpu_ns;
        }
        let until_ns = self.now_ns + AT_WORK_NS;
        let is_at_work = |thread: &&Thread| {
            !thread.is_done() && thread.actor.next != Next::Wait && thread.actor.clock_ns <= until_ns
        };
        let threads = self.threads.iter().filter(is_at_work).count();
        let is_kswapd = self.kswapd.is_running() && self.kswapd.clock_ns <= until_ns;
        let at_work = threads + usize::from(is_kswapd);
        cpu_ns * at_work.max(cpus) as u64 / cpus as u64
    }

    fn turn_of(&mut self, index: usize, horizon_ns: u64) -> Result<(), Impossible> {
        if self.threads[index].faulted_ns.is_some() {
            return self.half_step_of(index);
        }
        let access_ns = self.stretched_ns(self.costs.access_ns);
        let thread = &mut self.threads[index];
        let mut clock_ns = thread.actor.clock_ns;
        let begun = thread.position;
        let mut fault = None;
        for step in &mut thread.steps[begun..] {
            // Others may have their turn while it thinks, and what it then finds is theirs to say.
            clock_ns += step.think_ns();
            if clock_ns > horizon_ns {
                *step = step.without_think();
                break;
            }
            if !self.memory.is_hit(step.page(), step.is_write()) {
                *step = step.without_think();
                fault = Some(*step);
                break;
            }
            clock_ns += access_ns;
            thread.position += 1;
        }
        thread.result.accesses += (thread.position - begun) as u64;
        thread.result.end_ns = clock_ns;
        thread.actor.clock_ns = clock_ns;
        if let Some(step) = fault {
            let access = if step.is_write() { Access::Write } else { Access::Read };
            thread.actor.task.begin(step.page(), access, self.memory.is_mapped(step.page()));
            thread.actor.next = Next::Again;
            thread.faulted_ns = Some(clock_ns);
            thread.result.faults += 1;
            let fault_ns = self.stretched_ns(self.costs.fault_ns);
            self.threads[index].actor.clock_ns += fault_ns;
        }
        Ok(())
    }

    fn half_step_of(&mut self, index: usize) -> Result<(), Impossible> {
        let before = found(&self.core.counters);
        let spent_ns = half_step(
            &mut self.threads[index].actor,
            &mut self.core,
            &self.memory,
            &self.device,
            &self.sealer,
            &self.costs,
        );
        let spent_ns = self.stretched_ns(spent_ns);
        let thread = &mut self.threads[index];
        thread.actor.clock_ns += spent_ns;
        let after = found(&self.core.counters);
        for (found, (after, before)) in thread.result.found.iter_mut().zip(after.iter().zip(before)) {
            *found += after - before;
        }
        if thread.actor.next == Next::Done {
            let faulted_ns = thread.faulted_ns.take().expect("a thread that faults");
            let took_ns = thread.actor.clock_ns - faulted_ns;
            thread.result.lost_ns += took_ns;
            thread.result.latency.record(took_ns);
            if thread.actor.task.outcome() != Outcome::Resolved {
                return Err(Impossible::NoRoom);
            }
        }
        Ok(())
    }

    fn turn_of_kswapd(&mut self) {
        let spent_ns = half_step(
            &mut self.kswapd,
            &mut self.core,
            &self.memory,
            &self.device,
            &self.sealer,
            &self.costs,
        );
        self.kswapd.clock_ns += self.stretched_ns(spent_ns);
    }

    /// Whoever waited for this turn is due from now on.
    fn wake(&mut self, now_ns: u64) {
        let is_news = self.core.commits != self.kswapd.waits_since;
        if !self.kswapd.is_running() && is_news && kswapd::is_wanted(&self.core) {
            self.core.counters.kswapd_wakes += 1;
            self.kswapd.next = Next::Again;
            self.kswapd.clock_ns = self.kswapd.clock_ns.max(now_ns) + self.costs.wake_ns;
        }
        let core = &self.core;
        let wake = |next: &mut Next, clock_ns: &mut u64, waits_since: u64| {
            if *next == Next::Wait && core.commits != waits_since {
                *next = Next::Again;
                *clock_ns = now_ns.max(*clock_ns);
            }
        };
        wake(&mut self.kswapd.next, &mut self.kswapd.clock_ns, self.kswapd.waits_since);
        for Thread { actor, .. } in &mut self.threads {
            wake(&mut actor.next, &mut actor.clock_ns, actor.waits_since);
        }
    }

    fn sample(&mut self, now_ns: u64) {
        if let Some(periods) = now_ns.checked_div(self.sample_every_ns) {
            let threads = self.threads().map(|thread| (thread.lost_ns, thread.accesses)).collect();
            self.samples.push(Sample::of(&self.core, self.page_count, now_ns, threads));
            if self.samples.len() == SAMPLES_MAX {
                let mut is_kept = false;
                self.samples.retain(|_| {
                    is_kept = !is_kept;
                    is_kept
                });
                self.sample_every_ns *= 2;
            }
            self.next_sample_ns = (periods + 1) * self.sample_every_ns;
        }
    }
}

/// Faults by [`TIERS`].
fn found(counters: &Counters) -> [u64; TIERS.len()] {
    [
        counters.faults_zero,
        counters.faults_write_protect,
        counters.faults_swap_cache,
        counters.faults_zcache,
        counters.faults_device,
    ]
}

/// What the actor's task wants next; the CPU time that it took. Its clock is where its I/O ended.
fn half_step<T: Task>(
    actor: &mut Actor<T>,
    core: &mut Core,
    memory: &LabMemory,
    device: &LabDevice,
    sealer: &Sealer,
    costs: &Costs,
) -> u64 {
    if actor.next != Next::CarryOut {
        if actor.next == Next::Wait {
            actor.clock_ns += LOOK_AGAIN_NS;
        }
        actor.next = plan_or_commit(&mut actor.task, core, actor.clock_ns / 1000);
        actor.waits_since = core.commits;
        return 0;
    }
    device.set_now_ns(actor.clock_ns);
    actor.task.carry_out(World { memory, device, sealer });
    actor.clock_ns = device.done_ns();
    actor.next = Next::Again;
    let counts = recorded::take_counts();
    memory.take_spent_ns() + counts.compressed * costs.compress_ns + counts.decompressed * costs.decompress_ns
}
