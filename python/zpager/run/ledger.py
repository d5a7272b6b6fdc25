"""The memory in which the processes of a run keep the account of their RAM. What is in it, the preloaded
library knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from zpager.sizes import PAGE_BYTES

_IN_MEMORY = Path("/dev/shm")
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
    """An empty one, there as long as this process has it open or another has it mapped."""

    descriptor: int
    path: str
    """Where others open it."""

    def read(self) -> Shared:
        """What it says."""
        words = os.pread(self.descriptor, 2 * _WORD_BYTES, 0)
        frames, processes = (int.from_bytes(words[at:][:_WORD_BYTES], "little") for at in (0, _WORD_BYTES))
        return Shared(frames * PAGE_BYTES, processes)


@contextmanager
def new_ledger() -> Iterator[Ledger]:
    """A ledger for a run. Root's is for the processes of other users, too, that its program may start."""
    if os.geteuid() == 0 and _IN_MEMORY.is_dir():
        with _with_a_name() as ledger:
            yield ledger
        return
    # It has no name in any directory: who opens it does that through this process, for which it takes the
    # rights to look into it.
    descriptor = os.memfd_create("zpager-ledger")
    try:
        yield Ledger(descriptor, f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)


@contextmanager
def _with_a_name() -> Iterator[Ledger]:
    """One for whoever knows its name, which nobody can guess or list."""
    with TemporaryDirectory(prefix="zpager-ledger-", dir=_IN_MEMORY) as directory:
        os.chmod(directory, 0o711)
        path = os.path.join(directory, os.urandom(16).hex())
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o666)
            yield Ledger(descriptor, path)
        finally:
            os.close(descriptor)
