"""What a run is to do, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One programme on one contestant, for a process of its own."""

    contestant: str
    store: str
    """Which store, as `bench.run` knows it."""
    programme: str
    total_bytes: int
    """The RAM for everything."""
    accesses: int
    """How many random accesses of each kind."""
    seed: int
    directory: str
    """On a disk, where a pager has its swap file."""
    scratch: str
    """The same, where samples of real data are, and where a run may leave files: they are removed for it."""
    only_fill: bool = False
    """To see how the data compresses."""
    options: dict[str, Any] = field(default_factory=dict)
    """For a pager."""
    pool: str = ""
    """What tells the size of the compressed pool, as in `bench.stores.kernel.pool_reader`."""
    cgroup_processes: str = ""
    """The file to be written in order to be in the cgroup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was measured. Keys are workloads; all times are microseconds."""

    us: dict[str, float]
    """Per page or per access."""
    misses: dict[str, float]
    """The share of the pages or accesses that were waited for, from 0 to 1."""
    cpu_us: dict[str, float]
    """Processor time of the run's own process, per page or access. The kernel's reclaim for it is part of
    that, work that other processes and the kernel's threads do is not."""
    stored_bytes: int
    """What was compressed after the fill, before compression."""
    pool_bytes: int
    """The RAM that it took compressed."""
    device_read_pages: int
    device_written_pages: int
    resident_growth_bytes: int
    """The highest growth of the process's resident memory, as the kernel counts it."""
    is_whole: bool = False
    """Whether the programme came to its end, where all data is checked."""
    wrong: list[str]
    """What was read and was not what it must be; empty if every byte was right."""
    others_share: float = 0.0
    """Processors that something else kept busy meanwhile: other processes, and the kernel's own threads."""
    limit_bytes: int = 0
    """Of the cgroup; 0 without one."""
    is_pool_charged: bool = False
    """Whether the kernel's pool counts in the cgroup."""
    held_bytes: int = 0
    """The highest sum of what the cgroup holds and of the pool outside of it; 0 without a cgroup."""
    pool_bytes_peak: int = 0
    """The pool at its largest; 0 if it is a pager's, which counts in `resident_growth_bytes`."""

    @property
    def compression_ratio(self) -> float:
        """How many bytes of data a byte of the pool holds; 0 if there is no pool."""
        return self.stored_bytes / self.pool_bytes if self.pool_bytes else 0.0
