"""The same accesses on real memory and in the lab.

`python accessed_memory.py NAME PAGES ACCESSES` makes them on ordinary memory and prints the seconds that they
took: for a process whose RAM the kernel limits.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zpager.sizes import PAGE_BYTES

CHUNK_PAGES = 256
NOISE_BYTES = (300, 2500)
"""Of each page, so much is noise, and the rest is zeros."""


@dataclass(frozen=True, eq=False)
class Accesses:
    """One thread's, to pages that it has filled one after the other."""

    page: NDArray[np.uint32]
    is_write: NDArray[np.bool_]
    page_count: int

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        """What the pages hold, a row for each, some at a time."""
        for start in range(0, self.page_count, CHUNK_PAGES):
            random = np.random.default_rng(start)
            rows = np.zeros((min(CHUNK_PAGES, self.page_count - start), PAGE_BYTES), np.uint8)
            for row, noise_bytes in zip(rows, random.integers(*NOISE_BYTES, len(rows)), strict=True):
                row[:noise_bytes] = random.integers(0, 256, noise_bytes, dtype=np.uint8)
            yield rows

    def fill(self, memory: NDArray[np.uint8]) -> None:
        """Fill memory with it, from the first page on."""
        start = 0
        for rows in self.chunks():
            memory[start : start + rows.size] = rows.reshape(-1)
            start += rows.size

    def make(self, memory: memoryview) -> float:
        """Touch one byte of a page after the other; the seconds that it took."""
        steps = list(
            zip((self.page.astype(np.int64) * PAGE_BYTES).tolist(), self.is_write.tolist(), strict=True)
        )
        began = time.perf_counter()
        for place, is_write in steps:
            if is_write:
                memory[place + PAGE_BYTES - 1] = 7
            else:
                memory[place]
        return time.perf_counter() - began


def accesses(name: str, page_count: int, access_count: int) -> Accesses:
    random = np.random.default_rng(3)
    if name == "zipf":
        page = (page_count ** random.random(access_count)).astype(np.uint32) * 1009 % page_count
    else:
        page = random.integers(0, page_count, access_count, dtype=np.uint32)
    return Accesses(page.astype(np.uint32), random.random(access_count) < 0.2, page_count)


def main() -> None:
    name, page_count, access_count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    wanted = accesses(name, page_count, access_count)
    memory = np.empty(page_count * PAGE_BYTES, np.uint8)
    wanted.fill(memory)
    print(wanted.make(memory.data))


if __name__ == "__main__":
    main()
