//! The simulated world: the same core on memory and a device that are only simulated, with a
//! seed that decides everything, down to who is interrupted between plan and commit.
//!
//! Programs read, write, discard, allocate and free; kswapd and reclaim on demand work in
//! between; each advances by half a step at a time, under the lock or outside of it. Beside it
//! stands the oracle: how often each page was written. A read that does not match, an illegal
//! state, a table that disagrees with another, or a wait without end is a panic.

pub mod contents;
pub mod device;
pub mod failing;
pub mod memory;
pub mod random;
pub mod tree;

use std::collections::HashSet;

use crate::budget::Use;
use crate::discard::Discard;
use crate::engine::{AllocateError, Config, Core};
use crate::eviction::EvictionKind;
use crate::fault::{Access, FaultTask, Outcome};
use crate::page::{PAGE_BYTES, Page, PageNumber};
use crate::page_table::Backing;
use crate::reclaim::kswapd::{self, Kswapd};
use crate::reclaim::on_demand::{Demand, ReclaimOnDemand};
use crate::swap_device::seal::{KEY_BYTES, Sealer};
use crate::task::{Next, Task, plan_or_commit};
use crate::watch::Unwatch;
use crate::world::World;
use crate::zcache::PoolKind;
use crate::zcache::codec::CodecKind;
use crate::zcache::policy::PolicyKind;
use crate::zcache::pool::{Handle, ZpageHeader, arena::FrameIndex};
use contents::Compressibility;
use device::{Failures, SimulatedDevice};
use failing::{Failing, Kind};
use memory::{Frames, SimulatedMemory};
use random::Random;
use xxhash_rust::xxh3::xxh3_64;

const PROGRAMS: usize = 4;
const REGIONS_MAX: usize = 6;
/// A program's own half steps after which what it does should have come to its end.
const STUCK_AFTER: u32 = 20_000;
/// What a panic begins with when a program does not get on.
pub const STANDSTILL: &str = "a program is stuck";
/// Half steps after which everybody should have come to rest when nothing new is begun.
const REST_WITHIN: u32 = 200_000;

/// Where in a zpage's header its checksum begins.
const DAMAGED_FROM: usize = 4;
/// Zpages begin at multiples of this, in every pool.
const ZPAGE_ALIGNMENT: usize = 32;

/// Half steps in which nothing has come to its end, after which time flies for those who give up.
const PATIENCE: u32 = 200;
const FLYING_US: u64 = 1_000_000;
/// Accesses that are given up before nobody tries any more what it takes so long to see fail.
const GIVEN_UP_MAX: u32 = 8;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What the pager is made of.
    pub config: Config,
    /// How it compresses.
    pub codec: CodecKind,
    /// What goes wrong on the device.
    pub failures: Failures,
    /// One in so many calls to memory is refused; 0 is none.
    pub refusals_one_in: u32,
    /// What fails besides, by its number.
    pub failing: Option<Failing>,
    /// After one in so many operations a byte of a stored zpage is wrong; 0 is never.
    pub damage_one_in: u32,
    /// What programs write.
    pub compressibility: Compressibility,
    /// Of ten accesses, so many are writes.
    pub writes_in_ten: u32,
    /// One region of all pages that can be had; nothing is discarded or freed, and nobody demands a
    /// reclaim: whatever gets stuck stays stuck.
    pub is_full: bool,
    /// Whether it may come to where no frame can be had, and programs give up.
    pub gives_up: bool,
    /// Half steps between two checks of everything.
    pub check_every: u32,
}

impl Scenario {
    /// The scenario of a seed: small memory, everything else by chance.
    pub fn of_seed(seed: u64) -> Self {
        let random = &mut Random::new(seed);
        let batch_pages = random.choose(&[32, 64]);
        let reserve_frames = Config::reserve_frames_min(batch_pages) + random.choose(&[0, 0, 100]);
        let ram_frames = reserve_frames + Config::RAM_FRAMES_MIN + random.below(300);
        let swap_slots = random.choose(&[50, 100, 300, 700, 1500]);
        let fails = random.one_in(2);
        let is_full = random.one_in(4);
        let one_in = |random: &mut Random, times| if fails { times + random.below(times) } else { 0 };
        let mut scenario = Scenario {
            config: Config {
                ram_frames,
                buffer_frames: 0,
                swap_slots,
                batch_pages,
                window_pages: 2 * (ram_frames + swap_slots),
                pool: random.choose(&[PoolKind::Zbud, PoolKind::Zsmalloc]),
                pool_limit_frames: random
                    .choose(&[Some(5), Some(8), Some(15), Some(30), Some(50), Some(90), None])
                    .map(|percent: u32| ram_frames * percent / 100),
                reserve_frames,
                eviction: random.choose(&[
                    EvictionKind::None,
                    EvictionKind::Unuse,
                    EvictionKind::Writeback,
                    EvictionKind::Intact,
                    EvictionKind::Intact,
                ]),
                policy: PolicyKind::FrameLru,
                unwatched_pages_min: random.choose(&[1, 1, u32::MAX]),
                readahead_pages: random.choose(&[1, 4, 32]),
                is_encrypted: random.one_in(2),
            },
            codec: random.choose(&[CodecKind::Lz4, CodecKind::Lz4, CodecKind::Zstd]),
            failures: Failures {
                write_one_in: one_in(random, 500),
                read_one_in: one_in(random, 5),
                corrupt_one_in: one_in(random, 500),
                // A full device has no slot to spare.
                slot_one_in: if is_full { 0 } else { one_in(random, 200) },
            },
            refusals_one_in: one_in(random, 50),
            failing: None,
            damage_one_in: 0,
            compressibility: random.choose(if is_full {
                &[Compressibility::Noise, Compressibility::Mixed, Compressibility::Good]
            } else {
                &[Compressibility::Mixed, Compressibility::Good]
            }),
            writes_in_ten: random.choose(&[1, 3, 3, 8]),
            is_full,
            gives_up: false,
            check_every: 64,
        };
        scenario.config.policy = random.choose(&PolicyKind::ALL);
        scenario.damage_one_in = if random.one_in(2) { 200 + random.below(200) } else { 0 };
        scenario
    }
}

/// What the oracle knows of a region.
struct Known {
    first: PageNumber,
    /// How often each page was written; `None`: its contents are lost.
    versions: Vec<Option<u32>>,
    /// A program is discarding or freeing in it, and nobody else touches it.
    is_reserved: bool,
}

enum Doing {
    Nothing,
    Access { page: PageNumber, access: Access },
    Discard { task: Box<Discard>, first: PageNumber, count: u32 },
    Free { task: Box<Discard>, first: PageNumber },
    Allocate { task: Unwatch, first: PageNumber, page_count: u32 },
}

struct Program {
    doing: Doing,
    fault: FaultTask,
    /// A sequence of accesses that goes on.
    sequence: Option<(PageNumber, u32, Access)>,
    next: Next,
    /// Half steps since it began what it does.
    age: u32,
}

struct Background<T> {
    task: T,
    is_running: bool,
    next: Next,
}

impl<T: Task> Background<T> {
    fn new(task: T) -> Self {
        Background { task, is_running: false, next: Next::Again }
    }
}

/// One run.
pub struct Simulation {
    scenario: Scenario,
    random: Random,
    core: Core,
    memory: SimulatedMemory,
    device: SimulatedDevice,
    sealer: Sealer,
    known: Vec<Known>,
    /// Pages whose zpage was damaged, and the write that it was of.
    damaged: HashSet<(PageNumber, u32)>,
    programs: Vec<Program>,
    kswapd: Background<Kswapd>,
    on_demand: Background<ReclaimOnDemand>,
    now_us: u64,
    /// Operations that have come to their end.
    operations: u64,
    half_steps: u32,
    /// Half steps since one came to its end.
    idle_half_steps: u32,
    given_up: u32,
    scratch: Box<Page>,
    /// After the core, whose arena is made of them.
    _frames: Frames,
}

impl Simulation {
    /// A run of this scenario, ordered by this seed.
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let Scenario { config, codec, .. } = scenario;
        let batch_pages = config.batch_pages as usize;
        let (frames, arena) = Frames::with_arena(config.ram_frames);
        let program = || Program {
            doing: Doing::Nothing,
            fault: FaultTask::new(codec, batch_pages),
            sequence: None,
            next: Next::Again,
            age: 0,
        };
        let staging_slots = config.staging_slots();
        Simulation {
            scenario,
            random: Random::new(seed),
            core: Core::new(config, arena),
            memory: SimulatedMemory::new(
                config.window_pages,
                staging_slots,
                &frames,
                seed,
                scenario.refusals_one_in,
                scenario.failing,
            ),
            device: SimulatedDevice::new(config.swap_slots, seed, scenario.failures, scenario.failing),
            sealer: Sealer::new(config.is_encrypted.then_some(&[1; KEY_BYTES])),
            known: Vec::new(),
            damaged: HashSet::new(),
            programs: (0..PROGRAMS).map(|_| program()).collect(),
            kswapd: Background::new(Kswapd::new(codec, batch_pages)),
            on_demand: Background::new(ReclaimOnDemand::new(codec, batch_pages)),
            now_us: 0,
            operations: 0,
            half_steps: 0,
            idle_half_steps: 0,
            given_up: 0,
            scratch: Box::new(Page::ZERO),
            _frames: frames,
        }
    }

    /// The state, to look at.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Operations of this kind so far.
    pub fn count(&self, kind: Kind) -> u64 {
        self.device.numbered().count(kind) + self.memory.numbered().count(kind)
    }

    /// Runs until so many operations have come to their end, or some were given up, and finishes.
    pub fn run(&mut self, operations: u64) {
        while self.operations < operations && self.given_up < GIVEN_UP_MAX {
            self.half_step(true);
        }
        self.finish();
    }

    /// Lets everything come to rest, frees all, and sees that all was given back.
    fn finish(&mut self) {
        self.come_to_rest();
        self.core.check_at_rest();
        self.read_all_back();
        if self.scenario.failing.is_some() {
            // What could not be had before is still what it was.
            self.device.numbered().heal();
            self.memory.numbered().heal();
            self.read_all_back();
        }
        while let Some(known) = self.known.pop() {
            self.drive_alone(&mut Discard::region(known.first, known.versions.len() as u32));
        }
        self.core.check_at_rest();
        for what in [Use::Resident, Use::SwapCache, Use::Pool] {
            assert_eq!(self.core.budget.used(what), 0, "{what:?} after all was freed");
        }
        assert_eq!(self.core.swap_map.used(), 0);
        assert_eq!(self.core.frontswap.denial.count(), 0);
        assert_eq!((self.memory.mapped_count(), self.memory.staged_count()), (0, 0));
    }

    fn half_step(&mut self, starts_new: bool) {
        self.now_us += 1 + u64::from(self.random.below(20));
        self.half_steps += 1;
        self.idle_half_steps += 1;
        if self.scenario.gives_up && self.idle_half_steps > PATIENCE {
            self.now_us += FLYING_US;
        }
        match self.random.below(PROGRAMS as u32 + 2) as usize {
            0 => self.half_step_of_kswapd(),
            1 => self.half_step_on_demand(starts_new),
            program => self.half_step_of(program - 2, starts_new),
        }
        let budget = &self.core.budget;
        let counted = budget.used(Use::Resident) + budget.used(Use::SwapCache);
        let real = (self.memory.mapped_count() + self.memory.staged_count()) as u32;
        assert!(real <= counted, "{real} frames exist, {counted} are counted");
        if self.half_steps.is_multiple_of(self.scenario.check_every) {
            self.core.check();
        }
    }

    fn half_step_of_kswapd(&mut self) {
        if !self.kswapd.is_running && !kswapd::is_wanted(&self.core) {
            return;
        }
        self.core.counters.kswapd_wakes += u64::from(!self.kswapd.is_running);
        self.kswapd.is_running = true;
        let world = World { memory: &self.memory, device: &self.device, sealer: &self.sealer };
        let next = advance(&mut self.kswapd.task, self.kswapd.next, &mut self.core, self.now_us, world);
        self.kswapd.is_running = next != Next::Done;
        self.kswapd.next = next;
    }

    fn half_step_on_demand(&mut self, starts_new: bool) {
        if !self.on_demand.is_running {
            if !starts_new || self.scenario.is_full || !self.random.one_in(400) {
                return;
            }
            let count = u64::from(self.random.below(40));
            let demand = self.random.choose(&[Demand::Pages(count), Demand::Units(count / 8)]);
            self.on_demand.task.begin(demand);
            self.on_demand.is_running = true;
        }
        let world = World { memory: &self.memory, device: &self.device, sealer: &self.sealer };
        let next = advance(&mut self.on_demand.task, self.on_demand.next, &mut self.core, self.now_us, world);
        self.on_demand.is_running = next != Next::Done;
        self.on_demand.next = next;
    }

    fn half_step_of(&mut self, program: usize, starts_new: bool) {
        let world = World { memory: &self.memory, device: &self.device, sealer: &self.sealer };
        let Program { doing, fault, next, .. } = &mut self.programs[program];
        let task: &mut dyn Task = match doing {
            Doing::Nothing if starts_new => return self.start(program),
            Doing::Nothing => return,
            Doing::Access { .. } => fault,
            Doing::Discard { task, .. } | Doing::Free { task, .. } => &mut **task,
            Doing::Allocate { task, .. } => task,
        };
        *next = advance(task, *next, &mut self.core, self.now_us, world);
        if *next == Next::Done {
            return self.end(program);
        }
        self.programs[program].age += 1;
        let Core { budget, swap_map, swap_cache, counters, .. } = &self.core;
        assert!(
            self.programs[program].age < STUCK_AFTER,
            "{STANDSTILL}: {budget:?}, {} slots of {}, {} in the swap cache, {counters:#?}",
            swap_map.used(),
            swap_map.slot_count(),
            swap_cache.length(),
        );
    }

    fn start(&mut self, program: usize) {
        if let Some((page, left, access)) = self.programs[program].sequence.take()
            && self.known_at(page).is_some()
        {
            if left > 1 {
                self.programs[program].sequence = Some((page.plus(1), left - 1, access));
            }
            return self.access(program, page, access);
        }
        let usable = (0..self.known.len()).filter(|known| !self.known[*known].is_reserved);
        let usable: Vec<usize> = usable.collect();
        let regions_max = if self.scenario.is_full { 1 } else { REGIONS_MAX };
        if usable.is_empty() || (self.known.len() < regions_max && self.random.one_in(200)) {
            return self.allocate(program);
        }
        let index = self.random.choose(&usable);
        let page_count = self.known[index].versions.len() as u32;
        let first = self.known[index].first;
        // Half of all accesses go to the first eighth of a region.
        let reach = if self.random.one_in(2) { page_count.div_ceil(8) } else { page_count };
        let offset = self.random.below(reach);
        let page = first.plus(offset);
        let is_write = self.random.below(10) < self.scenario.writes_in_ten;
        let access = if is_write { Access::Write } else { Access::Read };
        match self.random.below(1000) {
            0 if usable.len() > 1 => {
                self.known[index].is_reserved = true;
                let task = Box::new(Discard::region(first, page_count));
                self.programs[program].doing = Doing::Free { task, first };
            }
            1..=5 if !self.scenario.is_full => {
                self.known[index].is_reserved = true;
                let count = 1 + self.random.below(page_count - offset);
                let task = Box::new(Discard::range(page, count));
                self.programs[program].doing = Doing::Discard { task, first: page, count };
            }
            6 if self.memory.vanish(page) => {
                self.known[index].versions[offset as usize] = Some(0);
                self.done();
            }
            7 => {
                let frames = self.random.below(self.core.config.ram_frames);
                let untouched = self.random.below(self.core.regions.unwatched_pages() + 1);
                let untouched = self.random.one_in(2).then_some(untouched);
                self.core.count_unmanaged(self.core.managed_frames() + frames, untouched);
                self.done();
            }
            8 => {
                let count = 1 + self.random.below(page_count - offset).min(20);
                if self.random.one_in(2) || !self.core.lock_pages(page, count) {
                    self.core.unlock_pages(first, page_count);
                }
                self.done();
            }
            9..=20 => {
                let length = 1 + self.random.below(page_count - offset).min(100);
                self.programs[program].sequence = Some((page, length, access));
            }
            _ => self.access(program, page, access),
        }
    }

    fn allocate(&mut self, program: usize) {
        let room = self.core.promised_pages_max().saturating_sub(self.core.regions.page_count());
        let page_count = match () {
            () if self.scenario.is_full => room,
            () if self.random.one_in(3) => (room - room / 8).max(1),
            () => 1 + self.random.below(room.max(1)),
        };
        let item_bytes = self.random.choose(&[1, 2, 4, 8, 12]);
        match self.core.allocate(page_count, item_bytes, None) {
            Ok(first) => {
                let mut task = Unwatch::new(first, page_count);
                let next = plan_or_commit(&mut task, &mut self.core, self.now_us);
                self.programs[program].next = next;
                self.programs[program].doing = Doing::Allocate { task, first, page_count };
                if next == Next::Done {
                    self.end(program);
                }
            }
            Err(AllocateError::BeyondCapacity { available }) => assert!(page_count > available),
            Err(AllocateError::NoGap | AllocateError::NeedFrames(_)) => {}
        }
    }

    /// Accesses a page, or begins the fault that this takes.
    fn access(&mut self, program: usize, page: PageNumber, access: Access) {
        let known = self.known_at(page).expect("a region that is not reserved");
        let offset = (page.0 - self.known[known].first.0) as usize;
        let version = self.known[known].versions[offset];
        let is_write = access == Access::Write;
        let compressibility = self.scenario.compressibility;
        let scratch = &mut *self.scratch;
        let done = self.memory.access(page, is_write, |contents| match version {
            None => panic!("{page:?} is lost, and was handed out"),
            Some(version) if is_write => {
                contents::fill(page, version + 1, compressibility, contents);
                Some(version + 1)
            }
            Some(version) => {
                contents::fill(page, version, compressibility, scratch);
                assert!(contents[..] == scratch[..], "{page:?} does not hold write number {version}");
                Some(version)
            }
        });
        match done {
            Some(version) => {
                self.known[known].versions[offset] = version;
                self.programs[program].doing = Doing::Nothing;
                self.programs[program].age = 0;
                self.done();
            }
            None => {
                let was_mapped = self.memory.access(page, false, |_| ()).is_some();
                self.programs[program].fault.begin(page, access, was_mapped);
                self.programs[program].next = Next::Again;
                self.programs[program].doing = Doing::Access { page, access };
            }
        }
    }

    /// A program's task has come to its end.
    fn end(&mut self, program: usize) {
        self.programs[program].next = Next::Again;
        if !matches!(self.programs[program].doing, Doing::Access { .. }) {
            self.programs[program].age = 0;
        }
        match std::mem::replace(&mut self.programs[program].doing, Doing::Nothing) {
            Doing::Nothing => {}
            Doing::Access { page, access } => match self.programs[program].fault.outcome() {
                // Somebody reserved the region meanwhile: the program is content to have waited.
                _ if self.known_at(page).is_none() => {}
                Outcome::Resolved => self.access(program, page, access),
                Outcome::Lost(_) => {
                    assert!(self.memory.is_poisoned(page), "{page:?} is lost, and would be waited for");
                    self.lose(page);
                }
                Outcome::OutOfBounds => panic!("{page:?} is in no region"),
                Outcome::NoRoom => {
                    assert!(self.scenario.gives_up, "no room for {page:?}");
                    self.given_up += 1;
                    self.programs.iter_mut().for_each(|program| program.age = 0);
                    self.done();
                }
            },
            Doing::Discard { first, count, .. } => {
                let known =
                    self.known.iter().position(|known| known.contains(first)).expect("a known region");
                let offset = (first.0 - self.known[known].first.0) as usize;
                self.known[known].versions[offset..][..count as usize].fill(Some(0));
                self.known[known].is_reserved = false;
                self.done();
            }
            Doing::Allocate { first, page_count, .. } => {
                let versions = vec![Some(0); page_count as usize];
                self.known.push(Known { first, versions, is_reserved: false });
                self.done();
            }
            Doing::Free { first, .. } => {
                self.known.retain(|known| known.first != first);
                self.done();
            }
        }
    }

    fn lose(&mut self, page: PageNumber) {
        self.programs.iter_mut().for_each(|program| program.age = 0);
        let known = self.known_at(page).expect("a region that is not reserved");
        let offset = (page.0 - self.known[known].first.0) as usize;
        let Some(version) = self.known[known].versions[offset].take() else { return self.done() };
        let is_allowed = self.device.corrupted() > 0
            || self.core.counters.device_read_errors > 0
            || self.damaged.contains(&(page, version));
        assert!(is_allowed, "{page:?} is lost although nothing was wrong with it");
        self.done();
    }

    fn known_at(&self, page: PageNumber) -> Option<usize> {
        self.known.iter().position(|known| known.contains(page) && !known.is_reserved)
    }

    fn done(&mut self) {
        self.operations += 1;
        self.idle_half_steps = 0;
        if self.scenario.damage_one_in > 0 && self.random.one_in(self.scenario.damage_one_in) {
            self.damage();
        }
    }

    /// Makes a byte of some zpage wrong, or of its checksum.
    fn damage(&mut self) {
        let Some(known) = self.known.len().checked_sub(1).map(|last| self.random.below(last as u32 + 1))
        else {
            return;
        };
        let Known { first, versions, .. } = &self.known[known as usize];
        let begin = self.random.below(versions.len() as u32);
        let stored = (0..versions.len() as u32).find_map(|offset| {
            let offset = (begin + offset) % versions.len() as u32;
            match (self.core.pages.get(first.plus(offset)).backing, versions[offset as usize]) {
                (Backing::Zpage(handle), Some(version)) => Some((first.plus(offset), handle, version)),
                _ => None,
            }
        });
        let Some((page, handle, version)) = stored else { return };
        let header = self.core.frontswap.zcache.pool.header(handle);
        let wanted = &header.to_bytes()[..DAMAGED_FROM + size_of::<u32>()];
        let in_header = DAMAGED_FROM + self.random.below(size_of::<u32>() as u32) as usize;
        let in_bytes = ZpageHeader::BYTES + self.random.below(header.length.into()) as usize;
        let at = if self.random.one_in(2) { in_header } else { in_bytes };
        // What was dropped or moved elsewhere still looks like a zpage: the right place is where the
        // pool finds the difference.
        for frame in 0..self.core.frontswap.zcache.pool.arena().touched() {
            let frame = FrameIndex(frame);
            for start in (0..PAGE_BYTES).step_by(ZPAGE_ALIGNMENT) {
                let is_like_it =
                    self.core.frontswap.zcache.pool.arena().frame(frame)[start..].starts_with(wanted);
                // Of one that goes on in another frame, only what is in this one.
                if is_like_it && start + at < PAGE_BYTES {
                    let before = self.loaded(handle);
                    self.core.frontswap.zcache.pool.arena_mut().frame_mut(frame)[start + at] ^= 0x10;
                    if self.loaded(handle) != before {
                        self.damaged.insert((page, version));
                        return;
                    }
                    self.core.frontswap.zcache.pool.arena_mut().frame_mut(frame)[start + at] ^= 0x10;
                }
            }
        }
    }

    /// A zpage as the pool has it.
    fn loaded(&mut self, handle: Handle) -> (ZpageHeader, u64) {
        let header = self.core.frontswap.zcache.pool.load(handle, &mut self.scratch[..]);
        (header, xxh3_64(&self.scratch[..header.length.into()]))
    }

    /// Lets everybody finish what is under way.
    fn come_to_rest(&mut self) {
        let is_idle = |program: &Program| matches!(program.doing, Doing::Nothing);
        let begun = self.half_steps;
        while !self.programs.iter().all(is_idle) || self.kswapd.is_running || self.on_demand.is_running {
            self.half_step(false);
            assert!(self.half_steps - begun < REST_WITHIN, "somebody never comes to rest");
        }
    }

    fn read_all_back(&mut self) {
        self.given_up = 0;
        for known in 0..self.known.len() {
            self.read_back(known);
        }
        self.core.check_at_rest();
    }

    fn read_back(&mut self, known: usize) {
        for offset in 0..self.known[known].versions.len() as u32 {
            let page = self.known[known].first.plus(offset);
            if self.known[known].versions[offset as usize].is_some() && self.given_up < GIVEN_UP_MAX {
                self.access(0, page, Access::Read);
                self.come_to_rest();
            }
        }
    }

    fn drive_alone(&mut self, task: &mut dyn Task) {
        let mut next = Next::Again;
        while next != Next::Done {
            let world = World { memory: &self.memory, device: &self.device, sealer: &self.sealer };
            next = advance(task, next, &mut self.core, self.now_us, world);
        }
    }
}

impl Known {
    fn contains(&self, page: PageNumber) -> bool {
        (self.first.0..self.first.0 + self.versions.len() as u32).contains(&page.0)
    }
}

/// Half a step of a task: what it asked for last, or else under the lock.
fn advance(task: &mut dyn Task, next: Next, core: &mut Core, now_us: u64, world: World<'_>) -> Next {
    match next {
        Next::CarryOut => {
            task.carry_out(world);
            Next::Again
        }
        Next::Again | Next::Wait | Next::Done => plan_or_commit(task, core, now_us),
    }
}
