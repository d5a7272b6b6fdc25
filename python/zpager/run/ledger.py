"""The memory in which the processes of a run keep the account of their RAM. What is in it, the preloaded
library knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zpager.stats import PAGE_BYTES

_WORD_BYTES = 8  # it begins with two of them: the most frames that all had, and how many processes had any


@dataclass(frozen=True)
class Shared:
    """What came of it for all processes together, those included that could not report."""

    most_bytes: int = 0
    """The most RAM that they had at any time."""
    processes: int = 0
    """How many had any."""


@dataclass(frozen=True)
class Ledger:
    """An empty one, there as long as this process has it open or another has it mapped.

    It has no name in any directory: who opens it does that through this process, for which it takes the
    rights to look into it.
    """

    descriptor: int

    @property
    def path(self) -> str:
        """Where others open it."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def read(self) -> Shared:
        """What it says."""
        words = os.pread(self.descriptor, 2 * _WORD_BYTES, 0)
        frames, processes = (int.from_bytes(words[at:][:_WORD_BYTES], "little") for at in (0, _WORD_BYTES))
        return Shared(frames * PAGE_BYTES, processes)


@contextmanager
def new_ledger() -> Iterator[Ledger]:
    """A ledger for a run."""
    descriptor = os.memfd_create("zpager-ledger")
    try:
        yield Ledger(descriptor)
    finally:
        os.close(descriptor)
