"""The memory in which the processes of a run keep the account of their RAM. What is in it, the preloaded library knows."""

from __future__ import annotations

import os
from types import TracebackType

from zpager.stats import PAGE_BYTES

_MOST_BYTES = 8  # it begins with the most frames that all had at any time


class Ledger:
    """An empty one, there as long as this process has it open or another has it mapped.

    It has no name in any directory: who opens it does that through this process, which takes the rights to look
    into it.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("zpager-ledger")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    @property
    def path(self) -> str:
        """Where others open it."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def most_bytes(self) -> int:
        """The most RAM that all processes had together at any time."""
        return int.from_bytes(os.pread(self._file, _MOST_BYTES, 0), "little") * PAGE_BYTES
