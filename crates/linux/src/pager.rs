//! The pager: the core's state under its lock, and everything that drives tasks.
//!
//! Lock order: a task's memory (`fault_tasks`, `on_demand`) before the state; the locks of
//! `device_io` without it. The state's lock is held for the plans and commits of tasks only, never
//! over a system call that can fault. Every thread that takes a lock has all signals blocked: the
//! pager's own threads always, callers of the API by [`SignalsBlocked`], a thread in the SIGBUS
//! handler by its mask.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use zpager_core::budget::Use;
use zpager_core::discard::Discard;
use zpager_core::engine::{AllocateError, Config, Core};
use zpager_core::eviction::EvictionKind;
use zpager_core::fault::{Access, FaultTask, Outcome};
use zpager_core::ledger::Ledger;
use zpager_core::ledger::share::{Arrival, Dealings, Joined};
use zpager_core::loss::Loss;
use zpager_core::page::{HUGE_PAGE_PAGES, PAGE_BYTES, PageNumber};
use zpager_core::page_table;
use zpager_core::reclaim::kswapd::{self, Kswapd};
use zpager_core::reclaim::on_demand::{Demand, ReclaimOnDemand};
use zpager_core::stats::Counters;
use zpager_core::swap_device::seal::{KEY_BYTES, Sealer};
use zpager_core::swap_device::unit_map::Packed;
use zpager_core::task::{Next, Task, plan_or_commit};
use zpager_core::watch::Unwatch;
use zpager_core::world::World;
use zpager_core::zcache::PoolKind;
use zpager_core::zcache::codec::CodecKind;
use zpager_core::zcache::policy::PolicyKind;
use zpager_core::zcache::pool::arena::Arena;

use zeroize::Zeroizing;

use crate::descriptors::{Kept, moved_up};
use crate::device_io::DeviceIo;
use crate::error::Error;
use crate::fork;
use crate::handler_thread;
use crate::inherit;
use crate::keeper;
use crate::ledger::{self, Life};
use crate::memory::ManagedMemory;
use crate::of_process::OfProcess;
use crate::own_stack::away_from_managed;
use crate::process_memory::ProcessMemory;
use crate::recorder::Recorder;
use crate::signal_mode;
use crate::signals::SignalsBlocked;
use crate::spawn::{Thread, spawn};
use crate::stop::Stop;
use crate::swap_file::SwapFile;
use crate::userfaultfd::Userfaultfd;

pub use crate::device_io::IoKind;
pub use crate::userfaultfd::Delivery;

/// Faults that are served at the same time in signal mode.
const SIGNAL_FAULT_TASKS: usize = 3;
/// What a thread of the pager touches of its stack, its own tables included.
const THREAD_BYTES: usize = 128 << 10;
/// How often a thread looks whether the state's lock is free before it sleeps, and pauses of the
/// processor between two looks: some ten microseconds in all. A plan or commit of a whole batch takes as
/// long, and to be woken takes longer.
const LOOKS: usize = 64;
const PAUSES_PER_LOOK: usize = 8;
/// How often an allocation looks for frames for its tables.
const ATTEMPTS: u32 = 16;
/// How often kswapd counts what is not managed, at most.
const COUNT_EVERY_US: u64 = 10_000;
/// And before a region is left to the kernel, for which there must be room beside that.
const COUNT_EVERY_US_FOR_REGIONS: u64 = 1000;
/// And how many times as long as it took it is left alone.
const COUNT_PAUSES: u64 = 50;
/// How long somebody waits who missed the word that he waited for.
const WAIT_MAX: Duration = Duration::from_millis(1);
/// How long a process waits for others to make room for it, before it overdraws the ledger.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// What a pager is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// RAM for everything, in bytes.
    pub ram_bytes: u64,
    /// Size of the swap file, in bytes.
    pub swap_bytes: u64,
    /// Where the swap file is made.
    pub swap_directory: String,
    /// How pages are compressed.
    pub codec: CodecKind,
    /// How zpages are packed.
    pub pool: PoolKind,
    /// Which of them are evicted first.
    pub policy: PolicyKind,
    /// RAM that may hold zpages, in bytes; `None`: as much as saves the most time.
    pub pool_limit_bytes: Option<u64>,
    /// RAM that only those may take who make room, in bytes; `None`: as little as is safe.
    pub reserve_bytes: Option<u64>,
    /// What happens when that is full.
    pub eviction: EvictionKind,
    /// How faults are told.
    pub faults: Delivery,
    /// Pages that a sequential fault brings at once.
    pub readahead_pages: u32,
    /// Whether what is written to the swap file is encrypted, with a key that never leaves RAM.
    pub encrypt: bool,
    /// How the swap file is written and read.
    pub io: IoKind,
    /// Whether a forked child gets the memory.
    pub is_inherited: bool,
    /// What the RAM is shared by with other processes, if it is; it is the same number for all.
    pub ledger: Option<&'static Ledger>,
    /// Whether RAM is that of the whole process, and not only of what is given out.
    pub is_of_process: bool,
    /// Whether the swap file takes its room on the disk at once.
    pub takes_swap_at_once: bool,
    /// Whether what is left to the kernel is advised to be in huge pages, as numpy advises its large arrays.
    pub advises_huge_pages: bool,
    /// Who is told of every fault, if anybody is; nothing is left to the kernel then.
    pub recorder: Option<&'static Recorder>,
}

/// What is where, and what has happened.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// What has happened so far.
    pub counters: Counters,
    /// Frames by use, in the order of [`Use`].
    pub used_frames: [u32; 6],
    /// The most frames that were in use at any time.
    pub used_frames_most: u32,
    /// Pages of all regions.
    pub managed_pages: u32,
    /// Pages of those that nobody watches as long as there is room for all of them.
    pub unwatched_pages: u32,
    /// Pages in zcache: zpages and same-filled ones.
    pub stored_pages: u32,
    /// Those of them that are one value over and over.
    pub same_filled_pages: u32,
    /// Zpages.
    pub zpages: u32,
    /// Their bytes.
    pub zpage_bytes: u64,
    /// Slots of the device in use.
    pub slots_used: u32,
    /// Bytes of tables.
    pub metadata_bytes: u64,
    /// Frames that the pool may have now.
    pub pool_limit_frames: u32,
    /// Frames that are kept for those who make room.
    pub reserve_frames: u32,
    /// What came of sharing the RAM, if it is shared.
    pub dealings: Option<Dealings>,
    /// Frames of the process that are not managed, if they count.
    pub unmanaged_frames: u32,
}

struct State {
    core: Core,
    /// Threads that wait for a commit.
    waiting: u32,
    is_kswapd_asleep: bool,
    is_stopping: bool,
    /// When what is not managed was last counted.
    counted_us: u64,
    /// And how long that took: with many pages of unwatched regions, some milliseconds for each GiB.
    count_took_us: u64,
    /// Tasks that are being driven.
    driving: u32,
    /// Somebody wants to fork: no task begins.
    is_forking: bool,
    /// A pipe for each fork, which has no writer any more when the last child of it has gone.
    children: Vec<Kept<OwnedFd>>,
}

/// A pager at rest, with all its locks held; see [`crate::inherit`].
pub(crate) struct Rest<'a> {
    on_demand: MutexGuard<'a, ReclaimOnDemand>,
    fault_tasks: MutexGuard<'a, FaultTasks>,
    state: MutexGuard<'a, State>,
    /// What the child holds open, and what tells us.
    pipe: Option<(Kept<OwnedFd>, Kept<OwnedFd>)>,
}

struct FaultTasks {
    free: Vec<FaultTask>,
    /// Threads that wait for one.
    waiting: u32,
}

/// What the pager's threads share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Something was committed.
    committed: Condvar,
    /// kswapd sleeps on it, unless others can wake it ([`Core::alarm`]).
    alarm: AtomicU32,
    pub(crate) memory: ManagedMemory,
    device: OfProcess<SwapFile>,
    sealer: OfProcess<Sealer>,
    /// Tasks for faults, the handler thread's and others'.
    fault_tasks: Mutex<FaultTasks>,
    fault_task_free: Condvar,
    on_demand: Mutex<ReclaimOnDemand>,
    recorder: Option<&'static Recorder>,
    began: Instant,
}

/// A pager with its threads. Dropped, it ends them and unmaps everything, so whoever hands out
/// its memory keeps it alive.
pub struct Pager {
    shared: Arc<Shared>,
    options: Options,
    stop: Stop,
    threads: Mutex<Vec<Thread>>,
    process: AtomicU32,
}

/// A range of managed memory.
pub struct Region {
    pager: Arc<Pager>,
    first: PageNumber,
    page_count: u32,
}

impl Pager {
    /// Makes the swap file, maps everything, and starts the threads.
    pub fn new(options: Options) -> Result<Arc<Self>, Error> {
        let delivery = options.faults;
        let batch_pages = Config::batch_pages_for(pages_of(options.ram_bytes)) as usize;
        let kswapd = Kswapd::new(options.codec, batch_pages);
        let on_demand = ReclaimOnDemand::new(options.codec, batch_pages);
        let fault_task_count = if delivery == Delivery::Signal { SIGNAL_FAULT_TASKS } else { 1 };
        let device_io = DeviceIo::new(options.io).map_err(|error| match options.io {
            IoKind::IoUring => Error::Configuration(format!(
                "io=\"io_uring\": the kernel does not allow io_uring here ({error}); use io=\"auto\" or \
                 io=\"threads\", or see `zpager doctor` for how to get it"
            )),
            IoKind::Auto | IoKind::Threads => no_thread(error),
        })?;
        let new_fault_task = || FaultTask::new(options.codec, batch_pages);
        let fault_tasks: Vec<_> = (0..fault_task_count).map(|_| new_fault_task()).collect();
        let buffer_bytes = kswapd.memory_bytes()
            + on_demand.memory_bytes()
            + fault_tasks.iter().map(|task| task.memory_bytes()).sum::<usize>()
            + device_io.memory_bytes()
            + 2 * THREAD_BYTES;
        let buffer_frames = buffer_bytes.div_ceil(PAGE_BYTES) as u32;
        let config = config(&options, batch_pages as u32, buffer_frames)?;

        let userfaultfd = Userfaultfd::open(delivery).map_err(|error| {
            Error::UserfaultfdUnavailable(format!(
                "userfaultfd is not to be had here ({error}); `zpager doctor` says why and what to do"
            ))
        })?;
        if userfaultfd.is_user_mode_only && delivery == Delivery::Thread {
            return Err(Error::UserfaultfdUnavailable(
                "this user gets userfaultfd for faults in user mode only, so system calls into evicted \
                 pages could not be served by a thread; use faults=\"signal\", which needs no more, or see \
                 `zpager doctor` for how to get all of it"
                    .into(),
            ));
        }
        let key = new_key(options.encrypt)
            .map_err(|error| Error::Device("no random key for the swap file could be had".into(), error))?;
        let sealer = Sealer::new(key.as_deref());
        let directory = Path::new(&options.swap_directory);
        let device = SwapFile::new(directory, config.swap_slots, device_io, options.takes_swap_at_once)
            .map_err(|error| {
                let directory = &options.swap_directory;
                let bytes = options.swap_bytes;
                Error::Device(
                    format!("no swap file of {bytes} bytes in {directory}; choose another directory or size"),
                    error,
                )
            })?;
        let memory = ManagedMemory::new(
            userfaultfd,
            config.window_pages as usize,
            config.staging_slots() as usize,
            config.ram_frames as usize,
            options.recorder,
            options.advises_huge_pages,
        )
        .map_err(|error| {
            Error::Configuration(format!(
                "the addresses for so much memory cannot be had ({error}); ask for less, or see \
                 `ulimit -v` and the sysctl vm.overcommit_memory"
            ))
        })?;
        // SAFETY: the frames are mapped, readable and writable, as long as `memory`, which lives
        // beside the arena in `Shared`; `ManagedMemory` only ever releases frames that the arena
        // has given to it.
        let arena = unsafe { Arena::new(memory.frames.base(), config.ram_frames) };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                core: Core::new(config, arena),
                waiting: 0,
                is_kswapd_asleep: false,
                is_stopping: false,
                counted_us: 0,
                count_took_us: 0,
                driving: 0,
                is_forking: false,
                children: Vec::new(),
            }),
            committed: Condvar::new(),
            alarm: AtomicU32::new(0),
            memory,
            device: OfProcess::new(device),
            sealer: OfProcess::new(sealer),
            fault_tasks: Mutex::new(FaultTasks { free: fault_tasks, waiting: 0 }),
            fault_task_free: Condvar::new(),
            on_demand: Mutex::new(on_demand),
            recorder: options.recorder,
            began: Instant::now(),
        });
        let stop = Stop::new().map_err(|error| Error::Device("no eventfd".into(), error))?;
        // Dropped where a later step fails, it ends the threads that run already.
        let process = AtomicU32::new(std::process::id());
        let pager = Arc::new(Pager { shared, options, stop, threads: Mutex::default(), process });
        if pager.options.is_inherited {
            inherit::enter(&pager);
        } else {
            fork::enter(&pager.shared.memory.window);
        }
        pager.start_threads(kswapd, Arrival::Patient)?;
        Ok(pager)
    }

    fn start_threads(&self, kswapd: Kswapd, arrival: Arrival) -> Result<(), Error> {
        let mut threads = self.threads.lock().expect("nothing panics under this lock");
        let told = Arc::new((Mutex::new(None), Condvar::new()));
        threads.push(start("zpager-kswapd", {
            let (shared, tell, ledger) = (Arc::clone(&self.shared), Arc::clone(&told), self.options.ledger);
            let is_of_process = self.options.is_of_process;
            move || {
                let answer = |answer| {
                    *tell.0.lock().expect("no panic under the lock") = Some(answer);
                    tell.1.notify_one();
                };
                match ledger.map(|ledger| shared.join(ledger, arrival, is_of_process)).transpose() {
                    // Its entry lives as long as this thread.
                    Ok(_life) => {
                        answer(Ok(()));
                        shared.run_kswapd(kswapd, ledger, is_of_process);
                    }
                    Err(error) => answer(Err(error)),
                }
            }
        })?);
        let mut answer = told.0.lock().expect("no panic under the lock");
        while answer.is_none() {
            answer = told.1.wait(answer).expect("no panic under the lock");
        }
        answer.take().transpose()?;
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        match self.options.faults {
            Delivery::Thread => {
                threads.push(start("zpager-faults", move || handler_thread::run(&shared, &stop))?);
            }
            Delivery::Signal => {
                threads.push(start("zpager-keeper", move || {
                    keeper::run(&shared.memory.userfaultfd, &stop);
                })?);
                signal_mode::register(&self.shared)?;
            }
        }
        Ok(())
    }

    /// Waits until no task is under way, and lets none begin.
    pub(crate) fn come_to_rest(&self) -> Rest<'_> {
        let shared = &*self.shared;
        let on_demand = shared.on_demand.lock().expect("no panic under the lock");
        let mut state = shared.lock();
        state.is_forking = true;
        state.core.is_resting = true;
        while state.driving > 0 {
            state = shared.committed.wait_timeout(state, WAIT_MAX).expect("no panic under the lock").0;
        }
        drop(state);
        let fault_tasks = shared.fault_tasks.lock().expect("no panic under the lock");
        let mut state = shared.lock();
        state.forget_gone_children();
        state.core.swap_map.freeze();
        shared.memory.inherit(true);
        // Without a pipe the slots stay frozen.
        Rest { on_demand, fault_tasks, state, pipe: new_pipe().ok() }
    }

    /// After a fork, in the parent.
    pub(crate) fn go_on(&self, mut rest: Rest<'_>) {
        self.shared.memory.inherit(false);
        if let Some((reader, _writer)) = rest.pipe.take() {
            rest.state.children.push(reader);
        }
        rest.state.is_forking = false;
        rest.state.core.is_resting = false;
        self.shared.wake_kswapd_if_wanted(&mut rest.state);
        drop(rest);
        self.shared.committed.notify_all();
    }

    /// After a fork, in the child.
    ///
    /// # Safety
    /// This thread is the only one.
    pub(crate) unsafe fn begin_in_child(&self, mut rest: Rest<'_>) -> Result<(), Error> {
        let shared = &*self.shared;
        let Options { codec, faults, encrypt, .. } = self.options;
        let batch_pages = rest.state.core.batch_pages();
        self.process.store(std::process::id(), Ordering::Relaxed);
        // They are not here.
        self.threads.lock().expect("nothing panics under this lock").clear();

        let core = &mut rest.state.core;
        let no_memory = |error| Error::Device("the parent's memory".into(), error);
        let unwatched = core.regions.iter().filter(|region| region.is_unwatched());
        let unwatched =
            unwatched.map(|region| (region.watched_until, region.end().0 - region.watched_until.0));
        shared.memory.renew(faults, unwatched).map_err(no_memory)?;
        for (first, count) in core.clean_runs() {
            shared.memory.protect(first, count).map_err(no_memory)?;
        }
        let io = DeviceIo::new(shared.device.get().io_kind()).map_err(no_thread)?;
        let directory = Path::new(&self.options.swap_directory);
        let no_device = |error| Error::Device("a swap file of the child's own".into(), error);
        let key = new_key(encrypt).map_err(no_device)?;
        // SAFETY: the caller's; the references that were got above are gone.
        unsafe {
            shared
                .device
                .replace(|device| device.of_child(directory, core.config.swap_slots, io))
                .map_err(no_device)?;
            let layers = Arc::clone(shared.device.get().layers());
            shared.sealer.replace(|sealer| Ok::<_, Error>(sealer.of_child(key.as_deref(), layers)))?;
        }
        core.swap_map.thaw();
        core.is_resting = false;
        core.forget_share();
        // As the kernel has it: locks are not inherited.
        core.unlock_pages(PageNumber(0), core.config.window_pages);
        rest.state.is_forking = false;
        rest.state.is_kswapd_asleep = false;
        rest.state.waiting = 0;
        // What tells of other children is not ours to hear.
        rest.state.children.clear();
        if let Some((_reader, writer)) = rest.pipe.take() {
            // Closed by the end of this process, or by another program in it.
            std::mem::forget(writer);
        }
        let count = if faults == Delivery::Signal { SIGNAL_FAULT_TASKS } else { 1 };
        rest.fault_tasks.free = (0..count).map(|_| FaultTask::new(codec, batch_pages)).collect();
        rest.fault_tasks.waiting = 0;
        *rest.on_demand = ReclaimOnDemand::new(codec, batch_pages);
        drop(rest);
        self.stop.renew().map_err(no_device)?;
        self.start_threads(Kswapd::new(codec, batch_pages), Arrival::Forked)
    }

    /// What it was asked to be.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The addresses that memory is given out from.
    pub fn window(&self) -> Range<usize> {
        let window = &self.shared.memory.window;
        window.address(0)..window.address(0) + window.bytes()
    }

    /// How the swap file is written and read: never [`IoKind::Auto`].
    pub fn io_kind(&self) -> IoKind {
        self.shared.device.get().io_kind()
    }

    /// Whether this process is a fork of the one that made the pager. The memory is not there.
    pub fn is_elsewhere(&self) -> bool {
        self.process.load(Ordering::Relaxed) != std::process::id()
    }

    /// Gives out memory, which reads as zeros. `item_bytes`: the size of what it will hold, by
    /// which pages are shuffled before they are compressed; 1 is not at all.
    pub fn allocate(self: &Arc<Self>, bytes: u64, item_bytes: u8) -> Result<Region, Error> {
        self.allocate_at(bytes, item_bytes, None)
    }

    /// The same, at an address of the window where nothing is.
    pub fn allocate_at(
        self: &Arc<Self>,
        bytes: u64,
        item_bytes: u8,
        address: Option<usize>,
    ) -> Result<Region, Error> {
        if self.options.faults == Delivery::Signal {
            signal_mode::require_handler()?;
        }
        away_from_managed(move || self.allocate_here(bytes, item_bytes, address))
    }

    fn allocate_here(
        self: &Arc<Self>,
        bytes: u64,
        item_bytes: u8,
        address: Option<usize>,
    ) -> Result<Region, Error> {
        let page_count = u32::try_from(bytes.div_ceil(PAGE_BYTES as u64).max(1)).unwrap_or(u32::MAX);
        let at = address.map(|address| self.shared.page_of(address));
        let _blocked = SignalsBlocked::new();
        let mut attempts_left = ATTEMPTS;
        loop {
            let result = self.shared.lock().core.allocate(page_count, item_bytes, at);
            match result {
                Ok(first) => {
                    // Somebody may have run past the end of memory that was here before, or have
                    // touched it after it was freed, and the page be poisoned.
                    if handler_thread::has_poisoned() {
                        self.shared.memory_discard(first, page_count);
                    }
                    self.leave_to_kernel(first, page_count);
                    return Ok(Region { pager: Arc::clone(self), first, page_count });
                }
                Err(AllocateError::NeedFrames(frames)) => {
                    // Somebody else may have been faster.
                    attempts_left -= 1;
                    if self.shared.reclaim(Demand::Frames(frames)).frames_short && attempts_left == 0 {
                        return Err(self.out_of_swap(bytes, 0));
                    }
                }
                Err(AllocateError::BeyondCapacity { available }) => {
                    return Err(self.out_of_swap(bytes, available));
                }
                Err(AllocateError::NoGap) => {
                    return Err(Error::OutOfSwap(format!(
                        "no range of {bytes} bytes of addresses is free in one piece; free something, or \
                         make the pager with more swap"
                    )));
                }
            }
        }
    }

    /// If there is room for all of it, beside what is not managed as of now.
    fn leave_to_kernel(&self, first: PageNumber, page_count: u32) {
        let is_long = || page_count >= self.shared.lock().core.config.unwatched_pages_min;
        if self.options.is_of_process && is_long() {
            self.shared.count_unmanaged_every(COUNT_EVERY_US_FOR_REGIONS, self.options.ledger);
        }
        self.shared.drive(&mut Unwatch::new(first, page_count));
    }

    fn discard(&self, mut task: Discard) {
        away_from_managed(move || {
            let _blocked = SignalsBlocked::new();
            self.shared.drive(&mut task);
        });
    }

    fn out_of_swap(&self, bytes: u64, available_pages: u32) -> Error {
        let Options { ram_bytes, swap_bytes, .. } = self.options;
        let available = u64::from(available_pages) * PAGE_BYTES as u64;
        Error::OutOfSwap(format!(
            "{bytes} bytes are more than ram ({ram_bytes} bytes) and swap ({swap_bytes} bytes) can hold \
             besides what they hold already: {available} bytes could be had now; free something, or make \
             the pager with more swap"
        ))
    }

    /// Pushes up to so many pages out of the program's sight, and everything out of the swap
    /// cache. How many it was.
    pub fn reclaim_pages(&self, pages: u64) -> u64 {
        let _blocked = SignalsBlocked::new();
        self.shared.reclaim(Demand::Pages(pages)).done
    }

    /// Evicts up to so many of the coldest units of the pool. How many it was.
    pub fn evict(&self, units: u64) -> u64 {
        let _blocked = SignalsBlocked::new();
        self.shared.reclaim(Demand::Units(units)).done
    }

    /// Has pages of one region stay in RAM once they are there. `false`: they are not, or too many would.
    pub fn lock_pages(&self, addresses: &Range<usize>) -> bool {
        let _blocked = SignalsBlocked::new();
        let (first, count) = self.shared.pages_of(addresses);
        let core = &mut self.shared.lock().core;
        let is_given_out = core.regions.find(first).is_some_and(|region| first.plus(count) <= region.end());
        is_given_out && core.lock_pages(first, count)
    }

    /// Undoes `lock_pages`.
    pub fn unlock_pages(&self, addresses: &Range<usize>) {
        let _blocked = SignalsBlocked::new();
        let (first, count) = self.shared.pages_of(addresses);
        self.shared.lock().core.unlock_pages(first, count);
    }

    /// Tells the kernel what the program says about huge pages, where it has the pages.
    pub fn advise_huge_pages(&self, addresses: &Range<usize>, are_wanted: bool) {
        let (first, count) = self.shared.pages_of(addresses);
        away_from_managed(move || {
            let _blocked = SignalsBlocked::new();
            let end = first.plus(count);
            let mut from = first;
            // Under the lock no region of these becomes a watched one.
            let state = self.shared.lock();
            while let Some(pages) = state.core.regions.unwatched_from(from).filter(|pages| pages.start < end)
            {
                let is_changing =
                    state.core.regions.find(pages.start).is_some_and(|region| region.is_changing);
                if !is_changing {
                    let count = pages.end.min(end).0 - pages.start.0;
                    self.shared.memory.advise_huge_pages(pages.start, count, are_wanted);
                }
                from = pages.end;
            }
        });
    }

    /// What is where, and what has happened.
    pub fn snapshot(&self) -> Snapshot {
        let _blocked = SignalsBlocked::new();
        let state = self.shared.lock();
        let core = &state.core;
        let zcache = &core.frontswap.zcache;
        let uses = [Use::Resident, Use::SwapCache, Use::Pool, Use::Reserve, Use::Metadata, Use::Buffers];
        Snapshot {
            counters: core.counters,
            used_frames: uses.map(|what| core.budget.used(what)),
            used_frames_most: core.budget.used_most(),
            managed_pages: core.regions.page_count(),
            unwatched_pages: core.regions.unwatched_pages(),
            stored_pages: zcache.pool.zpage_count() + zcache.same_filled.page_count(),
            same_filled_pages: zcache.same_filled.page_count(),
            zpages: zcache.pool.zpage_count(),
            zpage_bytes: zcache.pool.zpage_bytes(),
            slots_used: core.swap_map.used(),
            metadata_bytes: core.metadata_bytes(),
            pool_limit_frames: zcache.pool.arena().limit(),
            reserve_frames: core.config.reserve_frames,
            dealings: core.dealings(),
            unmanaged_frames: core.unmanaged(),
        }
    }

    /// Counts what the process has besides managed memory, as far as there is room, and makes room for the
    /// rest. Bytes of it that are in no file.
    pub fn count_unmanaged(&self) -> u64 {
        let Some(process) = ProcessMemory::now() else { return 0 };
        let _blocked = SignalsBlocked::new();
        let owed = self.shared.count_unmanaged(process, self.options.ledger);
        if owed > 0 {
            // Who asks for much makes the room for it.
            self.shared.reclaim(Demand::Frames(owed));
        }
        let state = self.shared.lock();
        let elsewhere =
            state.core.managed_frames().min(process.resident.saturating_sub(state.core.unmanaged()));
        u64::from(process.resident.saturating_sub(elsewhere + process.of_files)) * PAGE_BYTES as u64
    }

    /// Panics unless all tables agree with one another.
    pub fn check(&self) {
        let _blocked = SignalsBlocked::new();
        self.shared.lock().core.check();
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        if self.is_elsewhere() {
            // The threads are not here, and whatever is mapped at these addresses is somebody
            // else's: leave everything alone.
            std::mem::forget(Arc::clone(&self.shared));
            return;
        }
        if !self.options.is_inherited {
            fork::leave(&self.shared.memory.window);
        }
        if self.options.faults == Delivery::Signal {
            signal_mode::unregister(&self.shared);
        }
        {
            let _blocked = SignalsBlocked::new();
            let mut state = self.shared.lock();
            state.is_stopping = true;
            self.shared.ring_alarm(&state);
        }
        self.stop.now();
        for thread in self.threads.get_mut().expect("nothing panics under this lock").drain(..) {
            thread.join();
        }
    }
}

impl Region {
    /// Its length.
    pub fn page_count(&self) -> u32 {
        self.page_count
    }

    /// Where it is.
    pub fn base(&self) -> *mut u8 {
        self.pager.shared.memory.window.address(self.first.index()) as *mut u8
    }

    /// Whose it is.
    pub fn pager(&self) -> &Arc<Pager> {
        &self.pager
    }

    /// Brings pages in as touches would, from page `first` of the region on, as far as they are
    /// out of RAM and hold anything; but a loss is an error, and no SIGBUS.
    pub fn fault_in(&self, first: u32, count: u32) -> Result<(), FaultInError> {
        assert!(first + count <= self.page_count);
        let (pager, own_first) = (&*self.pager, self.first);
        for page in first..first + count {
            let outcome = away_from_managed(move || {
                let _blocked = SignalsBlocked::new();
                pager.shared.fault_in(own_first.plus(page))
            });
            match outcome {
                Outcome::Resolved => {}
                Outcome::NoRoom => return Err(FaultInError::NoRoom),
                Outcome::Lost(loss) => return Err(FaultInError::Lost { page, loss }),
                Outcome::OutOfBounds => unreachable!("the region is here"),
            }
        }
        Ok(())
    }

    /// Discards whole pages, from page `first` of the region on: they read as zeros again.
    pub fn discard_pages(&self, first: u32, count: u32) {
        assert!(first + count <= self.page_count);
        self.pager.discard(Discard::range(self.first.plus(first), count));
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if !self.pager.is_elsewhere() {
            self.pager.discard(Discard::region(self.first, self.page_count));
        }
    }
}

/// Why a page could not be brought in.
#[derive(Clone, Copy, Debug)]
pub enum FaultInError {
    /// Its contents are gone.
    Lost {
        /// The page, counted from the region's first.
        page: u32,
        /// Why that is.
        loss: Loss,
    },
    /// No frame can be freed.
    NoRoom,
}

struct Reclaimed {
    done: u64,
    frames_short: bool,
}

impl State {
    /// Wakes other processes that are to give way.
    fn ring_those_pressed(&mut self) {
        if let Some(ledger) = self.core.take_call() {
            ledger.alarms().for_each(ledger::ring);
        }
    }

    /// Slots that only children read who have gone are free again.
    fn forget_gone_children(&mut self) {
        if self.children.is_empty() {
            return;
        }
        self.children.retain(|pipe| {
            let mut descriptor = libc::pollfd { fd: pipe.as_raw_fd(), events: 0, revents: 0 };
            // SAFETY: one descriptor, and no wait.
            unsafe { libc::poll(&mut descriptor, 1, 0) };
            descriptor.revents & libc::POLLHUP == 0
        });
        if self.children.is_empty() {
            self.core.swap_map.thaw();
        }
    }
}

/// Reader and writer.
fn new_pipe() -> io::Result<(Kept<OwnedFd>, Kept<OwnedFd>)> {
    let mut descriptors = [-1; 2];
    // SAFETY: makes two descriptors, which are nobody else's, or none.
    unsafe {
        if libc::pipe2(descriptors.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        let kept = |descriptor| Kept::new(moved_up(OwnedFd::from_raw_fd(descriptor)));
        Ok((kept(descriptors[0]), kept(descriptors[1])))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        for _ in 0..LOOKS {
            match self.state.try_lock() {
                Ok(state) => return state,
                Err(_) => (0..PAUSES_PER_LOOK).for_each(|_| std::hint::spin_loop()),
            }
        }
        self.state.lock().expect("a panic under the lock ends the process")
    }

    fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn memory_discard(&self, first: PageNumber, count: u32) {
        zpager_core::world::Memory::discard(&self.memory, first, count);
    }

    /// Drives a task to its end. Signals are blocked, and no lock of the state is held.
    fn drive(&self, task: &mut dyn Task) {
        let world = World { memory: &self.memory, device: self.device.get(), sealer: self.sealer.get() };
        let mut state = self.lock();
        while state.is_forking {
            state = self.committed.wait_timeout(state, WAIT_MAX).expect("no panic under the lock").0;
        }
        state.driving += 1;
        loop {
            let commits_before = state.core.commits;
            let next = plan_or_commit(task, &mut state.core, self.now_us());
            state.ring_those_pressed();
            if state.waiting > 0 && state.core.commits != commits_before {
                self.committed.notify_all();
            }
            match next {
                Next::CarryOut => {
                    drop(state);
                    task.carry_out(world);
                    state = self.lock();
                }
                Next::Again => {}
                Next::Wait => {
                    state.waiting += 1;
                    state = self.committed.wait_timeout(state, WAIT_MAX).expect("no panic under the lock").0;
                    state.waiting -= 1;
                }
                Next::Done => break,
            }
        }
        state.driving -= 1;
        if state.is_forking {
            self.committed.notify_all();
        }
        self.wake_kswapd_if_wanted(&mut state);
    }

    fn wake_kswapd_if_wanted(&self, state: &mut State) {
        if state.is_kswapd_asleep && kswapd::is_wanted(&state.core) {
            state.is_kswapd_asleep = false;
            self.ring_alarm(state);
        }
    }

    fn alarm<'a>(&'a self, state: &State) -> &'a AtomicU32 {
        state.core.alarm().unwrap_or(&self.alarm)
    }

    fn ring_alarm(&self, state: &State) {
        ledger::ring(self.alarm(state));
    }

    /// Enters the ledger, on kswapd's thread.
    fn join(&self, ledger: &'static Ledger, arrival: Arrival, is_of_process: bool) -> Result<Life, Error> {
        let no_ledger = |error| Error::Device("the ledger of all processes under zpager".into(), error);
        let life = Life::begin(ledger).map_err(no_ledger)?;
        let place = life.place().ok_or_else(|| {
            Error::Configuration("there are too many processes at a time for one ledger".into())
        })?;
        if is_of_process && let Some(process) = ProcessMemory::now() {
            // It has these already, and needs the more for them.
            self.count_unmanaged(process, Some(ledger));
        }
        let began = Instant::now();
        loop {
            let now_us = self.now_us();
            let is_late = arrival == Arrival::Patient && began.elapsed() > ROOM_WITHIN;
            let arrival = if is_late { Arrival::Impatient } else { arrival };
            let mut state = self.lock();
            match state.core.join(ledger, place, arrival, ledger::now_us() - now_us, now_us) {
                Joined::Entered => {
                    state.ring_those_pressed();
                    return Ok(life);
                }
                Joined::Later { calls } => {
                    drop(state);
                    if calls {
                        ledger.alarms().for_each(ledger::ring);
                    }
                    thread::sleep(WAIT_MAX);
                }
                Joined::TooSmall { floor_frames } => {
                    let bytes = |frames: u64| frames * PAGE_BYTES as u64;
                    return Err(Error::Configuration(format!(
                        "{} bytes of RAM are too little for so many processes: this one needs {} bytes at least, \
                         and {} are others' who need them; give them more RAM, or run fewer at a time",
                        bytes(state.core.budget.total().into()),
                        bytes(floor_frames.into()),
                        bytes(ledger.floors() - u64::from(ledger.entry(place).floor())),
                    )));
                }
            }
        }
    }

    fn page_of(&self, address: usize) -> PageNumber {
        PageNumber(((address - self.memory.window.address(0)) / PAGE_BYTES) as u32)
    }

    fn pages_of(&self, addresses: &Range<usize>) -> (PageNumber, u32) {
        (self.page_of(addresses.start), (addresses.len() / PAGE_BYTES) as u32)
    }

    /// Where an address is in its region, if it is in one.
    pub(crate) fn offset_in_region(&self, address: usize) -> Option<u64> {
        let page = self.page_of(address);
        let first = self.lock().core.regions.find(page)?.first;
        Some((address - self.memory.window.address(first.index())) as u64)
    }

    /// Serves a fault on this thread: the one that had it, or the handler thread.
    pub(crate) fn serve_here(&self, address: usize, access: Access, was_mapped: bool) -> Outcome {
        let page = self.page_of(address);
        let began_us = self.recorder.map(|_| ledger::now_us());
        let outcome = self.serve(page, access, was_mapped);
        if let (Some(recorder), Some(began_us), Outcome::Resolved) = (self.recorder, began_us, outcome) {
            recorder.fault(page, access, began_us);
        }
        outcome
    }

    /// Brings a page in that is out of RAM and holds anything.
    fn fault_in(&self, page: PageNumber) -> Outcome {
        use page_table::State::{Device, Empty, Lost, Resident, SwapCache, Writing, Zcache};
        // Apart from the match, which must not hold the lock.
        let entry = self.lock().core.pages.get(page);
        match entry.state {
            Empty | Resident | SwapCache | Writing => return Outcome::Resolved,
            Lost => return Outcome::Lost(Loss::from_bits(entry.frame)),
            Zcache | Device => {}
        }
        self.let_faults_go_first();
        let outcome = self.serve(page, Access::Read, false);
        if matches!(outcome, Outcome::Lost(_)) {
            let state = self.lock();
            let entry = state.core.pages.get(page);
            // The task has poisoned the page, and a poisoned page ends an access without a
            // message. Under the lock, a lost page that is not busy stays what it is.
            if entry.state == Lost && !entry.busy {
                self.memory_discard(page, 1);
            }
        }
        outcome
    }

    /// Waits a moment if others wait for a task: whoever brings many pages in, one after the
    /// other, would else take it again before they wake up.
    fn let_faults_go_first(&self) {
        let tasks = self.fault_tasks.lock().expect("no panic under the lock");
        if tasks.waiting > 0 {
            drop(self.fault_task_free.wait_timeout(tasks, WAIT_MAX).expect("no panic under the lock"));
        }
    }

    fn serve(&self, page: PageNumber, access: Access, was_mapped: bool) -> Outcome {
        let mut tasks = self.fault_tasks.lock().expect("no panic under the lock");
        let mut task = loop {
            if let Some(task) = tasks.free.pop() {
                break task;
            }
            tasks.waiting += 1;
            tasks = self.fault_task_free.wait(tasks).expect("no panic under the lock");
            tasks.waiting -= 1;
        };
        drop(tasks);
        task.begin(page, access, was_mapped);
        self.drive(&mut task);
        let outcome = task.outcome();
        let mut tasks = self.fault_tasks.lock().expect("no panic under the lock");
        // The list has had this length before, so this allocates nothing.
        tasks.free.push(task);
        // All, since one of them may be in `let_faults_go_first`.
        if tasks.waiting > 0 {
            self.fault_task_free.notify_all();
        }
        outcome
    }

    fn reclaim(&self, demand: Demand) -> Reclaimed {
        let mut task = self.on_demand.lock().expect("no panic under the lock");
        task.begin(demand);
        self.drive(&mut *task);
        let frames = self.lock().core.frames_for_faults();
        Reclaimed {
            done: task.done(),
            frames_short: matches!(demand, Demand::Frames(wanted) if wanted > frames),
        }
    }

    /// How many frames have to be made free for what is not managed.
    fn count_unmanaged(&self, process: ProcessMemory, ledger: Option<&Ledger>) -> u32 {
        let began_us = self.now_us();
        let processes = ledger.map_or(1, |ledger| ledger.live().count().max(1) as u32);
        let unwatched = self.count_unwatched();
        let mut state = self.lock();
        state.counted_us = self.now_us();
        state.count_took_us = state.counted_us - began_us;
        let untouched = unwatched
            .filter(|(pages, _)| *pages == state.core.regions.unwatched_pages())
            .map(|(pages, frames)| pages - frames);
        // Processes of a tree mostly have the same files: each counts a part of them.
        let of_files = process.of_files / processes;
        let process_frames = process.resident.saturating_sub(process.of_files) + of_files;
        state.core.count_unmanaged(process_frames, untouched);
        // What is owed may be had from others.
        let now_us = state.counted_us;
        state.core.settle(now_us);
        state.ring_those_pressed();
        state.core.frames_owed()
    }

    /// The kernel's own pages of regions, and how many of them are there, if it says; others may change that
    /// meanwhile.
    fn count_unwatched(&self) -> Option<(u32, u32)> {
        let (mut pages, mut frames) = (0, 0);
        let mut from = PageNumber(0);
        loop {
            let next = self.lock().core.regions.unwatched_from(from);
            let Some(range) = next else { return Some((pages, frames)) };
            from = range.end;
            pages += range.end.0 - range.start.0;
            frames += self.memory.count_present(range)?;
        }
    }

    /// Unless that was done within this time, or takes too much of it.
    fn count_unmanaged_every(&self, every_us: u64, ledger: Option<&Ledger>) {
        let is_due = {
            let state = self.lock();
            let pause_us = every_us.max(COUNT_PAUSES * state.count_took_us);
            self.now_us() > state.counted_us + pause_us
        };
        if is_due && let Some(process) = ProcessMemory::now() {
            self.count_unmanaged(process, ledger);
        }
    }

    fn run_kswapd(&self, mut kswapd: Kswapd, ledger: Option<&Ledger>, is_of_process: bool) {
        let alarm = self.alarm(&self.lock());
        loop {
            // Before the look at what there is to do: whoever finds more for us rings after that.
            let seen = alarm.load(Ordering::SeqCst);
            if is_of_process {
                self.count_unmanaged_every(COUNT_EVERY_US, ledger);
            }
            self.drive(&mut kswapd);
            let mut state = self.lock();
            state.forget_gone_children();
            if state.is_stopping {
                return;
            }
            state.is_kswapd_asleep = true;
            drop(state);
            ledger::wait(alarm, seen);
            let mut state = self.lock();
            state.is_kswapd_asleep = false;
            state.core.counters.kswapd_wakes += 1;
        }
    }
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<Thread, Error> {
    spawn(name, None, body).map_err(no_thread)
}

fn no_thread(error: std::io::Error) -> Error {
    Error::Device("no thread could be started".into(), error)
}

/// A key of chance, if there is to be one.
fn new_key(encrypt: bool) -> io::Result<Option<Zeroizing<[u8; KEY_BYTES]>>> {
    if !encrypt {
        return Ok(None);
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let mut filled = 0;
    while filled < KEY_BYTES {
        let rest = &mut key[filled..];
        // SAFETY: writes at most as many bytes as there is room for.
        match unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) } {
            count if count > 0 => filled += count as usize,
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return Err(io::Error::last_os_error()),
        }
    }
    Ok(Some(key))
}

fn pages_of(bytes: u64) -> u32 {
    u32::try_from(bytes / PAGE_BYTES as u64).unwrap_or(u32::MAX)
}

fn config(options: &Options, batch_pages: u32, buffer_frames: u32) -> Result<Config, Error> {
    let ram_frames = pages_of(options.ram_bytes);
    let reserve_frames_min = Config::reserve_frames_min(batch_pages);
    let reserve_frames = options.reserve_bytes.map_or(reserve_frames_min, pages_of);
    if reserve_frames < reserve_frames_min {
        return Err(Error::Configuration(format!(
            "reserve={} bytes: it takes {} bytes to let eviction always go on",
            u64::from(reserve_frames) * PAGE_BYTES as u64,
            u64::from(reserve_frames_min) * PAGE_BYTES as u64,
        )));
    }
    let frames_min = buffer_frames.saturating_add(reserve_frames).saturating_add(Config::RAM_FRAMES_MIN);
    if ram_frames < frames_min || ram_frames > Config::RAM_FRAMES_MAX {
        return Err(Error::Configuration(format!(
            "ram={} bytes: with these options a pager works with {} bytes at least and {} bytes at most",
            options.ram_bytes,
            u64::from(frames_min) * PAGE_BYTES as u64,
            u64::from(Config::RAM_FRAMES_MAX) * PAGE_BYTES as u64,
        )));
    }
    if options.readahead_pages > batch_pages {
        let pages = options.readahead_pages;
        return Err(Error::Configuration(format!(
            "readahead_pages={pages}: at most {batch_pages} pages with so much RAM"
        )));
    }
    let swap_slots = pages_of(options.swap_bytes);
    if options.eviction == EvictionKind::Intact && swap_slots > Packed::SLOT_LIMIT {
        return Err(Error::Configuration(format!(
            "swap={} bytes: eviction=\"intact\" works with {} bytes at most",
            options.swap_bytes,
            u64::from(Packed::SLOT_LIMIT) * PAGE_BYTES as u64
        )));
    }
    // Twice what can be filled, so that regions of odd lengths find gaps.
    let window_pages = (u64::from(ram_frames) + u64::from(swap_slots)) * 2;
    // The lists keep one bit of a page's number.
    let window_pages =
        u32::try_from(window_pages).ok().filter(|pages| pages >> 31 == 0).ok_or_else(|| {
            Error::Configuration(format!(
                "ram and swap of more than 4 TiB (swap={} bytes)",
                options.swap_bytes
            ))
        })?;
    Ok(Config {
        ram_frames,
        buffer_frames,
        swap_slots,
        batch_pages,
        window_pages,
        pool: options.pool,
        policy: options.policy,
        pool_limit_frames: options.pool_limit_bytes.map(pages_of),
        reserve_frames,
        eviction: options.eviction,
        // Smaller ones gain less, and each costs the kernel an area of memory more.
        unwatched_pages_min: if options.recorder.is_some() { u32::MAX } else { HUGE_PAGE_PAGES },
        readahead_pages: options.readahead_pages.max(1),
        is_encrypted: options.encrypt,
    })
}
