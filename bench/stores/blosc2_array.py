"""An array of blosc2: compressed in memory, decompressed by blocks when it is accessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import blosc2
import numpy as np

from bench.stores import Counters, Store, Use
from bench.table import GROUP_WORDS, Words

_DTYPES = {1: np.dtype("u1"), 8: np.dtype("i8")}
# Small blocks for random access: with blosc2's own choice one word costs several times as much.
_CHUNK_BYTES = 512 << 10
_BLOCK_BYTES = 16 << 10


def run(use: Use) -> None:
    """Use arrays with LZ4, shuffled by the item size."""
    made: list[_Array] = []

    def make(groups: int, item_bytes: int) -> Store:
        made.append(_Array(groups, item_bytes))
        return made[-1]

    def counters() -> Counters:
        return Counters(
            misses=sum(one.accesses for one in made),
            device_read_pages=0,
            device_written_pages=0,
            stored_bytes=sum(int(one.array.schunk.nbytes) for one in made),
            pool_bytes=sum(int(one.array.schunk.cbytes) for one in made),
        )

    use(make, counters)


class _Array:
    """A store in one array. Nothing stays decompressed: every access decompresses a block."""

    def __init__(self, groups: int, item_bytes: int) -> None:
        self.accesses = 0
        dtype = _DTYPES[item_bytes]
        self._items_in_word = 8 // item_bytes
        self.array: Any = blosc2.zeros(
            groups * GROUP_WORDS * self._items_in_word,
            dtype,
            chunks=(_CHUNK_BYTES // item_bytes,),
            blocks=(_BLOCK_BYTES // item_bytes,),
            cparams={"codec": blosc2.Codec.LZ4, "filters": [blosc2.Filter.SHUFFLE], "typesize": item_bytes},
        )
        self._group = np.full(GROUP_WORDS, -1)

    def write(self, group: int, make: Callable[[Words], None]) -> None:
        """Made beside it, then compressed into it."""
        make(self._group)
        self.array[self._span(group)] = self._group.view(self.array.dtype)

    def read(self, group: int, see: Callable[[Words], None]) -> None:
        """Decompressed, then looked at."""
        see(self.array[self._span(group)].view(np.int64))

    def modify(self, group: int, change: Callable[[Words], None]) -> None:
        """Decompressed, changed, and compressed again."""
        words = self.array[self._span(group)].view(np.int64)
        change(words)
        self.array[self._span(group)] = words.view(self.array.dtype)

    def take(self, indices: Words, out: Words) -> None:
        """One after the other, since a program does not know the next place beforehand."""
        for number, index in enumerate(indices.tolist()):
            out[number] = self.array[self._word(index)].view(np.int64)[0]
        self.accesses += len(indices)

    def put(self, indices: Words, words: Words) -> None:
        """One after the other."""
        for index, word in zip(indices.tolist(), words.reshape(-1, 1), strict=True):
            self.array[self._word(index)] = word.view(self.array.dtype)
        self.accesses += len(indices)

    def _span(self, group: int) -> slice:
        items = GROUP_WORDS * self._items_in_word
        return slice(group * items, (group + 1) * items)

    def _word(self, index: int) -> slice:
        return slice(index * self._items_in_word, (index + 1) * self._items_in_word)
