"""Memory whose every page tells what it should hold, for programs under `zpager run`, which import it."""

from __future__ import annotations

import os
import random

PAGE = 4096
NOISE = random.Random(1).randbytes(PAGE)


class PagedMemory:
    """Pages of which each holds its number and a version, and one in so many noise."""

    def __init__(self, pages: int, noise_one_in: int) -> None:
        self.block = bytearray(pages * PAGE)
        self.versions = [0] * pages
        self.noise_one_in = noise_one_in
        for page in range(pages):
            self.write(page)

    def content(self, page: int) -> bytes:
        head = (page << 32 | self.versions[page]).to_bytes(8, "little")
        return head + (NOISE[8:] if page % self.noise_one_in == 0 else bytes(PAGE - 8))

    def write(self, page: int) -> None:
        self.versions[page] += 1
        self.block[page * PAGE : (page + 1) * PAGE] = self.content(page)

    def is_right(self, page: int) -> bool:
        return self.block[page * PAGE : (page + 1) * PAGE] == self.content(page)

    def check(self) -> None:
        wrong = [page for page in range(len(self.versions)) if not self.is_right(page)]
        assert not wrong, (os.getpid(), len(wrong), wrong[:10])
