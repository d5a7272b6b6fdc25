"""Replays: the same every time, and what a policy in Python or a defect of the RFC's code makes of them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from zpager.errors import ConfigurationError
from zpager.lab.costs import PROFILES, CodecCosts, Costs, costs
from zpager.lab.policy import Units
from zpager.lab.replay import TIERS, Configuration, Result, replay
from zpager.lab.trace import ThreadTrace, Trace

PAGES = 6000
ACCESSES = 60_000
RAM_BYTES = 8 << 20
SAMPLE_NS = 5_000_000


def trace_of(threads: int = 2, accesses: int = ACCESSES) -> Trace:
    """Zipf's law with some writes, and pages of all lengths."""
    made = []
    for number in range(threads):
        random = np.random.default_rng(number)
        page = ((PAGES ** random.random(accesses)).astype(np.uint32) * 1009 + 500 * number) % PAGES
        is_write = random.random(accesses) < 0.3
        made.append(ThreadTrace(f"thread {number}", page, is_write, np.full(accesses, 50, np.uint32)))
    sizes = np.random.default_rng(9).integers(300, 3000, PAGES).astype(np.uint16)
    sizes[::50] = 0
    sizes[1::50] = 4096
    return Trace(threads=tuple(made), zpage_bytes={"lz4": sizes})


def replayed(trace: Trace, sample_every_ns: int = 0, **options: object) -> Result:
    configuration = Configuration(ram_bytes=RAM_BYTES, **options)  # type: ignore[arg-type]
    return replay(trace, configuration, PROFILES["nvme"], sample_every_ns)


def everything(result: Result) -> bytes:
    samples = {name: column.tobytes() for name, column in result.samples.items()}
    return pickle.dumps((result.threads, result.counters, result.histograms, samples, result.end_ns))


@pytest.mark.parametrize("eviction", ["unuse", "writeback", "intact", "none"])
def test_a_replay_is_the_same_every_time(eviction: str) -> None:
    trace = trace_of()
    first, second = (replayed(trace, SAMPLE_NS, eviction=eviction, pool="zbud") for _ in range(2))
    assert everything(first) == everything(second)
    assert first.counters["pswpout"] > 0


def test_what_threads_tell_is_what_counters_tell() -> None:
    result = replayed(trace_of(), SAMPLE_NS)
    assert [thread.name for thread in result.threads] == ["thread 0", "thread 1"]
    assert all(thread.accesses == ACCESSES for thread in result.threads)
    assert sum(thread.faults for thread in result.threads) == result.counters["faults"]
    names = ("zero", "write_protect", "swap_cache", "zcache", "device")
    for tier, name in zip(TIERS, names, strict=True):
        assert sum(thread.found[tier] for thread in result.threads) == result.counters[f"faults_{name}"], tier
    assert result.misses()["device"] == result.counters["faults_device"] > 0
    for thread in result.threads:
        assert sum(count for _, count in thread.latency) == thread.faults
        assert 0 < thread.latency_ns(0.5) <= thread.latency_ns(0.999)
        assert 0 < thread.lost_ns < thread.end_ns <= result.end_ns


def test_samples_tell_where_every_page_is() -> None:
    result = replayed(trace_of(), SAMPLE_NS)
    places = ("untouched", "resident", "swap_cache", "zcache", "device")
    pages = np.sum([result.samples[f"{place}_pages"] for place in places], axis=0)
    assert (pages == PAGES).all()
    assert (np.diff(result.samples["now_ns"].astype(np.int64)) > 0).all()
    assert len(pages) > 10
    uses = ("resident", "swap_cache", "pool", "reserve", "metadata", "buffers")
    frames = np.sum([result.samples[f"{use}_frames"] for use in uses], axis=0)
    assert (frames <= RAM_BYTES // 4096).all()
    assert result.samples["lost_ns"][-1].tolist() == [thread.lost_ns for thread in result.threads]
    assert result.samples["accesses"][-1].tolist() == [ACCESSES] * 2
    assert result.samples["faults"][-1] == result.counters["faults"]


def test_a_thread_that_sleeps_takes_no_cpu() -> None:
    busy = trace_of(1).threads[0]
    sleeper = ThreadTrace(
        "sleeper", np.zeros(50, np.uint32), np.zeros(50, np.bool_), np.full(50, 1 << 30, np.uint32)
    )
    cpu = Costs(read_ns=1, write_ns=1, transfer_ns=1, queue_depth=1, cpus=1)
    configuration = Configuration(ram_bytes=64 << 20)
    alone = replay(Trace((busy,)), configuration, cpu).threads[0].end_ns
    beside = replay(Trace((busy, sleeper)), configuration, cpu).threads[0].end_ns
    together = replay(Trace((busy, busy)), configuration, cpu).threads[0].end_ns
    assert beside < 1.01 * alone
    assert together > 1.4 * alone


class Lru:
    """The built-in one, in Python."""

    def __init__(self) -> None:
        self.units: dict[int, None] = {}

    def insert(self, unit: int) -> None:
        self.units[unit] = None

    def used(self, unit: int) -> None:
        if unit in self.units:
            self.units[unit] = self.units.pop(unit)

    def stored(self, unit: int, _page: int) -> None:
        self.used(unit)

    def left(self, unit: int, page: int, is_isolated: bool) -> None:
        pass

    def remove(self, unit: int) -> None:
        del self.units[unit]

    def take_coldest(self, units: Units) -> int | None:
        coldest = next(iter(self.units), None)
        if coldest is not None:
            assert 1 <= units.frame_count(coldest) <= 64
            assert units.take_referenced(coldest) <= units.zpage_count(coldest)
            del self.units[coldest]
        return coldest

    def put_back(self, unit: int) -> None:
        self.units = {unit: None, **self.units}


@pytest.mark.parametrize("pool", ["zbud", "zsmalloc"])
@pytest.mark.parametrize("eviction", ["unuse", "writeback", "intact"])
def test_an_lru_in_python_is_the_built_in_one(pool: str, eviction: str) -> None:
    trace = trace_of()
    ours = replayed(trace, policy=Lru, pool=pool, eviction=eviction)
    theirs = replayed(trace, policy="frame-lru", pool=pool, eviction=eviction)
    assert ours.counters == theirs.counters
    assert ours.counters["evicted_units"] > 100
    assert everything(ours) == everything(theirs)


def test_an_exception_in_a_policy_ends_the_replay() -> None:
    class Failing(Lru):
        def take_coldest(self, units: Units) -> int | None:
            raise KeyError("an idea that was none")

    with pytest.raises(KeyError, match="an idea that was none"):
        replayed(trace_of(), policy=Failing)


def test_a_policy_that_answers_wrongly_is_told_so() -> None:
    kept: list[Units] = []

    class Confused(Lru):
        answer: object = 4_000_000

        def take_coldest(self, units: Units) -> int | None:
            kept.append(units)
            return self.answer  # type: ignore[return-value]

    with pytest.raises(ConfigurationError, match="4000000, which is no unit that the policy has"):
        replayed(trace_of(), policy=Confused)
    Confused.answer = "a unit"
    with pytest.raises(ConfigurationError, match="'?a unit'?: it has to be a unit, or None"):
        replayed(trace_of(), policy=Confused)
    Confused.answer = None
    with pytest.raises(ConfigurationError, match=r"None, and the policy has \d+ units"):
        replayed(trace_of(), policy=Confused)
    with pytest.raises(ConfigurationError, match="in take_coldest only"):
        kept[0].frame_count(0)
    with pytest.raises(ConfigurationError, match='has no method "insert"'):
        replayed(trace_of(), policy=dict)


def test_each_defect_does_what_it_is_said_to_do() -> None:
    trace = trace_of()
    options = {"pool": "zbud", "pool_limit_bytes": RAM_BYTES // 4}
    meant = replayed(trace, eviction="unuse", **options)
    none = replayed(trace, eviction="rfc", **options)
    assert {**none.counters, **meant.counters} == none.counters, "without defects it is unuse"
    assert none.end_ns == meant.end_ns

    def with_defect(*defects: str) -> Result:
        return replayed(trace, eviction="rfc", defects=frozenset(defects), **options)

    guarded = with_defect("inverted-guard")
    assert guarded.counters["guard_closed"] > 0
    assert guarded.counters["unuses"] < meant.counters["unuses"] / 10
    assert guarded.counters["pool_limit_hit"] > 0

    def waited_us(result: Result) -> float:
        buckets = result.histograms["unuse_to_write_us"]
        return sum(bound * count for bound, count in buckets) / sum(count for _, count in buckets)

    assert waited_us(with_defect("head-of-list")) > 3 * waited_us(meant)
    leaking = with_defect("leaked-reference")
    assert leaking.counters["leaked_pages"] > 100
    assert sum(count for _, count in leaking.histograms["unuse_to_write_us"]) == 0
    roomy = {**options, "pool_limit_bytes": None}
    eager = replayed(trace, eviction="rfc", defects=frozenset({"target-sign"}), **roomy)
    assert eager.counters["unuses"] > 1.5 * replayed(trace, eviction="unuse", **roomy).counters["unuses"]
    # With a reserve a frame can always be had, but where pages that never leave have taken it all.
    assert with_defect("stale-denial").counters["stale_denials"] == 0
    assert with_defect("stale-denial", "leaked-reference").counters["stale_denials"] > 0
    everything_wrong = with_defect(
        "inverted-guard", "head-of-list", "leaked-reference", "target-sign", "stale-denial"
    )
    assert everything_wrong.counters["leaked_pages"] < leaking.counters["leaked_pages"], "the guard hides it"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eviction": "hope"}, "eviction='hope': choose one of"),
        ({"policy": "hope"}, "policy='hope': choose one of 'frame-lru'"),
        ({"defects": frozenset({"target-sign"})}, "only eviction='rfc' has any"),
        ({"eviction": "rfc", "defects": frozenset({"hope"})}, "'hope' is none of inverted-guard"),
        ({"readahead_pages": 33}, "readahead_pages=33"),
        ({"reserve_bytes": 4096}, "reserve_bytes=4096: it takes"),
        ({"swap_bytes": 4096}, "ram and swap together hold"),
        ({"buffers_bytes": RAM_BYTES}, f"ram_bytes={RAM_BYTES}: a pager with these options works with"),
        ({"default_ratio": 0.5}, "default_ratio=0.5"),
        ({"codec": "zip"}, "codec='zip': choose one of"),
    ],
)
def test_what_cannot_be_is_said_at_once(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replayed(trace_of(1, 20_000), **options)


def test_costs_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "here.toml"
    measured = Costs(
        read_ns=7,
        write_ns=8,
        transfer_ns=9,
        queue_depth=3,
        codecs={"lz4": CodecCosts(compress_ns=1, decompress_ns=2)},
    )
    path.write_text(measured.to_toml())
    assert costs(str(path)) == measured
    assert pickle.loads(pickle.dumps(measured)) == measured
    with pytest.raises(ConfigurationError, match="zstd.* are unknown, but of lz4"):
        replayed_with = Configuration(ram_bytes=RAM_BYTES, codec="zstd")
        replay(trace_of(1), replayed_with, measured)
    path.write_text("read_ns = 3\n")
    with pytest.raises(ConfigurationError, match="holds no costs as"):
        costs(str(path))
    with pytest.raises(ConfigurationError, match="give one of nvme, sata-ssd, disk, network"):
        costs("floppy")
    with pytest.raises(ConfigurationError, match="queue_depth=0"):
        Costs(read_ns=7, write_ns=8, transfer_ns=9, queue_depth=0)
