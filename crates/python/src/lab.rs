//! The lab as Python sees it: a call that replays a trace, and one that counts misses.

use std::collections::BTreeMap;

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zpager_core::engine::{Config, Core};
use zpager_core::eviction::EvictionKind;
use zpager_core::eviction::rfc::{Defect, Defects};
use zpager_core::histogram::Histogram;
use zpager_core::page::PAGE_BYTES;
use zpager_core::stats::Counters;
use zpager_core::zcache::policy::{Policy, PolicyKind};
use zpager_lab::alone::{self, Alone};
use zpager_lab::costs::Costs;
use zpager_lab::optimal;
use zpager_lab::replay::{Impossible, Replay, Step, TIERS, ThreadResult};
use zpager_lab::sample::{PLACES, Sample, USES};

use crate::engine::{EVICTIONS, POLICIES, POOLS, parse};
use crate::errors::misconfigured;
use crate::lab_policy::{Failure, PythonPolicy};

/// Turns between two looks for Control-C.
const TURNS: u32 = 1 << 20;

/// What came of a replay.
#[pyclass(frozen, get_all, module = "zpager._core")]
pub struct Replayed {
    threads: Vec<ReplayedThread>,
    counters: BTreeMap<String, u64>,
    histograms: BTreeMap<String, Vec<(u64, u64)>>,
    samples: BTreeMap<String, Py<PyBytes>>,
    end_ns: u64,
    gave_up_ns: Option<u64>,
}

/// What came of a thread of it.
#[pyclass(frozen, get_all, from_py_object, module = "zpager._core")]
#[derive(Clone)]
pub struct ReplayedThread {
    accesses: u64,
    faults: u64,
    found: BTreeMap<String, u64>,
    end_ns: u64,
    lost_ns: u64,
    latency: Vec<(u64, u64)>,
}

impl From<&ThreadResult> for ReplayedThread {
    fn from(thread: &ThreadResult) -> Self {
        let found = TIERS.iter().zip(thread.found).map(|(tier, count)| ((*tier).into(), count));
        ReplayedThread {
            accesses: thread.accesses,
            faults: thread.faults,
            found: found.collect(),
            end_ns: thread.end_ns,
            lost_ns: thread.lost_ns,
            latency: thread.latency.buckets().collect(),
        }
    }
}

/// See the stub.
#[pyfunction]
#[pyo3(signature = (threads, zpage_bytes, *, ram_bytes, swap_bytes, buffers_bytes, pool, policy, pool_limit_bytes,
                    reserve_bytes, eviction, defects, readahead_pages, costs, sample_every_ns))]
#[expect(clippy::too_many_arguments, reason = "each is a keyword")]
pub fn replay(
    python: Python<'_>,
    threads: Vec<PyBuffer<u64>>,
    zpage_bytes: PyBuffer<u16>,
    ram_bytes: u64,
    swap_bytes: u64,
    buffers_bytes: u64,
    pool: &str,
    policy: &Bound<'_, PyAny>,
    pool_limit_bytes: Option<u64>,
    reserve_bytes: Option<u64>,
    eviction: &str,
    defects: Vec<String>,
    readahead_pages: u32,
    costs: BTreeMap<String, u64>,
    sample_every_ns: u64,
) -> PyResult<Replayed> {
    let frames = |name: &str, bytes: u64| {
        u32::try_from(bytes / PAGE_BYTES as u64)
            .ok()
            .filter(|frames| *frames <= Config::RAM_FRAMES_MAX)
            .ok_or_else(|| misconfigured(python, format!("{name}={bytes}: more than a pager can have")))
    };
    let ram_frames = frames("ram_bytes", ram_bytes)?;
    let swap_slots = frames("swap_bytes", swap_bytes)?;
    let buffer_frames = frames("buffers_bytes", buffers_bytes)?;
    let plain = Config::of_size(ram_frames, swap_slots);
    let reserve_frames_min = plain.reserve_frames;
    let reserve_frames = match reserve_bytes {
        Some(bytes) => frames("reserve_bytes", bytes)?,
        None => reserve_frames_min,
    };
    if reserve_frames < reserve_frames_min {
        return Err(misconfigured(
            python,
            format!(
                "reserve_bytes={}: it takes {} bytes to let eviction always go on",
                u64::from(reserve_frames) * PAGE_BYTES as u64,
                u64::from(reserve_frames_min) * PAGE_BYTES as u64
            ),
        ));
    }
    let frames_min = buffer_frames.saturating_add(reserve_frames).saturating_add(Config::RAM_FRAMES_MIN);
    if ram_frames < frames_min {
        let bytes_min = u64::from(frames_min) * PAGE_BYTES as u64;
        let message =
            format!("ram_bytes={ram_bytes}: a pager with these options works with {bytes_min} at least");
        return Err(misconfigured(python, message));
    }
    let (policy_kind, mut python_policy) = match policy.extract::<String>() {
        Ok(name) => (parse(python, "policy", &name, POLICIES)?, None),
        Err(_) => (PolicyKind::FrameLru, Some(PythonPolicy::new(policy)?)),
    };
    let failure = python_policy.as_ref().map(PythonPolicy::failure);
    let config = Config {
        buffer_frames,
        pool: parse(python, "pool", pool, POOLS)?,
        policy: policy_kind,
        pool_limit_frames: pool_limit_bytes.map(|bytes| frames("pool_limit_bytes", bytes)).transpose()?,
        reserve_frames,
        eviction: eviction_of(python, eviction, &defects)?,
        readahead_pages: readahead_pages.clamp(1, plain.batch_pages),
        ..plain
    };
    let costs = costs_of(python, &costs)?;
    let zpage_bytes = zpage_bytes.to_vec(python)?;
    let threads = threads.iter().map(|steps| steps.to_vec(python)).collect::<PyResult<Vec<_>>>()?;
    let replay = python.detach(move || {
        let threads = threads.into_iter().map(|steps| steps.into_iter().map(Step).collect()).collect();
        let policy = python_policy.take().map(|policy| Box::new(policy) as Box<dyn Policy>);
        Replay::new(config, costs, zpage_bytes, threads, sample_every_ns, policy)
    });
    let mut replay = replay.map_err(|error| impossible(python, error))?;
    let mut gave_up_ns = None;
    loop {
        let is_finished = python.detach(|| replay.run_turns(TURNS));
        if let Some(error) = failure.as_ref().and_then(Failure::take) {
            return Err(error);
        }
        match is_finished {
            Ok(true) => break,
            Ok(false) => python.check_signals()?,
            Err(Impossible::NoRoom) if !defects.is_empty() => {
                gave_up_ns = Some(replay.now_ns());
                break;
            }
            Err(error) => return Err(impossible(python, error)),
        }
    }
    Ok(Replayed {
        threads: replay.threads().map(ReplayedThread::from).collect(),
        counters: counters(replay.core()),
        histograms: histograms(replay.counters()),
        samples: columns(python, replay.samples()),
        end_ns: replay.end_ns(),
        gave_up_ns,
    })
}

fn impossible(python: Python<'_>, error: Impossible) -> PyErr {
    misconfigured(
        python,
        match error {
            Impossible::BeyondCapacity(pages) => format!(
                "ram and swap together hold {pages} pages, and the trace has more; give more of either"
            ),
            Impossible::NoSuchPage(page) => {
                format!("page {page} is touched, and zpage_bytes has no length for it")
            }
            Impossible::NoRoom => {
                "for 30 seconds no frame could be had for a page: ram and swap are too small for the trace"
                    .into()
            }
        },
    )
}

fn costs_of(python: Python<'_>, costs: &BTreeMap<String, u64>) -> PyResult<Costs> {
    let cost = |name: &str| {
        costs.get(name).copied().ok_or_else(|| misconfigured(python, format!("costs: {name} is missing")))
    };
    let count = |name: &str| {
        let count = u32::try_from(cost(name)?).ok().filter(|count| *count > 0);
        count.ok_or_else(|| misconfigured(python, format!("costs: {name} is to be 1 or more")))
    };
    Ok(Costs {
        access_ns: cost("access_ns")?,
        fault_ns: cost("fault_ns")?,
        wake_ns: cost("wake_ns")?,
        map_ns: cost("map_ns")?,
        unmap_call_ns: cost("unmap_call_ns")?,
        unmap_ns: cost("unmap_ns")?,
        move_ns: cost("move_ns")?,
        compress_ns: cost("compress_ns")?,
        decompress_ns: cost("decompress_ns")?,
        read_ns: cost("read_ns")?,
        write_ns: cost("write_ns")?,
        seek_ns: cost("seek_ns")?,
        transfer_ns: cost("transfer_ns")?,
        queue_depth: count("queue_depth")?,
        cpus: count("cpus")?,
    })
}

fn counters(core: &Core) -> BTreeMap<String, u64> {
    let mut counters: BTreeMap<String, u64> =
        core.counters.by_name().map(|(name, count)| (name.into(), count)).collect();
    counters.insert("freed_frames".into(), core.counters.eviction_us.count());
    if matches!(core.config.eviction, EvictionKind::Rfc(_)) {
        counters.insert("leaked_pages".into(), core.rfc.leaked_pages().into());
        counters.insert("stale_denials".into(), core.rfc.stale_denials);
        counters.insert("guard_opened".into(), core.rfc.guard[0]);
        counters.insert("guard_closed".into(), core.rfc.guard[1]);
    }
    counters
}

fn eviction_of(python: Python<'_>, name: &str, defects: &[String]) -> PyResult<EvictionKind> {
    if name != "rfc" {
        return parse(python, "eviction", name, &format!("{EVICTIONS}, \"rfc\""));
    }
    let mut all = Defects::default();
    for wanted in defects {
        let Some((_, defect)) = Defect::ALL.iter().find(|(name, _)| name == wanted) else {
            let names = Defect::ALL.map(|(name, _)| name).join(", ");
            return Err(misconfigured(python, format!("defects: {wanted:?} is none of {names}")));
        };
        all = all.with(*defect);
    }
    Ok(EvictionKind::Rfc(all))
}

fn histograms(counters: &Counters) -> BTreeMap<String, Vec<(u64, u64)>> {
    let buckets = |name: &str, histogram: &Histogram| (name.into(), histogram.buckets().collect());
    BTreeMap::from([
        buckets("fault_us", &counters.fault_us),
        buckets("unuse_to_write_us", &counters.unuse_to_write_us),
        buckets("eviction_us", &counters.eviction_us),
    ])
}

/// The samples as columns of 64-bit integers; those of threads have a row for each sample.
fn columns(python: Python<'_>, samples: &[Sample]) -> BTreeMap<String, Py<PyBytes>> {
    let mut columns: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut add = |name: &str, value: u64| match columns.get_mut(name) {
        Some(column) => column.push(value),
        None => {
            columns.insert(name.into(), vec![value]);
        }
    };
    for sample in samples {
        add("now_ns", sample.now_ns);
        USES.iter().zip(sample.frames).for_each(|((_, name), frames)| add(name, frames.into()));
        PLACES.iter().zip(sample.pages).for_each(|(name, pages)| add(name, pages.into()));
        add("pool_limit_frames", sample.pool_limit_frames.into());
        add("stored_pages", sample.stored_pages.into());
        add("slots_used", sample.slots_used.into());
        add("leaked_pages", sample.leaked_pages.into());
        add("freed_frames", sample.freed_frames);
        sample.counters.by_name().for_each(|(name, count)| add(name, count));
        for (lost_ns, accesses) in &sample.threads {
            add("lost_ns", *lost_ns);
            add("accesses", *accesses);
        }
    }
    let bytes = |column: Vec<u64>| {
        let bytes: Vec<u8> = column.into_iter().flat_map(u64::to_ne_bytes).collect();
        PyBytes::new(python, &bytes).unbind()
    };
    columns.into_iter().map(|(name, column)| (name, bytes(column))).collect()
}

/// See the stub.
#[pyfunction]
pub fn misses(
    python: Python<'_>,
    policy: &str,
    accesses: PyBuffer<u32>,
    capacities_pages: Vec<u32>,
) -> PyResult<Vec<u64>> {
    if capacities_pages.contains(&0) {
        return Err(misconfigured(python, "capacities_pages: give 1 or more".into()));
    }
    let alone = match policy {
        "optimal" => None,
        _ => Some(parse::<Alone>(python, "policy", policy, ALONE)?),
    };
    let accesses = accesses.to_vec(python)?;
    let page_count = accesses.iter().max().map_or(Ok(0), |page| {
        page.checked_add(1).ok_or_else(|| misconfigured(python, format!("there is no page {page}")))
    })?;
    let mut counts = Vec::with_capacity(capacities_pages.len());
    for capacity in capacities_pages {
        counts.push(python.detach(|| match alone {
            Some(alone) => alone::misses(alone, &accesses, page_count, capacity),
            None => optimal::misses(&accesses, page_count, capacity),
        }));
        python.check_signals()?;
    }
    Ok(counts)
}

const ALONE: &str = "\"lru\", \"fifo\", \"clock\", \"sieve\", \"s3-fifo\", \"optimal\"";
