"""Replaying a trace on the engine that the product runs, in virtual time.

The same trace, configuration and costs give the same figures every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from zpager import _core
from zpager.errors import ConfigurationError
from zpager.lab.costs import Costs
from zpager.lab.policy import UnitPolicy
from zpager.options import (
    CODECS,
    DEFAULT_CODEC,
    DEFAULT_EVICTION,
    DEFAULT_POLICY,
    DEFAULT_POOL,
    LARGEST_READAHEAD_PAGES,
    Codec,
    Eviction,
    Policy,
    Pool,
    is_whole,
)
from zpager.sizes import PAGE_BYTES
from zpager.stats import quantile

if TYPE_CHECKING:
    from zpager.lab.trace import Trace

LabEviction: TypeAlias = Eviction | Literal["rfc"]
"""`rfc` is the patch of 2012 with the `defects` of its code that are switched on; with none it is `unuse`."""

Defect: TypeAlias = Literal[
    "inverted-guard", "head-of-list", "leaked-reference", "target-sign", "stale-denial"
]

TIERS: Final = ("new", "write_protected", "swap_cache", "zcache", "device")
"""Where a fault finds its page: it was never touched; it is there, and this is the first write since it came
back; it is on its way out, and still in RAM; it is compressed; it has to be read."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A pager in the lab; names and defaults are those of `zpager.Pager`, sizes are in bytes."""

    ram_bytes: int
    swap_bytes: int | None = None
    """None: as much as holds every page of the trace."""
    codec: Codec = DEFAULT_CODEC
    pool: Pool = DEFAULT_POOL
    policy: Policy | Callable[[], UnitPolicy] = DEFAULT_POLICY
    """A name, or a class of yours: see `zpager.lab.policy`."""
    pool_limit_bytes: int | None = None
    """None: as much as saves the most time."""
    reserve_bytes: int | None = None
    """None: the smallest."""
    eviction: LabEviction = DEFAULT_EVICTION
    defects: frozenset[Defect] = frozenset()
    """Of `eviction="rfc"`."""
    readahead_pages: int = LARGEST_READAHEAD_PAGES
    """0 and 1 are none."""
    buffers_bytes: int = 0
    """RAM for workspaces and stacks. A real pager has some MiB of these in its `ram`."""
    default_ratio: float = 3.0
    """How well pages compress of which the trace does not know it."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what cannot be."""
        for name in ("ram_bytes", "swap_bytes", "pool_limit_bytes", "reserve_bytes", "buffers_bytes"):
            value = getattr(self, name)
            if value is not None and not is_whole(value, 0, 1 << 62):
                raise ConfigurationError(f"{name}={value!r}: give whole bytes")
        for name, accepted in (
            ("codec", CODECS),
            ("pool", get_args(Pool)),
            ("eviction", (*get_args(Eviction), "rfc")),
        ):
            if getattr(self, name) not in accepted:
                raise ConfigurationError(
                    f"{name}={getattr(self, name)!r}: choose one of {', '.join(map(repr, accepted))}"
                )
        if not callable(self.policy) and self.policy not in get_args(Policy):
            accepted_policies = ", ".join(map(repr, get_args(Policy)))
            raise ConfigurationError(
                f"policy={self.policy!r}: choose one of {accepted_policies}, or give a class"
            )
        if unknown := sorted(self.defects - set(get_args(Defect))):
            raise ConfigurationError(f"defects: {unknown[0]!r} is none of {', '.join(get_args(Defect))}")
        if self.defects and self.eviction != "rfc":
            raise ConfigurationError(f"defects={sorted(self.defects)}: only eviction='rfc' has any")
        if not is_whole(self.readahead_pages, 0, LARGEST_READAHEAD_PAGES):
            raise ConfigurationError(
                f"readahead_pages={self.readahead_pages!r}: give 0 to {LARGEST_READAHEAD_PAGES}"
            )
        if not self.default_ratio >= 1:
            raise ConfigurationError(f"default_ratio={self.default_ratio!r}: give 1 or more")


@dataclass(frozen=True, kw_only=True)
class ThreadResult:
    """What came of a thread."""

    name: str
    accesses: int
    faults: int
    found: Mapping[str, int]
    """Its faults by `TIERS`; the others found that another thread had just brought the page."""
    end_ns: int
    lost_ns: int
    """How much of that it waited for pages."""
    latency: tuple[tuple[int, int], ...]
    """Its faults by how long they took: pairs of an upper bound in nanoseconds (excluded) and a count,
    ascending, without empty ones; four to a doubling."""

    def latency_ns(self, share: float) -> int:
        """What this share of its faults took less than, to a quarter of a doubling; 0 if it had none.

        Raises ConfigurationError for a share that is not from 0 to 1.
        """
        if not 0 <= share <= 1:
            raise ConfigurationError(f"share={share!r}: give a number from 0 to 1")
        return quantile(self.latency, share) or 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What came of a replay."""

    threads: tuple[ThreadResult, ...]
    counters: Mapping[str, int]
    """As in `zpager.Stats`, and `freed_frames`: frames that eviction has made free. With `eviction="rfc"`
    also `leaked_pages`, which can never leave RAM again; `guard_opened` and `guard_closed`, calls of unuse
    that the inverted guard let through and that it ended; and `stale_denials`, bits that were left behind."""
    histograms: Mapping[str, tuple[tuple[int, int], ...]]
    """`unuse_to_write_us`, `eviction_us` and `fault_us`, as `zpager.Pager.histogram` has them."""
    samples: Mapping[str, NDArray[np.uint64]]
    """What was where over time, a number for each sample: `now_ns`; where pages live, each in one place:
    `untouched_pages`, `resident_pages`, `swap_cache_pages`, `zcache_pages`, `device_pages`; frames of RAM by
    use: `resident_frames`, `swap_cache_frames`, `pool_frames`, `reserve_frames`, `metadata_frames`,
    `buffers_frames`; `pool_limit_frames`, `stored_pages`, `slots_used`, `leaked_pages`, `freed_frames`; every
    counter by its name, as it stood then. `lost_ns` and `accesses` have a row for each sample and a column
    for each thread."""
    end_ns: int
    """When the last thread was done."""
    gave_up_ns: int | None
    """When a thread had looked for a frame for 30 seconds: nothing was replayed after that, and the kernel
    would have killed a process. Only with defects, which can fill RAM with pages that never leave; None is
    never."""

    def misses(self) -> dict[str, int]:
        """The faults of all threads that found their page in the swap cache, in zcache, and on the device."""
        tiers = ("swap_cache", "zcache", "device")
        return {tier: sum(thread.found[tier] for thread in self.threads) for tier in tiers}


def replay(trace: Trace, configuration: Configuration, costs: Costs, sample_every_ns: int = 0) -> Result:
    """Replay a trace. With `sample_every_ns` above 0 it is looked so often what is where; half as often
    whenever that has come to 1024 times.

    Other threads of Python run meanwhile. Raises ConfigurationError for a configuration that cannot be, or
    that has no room for the trace.
    """
    swap_bytes = configuration.swap_bytes
    if swap_bytes is None:
        swap_bytes = max(trace.page_count, 1) * PAGE_BYTES
    replayed = _core.replay(
        [thread.steps() for thread in trace.threads],
        np.ascontiguousarray(trace.zpages(configuration.codec, configuration.default_ratio), np.uint16),
        ram_bytes=configuration.ram_bytes,
        swap_bytes=swap_bytes,
        buffers_bytes=configuration.buffers_bytes,
        pool=configuration.pool,
        policy=configuration.policy() if callable(configuration.policy) else configuration.policy,
        pool_limit_bytes=configuration.pool_limit_bytes,
        reserve_bytes=configuration.reserve_bytes,
        eviction=configuration.eviction,
        defects=sorted(configuration.defects),
        readahead_pages=configuration.readahead_pages,
        costs=costs.of_engine(configuration.codec),
        sample_every_ns=sample_every_ns,
    )
    threads = tuple(
        ThreadResult(
            name=thread.name,
            accesses=result.accesses,
            faults=result.faults,
            found=result.found,
            end_ns=result.end_ns,
            lost_ns=result.lost_ns,
            latency=tuple(result.latency),
        )
        for thread, result in zip(trace.threads, replayed.threads, strict=True)
    )
    return Result(
        threads=threads,
        counters=replayed.counters,
        histograms={name: tuple(buckets) for name, buckets in replayed.histograms.items()},
        samples=_samples(replayed.samples, len(threads)),
        end_ns=replayed.end_ns,
        gave_up_ns=replayed.gave_up_ns,
    )


def _samples(columns: Mapping[str, bytes], threads: int) -> dict[str, NDArray[np.uint64]]:
    samples = {name: np.frombuffer(column, np.uint64) for name, column in columns.items()}
    for name in samples.keys() & {"lost_ns", "accesses"}:
        samples[name] = samples[name].reshape(-1, threads)
    return samples
