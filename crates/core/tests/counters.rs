//! What some counters count, on a pager that is driven by hand, one task after the other.

use zpager_core::engine::{Config, Core};
use zpager_core::eviction::EvictionKind;
use zpager_core::fault::{Access, FaultTask, Outcome};
use zpager_core::loss::Loss;
use zpager_core::page::{Page, PageNumber};
use zpager_core::page_table::State;
use zpager_core::reclaim::on_demand::{Demand, ReclaimOnDemand};
use zpager_core::simulation::device::{Failures, SimulatedDevice};
use zpager_core::simulation::failing::{Failing, Kind};
use zpager_core::simulation::memory::{Frames, SimulatedMemory};
use zpager_core::swap_device::seal::Sealer;
use zpager_core::task::{Next, Task};
use zpager_core::world::World;
use zpager_core::zcache::PoolKind;
use zpager_core::zcache::codec::CodecKind;

const PAGES: u32 = 8;
const EIO: i32 = 5;

struct Pager {
    core: Core,
    memory: SimulatedMemory,
    device: SimulatedDevice,
    sealer: Sealer,
    first: PageNumber,
    /// After the core, whose arena is made of them.
    _frames: Frames,
}

const BATCH_PAGES: u32 = 32;

impl Pager {
    /// One region of dirty pages.
    fn new(eviction: EvictionKind, failing: Option<Failing>) -> Self {
        let config = Config {
            window_pages: 64,
            pool: PoolKind::Zbud,
            pool_limit_frames: Some(64),
            batch_pages: BATCH_PAGES,
            reserve_frames: Config::reserve_frames_min(BATCH_PAGES),
            eviction,
            readahead_pages: 1,
            ..Config::of_size(Config::reserve_frames_min(BATCH_PAGES) + Config::RAM_FRAMES_MIN, 64)
        };
        let (frames, arena) = Frames::with_arena(config.ram_frames);
        let mut core = Core::new(config, arena);
        let memory =
            SimulatedMemory::new(config.window_pages, config.staging_slots(), &frames, 0, 0, failing);
        let device = SimulatedDevice::new(config.swap_slots, 0, Failures::default(), failing);
        let first = core.allocate(PAGES, 1, None).unwrap();
        let mut pager = Pager { core, memory, device, sealer: Sealer::new(None), first, _frames: frames };
        for page in pager.pages() {
            assert_eq!(pager.touch(page, Access::Write), Outcome::Resolved);
            pager.memory.access(page, true, |contents| *contents = contents_of(page)).unwrap();
        }
        pager
    }

    fn pages(&self) -> impl Iterator<Item = PageNumber> + use<> {
        let first = self.first;
        (0..PAGES).map(move |offset| first.plus(offset))
    }

    fn drive(&mut self, task: &mut dyn Task) {
        let world = World { memory: &self.memory, device: &self.device, sealer: &self.sealer };
        loop {
            match task.locked(&mut self.core, 0) {
                Next::CarryOut => task.carry_out(world),
                Next::Again => {}
                Next::Wait => panic!("nobody else is at work"),
                Next::Done => return,
            }
        }
    }

    fn touch(&mut self, page: PageNumber, access: Access) -> Outcome {
        let mut fault = FaultTask::new(CodecKind::Lz4, BATCH_PAGES as usize);
        fault.begin(page, access, false);
        self.drive(&mut fault);
        self.core.check_at_rest();
        fault.outcome()
    }

    fn reclaim(&mut self, demand: Demand) {
        let mut reclaim = ReclaimOnDemand::new(CodecKind::Lz4, BATCH_PAGES as usize);
        reclaim.begin(demand);
        self.drive(&mut reclaim);
        self.core.check_at_rest();
    }

    fn require_all(&self, state: State) {
        self.pages().for_each(|page| assert_eq!(self.core.pages.get(page).state, state, "{page:?}"));
    }
}

/// It compresses to two of three pages a frame.
fn contents_of(page: PageNumber) -> Page {
    let mut contents = Page::ZERO;
    for (at, word) in contents[..1200].chunks_exact_mut(4).enumerate() {
        word.copy_from_slice(&(page.0 * 7919 + at as u32).wrapping_mul(2_654_435_761).to_le_bytes());
    }
    contents
}

#[test]
fn a_refault_is_a_page_that_comes_back_and_no_first_touch() {
    let mut pager = Pager::new(EvictionKind::Unuse, None);
    assert_eq!((pager.core.counters.faults_zero, pager.core.counters.refaults), (PAGES.into(), 0));
    pager.reclaim(Demand::Pages(PAGES.into()));
    pager.require_all(State::Zcache);
    for page in pager.pages().take(3) {
        assert_eq!(pager.touch(page, Access::Read), Outcome::Resolved);
        let is_right = pager.memory.access(page, false, |contents| contents[..] == contents_of(page)[..]);
        assert_eq!(is_right, Some(true));
    }
    assert_eq!((pager.core.counters.refaults, pager.core.counters.faults_zcache), (3, 3));
}

#[test]
fn what_eviction_gets_to_the_device_is_written_back() {
    for eviction in [EvictionKind::Unuse, EvictionKind::Writeback, EvictionKind::Intact] {
        let mut pager = Pager::new(eviction, None);
        pager.reclaim(Demand::Pages(PAGES.into()));
        assert_eq!(pager.core.counters.written_back_pages, 0, "{eviction:?}: zcache has them");
        pager.reclaim(Demand::Units(PAGES.into()));
        pager.require_all(State::Device);
        assert_eq!(pager.core.counters.written_back_pages, PAGES.into(), "{eviction:?}");
        assert_eq!(pager.core.counters.lost_pages, 0);
    }
}

#[test]
fn a_page_is_lost_once_however_often_it_is_touched() {
    let failing = Failing { kind: Kind::Read, from: 0, until: u64::MAX };
    let mut pager = Pager::new(EvictionKind::Writeback, Some(failing));
    pager.reclaim(Demand::Pages(PAGES.into()));
    pager.reclaim(Demand::Units(PAGES.into()));
    let page = pager.first.plus(1);
    for _ in 0..2 {
        assert_eq!(pager.touch(page, Access::Read), Outcome::Lost(Loss::Unreadable(EIO)));
    }
    let counters = &pager.core.counters;
    assert_eq!((counters.lost_pages, counters.device_read_errors, counters.refaults), (1, 1, 0));
}
