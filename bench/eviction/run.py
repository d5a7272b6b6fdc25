"""One run: `python -m bench.eviction.run`, a task as JSON on stdin, its end as JSON on stdout.

On stdout is {"outcome": ...}, or {"refused": ...} where this zpager does not know a setting.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

import zpager
from bench.eviction.contents import CHUNK_PAGES, Pages, item_bytes, make_prototypes
from bench.eviction.workloads import WORKLOADS, Access, Fill, Script
from bench.table import PAGE_BYTES, Words

# As much as any workload has data, and RAM besides.
_SWAP_PER_RAM = 8
_COUNTERS = (
    "pswpin",
    "pswpout",
    "refaults",
    "faults_zcache",
    "faults_device",
    "direct_reclaims",
    "evicted_units",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a run is to do."""

    workload: str
    ram_bytes: int
    options: dict[str, Any]
    """Arguments of the pager."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was measured. Unless it says otherwise, it is of the phases that count."""

    operations: int
    """Pages filled, read, or written."""
    operation_us: float
    chunk_us_p50: float
    """Microseconds an operation in the middle one of all chunks."""
    chunk_us_p99: float
    cpu_us: float
    """Processor time of all threads, per operation."""
    phase_us: dict[str, float]
    """Microseconds an operation in each phase, those that do not count included."""
    pswpin: int
    pswpout: int
    refaults: int
    faults_zcache: int
    faults_device: int
    direct_reclaims: int
    evicted_units: int
    eviction_us_p99: int | None
    """Of the whole run."""
    compression_ratio: float
    """Of what is in the pool in the end."""
    pool_bytes: int
    """In the end."""
    reserve_bytes: int
    wrong_words: int
    """Words of the whole run that were read and were not what they must be."""


class _Stopwatch:
    """Times of chunks, by phases."""

    def __init__(self) -> None:
        self._nanoseconds: dict[str, list[int]] = {}
        self._operations: dict[str, list[int]] = {}

    def time(self, phase: str, chunk: Callable[[], int]) -> None:
        """Do a chunk, which says how many operations it was."""
        start = time.perf_counter_ns()
        operations = chunk()
        end = time.perf_counter_ns()
        self._nanoseconds.setdefault(phase, []).append(end - start)
        self._operations.setdefault(phase, []).append(operations)

    def operations(self, phases: frozenset[str]) -> int:
        """How many there were."""
        return sum(sum(self._operations[phase]) for phase in phases)

    def operation_us(self, phases: frozenset[str]) -> float:
        """Microseconds of one, on the average."""
        return sum(sum(self._nanoseconds[phase]) for phase in phases) / 1000 / self.operations(phases)

    def chunk_us(self, phases: frozenset[str], per_cent: float) -> float:
        """Microseconds of an operation in a chunk such that so many chunks are faster."""
        ratios = [np.divide(self._nanoseconds[phase], self._operations[phase]) for phase in phases]
        return float(np.percentile(np.concatenate(ratios), per_cent)) / 1000

    def phase_us(self) -> dict[str, float]:
        """Each phase by itself."""
        return {phase: self.operation_us(frozenset({phase})) for phase in self._operations}


class Refused(Exception):
    """This zpager does not know a setting."""


def carry_out(task: Task) -> Outcome:
    """Do a task in this process.

    Raises Refused.
    """
    workload = WORKLOADS[task.workload]
    swap_bytes = _SWAP_PER_RAM * task.ram_bytes
    # First of all, so that a refusal does not take long. TypeError is for an argument that there is not.
    try:
        pager = zpager.Pager(ram=task.ram_bytes, swap=swap_bytes, **task.options)
    except (zpager.ConfigurationError, TypeError) as error:
        raise Refused(str(error)) from error
    with pager:
        script = workload.script(task.ram_bytes // PAGE_BYTES, np.random.default_rng(task.seed))
        return _perform(script, pager, task.seed)


def _perform(script: Script, pager: zpager.Pager, seed: int) -> Outcome:
    arrays = []
    for number, array in enumerate(script.arrays):
        memory = pager.allocate(array.pages * PAGE_BYTES, item_bytes=item_bytes(array.contents))
        words = np.frombuffer(memoryview(memory), np.int64)
        arrays.append(Pages(words, make_prototypes(array.contents, seed), seed + number))
    stopwatch = _Stopwatch()
    counted: Counter[str] = Counter()
    cpu_seconds = 0.0
    for step in script.steps:
        before, cpu_before = pager.stats, time.process_time()
        _take(step, arrays[step.array], stopwatch)
        if step.phase in script.counts:
            cpu_seconds += time.process_time() - cpu_before
            happened = pager.stats - before
            counted.update({name: getattr(happened, name) for name in _COUNTERS})
    stats = pager.stats
    operations = stopwatch.operations(script.counts)
    return Outcome(
        operations=operations,
        operation_us=stopwatch.operation_us(script.counts),
        chunk_us_p50=stopwatch.chunk_us(script.counts, 50),
        chunk_us_p99=stopwatch.chunk_us(script.counts, 99),
        cpu_us=cpu_seconds * 1e6 / operations,
        phase_us=stopwatch.phase_us(),
        **counted,
        eviction_us_p99=stats.eviction_us_p99,
        compression_ratio=stats.compression_ratio if stats.zpage_bytes else 0.0,
        pool_bytes=stats.pool_bytes,
        reserve_bytes=stats.reserve_bytes,
        wrong_words=sum(pages.wrong_words for pages in arrays),
    )


def _take(step: Fill | Access, pages: Pages, stopwatch: _Stopwatch) -> None:
    if isinstance(step, Fill):
        for first in range(0, pages.pages, CHUNK_PAGES):
            stopwatch.time(step.phase, partial(pages.fill, first))
    else:
        for first in range(0, len(step.pages), CHUNK_PAGES):
            chunk = step.pages[first : first + CHUNK_PAGES]
            stopwatch.time(step.phase, partial(_access, pages, chunk, step.writes_per_chunk))


def _access(pages: Pages, chunk: Words, writes: int) -> int:
    pages.read(chunk[writes:])
    if writes:
        pages.write(chunk[:writes])
    return len(chunk)


def main() -> None:
    """Read the task, carry it out, print what came of it."""
    task = Task(**json.loads(sys.stdin.read()))
    try:
        answer: dict[str, Any] = {"outcome": asdict(carry_out(task))}
    except Refused as error:
        answer = {"refused": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
