"""Dask's way: chunks in a dictionary, the least recently used of which are spilled to files (zict)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import zict

from bench.stores import Counters, Store, Use
from bench.table import GROUP_BYTES, GROUP_WORDS, PAGES_IN_GROUP, Words

# As a Dask worker begins to spill at 60% of its memory: the rest is for chunks on their way.
_SHARE_IN_MEMORY = 0.6


def run(total_bytes: int, directory: str, use: Use) -> None:
    """Use chunks of a group each, as many in memory as a worker with so much memory keeps."""
    files = mkdtemp(prefix="zpager-bench-", dir=directory)
    made: list[_Chunks] = []

    def make(groups: int, _item_bytes: int) -> Store:
        made.append(_Chunks(groups, round(total_bytes * _SHARE_IN_MEMORY), Path(files, str(len(made)))))
        return made[-1]

    def counters() -> Counters:
        return Counters(
            misses=sum(one.loaded for one in made),
            device_read_pages=sum(one.loaded for one in made) * PAGES_IN_GROUP,
            device_written_pages=sum(one.spilled for one in made) * PAGES_IN_GROUP,
            stored_bytes=0,
            pool_bytes=0,
        )

    try:
        use(make, counters)
    finally:
        shutil.rmtree(files)


class _Chunks:
    """A store of chunks. An access to a chunk that was spilled loads all of it."""

    def __init__(self, groups: int, memory_bytes: int, directory: Path) -> None:
        self.loaded = self.spilled = 0
        self._groups = groups
        slow = zict.Func(self._dump, self._load, zict.File(directory))
        self._chunks: Any = zict.Buffer({}, slow, n=memory_bytes, weight=lambda _, chunk: int(chunk.nbytes))

    def write(self, group: int, make: Callable[[Words], None]) -> None:
        """Into a new chunk."""
        chunk = np.empty(GROUP_WORDS, np.int64)
        make(chunk)
        self._chunks[str(group)] = chunk

    def read(self, group: int, see: Callable[[Words], None]) -> None:
        """Of the chunk as it is."""
        see(self._chunks[str(group)])

    def modify(self, group: int, change: Callable[[Words], None]) -> None:
        """In place, and put back so that it is spilled again."""
        chunk = self._chunks[str(group)]
        change(chunk)
        self._chunks[str(group)] = chunk

    def take(self, indices: Words, out: Words) -> None:
        """One after the other, since a program does not know the next place beforehand."""
        for number, index in enumerate(indices.tolist()):
            out[number] = self._chunks[str(index // GROUP_WORDS)][index % GROUP_WORDS]

    def put(self, indices: Words, words: Words) -> None:
        """One after the other."""
        for index, word in zip(indices.tolist(), words.tolist(), strict=True):
            key = str(index // GROUP_WORDS)
            chunk = self._chunks[key]
            chunk[index % GROUP_WORDS] = word
            self._chunks[key] = chunk

    def _dump(self, chunk: Words) -> memoryview:
        self.spilled += 1
        return chunk.view(np.uint8).data

    def _load(self, data: bytearray) -> Words:
        self.loaded += 1
        assert len(data) == GROUP_BYTES
        return np.frombuffer(bytearray(data) if isinstance(data, bytes) else data, np.int64)
