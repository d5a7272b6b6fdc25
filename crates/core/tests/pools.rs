//! What every pool must do, run on each of them with each policy, beside a naive model and by
//! hand.
//!
//! `POOL_SEED=n cargo test --test pools` replays the one seed that a failure has printed.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::{BTreeMap, HashMap};
use std::ptr::NonNull;

use zpager_core::budget::{Budget, Use};
use zpager_core::page::{PAGE_BYTES, Page, PageNumber};
use zpager_core::zcache::policy::PolicyKind;
use zpager_core::zcache::pool::arena::{Arena, FrameIndex};
use zpager_core::zcache::pool::zbud::Zbud;
use zpager_core::zcache::pool::zsmalloc::Zsmalloc;
use zpager_core::zcache::pool::{Handle, Pool, Refusal, Unit, ZPAGES_PER_UNIT_MAX, ZpageHeader};

/// A pool, and what the tests know of it beyond the trait.
trait Tested: Pool {
    const FRAMES_PER_UNIT_MAX: u32;
    fn over(arena: Arena, policy: PolicyKind) -> Self;
    fn unit_of(handle: Handle) -> Unit;
}

impl Tested for Zbud {
    const FRAMES_PER_UNIT_MAX: u32 = 1;
    fn over(arena: Arena, policy: PolicyKind) -> Self {
        Zbud::new(arena, policy)
    }
    fn unit_of(handle: Handle) -> Unit {
        Unit(handle.0 / 2)
    }
}

impl Tested for Zsmalloc {
    const FRAMES_PER_UNIT_MAX: u32 = 4;
    fn over(arena: Arena, policy: PolicyKind) -> Self {
        Zsmalloc::new(arena, policy)
    }
    fn unit_of(handle: Handle) -> Unit {
        Unit(handle.0 / 64)
    }
}

/// RAM for an arena.
struct Frames {
    base: NonNull<Page>,
    layout: Layout,
}

impl Frames {
    /// The RAM of `count` frames, full of noise: a pool must not expect anything there.
    fn new(count: u32) -> Self {
        let layout = Layout::array::<Page>(count as usize).unwrap();
        // SAFETY: the layout is not empty.
        let base = NonNull::new(unsafe { alloc(layout) }.cast()).unwrap();
        let mut frames = Frames { base, layout };
        (0..count).for_each(|frame| frames.fill(FrameIndex(frame), 0xa5));
        frames
    }

    fn fill(&mut self, frame: FrameIndex, byte: u8) {
        assert!((frame.0 as usize) < self.layout.size() / PAGE_BYTES);
        // SAFETY: in bounds. The frame is out of the arena, or there is no arena yet.
        unsafe { self.base.add(frame.0 as usize).write_bytes(byte, 1) }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and the pool is gone (`Stage`).
        unsafe { dealloc(self.base.as_ptr().cast(), self.layout) }
    }
}

/// A pool with its budget. Fields are dropped in this order.
struct Stage<P> {
    pool: P,
    budget: Budget,
    frames: Frames,
}

impl<P: Tested> Stage<P> {
    fn new(frame_count: u32, budget_frames: u32, policy: PolicyKind) -> Self {
        let frames = Frames::new(frame_count);
        // SAFETY: the frames outlive the pool and are written only when taken out of it.
        let arena = unsafe { Arena::new(frames.base, frame_count) };
        Stage { pool: P::over(arena, policy), budget: Budget::new(budget_frames), frames }
    }

    fn store(&mut self, page: u32, length: usize) -> Result<Handle, Refusal> {
        let (header, bytes) = zpage(page, length);
        self.pool.store(header, &bytes, &mut self.budget)
    }

    /// Stores zpages of one length, page numbers counting up from 0, until one is refused.
    fn fill(&mut self, length: usize) -> (Vec<Handle>, Refusal) {
        let mut handles = Vec::new();
        loop {
            match self.store(handles.len() as u32, length) {
                Ok(handle) => handles.push(handle),
                Err(refusal) => return (handles, refusal),
            }
        }
    }

    fn remove(&mut self, handle: Handle) {
        self.pool.remove(handle, &mut self.budget);
    }

    fn end_isolation(&mut self, unit: Unit) -> u32 {
        self.pool.end_isolation(unit, &mut self.budget)
    }

    fn compact(&mut self, moves_max: u32) -> (u32, Vec<(PageNumber, Handle)>) {
        let mut moves = Vec::new();
        let freed =
            self.pool.compact(moves_max, &mut self.budget, &mut |page, handle| moves.push((page, handle)));
        (freed, moves)
    }

    fn zpages_of(&self, unit: Unit) -> Vec<Handle> {
        let mut handles = Vec::new();
        self.pool.zpages_of(unit, &mut |handle| handles.push(handle));
        handles
    }

    fn in_use(&self) -> u32 {
        self.pool.arena().in_use()
    }

    /// Gives the RAM of up to `count` reserved frames back to the "system".
    fn release(&mut self, count: usize) {
        let mut taken = Vec::new();
        self.pool.arena_mut().take_reserved(count, &mut taken);
        taken.iter().for_each(|&frame| self.frames.fill(frame, 0));
        self.pool.arena_mut().released(&taken, &mut self.budget);
    }

    /// The zpage at `handle` is the one that `zpage(page, length)` makes.
    fn expect(&self, handle: Handle, page: u32, length: usize) {
        let (header, bytes) = zpage(page, length);
        let mut loaded = [0xee; PAGE_BYTES];
        assert_eq!(self.pool.header(handle), header);
        assert_eq!(self.pool.load(handle, &mut loaded), header);
        assert!(loaded[..length] == bytes, "other bytes came back for page {page}");
        assert!(loaded[length..].iter().all(|&byte| byte == 0xee), "the load wrote too much");
    }

    fn check(&self) {
        self.pool.check();
        assert_eq!(self.budget.used(Use::Pool), self.in_use());
        assert_eq!(self.budget.used(Use::Reserve), self.pool.arena().reserved());
    }
}

fn zpage(page: u32, length: usize) -> (ZpageHeader, Vec<u8>) {
    let mut random = Random((page as u64) << 32 | length as u64);
    let mut bytes: Vec<u8> = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(random.next().to_le_bytes());
    }
    bytes.truncate(length);
    let (checksum, form) = (random.next() as u32, random.below(17) as u8);
    (ZpageHeader { page: PageNumber(page), checksum, length: length as u16, form }, bytes)
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

fn random_events<P: Tested>(policy: PolicyKind) {
    let seeds = match std::env::var("POOL_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("POOL_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..300,
    };
    for seed in seeds {
        let printed_on_panic = PrintSeed(seed);
        Model::<P>::new(seed, policy).run(400);
        drop(printed_on_panic);
    }
}

struct PrintSeed(u64);

impl Drop for PrintSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with POOL_SEED={}", self.0);
        }
    }
}

/// What a pool should hold, kept as naively as can be.
struct Model<P> {
    stage: Stage<P>,
    policy: PolicyKind,
    random: Random,
    /// Few lengths fill few size classes, which then have full and partly used units.
    lengths: Vec<usize>,
    /// Page and length by handle.
    zpages: BTreeMap<u32, (u32, usize)>,
    /// Those that are not isolated, cold to hot as [`PolicyKind::FrameLru`] has it.
    lru: Vec<Unit>,
    isolated: Vec<Unit>,
    unit_frames: HashMap<u32, u32>,
    page_next: u32,
}

impl<P: Tested> Model<P> {
    fn new(seed: u64, policy: PolicyKind) -> Self {
        let mut random = Random(seed);
        let frame_count = 1 + random.below(40) as u32;
        let budget_frames = if random.below(3) == 0 { 1 + random.below(40) as u32 } else { 100 };
        let stage = Stage::<P>::new(frame_count, budget_frames, policy);
        let length_bound = stage.pool.zpage_bytes_max() + 1;
        let lengths = (0..1 + random.below(12)).map(|_| random.below(length_bound)).collect();
        Model {
            stage,
            policy,
            random,
            lengths,
            zpages: BTreeMap::new(),
            lru: Vec::new(),
            isolated: Vec::new(),
            unit_frames: HashMap::new(),
            page_next: 0,
        }
    }

    fn run(mut self, steps: usize) {
        for _ in 0..steps {
            match self.random.below(100) {
                0..45 => self.store(),
                45..55 => self.used(),
                55..75 => self.remove(),
                75..80 => self.remove_many(),
                80..85 => self.isolate(),
                85..91 => self.unuse(),
                91..95 => self.compact(),
                95..97 => {
                    let frames = self.random.below(45) as u32;
                    self.stage.pool.arena_mut().set_limit(frames);
                }
                97..99 => self.starve(),
                _ => {
                    let count = self.random.below(10);
                    self.stage.release(count);
                }
            }
            self.compare();
        }
        for unit in std::mem::take(&mut self.isolated) {
            self.end_isolation(unit);
        }
        while !self.zpages.is_empty() {
            self.remove();
        }
        self.compare();
        self.stage.release(usize::MAX);
        assert_eq!(
            self.stage.budget.free(),
            self.stage.budget.total() - self.stage.budget.used(Use::Resident)
        );
    }

    fn store(&mut self) {
        let length = match self.random.below(10) {
            0 => self.random.below(PAGE_BYTES),
            _ => self.random.one_of(&self.lengths),
        };
        let page = self.page_next;
        self.page_next += 1;
        let in_use = self.stage.in_use();
        let arena = self.stage.pool.arena();
        let below_limit = arena.limit().saturating_sub(in_use);
        let to_take = arena.reserved() + self.stage.budget.free();
        match self.stage.store(page, length) {
            Ok(handle) => {
                let unit = P::unit_of(handle);
                assert!(!self.isolated.contains(&unit), "an isolated unit was filled");
                assert!(self.zpages.insert(handle.0, (page, length)).is_none(), "a handle given twice");
                let frames = self.stage.in_use() - in_use;
                if let Some(at) = self.lru.iter().position(|&other| other == unit) {
                    assert_eq!(frames, 0);
                    self.lru.remove(at);
                } else {
                    assert!(frames >= 1 && frames <= P::FRAMES_PER_UNIT_MAX.min(below_limit).min(to_take));
                    self.unit_frames.insert(unit.0, frames);
                }
                self.lru.push(unit);
            }
            Err(Refusal::CompressPoor) => assert!(length > self.stage.pool.zpage_bytes_max()),
            Err(Refusal::PoolLimit) => assert!(below_limit < P::FRAMES_PER_UNIT_MAX),
            Err(Refusal::NoFrame) => assert!(to_take < P::FRAMES_PER_UNIT_MAX),
        }
    }

    fn remove(&mut self) {
        let handles: Vec<u32> = self.zpages.keys().copied().collect();
        if !handles.is_empty() {
            let handle = self.random.one_of(&handles);
            self.remove_one(Handle(handle));
        }
    }

    fn used(&mut self) {
        let handles: Vec<u32> = self.zpages.keys().copied().collect();
        if !handles.is_empty() {
            let handle = Handle(self.random.one_of(&handles));
            self.stage.pool.used(handle);
            if let Some(at) = self.lru.iter().position(|&unit| unit == P::unit_of(handle)) {
                let unit = self.lru.remove(at);
                self.lru.push(unit);
            }
        }
    }

    fn remove_one(&mut self, handle: Handle) {
        let (page, length) = self.zpages[&handle.0];
        self.stage.expect(handle, page, length);
        self.stage.remove(handle);
        self.zpages.remove(&handle.0);
        self.forget_if_empty(P::unit_of(handle));
    }

    fn remove_many(&mut self) {
        for _ in 0..self.random.below(self.zpages.len() + 1) {
            self.remove();
        }
    }

    /// A unit that is empty and not isolated is gone.
    fn forget_if_empty(&mut self, unit: Unit) {
        if !self.isolated.contains(&unit) && self.handles_in(unit).is_empty() {
            self.lru.retain(|&other| other != unit);
            self.unit_frames.remove(&unit.0);
        }
    }

    fn isolate(&mut self) {
        let coldest = self.stage.pool.isolate_coldest();
        assert_eq!(coldest.is_some(), !self.lru.is_empty());
        if let Some(unit) = coldest {
            // The other policies' orders are tested with the policies.
            assert!(self.policy != PolicyKind::FrameLru || unit == self.lru[0]);
            let at = self.lru.iter().position(|&other| other == unit).expect("a unit that is not isolated");
            self.lru.remove(at);
            self.isolated.push(unit);
        }
    }

    /// Some zpages of an isolated unit leave, then its isolation ends.
    fn unuse(&mut self) {
        if self.isolated.is_empty() {
            self.isolate();
        }
        if self.isolated.is_empty() {
            return;
        }
        let at = self.random.below(self.isolated.len());
        let keep_some = self.random.below(2) == 0;
        for handle in self.handles_in(self.isolated[at]) {
            if !keep_some || self.random.below(2) == 0 {
                self.remove_one(handle);
            }
        }
        let unit = self.isolated.swap_remove(at);
        self.end_isolation(unit);
    }

    fn end_isolation(&mut self, unit: Unit) {
        let freed = if self.handles_in(unit).is_empty() {
            self.unit_frames.remove(&unit.0).unwrap()
        } else {
            self.lru.insert(0, unit);
            0
        };
        assert_eq!(self.stage.end_isolation(unit), freed);
    }

    fn compact(&mut self) {
        let moves_max = self.random.one_of(&[0, 1, 5, 1000]);
        let in_use = self.stage.in_use();
        let (freed, moves) = self.stage.compact(moves_max);
        assert_eq!(freed, in_use - self.stage.in_use());
        assert!(moves.len() as u32 <= moves_max);
        for (page, handle) in moves {
            let (&from, &zpage) = self.zpages.iter().find(|(_, zpage)| zpage.0 == page.0).unwrap();
            let (from, to) = (P::unit_of(Handle(from)), P::unit_of(handle));
            assert!(!self.isolated.contains(&from) && self.lru.contains(&to));
            self.zpages.retain(|_, zpage| zpage.0 != page.0);
            assert!(self.zpages.insert(handle.0, zpage).is_none(), "a handle given twice");
            self.forget_if_empty(from);
        }
        if moves_max == 1000 {
            assert_eq!(self.stage.compact(1000), (0, Vec::new()), "compaction left something to do");
        }
        for (&handle, &(page, length)) in &self.zpages {
            self.stage.expect(Handle(handle), page, length);
        }
    }

    /// The rest of the process takes and gives back frames.
    fn starve(&mut self) {
        let budget = &mut self.stage.budget;
        budget.give_back(Use::Resident, budget.used(Use::Resident));
        let frames = self.random.below(budget.free() as usize + 1) as u32;
        assert!(budget.take(Use::Resident, frames));
    }

    fn handles_in(&self, unit: Unit) -> Vec<Handle> {
        let handles = self.zpages.keys().map(|&handle| Handle(handle));
        handles.filter(|&handle| P::unit_of(handle) == unit).collect()
    }

    fn compare(&mut self) {
        self.stage.check();
        let pool = &self.stage.pool;
        assert_eq!(pool.zpage_count() as usize, self.zpages.len());
        let zpage_bytes = self.zpages.values().map(|(_, length)| ZpageHeader::BYTES + length).sum::<usize>();
        assert_eq!(pool.zpage_bytes(), zpage_bytes as u64);
        assert_eq!(self.stage.in_use(), self.unit_frames.values().sum::<u32>());
        assert_eq!(self.unit_frames.len(), self.lru.len() + self.isolated.len());
        for &unit in self.lru.iter().chain(&self.isolated) {
            let mut handles = self.stage.zpages_of(unit);
            handles.sort_by_key(|handle| handle.0);
            assert!(handles.len() <= ZPAGES_PER_UNIT_MAX);
            assert_eq!(handles, self.handles_in(unit));
        }
        let handles: Vec<u32> = self.zpages.keys().copied().collect();
        if !handles.is_empty() {
            let handle = self.random.one_of(&handles);
            let (page, length) = self.zpages[&handle];
            self.stage.expect(Handle(handle), page, length);
        }
    }
}

fn every_length_comes_back<P: Tested>(policy: PolicyKind) {
    let mut stage = Stage::<P>::new(64, 64, policy);
    let lengths = 0..=stage.pool.zpage_bytes_max();
    let mut stored = Vec::new();
    for length in lengths {
        // A dozen at a time, so that objects stand at many places of a unit.
        if stored.len() == 12 {
            for (handle, length) in stored.drain(..) {
                stage.expect(handle, length as u32, length);
                stage.remove(handle);
            }
        }
        stored.push((stage.store(length as u32, length).unwrap(), length));
    }
    for (handle, length) in stored {
        stage.expect(handle, length as u32, length);
    }
    stage.check();
}

fn refusals_tell_their_cause_and_change_nothing<P: Tested>(policy: PolicyKind) {
    let mut stage = Stage::<P>::new(16, 9, policy);
    let length_max = stage.pool.zpage_bytes_max();
    assert_eq!(stage.store(0, length_max + 1), Err(Refusal::CompressPoor));
    let (handles, refusal) = stage.fill(length_max);
    assert_eq!(refusal, Refusal::NoFrame);
    // What was taken for the refused zpage waits as reserve.
    let expected = 9 / P::FRAMES_PER_UNIT_MAX * P::FRAMES_PER_UNIT_MAX;
    assert_eq!((stage.in_use(), stage.budget.free()), (expected, 0));
    stage.check();

    stage.pool.arena_mut().set_limit(expected);
    assert_eq!(stage.store(99, length_max), Err(Refusal::PoolLimit));
    assert_eq!(stage.store(99, length_max + 1), Err(Refusal::CompressPoor), "whatever else is short");
    assert_eq!(stage.pool.zpage_count() as usize, handles.len());
    stage.check();

    // There is room without a frame.
    stage.remove(handles[0]);
    let handle = stage.store(99, length_max).unwrap();
    stage.expect(handle, 99, length_max);
}

fn frames_are_reserved_then_released<P: Tested>(policy: PolicyKind) {
    let mut stage = Stage::<P>::new(16, 20, policy);
    let (handles, refusal) = stage.fill(1000);
    assert_eq!((refusal, stage.in_use()), (Refusal::PoolLimit, 16));
    handles.iter().for_each(|&handle| stage.remove(handle));
    assert_eq!((stage.in_use(), stage.pool.arena().reserved(), stage.budget.free()), (0, 16, 4));
    stage.check();
    stage.release(10);
    assert_eq!((stage.pool.arena().reserved(), stage.budget.free()), (6, 14));
    assert_eq!(stage.fill(1000).0.len(), handles.len(), "used again");
    stage.check();
}

fn headers_count<P: Tested>(policy: PolicyKind) {
    let mut stage = Stage::<P>::new(8, 8, policy);
    let [one, two] = [100, 0].map(|length| stage.store(7, length).unwrap());
    assert_eq!(stage.pool.zpage_bytes(), 100 + 2 * ZpageHeader::BYTES as u64);
    stage.remove(one);
    assert_eq!((stage.pool.zpage_count(), stage.pool.zpage_bytes()), (1, ZpageHeader::BYTES as u64));
    stage.expect(two, 7, 0);
    assert!(stage.pool.metadata_bytes() > 0);
}

/// A unit is as recent as the last zpage that was added to it or used, whatever has left since.
fn lru_orders_units_by_additions_and_uses<P: Tested>() {
    let mut stage = Stage::<P>::new(16, 16, PolicyKind::FrameLru);
    let (handles, _) = stage.fill(1900);
    let units = |handles: &[Handle]| {
        let mut units: Vec<Unit> = handles.iter().map(|&handle| P::unit_of(handle)).collect();
        units.dedup();
        units
    };
    let mut expected = units(&handles);
    assert!(expected.len() > 3);
    // The coldest unit loses a zpage and gets one: it is the hottest. Another only loses one.
    stage.remove(handles[0]);
    let refilled = stage.store(100, 1900).unwrap();
    assert_eq!(P::unit_of(refilled), expected[0]);
    expected.rotate_left(1);
    let leaves = handles.iter().position(|&handle| P::unit_of(handle) == expected[1]).unwrap();
    stage.remove(handles[leaves]);
    // One is used, and is the hottest instead.
    let used = handles.iter().position(|&handle| P::unit_of(handle) == expected[2]).unwrap();
    stage.pool.used(handles[used]);
    expected[2..].rotate_left(1);
    for unit in expected {
        assert_eq!(stage.pool.isolate_coldest(), Some(unit));
    }
    assert_eq!(stage.pool.isolate_coldest(), None);
    stage.check();
}

fn isolated_units_are_left_alone<P: Tested>(policy: PolicyKind) {
    let mut stage = Stage::<P>::new(16, 16, policy);
    let (handles, _) = stage.fill(1900);
    let unit = stage.pool.isolate_coldest().unwrap();
    assert_eq!(unit, P::unit_of(handles[0]));
    let members = stage.zpages_of(unit);
    stage.remove(members[0]);
    members[1..].iter().for_each(|&handle| stage.pool.used(handle));
    assert_eq!(stage.store(100, 1900), Err(Refusal::PoolLimit), "not refilled");
    // One zpage stays in each other unit, so that there is something to compact.
    for &handle in &handles[members.len()..] {
        if stage.zpages_of(P::unit_of(handle)).len() > 1 {
            stage.remove(handle);
        }
    }
    let (freed, moves) = stage.compact(1000);
    assert!(freed > 0 && moves.iter().all(|&(_, handle)| P::unit_of(handle) != unit), "not compacted into");
    assert_eq!(stage.zpages_of(unit), members[1..], "nor out of");
    stage.check();

    let in_use = stage.in_use();
    members[1..].iter().for_each(|&handle| stage.remove(handle));
    assert_eq!((stage.in_use(), stage.zpages_of(unit)), (in_use, Vec::new()), "not freed when empty");
    stage.check();
    let freed = stage.end_isolation(unit);
    assert!(freed > 0 && stage.in_use() == in_use - freed);
    stage.check();
}

fn isolation_ends_at_the_cold_end<P: Tested>(policy: PolicyKind) {
    let mut stage = Stage::<P>::new(16, 16, policy);
    stage.fill(1900);
    let [first, second] = [(); 2].map(|()| stage.pool.isolate_coldest().unwrap());
    assert_ne!(first, second);
    assert_eq!((stage.end_isolation(second), stage.end_isolation(first)), (0, 0));
    stage.check();
    assert_eq!([(); 2].map(|()| stage.pool.isolate_coldest().unwrap()), [first, second]);
    // Back in the pool, a unit takes zpages again.
    stage.end_isolation(first);
    stage.remove(stage.zpages_of(first)[0]);
    assert_eq!(stage.store(100, 1900).map(P::unit_of), Ok(first));
}

fn compaction_frees_frames_and_tells_moves<P: Tested>(policy: PolicyKind) {
    let mut stage = Stage::<P>::new(32, 32, policy);
    let (handles, _) = stage.fill(1900);
    assert_eq!(stage.compact(1000), (0, Vec::new()), "nothing to gain in a full pool");
    let mut at: HashMap<u32, Handle> = (0..).zip(handles).collect();
    for page in 0..at.len() as u32 {
        if page % 4 != 0 {
            stage.remove(at.remove(&page).unwrap());
        }
    }
    let in_use = stage.in_use();
    let mut freed = 0;
    loop {
        // One move at a time gets there as well.
        let (freed_now, moves) = stage.compact(1);
        stage.check();
        let &[(page, handle)] = &moves[..] else { break };
        freed += freed_now;
        at.insert(page.0, handle).expect("the page had a zpage");
    }
    assert_eq!(stage.in_use(), in_use - freed);
    let filled = P::FRAMES_PER_UNIT_MAX.max(at.len() as u32 / 2) + P::FRAMES_PER_UNIT_MAX;
    assert!(stage.in_use() <= filled, "{} frames for {} zpages", stage.in_use(), at.len());
    for (page, handle) in at {
        stage.expect(handle, page, 1900);
    }
}

/// A zpage that is referenced stays so where compaction moves it, and one that is not does not
/// become it.
fn compaction_takes_references_along<P: Tested>() {
    for moved_is_used in [false, true] {
        let mut stage = Stage::<P>::new(3, 3, PolicyKind::SecondChance);
        let (handles, _) = stage.fill(1900);
        // Everything was referenced by its store, and is not any more.
        let unit = stage.pool.isolate_coldest().unwrap();
        stage.end_isolation(unit);
        // Of the first two units one's last zpage is moved to the other.
        stage.remove(handles[1]);
        stage.remove(handles[3]);
        for lone in [handles[0], handles[2]] {
            if moved_is_used {
                stage.pool.used(lone);
            }
        }
        let (freed, moves) = stage.compact(1000);
        assert_eq!((freed, moves.len()), (1, 1));
        let moved = moves[0].1;
        let paired = P::unit_of(moved);
        if !moved_is_used {
            let other = stage.zpages_of(paired).into_iter().find(|&handle| handle != moved).unwrap();
            stage.pool.used(other);
        }
        let third = P::unit_of(handles[4]);
        let order = [(); 2].map(|()| stage.pool.isolate_coldest().unwrap());
        assert_eq!(order, if moved_is_used { [third, paired] } else { [paired, third] });
    }
}

fn a_stale_handle_panics<P: Tested>() {
    let mut stage = Stage::<P>::new(8, 8, PolicyKind::FrameLru);
    let handle = stage.store(1, 100).unwrap();
    stage.remove(handle);
    stage.remove(handle);
}

fn isolation_does_not_end_twice<P: Tested>() {
    let mut stage = Stage::<P>::new(8, 8, PolicyKind::FrameLru);
    stage.store(1, 100).unwrap();
    let unit = stage.pool.isolate_coldest().unwrap();
    stage.end_isolation(unit);
    stage.end_isolation(unit);
}

macro_rules! conformance {
    ($($pool:ident: $of:ty),*) => {$(
        mod $pool {
            use super::*;
            conformance! { @policies $of:
                frame_lru: FrameLru, second_chance: SecondChance, sieve: Sieve, s3_fifo: S3Fifo,
                frame_aware: FrameAware
            }

            #[test]
            fn lru_orders_units_by_additions_and_uses() {
                super::lru_orders_units_by_additions_and_uses::<$of>();
            }

            #[test]
            fn compaction_takes_references_along() {
                super::compaction_takes_references_along::<$of>();
            }

            #[test]
            #[should_panic(expected = "there is no zpage at")]
            fn a_stale_handle_panics() {
                super::a_stale_handle_panics::<$of>();
            }

            #[test]
            #[should_panic(expected = "is not isolated")]
            fn isolation_does_not_end_twice() {
                super::isolation_does_not_end_twice::<$of>();
            }
        }
    )*};
    (@policies $of:ty: $($policy:ident: $kind:ident),*) => {$(
        mod $policy {
            use super::*;
            conformance! { @tests $of, $kind:
                random_events, every_length_comes_back, refusals_tell_their_cause_and_change_nothing,
                frames_are_reserved_then_released, headers_count, isolated_units_are_left_alone,
                isolation_ends_at_the_cold_end, compaction_frees_frames_and_tells_moves
            }
        }
    )*};
    (@tests $of:ty, $kind:ident: $($test:ident),*) => {$(
        #[test]
        fn $test() {
            crate::$test::<$of>(PolicyKind::$kind);
        }
    )*};
}

conformance! { zbud: Zbud, zsmalloc: Zsmalloc }

#[test]
fn zbud_pairs_buddies_by_best_fit() {
    let mut stage = Stage::<Zbud>::new(8, 8, PolicyKind::FrameLru);
    // Each leaves less than the next one needs: three frames, with more and more room.
    let [full, fuller, half] = [3800, 3000, 2100].map(|length| stage.store(0, length).unwrap());
    assert_eq!(stage.in_use(), 3);
    let small = stage.store(1, 100).unwrap();
    assert_eq!(Zbud::unit_of(small), Zbud::unit_of(full));
    let medium = stage.store(2, 900).unwrap();
    assert_eq!(Zbud::unit_of(medium), Zbud::unit_of(fuller));
    assert_eq!(stage.store(3, 1900).map(Zbud::unit_of), Ok(Zbud::unit_of(half)));
    assert_eq!((stage.in_use(), stage.zpages_of(Zbud::unit_of(half)).len()), (3, 2));

    stage.remove(fuller);
    assert_eq!(stage.in_use(), 3, "its buddy is still there");
    stage.expect(medium, 2, 900);
    // The larger place is at the frame's start now.
    let again = stage.store(4, 3000).unwrap();
    assert_eq!(again, fuller);
    stage.remove(medium);
    stage.remove(again);
    assert_eq!(stage.in_use(), 2);
    stage.check();
}

#[test]
fn zbud_leaves_a_chunk_for_a_buddy() {
    let mut stage = Stage::<Zbud>::new(1, 1, PolicyKind::FrameLru);
    stage.store(0, stage.pool.zpage_bytes_max()).unwrap();
    assert_eq!(stage.store(1, 64), Err(Refusal::PoolLimit));
    let buddy = stage.store(1, 64 - ZpageHeader::BYTES).unwrap();
    stage.expect(buddy, 1, 64 - ZpageHeader::BYTES);
}

#[test]
fn zsmalloc_objects_straddle_frames() {
    let mut stage = Stage::<Zsmalloc>::new(12, 12, PolicyKind::FrameLru);
    // Frames that are no neighbours: every other zspage of one frame goes.
    let (singles, _) = stage.fill(50);
    for single in singles.iter().filter(|handle| handle.0 / 64 % 2 == 0) {
        stage.remove(*single);
    }
    let length_max = stage.pool.zpage_bytes_max();
    assert_eq!((stage.in_use(), length_max), (6, 3264 - ZpageHeader::BYTES));
    let handles: Vec<Handle> = (0..5).map(|page| stage.store(page, length_max).unwrap()).collect();
    assert_eq!(stage.in_use(), 10, "five on four frames");
    for (page, &handle) in (0..).zip(&handles) {
        stage.expect(handle, page, length_max);
    }
    for &handle in &handles {
        assert_eq!(stage.in_use(), 10, "freed with the last one only");
        stage.remove(handle);
    }
    assert_eq!(stage.in_use(), 6);
    stage.check();
}

#[test]
fn zsmalloc_fills_the_fullest_zspage() {
    let mut stage = Stage::<Zsmalloc>::new(4, 4, PolicyKind::FrameLru);
    let (handles, _) = stage.fill(50);
    assert_eq!(handles.len(), 4 * 64);
    (0..60).for_each(|at| stage.remove(handles[at]));
    (64..67).for_each(|at| stage.remove(handles[at]));
    (128..160).for_each(|at| stage.remove(handles[at]));
    for expected in [1, 1, 1, 2] {
        let handle = stage.store(999, 50).unwrap();
        assert_eq!(Zsmalloc::unit_of(handle), Zsmalloc::unit_of(handles[expected * 64]));
    }
}

#[test]
fn zsmalloc_compacts_where_it_just_fits() {
    let mut stage = Stage::<Zsmalloc>::new(2, 2, PolicyKind::FrameLru);
    let (handles, _) = stage.fill(50);
    handles[..32].iter().chain(&handles[64..95]).for_each(|&handle| stage.remove(handle));
    assert_eq!(stage.compact(1000), (0, Vec::new()), "65 objects need two zspages");
    stage.remove(handles[127]);
    let (freed, moves) = stage.compact(1000);
    assert_eq!((freed, moves.len(), stage.in_use()), (1, 32, 1));
    stage.check();
}
