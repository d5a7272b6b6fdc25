"""The same accesses on real memory and in the lab.

`python accessed_memory.py NAME PAGES ACCESSES` makes them on ordinary memory and prints the seconds that they
took: for a process whose RAM the kernel limits.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zpager.stats import PAGE_BYTES

NOISE_BYTES = (300, 2500)
"""Of each page, so much is noise, and the rest is zeros."""


@dataclass(frozen=True, eq=False)
class Accesses:
    """One thread's, to pages that it has filled one after the other."""

    page: NDArray[np.uint32]
    is_write: NDArray[np.bool_]
    contents: NDArray[np.uint8]
    """A row for each page."""

    @property
    def page_count(self) -> int:
        return len(self.contents)

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
    contents = np.zeros((page_count, PAGE_BYTES), np.uint8)
    for row, noise_bytes in zip(contents, random.integers(*NOISE_BYTES, page_count), strict=True):
        row[:noise_bytes] = random.integers(0, 256, noise_bytes, dtype=np.uint8)
    return Accesses(page.astype(np.uint32), random.random(access_count) < 0.2, contents)


def main() -> None:
    name, page_count, access_count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    wanted = accesses(name, page_count, access_count)
    memory = np.empty(wanted.contents.size, np.uint8)
    rows = memory.reshape(wanted.contents.shape)
    for start in range(0, page_count, 256):
        rows[start : start + 256] = wanted.contents[start : start + 256]
    print(wanted.make(memoryview(memory)))


if __name__ == "__main__":
    main()
