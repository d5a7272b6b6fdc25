"""The programmes: what is done to a store, and checked, the same for every contestant.

All memory that a programme needs of its own is made and touched before the contestant starts. No system call
touches the store's memory: what is measured is faults.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Protocol

import numpy as np

from bench import accesses, samples
from bench.data import Check, Data
from bench.outcome import Outcome, Task
from bench.sizes import Sizes
from bench.stores import Counters, Make, Store
from bench.table import GROUP_WORDS, PAGES_IN_GROUP, WORDS_IN_PAGE, Table, Words
from zpager.demo.resident import ResidentPeak

TABLE, OVERFLOW, IDLE = "table", "overflow", "idle"
# What A loads, as a service does that wakes at times: a heap of objects.
IDLE_KIND = samples.KINDS["heap"]
_NOTHING_CHANGED = np.zeros(0, np.int64)
_THREADS = 2
_NUMBER_BYTES = 8


class Programme(Protocol):
    """A programme that is ready to be carried out."""

    def __call__(self, make: Make, counters: Callable[[], Counters]) -> None:
        """Carry it out."""

    @property
    def record(self) -> Record:
        """What was measured."""


class Record:
    """Times and counters of a run's workloads."""

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self.us: dict[str, float] = {}
        self.misses: dict[str, float] = {}
        self.cpu_us: dict[str, float] = {}
        self.wrong: list[str] = []
        self.filled: Counters | None = None
        self.last: Counters | None = None
        self._is_whole = False
        self._peak = ResidentPeak()

    def time(
        self, workload: str, count: int, counters: Callable[[], Counters], work: Callable[[], object]
    ) -> None:
        """Do a workload of so many pages or accesses."""
        before = counters()
        start, cpu_start = time.perf_counter_ns(), time.process_time_ns()
        work()
        end, cpu_end = time.perf_counter_ns(), time.process_time_ns()
        self.us[workload] = (end - start) / 1000 / count
        self.cpu_us[workload] = (cpu_end - cpu_start) / 1000 / count
        after = counters()
        self.misses[workload] = (after.misses - before.misses) / count
        self.filled, self.last = self.filled or after, after
        self.tell()

    def tell(self) -> None:
        """Print what there is by now: a run that is killed in a later workload has been good for these."""
        print(json.dumps(asdict(self.outcome())), flush=True)

    def expect(self, what: str, is_right: bool) -> None:
        """Note that something is not what it must be."""
        if not is_right:
            self.wrong.append(what)

    def end(self) -> None:
        """Everything is done and checked."""
        self._is_whole = True
        self.tell()

    def outcome(self) -> Outcome:
        """What there is by now."""
        assert self.filled is not None
        assert self.last is not None
        return Outcome(
            us=self.us,
            misses=self.misses,
            cpu_us=self.cpu_us,
            stored_bytes=self.filled.stored_bytes,
            pool_bytes=self.filled.pool_bytes,
            device_read_pages=self.last.device_read_pages,
            device_written_pages=self.last.device_written_pages,
            resident_growth_bytes=self._peak.growth_bytes(),
            wrong=self.wrong,
            is_whole=self._is_whole,
        )


class _Reads:
    """Random reads that are prepared: where, what must be there, and a place to read to."""

    def __init__(self, data: Data, indices: Words) -> None:
        self.indices = indices
        self._expected = data.at(indices)
        self._words = np.full(len(indices), -1)  # touched at once, unlike zeros

    def take(self, store: Store) -> None:
        store.take(self.indices, self._words)

    def are_right(self) -> bool:
        return np.array_equal(self._words, self._expected)


class OneTable:
    """One set of data is filled, read and written in every way."""

    def __init__(self, data: Data, task: Task, prefix: str, item_bytes: int, is_whole: bool) -> None:
        """Without `is_whole` it is filled and read, in order and at random, and no more.

        Workloads are named after `prefix`.
        """
        random = np.random.default_rng([task.seed, 1])
        pages = data.groups * PAGES_IN_GROUP
        half = pages // _THREADS
        self._data, self._prefix, self._item_bytes, self._is_whole = data, prefix, item_bytes, is_whole
        self._only_fill = task.only_fill
        self._random_reads = _Reads(data, accesses.evenly(random, pages, task.accesses))
        self._version = 0
        if is_whole:
            self._version = 2
            self._zipf_reads = _Reads(data, accesses.by_zipf(random, pages, task.accesses))
            self._threads_reads = [
                _Reads(data, accesses.evenly(random, half, task.accesses // _THREADS, number * half))
                for number in range(_THREADS)
            ]
            self._writes = accesses.evenly(random, pages, task.accesses)
            # What a write puts there follows from its place, so that the order of writes does not matter.
            self._written_words = data.at(self._writes, self._version) ^ 1
            self._changed = np.unique(self._writes)
        else:
            self._changed = _NOTHING_CHANGED
        self._check = Check(data, self._changed, self._version)
        _rehearse(data, self._check)
        self.record = Record()

    def __call__(self, make: Make, counters: Callable[[], Counters]) -> None:
        """Carry it out."""
        store = make(self._data.groups, self._item_bytes)
        pages = self._data.groups * PAGES_IN_GROUP
        self._time("fill", pages, counters, lambda: _fill(store, self._data, 0))
        if self._only_fill:
            return
        sums: list[int] = []
        self._time("sequential read", pages, counters, lambda: sums.extend(_read_in_order(store, self._data)))
        self._expect("sequential read", sums == _expected_sums(self._data))
        self._take("random read", self._random_reads, store, counters)
        if self._is_whole:
            self._take("Zipf read", self._zipf_reads, store, counters)
            self._take_by_threads(store, counters)
            self._time("sequential write", pages, counters, lambda: _fill(store, self._data, 1))
            self._time("read-modify-write", pages, counters, lambda: _add_one(store, self._data.groups))
            self._time(
                "random write",
                len(self._writes),
                counters,
                lambda: store.put(self._writes, self._written_words),
            )
            self._expect("data in the end", _is_all_right(store, self._check, self._data.groups))
        self.record.end()

    def _take(self, workload: str, reads: _Reads, store: Store, counters: Callable[[], Counters]) -> None:
        self._time(workload, len(reads.indices), counters, lambda: reads.take(store))
        self._expect(workload, reads.are_right())

    def _take_by_threads(self, store: Store, counters: Callable[[], Counters]) -> None:
        """Each thread reads its own part of the data. The time is per access of either."""
        workload = "two threads, random read"

        def work() -> None:
            threads = [threading.Thread(target=reads.take, args=(store,)) for reads in self._threads_reads]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        count = sum(len(reads.indices) for reads in self._threads_reads)
        self._time(workload, count, counters, work)
        self._expect(workload, all(reads.are_right() for reads in self._threads_reads))

    def _time(
        self, workload: str, count: int, counters: Callable[[], Counters], work: Callable[[], object]
    ) -> None:
        self.record.time(self._prefix + workload, count, counters, work)

    def _expect(self, what: str, is_right: bool) -> None:
        self.record.expect(self._prefix + what, is_right)


class IdleAndBusy:
    """A loads its data and sleeps; B then loads its own and works on it. Only B's time counts."""

    _STRETCH_WORDS = 1024
    _WRITES_IN_STRETCH = 128
    WORKLOAD = "idle A, busy B"

    def __init__(self, idle: Data, busy: Data, task: Task) -> None:
        """Prepare B's accesses."""
        random = np.random.default_rng([task.seed, 3])
        pages = busy.groups * PAGES_IN_GROUP
        stretches = max(1, task.accesses // self._STRETCH_WORDS)
        self._idle, self._busy, self._only_fill = idle, busy, task.only_fill
        # Reads at even words and writes at odd ones: what is read does not depend on what was written.
        self._reads = [
            _Reads(busy, accesses.evenly(random, pages, self._STRETCH_WORDS) & ~1) for _ in range(stretches)
        ]
        self._writes = [accesses.evenly(random, pages, self._WRITES_IN_STRETCH) | 1 for _ in range(stretches)]
        self._written_words = [busy.at(indices) ^ 1 for indices in self._writes]
        self._groups = random.integers(0, busy.groups, stretches).tolist()
        self._check = Check(busy, np.unique(np.concatenate(self._writes)))
        _rehearse(busy, self._check)
        self.record = Record()

    def __call__(self, make: Make, counters: Callable[[], Counters]) -> None:
        """Carry it out."""
        idle = make(self._idle.groups, IDLE_KIND.item_bytes)
        busy = make(self._busy.groups, _NUMBER_BYTES)
        _fill(idle, self._idle, 0)
        self.record.filled = self.record.last = counters()
        self.record.tell()
        if self._only_fill:
            return
        stretch = self._STRETCH_WORDS + self._WRITES_IN_STRETCH + PAGES_IN_GROUP
        count = self._busy.groups * PAGES_IN_GROUP + len(self._groups) * stretch
        self.record.time(self.WORKLOAD, count, counters, lambda: self._work(busy))
        self.record.expect("B's reads", all(reads.are_right() for reads in self._reads))
        self.record.expect(
            "B's sums", self._sums == [_wrapped(self._busy.first_words_sum(group)) for group in self._groups]
        )
        self.record.expect("B's data in the end", _is_all_right(busy, self._check, self._busy.groups))
        self.record.expect(
            "A's data in the end", _read_in_order(idle, self._idle) == _expected_sums(self._idle)
        )
        self.record.end()

    def _work(self, busy: Store) -> None:
        """Load, then by turns read at random, write at random, and read a stretch in order."""
        _fill(busy, self._busy, 0)
        sums: list[int] = []
        for reads, places, words, group in zip(
            self._reads, self._writes, self._written_words, self._groups, strict=True
        ):
            reads.take(busy)
            busy.put(places, words)
            busy.read(group, lambda seen: sums.append(_first_words_sum(seen)))
        self._sums = sums


def data_groups(programme: str, sizes: Sizes) -> int:
    """How many groups of data a programme has."""
    if programme == IDLE:
        return sum(sizes.idle_groups)
    if programme in samples.KINDS:
        return sizes.real_groups
    return sizes.overflow_groups if programme == OVERFLOW else sizes.table_groups


def kinds_of(programmes: Iterable[str]) -> list[str]:
    """The kinds of real data that these programmes need."""
    return list(
        dict.fromkeys(
            IDLE_KIND.name if programme == IDLE else programme
            for programme in programmes
            if programme == IDLE or programme in samples.KINDS
        )
    )


def prepare(task: Task, sizes: Sizes) -> Programme:
    """Make a programme ready."""
    if task.programme == IDLE:
        idle_groups, busy_groups = sizes.idle_groups
        idle = samples.load(task.scratch, IDLE_KIND.name, idle_groups)
        return IdleAndBusy(idle, Table(busy_groups, task.seed), task)
    if task.programme in samples.KINDS:
        kind = samples.KINDS[task.programme]
        sample = samples.load(task.scratch, kind.name, sizes.real_groups)
        return OneTable(sample, task, f"{kind.name}: ", kind.item_bytes, is_whole=False)
    if task.programme == OVERFLOW:
        data = Table(sizes.overflow_groups, task.seed)
        return OneTable(data, task, "overflow: ", _NUMBER_BYTES, is_whole=False)
    return OneTable(Table(sizes.table_groups, task.seed), task, "", _NUMBER_BYTES, is_whole=True)


def _fill(store: Store, data: Data, version: int) -> None:
    for group in range(data.groups):
        store.write(group, partial(data.write_group, group, version=version))


def _read_in_order(store: Store, data: Data) -> list[int]:
    """One word of every page, summed up by the group: the cheapest check that says something."""
    sums: list[int] = []
    for group in range(data.groups):
        store.read(group, lambda words: sums.append(_first_words_sum(words)))
    return sums


def _first_words_sum(words: Words) -> int:
    return _wrapped(int(words[::WORDS_IN_PAGE].sum()))


def _wrapped(number: int) -> int:
    """As 64 bits have it: the sums of large tables overflow."""
    return number & ((1 << 64) - 1)


def _expected_sums(data: Data) -> list[int]:
    return [_wrapped(data.first_words_sum(group)) for group in range(data.groups)]


def _add_one(store: Store, groups: int) -> None:
    for group in range(groups):
        store.modify(group, _increment)


def _increment(words: Words) -> None:
    np.add(words, 1, out=words)


def _is_all_right(store: Store, check: Check, groups: int) -> bool:
    right: list[bool] = []
    for group in range(groups):
        store.read(group, lambda words, group=group: right.append(check.is_right(group, words)))  # type: ignore[misc]
    return all(right)


def _rehearse(data: Data, check: Check) -> None:
    """Make and check one group in ordinary memory, so that this code and its memory are in use already."""
    words = np.full(GROUP_WORDS, -1)
    data.write_group(0, words)
    check.is_right(0, words)
