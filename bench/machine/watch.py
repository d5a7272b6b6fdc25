"""Looks at what a cgroup and the compressed pool outside of it hold, and keeps the peaks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bench.machine.cgroup import Cgroup

_LOOK_SECONDS = 0.02


class Watch:
    """A thread that looks while it is entered."""

    def __init__(self, cgroup: Cgroup, pool_bytes: Callable[[], int], is_pool_charged: bool) -> None:
        """`pool_bytes` tells the size of the pool, which may be charged to the cgroup."""
        self.held_bytes_peak = 0
        """Cgroup and pool at their highest sum."""
        self.pool_bytes_peak = 0
        self._cgroup, self._pool_bytes, self._is_pool_charged = cgroup, pool_bytes, is_pool_charged
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch")

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; the peaks stay."""
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(_LOOK_SECONDS):
            pool_bytes = self._pool_bytes()
            outside_bytes = 0 if self._is_pool_charged else pool_bytes
            self.pool_bytes_peak = max(self.pool_bytes_peak, pool_bytes)
            self.held_bytes_peak = max(self.held_bytes_peak, self._cgroup.usage_bytes + outside_bytes)
