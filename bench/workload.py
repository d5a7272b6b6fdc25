"""One round in a process of its own: `python -m bench.workload`, a task as JSON on stdin, a round on stdout.

Every access is numpy's, in a compiled loop: what the interpreter does for one of them is less than a
nanosecond. No system call touches the memory, so that faults="signal" is admissible.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from bench.contestants import CONTESTANTS, Memory
from bench.table import GROUP_WORDS, WORDS_IN_PAGE, Table, Words
from zpager.demo.resident import ResidentPeak


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a round is to do."""

    contestant: str
    groups: int
    """The size of the table in row groups of 4 MiB."""
    ram_bytes: int
    accesses: int
    """How many random reads, and how many random writes."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was measured; times are microseconds per page or per access."""

    fill_us: float
    sequential_read_us: float
    random_read_us: float
    random_write_us: float
    random_read_misses: float
    """The share of the random reads whose page was not in RAM uncompressed, from 0 to 1."""
    resident_share: float
    resident_growth_bytes: int
    """The highest growth of the process's resident memory, as the kernel counts it."""
    metadata_bytes_per_page: float
    compression_ratio: float
    device_written_pages: int
    wrong: list[str]
    """What was read and was not what it must be; empty if every byte was right."""


class _Workload:
    """The programme, with all memory of its own made and touched before the contestant starts."""

    def __init__(self, task: Task) -> None:
        self._table = Table(task.groups, task.seed)
        random = np.random.default_rng([task.seed, 1])
        self._reads = self._random_words(random, task.accesses)
        self._writes = self._random_words(random, task.accesses)
        self._changed = np.unique(self._writes)
        # What a write puts there follows from its place, so that the order of writes does not matter.
        self._written_words = self._table.at(self._writes) ^ 1
        self._expected = self._table.at(self._reads)
        self._read_words = np.zeros(task.accesses, np.int64)
        self._sums = [self._table.first_words_sum(group) for group in range(task.groups)]
        # An ordinary group, checked now, so that the check's own memory is in use before the start.
        rehearsal = np.zeros(GROUP_WORDS, np.int64)
        self._table.write_group(0, rehearsal)
        assert Table(1, task.seed).is_right(rehearsal, self._changed[:0])
        self._peak = ResidentPeak()
        self.round: Round | None = None

    def _random_words(self, random: np.random.Generator, accesses: int) -> Words:
        """Indices of one random word in each of so many random pages."""
        pages = random.integers(0, self._table.pages, accesses)
        return pages * WORDS_IN_PAGE + random.integers(0, WORDS_IN_PAGE, accesses)

    def carry_out(self, memory: Memory) -> None:
        """Fill, read, write, check."""
        wrong = []
        pages, accesses = self._table.pages, len(self._reads)

        fill_us = _microseconds(lambda: self._fill(memory.words)) / pages
        filled = memory.counters()

        sums: list[int] = []
        sequential_us = _microseconds(lambda: sums.extend(self._read_in_order(memory.words))) / pages
        if sums != self._sums:
            wrong.append("sequential read")

        before = memory.counters()
        # "wrap" instead of "raise": the latter makes numpy work on a copy of `out`.
        read_us = (
            _microseconds(lambda: np.take(memory.words, self._reads, out=self._read_words, mode="wrap"))
            / accesses
        )
        after = memory.counters()
        if not np.array_equal(self._read_words, self._expected):
            wrong.append("random read")

        write_us = _microseconds(lambda: self._write(memory.words)) / accesses
        if not self._table.is_right(memory.words, self._changed):
            wrong.append("the table in the end")
        last = memory.counters()

        self.round = Round(
            fill_us=fill_us,
            sequential_read_us=sequential_us,
            random_read_us=read_us,
            random_write_us=write_us,
            random_read_misses=(after.misses - before.misses) / accesses,
            resident_share=after.resident_share,
            resident_growth_bytes=self._peak.growth_bytes(),
            metadata_bytes_per_page=last.metadata_bytes_per_page,
            compression_ratio=filled.compression_ratio,
            device_written_pages=last.device_written_pages,
            wrong=wrong,
        )

    def _fill(self, words: Words) -> None:
        for group in range(self._table.groups):
            self._table.write_group(group, words[group * GROUP_WORDS : (group + 1) * GROUP_WORDS])

    def _read_in_order(self, words: Words) -> list[int]:
        """One word of every page, summed up by the group: the cheapest check that says something."""
        first_words = words.reshape(self._table.groups, -1)[:, ::WORDS_IN_PAGE]
        return [int(group.sum()) for group in first_words]

    def _write(self, words: Words) -> None:
        words[self._writes] = self._written_words


def _microseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start) / 1000


def main() -> None:
    """Read the task, carry it out, print the round."""
    task = Task(**json.loads(sys.stdin.read()))
    workload = _Workload(task)
    CONTESTANTS[task.contestant](task.groups * GROUP_WORDS, task.ram_bytes, workload.carry_out)
    assert workload.round is not None
    print(json.dumps(asdict(workload.round)))


if __name__ == "__main__":
    main()
