"""Scenarios: what threads do with memory, phase by phase, written in Python as a person would tell it.

A scenario of your own is a file with one function, which `zpager lab run my_scenario.py` calls:

    from zpager.lab.scenario import AtRandom, InOrder, Memory, Scenario, Sleep, Thread

    def scenario(seed: int) -> Scenario:
        settings = Memory("settings", "32MiB", contents="files")
        orders = Memory("orders", "80MiB", contents="table")
        return Scenario(
            "a service and a shop",
            threads=[
                Thread("A", [InOrder(settings, writes=1), Sleep(seconds=60), InOrder(settings)]),
                Thread("B", [InOrder(orders, writes=1), AtRandom(orders, accesses=200_000, skew=1)]),
            ],
            seed=seed,
        )

`zpager/lab/scenarios` has those that have names. The same scenario and seed are the same trace, wherever
they are made.
"""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.drawn_pages import Contents, named
from zpager.lab.trace import LONGEST_THINK_NS, ThreadTrace, Trace
from zpager.options import CODECS, size_argument
from zpager.sizes import PAGE_BYTES, Size

Pages: TypeAlias = NDArray[np.int64]

FUNCTION: Final = "scenario"
"""What a file's function has to be called; it takes the seed."""

_SECOND_NS = 1_000_000_000
_DIRECTORY = Path(__file__).with_name("scenarios")


@dataclass(frozen=True, eq=False)
class Memory:
    """Memory of a size that threads share, with pages that compress as those of `contents` do: a name of
    `drawn_pages.named`, or `Contents` of your own."""

    name: str
    size: Size
    contents: str | Contents = "numbers"

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what is no size, for less than a page, and for unknown contents."""
        if not self.pages:
            raise ConfigurationError(f"memory {self.name!r}: {self.size!r} is less than a page")
        if isinstance(self.contents, str):
            named(self.contents)

    @property
    def pages(self) -> int:
        """How many pages it has."""
        return size_argument(f"size of {self.name!r}", self.size) // PAGE_BYTES

    def part(self, begin: float, end: float) -> Part:
        """A stretch of it, from one share of it to another: `part(0, 0.5)` is its first half.

        Raises ConfigurationError for shares that are not in order between 0 and 1, or hold no page.
        """
        first, last = round(begin * self.pages), round(end * self.pages)
        if not 0 <= begin < end <= 1 or first == last:
            raise ConfigurationError(
                f"part({begin}, {end}) of {self.name!r} is none: give shares from 0 to 1"
            )
        return Part(self, first, last - first)


@dataclass(frozen=True, eq=False)
class Part:
    """Pages of a memory, one after the other."""

    memory: Memory
    first: int
    pages: int


Place: TypeAlias = Memory | Part


class Phase(Protocol):
    """Something that a thread does for a while."""

    @property
    def where(self) -> Place:
        """The memory it touches."""

    @property
    def writes(self) -> float:
        """The share of its accesses that write, drawn at random."""

    @property
    def think_ns(self) -> int:
        """How long the thread does something else before each of them, in nanoseconds."""

    def touched(self, random: np.random.Generator, scattered: Pages) -> Pages:
        """The pages it touches, in order, by their place in `where`; `scattered` are all of these in a random
        order, the same for every phase of the scenario."""


@dataclass(frozen=True)
class InOrder:
    """Every page once, from the first to the last."""

    where: Place
    writes: float = 0.0
    think_ns: int = 0

    def touched(self, random: np.random.Generator, scattered: Pages) -> Pages:
        """See `Phase`."""
        return np.arange(len(scattered))


@dataclass(frozen=True)
class AtRandom:
    """So many pages anywhere. With a `skew` above 0 some are wanted more often than others, by Zipf's law:
    the n-th of them 1/n^skew as often as the first. They lie scattered."""

    where: Place
    accesses: int
    skew: float = 0.0
    writes: float = 0.0
    think_ns: int = 0

    def touched(self, random: np.random.Generator, scattered: Pages) -> Pages:
        """See `Phase`."""
        if not self.skew:
            return random.integers(len(scattered), size=self.accesses)
        shares = _zipf(len(scattered), self.skew)
        chosen: Pages = scattered[np.searchsorted(shares, random.random(self.accesses) * shares[-1])]
        return chosen


@dataclass(frozen=True)
class InStretches:
    """So many pages in runs of neighbours, each run from anywhere."""

    where: Place
    accesses: int
    stretch_pages: int = 64
    writes: float = 0.0
    think_ns: int = 0

    def touched(self, random: np.random.Generator, scattered: Pages) -> Pages:
        """See `Phase`."""
        length = min(self.stretch_pages, len(scattered))
        starts = random.integers(len(scattered) - length + 1, size=-(-self.accesses // length))
        return (starts[:, np.newaxis] + np.arange(length)).reshape(-1)[: self.accesses]


@dataclass(frozen=True)
class Sleep:
    """Nothing for a while. A trace has no longer pauses than 4.29 s, so who sleeps longer looks at a page
    of what it touches next every so often."""

    seconds: float

    def __post_init__(self) -> None:
        """Raise ConfigurationError for no time."""
        if not 0 <= self.seconds <= 1e6:
            raise ConfigurationError(f"Sleep({self.seconds!r}): give seconds")


@dataclass(frozen=True)
class Thread:
    """A thread, and what it does one after the other."""

    name: str
    phases: Sequence[Phase | Sleep]


@dataclass(frozen=True)
class Scenario:
    """Threads that begin at the same moment."""

    title: str
    threads: Sequence[Thread]
    seed: int

    def memories(self) -> list[Memory]:
        """Every memory that is touched, in the order in which the threads name them."""
        touched = (
            _part(phase.where).memory
            for thread in self.threads
            for phase in thread.phases
            if not isinstance(phase, Sleep)
        )
        # By identity: two memories may be alike.
        return list({id(memory): memory for memory in touched}.values())

    def trace(self) -> Trace:
        """The accesses of all threads. Memories lie one after the other; pages that nobody touches are left
        out.

        Raises ConfigurationError for phases that cannot be.
        """
        memories = self.memories()
        bases = np.cumsum([0, *(memory.pages for memory in memories)])
        base_of = {id(memory): int(base) for memory, base in zip(memories, bases, strict=False)}
        threads = [self._accesses(number, base_of) for number in range(len(self.threads))]
        sizes = self._sizes(memories)
        is_touched = np.zeros(int(bases[-1]), np.bool_)
        for thread in threads:
            is_touched[thread.page] = True
        renumbered = (np.cumsum(is_touched) - 1).astype(np.uint32)
        return Trace(
            threads=tuple(
                ThreadTrace(thread.name, renumbered[thread.page], thread.is_write, thread.think_ns)
                for thread in threads
            ),
            zpage_bytes={codec: those[is_touched] for codec, those in sizes.items()},
            source=f"scenario {self.title!r}, seed {self.seed}",
        )

    def _accesses(self, number: int, base_of: dict[int, int]) -> ThreadTrace:
        thread = self.threads[number]
        # A thread's own numbers: those of the others do not depend on what this one does.
        random = np.random.default_rng([self.seed, 1, number])
        pages: list[Pages] = []
        writes: list[NDArray[np.bool_]] = []
        thinks: list[NDArray[np.uint32]] = []
        pause_ns = 0
        for phase in thread.phases:
            if isinstance(phase, Sleep):
                pause_ns += round(phase.seconds * _SECOND_NS)
                continue
            _check(thread.name, phase)
            part = _part(phase.where)
            scattered = _scattered(self.seed, part.pages)
            page = phase.touched(random, scattered) + (base_of[id(part.memory)] + part.first)
            if not len(page):
                continue
            is_write = random.random(len(page)) < phase.writes
            think_ns = np.full(len(page), phase.think_ns, np.uint32)
            looks = pause_ns // LONGEST_THINK_NS
            if looks:
                pages.append(np.full(looks, page[0]))
                writes.append(np.zeros(looks, np.bool_))
                thinks.append(np.full(looks, LONGEST_THINK_NS, np.uint32))
            think_ns[0] = min(phase.think_ns + pause_ns % LONGEST_THINK_NS, LONGEST_THINK_NS)
            pause_ns = 0
            pages.append(page)
            writes.append(is_write)
            thinks.append(think_ns)
        if not pages:
            raise ConfigurationError(f"thread {thread.name!r} touches nothing")
        return ThreadTrace(
            thread.name,
            np.concatenate(pages).astype(np.uint32),
            np.concatenate(writes),
            np.concatenate(thinks),
        )

    def _sizes(self, memories: Sequence[Memory]) -> dict[str, NDArray[np.uint16]]:
        """By codec, those of all memories' pages, of codecs that all contents know."""
        drawn = []
        for number, memory in enumerate(memories):
            contents = named(memory.contents) if isinstance(memory.contents, str) else memory.contents
            drawn.append(contents.draw(memory.pages, np.random.default_rng([self.seed, 2, number])))
        return {
            codec: np.concatenate([sizes[codec] for sizes in drawn])
            for codec in CODECS
            if all(codec in sizes for sizes in drawn)
        }


def names() -> list[str]:
    """The scenarios that `make` knows by name."""
    return sorted(path.stem for path in _DIRECTORY.glob("*.py") if path.stem != "__init__")


def make(name_or_path: str, seed: int) -> Scenario:
    """The scenario of that name, or what the function of a file makes.

    Raises ConfigurationError where there is none, or the function makes something else.
    """
    path = _DIRECTORY / f"{name_or_path}.py" if name_or_path in names() else Path(name_or_path)
    if not path.is_file():
        raise ConfigurationError(
            f"no scenario {name_or_path!r}: give a .py file or one of {', '.join(names())}"
        )
    function = runpy.run_path(str(path)).get(FUNCTION)
    if not callable(function):
        raise ConfigurationError(f"{path} has no function {FUNCTION}(seed), which makes the scenario")
    made = function(seed)
    if not isinstance(made, Scenario):
        raise ConfigurationError(f"{FUNCTION}(seed) of {path} made {made!r}, which is no Scenario")
    return made


def _part(place: Place) -> Part:
    return place if isinstance(place, Part) else Part(place, 0, place.pages)


def _check(thread: str, phase: Phase) -> None:
    if not 0 <= phase.writes <= 1:
        raise ConfigurationError(
            f"thread {thread!r}: writes={phase.writes!r} of {phase}: give a share from 0 to 1"
        )
    if not 0 <= phase.think_ns <= LONGEST_THINK_NS:
        raise ConfigurationError(
            f"thread {thread!r}: think_ns={phase.think_ns!r} of {phase}: give 0 to {LONGEST_THINK_NS}"
        )
    for name in ("accesses", "stretch_pages"):
        if getattr(phase, name, 1) < 1:
            raise ConfigurationError(f"thread {thread!r}: {name} of {phase} is below 1")


@cache
def _scattered(seed: int, pages: int) -> Pages:
    return np.random.default_rng([seed, 3]).permutation(pages)


@cache
def _zipf(pages: int, skew: float) -> NDArray[np.float64]:
    return np.cumsum(1 / np.arange(1, pages + 1) ** skew)
