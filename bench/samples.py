"""Real data of several kinds: samples of it, made once for all runs, so that all have the same bytes.

A kind's sample is repeated as often as is needed. Each page begins with a stamp of its own, its number, so
that a page that was mixed up with another is noticed.
"""

from __future__ import annotations

import ast
import ctypes
import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.table import GROUP_BYTES, GROUP_WORDS, PAGES_IN_GROUP, WORDS_IN_PAGE, Words

_CHECKOUT = Path(__file__).parents[1]
_SAMPLE_GROUPS = 8
_SAMPLE_BYTES = _SAMPLE_GROUPS * GROUP_BYTES
_VERSION_SHIFT = 32


class Sample:
    """So many groups of a repeated sample."""

    def __init__(self, words: Words, groups: int) -> None:
        """Use the sample in `words`, a multiple of a group."""
        self.groups = groups
        self._words = words.reshape(-1, GROUP_WORDS)

    def write_group(self, group: int, to: Words, version: int = 0) -> None:
        """Make a group in `to`."""
        np.add(self._words[group % len(self._words)], version, out=to)
        to[::WORDS_IN_PAGE] = np.arange(group * PAGES_IN_GROUP, (group + 1) * PAGES_IN_GROUP) + version

    def first_words_sum(self, group: int) -> int:
        """The stamps of a group's pages, added up."""
        first = group * PAGES_IN_GROUP
        return PAGES_IN_GROUP * first + PAGES_IN_GROUP * (PAGES_IN_GROUP - 1) // 2

    def at(self, indices: Words, version: int = 0) -> Words:
        """The words at `indices`."""
        groups, places = indices // GROUP_WORDS % len(self._words), indices % GROUP_WORDS
        found: Words = np.where(
            indices % WORDS_IN_PAGE == 0, indices // WORDS_IN_PAGE, self._words[groups, places]
        )
        return found + version


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of real data."""

    name: str
    item_bytes: int
    """Of the array's dtype, which a pager knows."""
    make: Callable[[np.random.Generator], bytes]
    """Makes the sample; fewer bytes than wanted are repeated."""


def make_all(directory: Path, seed: int, names: list[str]) -> None:
    """Make the samples of these kinds in `directory`."""
    for name in names:
        content = KINDS[name].make(np.random.default_rng([seed, len(name)]))
        repeated = content * (1 + _SAMPLE_BYTES // len(content))
        np.save(directory / f"{name}.npy", np.frombuffer(repeated[:_SAMPLE_BYTES], np.int64))


def load(directory: str, name: str, groups: int) -> Sample:
    """A sample that was made, as so many groups."""
    return Sample(np.load(Path(directory, f"{name}.npy")), groups)


def _text(_random: np.random.Generator) -> bytes:
    """Sources of the standard library and of what is installed."""
    content = bytearray()
    for path in _sources():
        content += path.read_bytes()
        if len(content) >= _SAMPLE_BYTES:
            break
    return bytes(content)


def _heap(_random: np.random.Generator) -> bytes:
    """The heap of a Python process that holds syntax trees, records, and strings."""
    finished = subprocess.run(
        [sys.executable, "-m", "bench.samples"], stdout=subprocess.PIPE, check=True, cwd=_CHECKOUT
    )
    return finished.stdout


def _integers(random: np.random.Generator) -> bytes:
    """Columns of int64, as of a table of counts, codes, and moments."""
    rows = 1 << 17
    columns = [
        random.integers(0, 1000, rows),
        random.geometric(0.05, rows),
        1_349_049_600_000 + np.cumsum(random.integers(0, 2000, rows)),
        random.integers(0, 250_000, rows),
    ]
    return np.concatenate(columns * (_SAMPLE_BYTES // (rows * 8 * len(columns)))).astype(np.int64).tobytes()


def _floats(random: np.random.Generator) -> bytes:
    """Columns of float64: walks of a measurement and of a price in cents, normal values, mostly zeros."""
    rows = 1 << 20
    return np.concatenate(
        [
            20 + np.cumsum(random.normal(0, 0.01, rows)),
            np.round(100 + np.cumsum(random.normal(0, 0.05, rows)), 2),
            random.normal(0, 1, rows),
            np.where(random.random(rows) < 0.9, 0.0, random.random(rows)),
        ]
    ).tobytes()


def _matrix(random: np.random.Generator) -> bytes:
    """Random bits: what nothing can compress."""
    return random.bytes(_SAMPLE_BYTES)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("text", 1, _text),
        Kind("heap", 1, _heap),
        Kind("integers", 8, _integers),
        Kind("floats", 8, _floats),
        Kind("matrix", 8, _matrix),
    )
}


def _sources() -> Iterator[Path]:
    for name in ("stdlib", "purelib"):
        yield from sorted(Path(sysconfig.get_path(name)).rglob("*.py"))


def _build() -> list[Any]:
    """Some tens of megabytes of objects as programs have them."""
    objects: list[Any] = []
    source_bytes = 0
    for path in _sources():
        try:
            text = path.read_text("utf-8")
            objects.append((str(path), text.splitlines(), ast.parse(text)))
        except (SyntaxError, ValueError):  # tests of the parser are made to be wrong
            continue
        source_bytes += len(text)
        if source_bytes > _SAMPLE_BYTES // 16:
            break
    record = {"name": "", "price": 0.0, "tags": ["new", "sale"], "stock": {"here": 1, "there": 2}}
    for number in range(20_000):
        copy = json.loads(json.dumps(record))
        copy["name"], copy["price"] = f"article {number}", number / 7
        objects.append(copy)
    return objects


def _write_heap() -> None:
    """Write the arenas of this process's objects to stdout, after building some."""
    kept = _build()
    left_bytes = _SAMPLE_BYTES
    for line in Path("/proc/self/maps").read_text("ascii", errors="replace").splitlines():
        span, rights, _, _, inode, *name = line.split()
        first, last = (int(address, 16) for address in span.split("-"))
        # Anonymous memory of some size: CPython's arenas, and malloc's heap.
        is_heap = not name or name == ["[heap]"]
        if rights.startswith("rw") and inode == "0" and is_heap and last - first >= 256 << 10:
            taken = min(last - first, left_bytes)
            sys.stdout.buffer.write(ctypes.string_at(first, taken))
            left_bytes -= taken
    assert kept


if __name__ == "__main__":
    _write_heap()
