"""Threads that read and write managed memory at random, and notice any byte that is wrong.

The memory is cut into cells. Each has one owner among the threads, who rewrites it with a content that tells
cell and version in every word, and checks that it finds there what it wrote last. A cell is a bit more than a
page, and neighbours have different owners: nearly every page is written by two threads at the same time, each
in its own part. Besides, all threads read one region that nobody changes.
"""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from engines import as_words
from numpy.typing import NDArray

from zpager._core import Engine

Words = NDArray[np.uint64]

CELL_WORDS = 625
"""5000 bytes, so that cells lie across the borders of pages."""

_COUNTING = np.arange(CELL_WORDS, dtype=np.uint64)
_SMALL = _COUNTING * np.uint64(7919) % np.uint64(1000)
_NOISE = np.random.default_rng(1).integers(0, 1 << 63, CELL_WORDS, dtype=np.uint64)
_SHARED_VERSION = 1
_SHARED_SHARE = 8
"""One cell in so many is for all to read."""
_DRAWS = 1024
_TREATMENT_ONE_IN = 500
_WRITES_PER_CENT = 45
_READS_PER_CENT = 90


def contents(cell: int, version: int) -> Words:
    """What a cell holds: in turn one value, small numbers, an ascending row, or noise."""
    header = np.uint64(cell << 32 | version)
    match (cell + version) % 4:
        case 0:
            return np.full(CELL_WORDS, header)
        case 1:
            return _SMALL + header
        case 2:
            return _COUNTING + header
        case _:
            return _NOISE ^ header


@dataclass(frozen=True)
class Turmoil:
    """`threads` threads at work on `managed_bytes` of an engine for some seconds.

    `access` is how they touch the memory: by "numpy", or by "ctypes", whose memmove runs without the GIL,
    whatever the size, so that threads do fault at the very same time.
    """

    engine: Engine
    managed_bytes: int
    access: str
    threads: int = 4
    seed: int = 0

    def run(self, seconds: float) -> int:
        """Returns the number of operations. Raises AssertionError for the first wrong byte."""
        cells = self.managed_bytes // (CELL_WORDS * 8)
        memory = as_words(self.engine.allocate(cells * CELL_WORDS * 8, 8, "cells"))
        shared = range(cells - cells // _SHARED_SHARE, cells)
        for cell in shared:
            self._store(memory, cell, contents(cell, _SHARED_VERSION))
        with ThreadPoolExecutor(self.threads) as executor:
            futures = [
                executor.submit(
                    self._work, memory, range(thread, shared.start, self.threads), shared, seconds
                )
                for thread in range(self.threads)
            ]
        return sum(future.result() for future in futures)

    def _work(self, memory: Words, own: range, shared: range, seconds: float) -> int:
        random = np.random.default_rng((self.seed, own.start))
        found = np.empty(CELL_WORDS, np.uint64)
        versions = np.ones(len(own), np.int64)
        for cell in own:
            self._store(memory, cell, contents(cell, 1))
        operations = 0
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for kind, index, other, treatment in zip(
                random.integers(100, size=_DRAWS).tolist(),
                random.integers(len(own), size=_DRAWS).tolist(),
                random.integers(len(shared), size=_DRAWS).tolist(),
                random.integers(_TREATMENT_ONE_IN, size=_DRAWS).tolist(),
                strict=True,
            ):
                if kind < _WRITES_PER_CENT:
                    versions[index] += 1
                    self._store(memory, own[index], contents(own[index], int(versions[index])))
                elif kind < _READS_PER_CENT:
                    self._require(memory, own[index], int(versions[index]), found)
                else:
                    self._require(memory, shared[other], _SHARED_VERSION, found)
                if treatment == 0:
                    self.engine.reclaim(kind)
                elif treatment == 1:
                    self.engine.evict(kind)
            operations += _DRAWS
        for cell, version in zip(own, versions.tolist(), strict=True):
            self._require(memory, cell, version, found)
        return operations

    def _store(self, memory: Words, cell: int, words: Words) -> None:
        start = cell * CELL_WORDS
        if self.access == "numpy":
            memory[start : start + CELL_WORDS] = words
        else:
            ctypes.memmove(memory.ctypes.data + start * 8, words.ctypes.data, words.nbytes)

    def _require(self, memory: Words, cell: int, version: int, found: Words) -> None:
        start = cell * CELL_WORDS
        if self.access == "numpy":
            found[:] = memory[start : start + CELL_WORDS]
        else:
            ctypes.memmove(found.ctypes.data, memory.ctypes.data + start * 8, found.nbytes)
        expected = contents(cell, version)
        if np.array_equal(found, expected):
            return
        wrong = np.flatnonzero(found != expected)
        again = int(np.count_nonzero(memory[start : start + CELL_WORDS] != expected))
        address = memory.ctypes.data + (start + int(wrong[0])) * 8
        raise AssertionError(
            f"cell {cell}, version {version}: {len(wrong)} words are wrong (read again: {again}), the first "
            f"at {address:#x}, which is {found[wrong[0]]:#018x} and not {expected[wrong[0]]:#018x}"
        )
