//! The engine as Python sees it: a pager, and the list of what lives in it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use zpager_core::histogram::Histogram;
use zpager_core::page::PAGE_BYTES;
use zpager_linux::Error;
use zpager_linux::pager::{Delivery, FaultInError, IoKind, Options, Pager, Region, Snapshot};

use crate::allocation::Allocation;
use crate::calls;
use crate::errors::{misconfigured, raise};

/// Pages that are brought in before a signal is looked for, Control-C above all.
const FAULT_IN_PAGES: u32 = 1024;

/// The allocations of an engine that are alive, and the pager as long as it may be needed.
pub struct Live(Mutex<LiveState>);

/// An allocation that is alive, or is just going.
#[derive(Clone)]
struct LiveAllocation {
    label: String,
    bytes: u64,
    address: usize,
    region: Weak<Region>,
}

struct LiveState {
    /// In the order of their making.
    allocations: BTreeMap<u64, LiveAllocation>,
    made: u64,
    is_closed: bool,
    /// `None`: closed, and everything given back.
    pager: Option<Arc<Pager>>,
    /// The figures at the end.
    last: Snapshot,
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, LiveState> {
        self.0.lock().expect("nothing panics under this lock")
    }

    /// An allocation goes, and with the last one of a closed engine the pager.
    pub fn remove(&self, number: u64, region: Arc<Region>) {
        if region.pager().is_elsewhere() {
            return;
        }
        drop(region);
        let ended = {
            let mut state = self.lock();
            state.allocations.remove(&number);
            state.end_if_due()
        };
        drop(ended);
    }
}

impl LiveState {
    fn end_if_due(&mut self) -> Option<Arc<Pager>> {
        if self.is_closed && self.allocations.is_empty() {
            let pager = self.pager.take()?;
            self.last = pager.snapshot();
            return Some(pager);
        }
        None
    }

    fn snapshot(&self) -> Snapshot {
        self.pager.as_ref().map_or(self.last, |pager| pager.snapshot())
    }
}

/// One budget of RAM, one pool, one swap file, and the threads that keep them in order.
#[pyclass(frozen, module = "zpager._core")]
pub struct Engine {
    live: Arc<Live>,
    options: Options,
    io: IoKind,
    process: u32,
}

/// What there is to choose from.
pub const POOLS: &str = "\"zsmalloc\", \"zbud\"";
pub const POLICIES: &str = "\"frame-lru\", \"second-chance\", \"sieve\", \"s3-fifo\", \"frame-aware\"";
pub const EVICTIONS: &str = "\"unuse\", \"writeback\", \"intact\", \"none\"";

/// A choice by its name.
pub fn parse<T: FromStr>(python: Python<'_>, name: &str, value: &str, choices: &str) -> PyResult<T> {
    value.parse().map_err(|_| misconfigured(python, format!("{name}={value:?}: give one of {choices}")))
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, ram_bytes, swap_bytes, swap_directory, codec, pool, policy, pool_limit_bytes,
                        reserve_bytes, eviction, faults, readahead_pages, encrypt, io))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword")]
    fn new(
        python: Python<'_>,
        ram_bytes: u64,
        swap_bytes: u64,
        swap_directory: String,
        codec: &str,
        pool: &str,
        policy: &str,
        pool_limit_bytes: Option<u64>,
        reserve_bytes: Option<u64>,
        eviction: &str,
        faults: &str,
        readahead_pages: u32,
        encrypt: bool,
        io: &str,
    ) -> PyResult<Self> {
        let faults = match faults {
            "auto" => None,
            "thread" => Some(Delivery::Thread),
            "signal" => Some(Delivery::Signal),
            _ => {
                let message = format!("faults={faults:?}: give one of \"auto\", \"signal\", \"thread\"");
                return Err(misconfigured(python, message));
            }
        };
        let options = Options {
            ram_bytes,
            swap_bytes,
            swap_directory,
            codec: parse(python, "codec", codec, "\"lz4\", \"zstd\"")?,
            pool: parse(python, "pool", pool, POOLS)?,
            policy: parse(python, "policy", policy, POLICIES)?,
            pool_limit_bytes,
            reserve_bytes,
            eviction: parse(python, "eviction", eviction, EVICTIONS)?,
            faults: calls::prepare(ram_bytes, faults),
            readahead_pages,
            encrypt,
            io: parse(python, "io", io, "\"auto\", \"io_uring\", \"threads\"")?,
            is_inherited: false,
            ledger: None,
            is_of_process: false,
            takes_swap_at_once: true,
            advises_huge_pages: true,
            recorder: None,
        };
        let pager = python.detach(|| Pager::new(options.clone())).map_err(|error| raise(python, &error))?;
        let (last, io) = (pager.snapshot(), pager.io_kind());
        let allocations = BTreeMap::new();
        let state = LiveState { allocations, made: 0, is_closed: false, pager: Some(pager), last };
        Ok(Engine { live: Arc::new(Live(Mutex::new(state))), options, io, process: std::process::id() })
    }

    #[getter]
    fn io(&self) -> &'static str {
        self.io.name()
    }

    #[getter]
    fn faults(&self) -> &'static str {
        match self.options.faults {
            Delivery::Thread => "thread",
            Delivery::Signal => "signal",
        }
    }

    fn allocate(
        &self,
        python: Python<'_>,
        size_bytes: u64,
        item_bytes: u8,
        label: String,
    ) -> PyResult<Allocation> {
        let pager = self.pager(python)?;
        let region = python
            .detach(|| pager.allocate(size_bytes, item_bytes))
            .map_err(|error| raise(python, &error))?;
        let region = Arc::new(region);
        let address = region.base() as usize;
        let live = LiveAllocation { label, bytes: size_bytes, address, region: Arc::downgrade(&region) };
        let number = {
            let mut state = self.live.lock();
            state.made += 1;
            let number = state.made;
            state.allocations.insert(number, live);
            number
        };
        Ok(Allocation::new(region, size_bytes as usize, number, Arc::clone(&self.live)))
    }

    fn counters<'py>(&self, python: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let snapshot = self.live.lock().snapshot();
        let counters = PyDict::new(python);
        for (name, value) in snapshot.counters.by_name() {
            counters.set_item(name, value)?;
        }
        let bytes = |frames: u32| u64::from(frames) * PAGE_BYTES as u64;
        let [resident, swap_cache, pool, reserve, _, buffers] = snapshot.used_frames.map(bytes);
        for (name, value) in [
            ("ram_bytes", self.options.ram_bytes),
            ("used_most_bytes", bytes(snapshot.used_frames_most)),
            ("resident_bytes", resident),
            ("swap_cache_bytes", swap_cache),
            ("pool_bytes", pool),
            ("reserve_bytes", reserve),
            ("metadata_bytes", snapshot.metadata_bytes),
            ("buffers_bytes", buffers),
            ("pool_limit_bytes", bytes(snapshot.pool_limit_frames)),
            ("managed_bytes", bytes(snapshot.managed_pages)),
            ("swap_bytes", self.options.swap_bytes),
            ("swap_used_bytes", bytes(snapshot.slots_used)),
            ("zpage_bytes", snapshot.zpage_bytes),
            ("unwatched_bytes", bytes(snapshot.unwatched_pages)),
            ("stored_pages", snapshot.stored_pages.into()),
            ("same_filled_pages", snapshot.same_filled_pages.into()),
            ("pers_pageframes", pool / PAGE_BYTES as u64),
            ("pers_zpages", snapshot.zpages.into()),
        ] {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }

    fn histogram(&self, python: Python<'_>, name: &str) -> PyResult<Vec<(u64, u64)>> {
        let counters = self.live.lock().snapshot().counters;
        let histogram: Histogram = match name {
            "unuse_to_write_us" => counters.unuse_to_write_us,
            "eviction_us" => counters.eviction_us,
            "fault_us" => counters.fault_us,
            _ => {
                let message = format!(
                    "histogram({name:?}): give one of \"unuse_to_write_us\", \"eviction_us\", \"fault_us\""
                );
                return Err(misconfigured(python, message));
            }
        };
        Ok(histogram.buckets().collect())
    }

    fn live(&self) -> Vec<(String, u64)> {
        let state = self.live.lock();
        state.allocations.values().map(|live| (live.label.clone(), live.bytes)).collect()
    }

    fn fault_in(&self, python: Python<'_>, address: usize, size_bytes: usize) -> PyResult<bool> {
        self.pager(python)?;
        let found = {
            let state = self.live.lock();
            state.allocations.values().find_map(|live| {
                let offset = address.checked_sub(live.address)?;
                let is_inside = offset.checked_add(size_bytes)? as u64 <= live.bytes;
                // One that is going may have left its addresses to another.
                is_inside.then(|| Some((live.region.upgrade()?, live.label.clone(), offset)))?
            })
        };
        let Some((region, label, offset)) = found else { return Ok(false) };
        fault_in(python, &region, &label, offset, size_bytes)?;
        Ok(true)
    }

    fn fault_in_all(&self, python: Python<'_>) -> PyResult<()> {
        self.pager(python)?;
        let all: Vec<_> = self.live.lock().allocations.values().cloned().collect();
        for live in all {
            if let Some(region) = live.region.upgrade() {
                fault_in(python, &region, &live.label, 0, live.bytes as usize)?;
            }
        }
        Ok(())
    }

    fn reclaim(&self, python: Python<'_>, pages: u64) -> PyResult<u64> {
        let pager = self.pager(python)?;
        Ok(python.detach(|| pager.reclaim_pages(pages)))
    }

    fn evict(&self, python: Python<'_>, units: u64) -> PyResult<u64> {
        let pager = self.pager(python)?;
        Ok(python.detach(|| pager.evict(units)))
    }

    fn check(&self, python: Python<'_>) -> PyResult<()> {
        let pager = self.pager(python)?;
        python.detach(|| pager.check());
        Ok(())
    }

    fn close(&self, python: Python<'_>) -> bool {
        python.detach(|| self.end())
    }
}

/// Brings in the pages of a part of an allocation; a loss is a `PageLost` that names it.
fn fault_in(
    python: Python<'_>,
    region: &Region,
    label: &str,
    offset: usize,
    size_bytes: usize,
) -> PyResult<()> {
    let mut first = (offset / PAGE_BYTES) as u32;
    let end = (offset + size_bytes).div_ceil(PAGE_BYTES) as u32;
    while first < end {
        let count = FAULT_IN_PAGES.min(end - first);
        python.detach(|| region.fault_in(first, count)).map_err(|error| {
            let error = match error {
                FaultInError::Lost { page, loss } => {
                    let offset = page as usize * PAGE_BYTES;
                    Error::PageLost(format!(
                        "{label}: the page at byte offset {offset} is lost: {loss}; treat its contents as \
                         damaged, compute or load them anew, and check the disk of the swap directory"
                    ))
                }
                FaultInError::NoRoom => Error::OutOfSwap(format!(
                    "{label}: no RAM can be freed to bring its pages in: the swap device is full or fails, \
                     or pages are pinned"
                )),
            };
            raise(python, &error)
        })?;
        python.check_signals()?;
        first += count;
    }
    Ok(())
}

impl Engine {
    fn pager(&self, python: Python<'_>) -> PyResult<Arc<Pager>> {
        // Nothing of the interpreter's may run under the lock: a collection could free an
        // allocation, which takes the lock.
        let open = {
            let state = self.live.lock();
            state.pager.clone().filter(|pager| !state.is_closed && !pager.is_elsewhere())
        };
        open.ok_or_else(|| raise(python, &Error::Closed))
    }

    fn end(&self) -> bool {
        let ended = {
            let mut state = self.live.lock();
            state.is_closed = true;
            state.end_if_due()
        };
        drop(ended);
        self.live.lock().pager.is_none()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // In a forked child another thread may have held the lock, and does not exist.
        if self.process == std::process::id() {
            self.end();
        }
    }
}
