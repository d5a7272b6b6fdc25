"""What is done with the memory: steps that follow from a seed, all of a size that goes with RAM's.

The amount of work is fixed, not its time, so that every setting does the same. Pages that are wanted often
lie scattered over the whole array, so that nothing but their being wanted tells them from the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.eviction.contents import CHUNK_PAGES
from bench.table import Words

_DATA_PER_RAM = 6


@dataclass(frozen=True, slots=True)
class Fill:
    """Write all words of an array, in order."""

    phase: str
    array: int


@dataclass(frozen=True, slots=True)
class Access:
    """Read a word of each page of `pages`, in this order; every so many are written instead."""

    phase: str
    array: int
    pages: Words
    writes_per_chunk: int = 0


@dataclass(frozen=True, slots=True)
class Array:
    """An array to begin with."""

    contents: str
    pages: int


@dataclass(frozen=True, slots=True)
class Script:
    """What a workload does, and which phases of it count; the others only lead up to them."""

    arrays: Sequence[Array]
    steps: Sequence[Fill | Access]
    counts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload by its name."""

    title: str
    """What it does, for the document."""
    script: Callable[[int, np.random.Generator], Script]
    """Makes the steps for so many pages of RAM."""
    ram_multiple: int = 1
    """How much more RAM it has than the others."""
    rounds_max: int = 1000


def _fill_and_scan(ram_pages: int, _random: np.random.Generator, contents: str, scans: int) -> Script:
    pages = _DATA_PER_RAM * ram_pages
    scan = Access("read", 0, np.arange(pages))
    return Script([Array(contents, pages)], [Fill("fill", 0), *[scan] * scans], frozenset({"fill", "read"}))


def _contest(ram_pages: int, random: np.random.Generator) -> Script:
    idle, busy = Array("files", 2 * ram_pages), Array("table", 4 * ram_pages // 3)
    # By turns: orders from all over the table, and a stretch of it in order.
    chunks = np.empty((6 * ram_pages // CHUNK_PAGES, CHUNK_PAGES), np.int64)
    chunks[::2] = random.integers(0, busy.pages, chunks[::2].shape)
    starts = random.integers(0, busy.pages - CHUNK_PAGES, len(chunks[1::2]))
    chunks[1::2] = starts[:, np.newaxis] + np.arange(CHUNK_PAGES)
    work = Access("B works", 1, chunks.reshape(-1), CHUNK_PAGES // 8)
    return Script([idle, busy], [Fill("A loads", 0), Fill("B loads", 1), work], frozenset({work.phase}))


def _skewed(ram_pages: int, random: np.random.Generator, contents: str, writes: float) -> Script:
    array = Array(contents, _DATA_PER_RAM * ram_pages)
    pages = _zipf(random, array.pages, 8 * ram_pages)
    work = Access("work", 0, pages, round(writes * CHUNK_PAGES))
    return Script([array], [Fill("fill", 0), work], frozenset({work.phase}))


def _shifting(ram_pages: int, random: np.random.Generator) -> Script:
    array = Array("mixed", _DATA_PER_RAM * ram_pages)
    scattered = random.permutation(array.pages)
    hot = 8 * ram_pages // 5
    steps: list[Fill | Access] = [Fill("fill", 0)]
    for position in range(4):
        first = position * hot // 4
        pages = scattered[random.integers(first, first + hot, 3 * ram_pages // 2)]
        steps.append(Access("work", 0, pages))
    return Script([array], steps, frozenset({"work"}))


def _scan_and_hot(ram_pages: int, random: np.random.Generator) -> Script:
    array = Array("mixed", _DATA_PER_RAM * ram_pages)
    # In the middle: a pool that never evicts keeps what comes first.
    first_hot = array.pages // 2
    hot = random.integers(first_hot, first_hot + ram_pages, (8, ram_pages // 2))
    cold = np.delete(np.arange(array.pages), np.s_[first_hot : first_hot + ram_pages])
    steps: list[Fill | Access] = [Fill("fill", 0)]
    for number, pages in enumerate(hot):
        scanned = np.take(cold, np.arange(ram_pages // 2) + number * ram_pages // 2, mode="wrap")
        steps += [Access("hot", 0, pages), Access("scan", 0, scanned)]
    return Script([array], steps, frozenset({"hot"}))


def _zipf(random: np.random.Generator, pages: int, accesses: int) -> Words:
    """Accesses to `pages` pages by Zipf's law: the n-th of them is wanted 1/n as often as the first."""
    shares = np.cumsum(1 / np.arange(1, pages + 1))
    ranks = np.searchsorted(shares, random.random(accesses) * shares[-1])
    scattered = random.permutation(pages)
    accessed: Words = scattered[ranks]
    return accessed


WORKLOADS: dict[str, Workload] = {
    "fill and scan": Workload(
        "6 × `ram` of numbers is written in order, and read in order twice",
        partial(_fill_and_scan, contents="mixed", scans=2),
    ),
    "contest": Workload(
        "the RFC's: A loads 2 × `ram` of files and sleeps; B then works on tables of 4/3 × `ram`, half at "
        "random and half in stretches, an eighth of it writes. Only B's work counts",
        _contest,
    ),
    "skewed reads": Workload(
        "6 × `ram` of numbers, read at random by Zipf's law: a few pages often, most of them seldom. Only "
        "the reads count",
        partial(_skewed, contents="mixed", writes=0.0),
    ),
    "skewed writes": Workload("the same, with 30% writes", partial(_skewed, contents="mixed", writes=0.3)),
    "shifting": Workload(
        "a hot set of 1.6 × `ram`, read at random, of which a quarter is exchanged three times",
        _shifting,
    ),
    "scan and hot": Workload(
        "a hot set of 1 × `ram`, read at random; after every `ram` / 2 pages of it, as many cold pages are "
        "read in order. Only the hot reads count",
        _scan_and_hot,
    ),
    "incompressible": Workload(
        "as skewed reads, with 10% writes, where half of the pages are noise",
        partial(_skewed, contents="half noise", writes=0.1),
    ),
    "big, table": Workload(
        "with eight times the RAM: the benchmark's table, 6 × `ram`, written in order and read in order once",
        partial(_fill_and_scan, contents="table", scans=1),
        ram_multiple=8,
        rounds_max=1,
    ),
    "big, files": Workload(
        "the same with files",
        partial(_fill_and_scan, contents="files", scans=1),
        ram_multiple=8,
        rounds_max=1,
    ),
}
