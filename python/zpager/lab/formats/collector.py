"""From what a file holds to a trace: requests to pages, moments to times to think, all threads together."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.formats.page_numbers import PageNumbers
from zpager.lab.think_times import ThinkTimes
from zpager.lab.trace import ThreadTrace, Trace
from zpager.sizes import PAGE_BYTES

NO_WRITES = "whether an access is a write: all count as reads"

_PAGE_SHIFT = np.uint64(PAGE_BYTES.bit_length() - 1)


def spread_over_pages(
    start: NDArray[np.uint64], size_bytes: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.intp] | None]:
    """The pages of each range of bytes, in order, and which range each one is of; None: a page each.

    An empty range counts as a byte. Raises OverflowError for one that ends beyond 2^64.
    """
    first = start >> _PAGE_SHIFT
    end = start + (size_bytes - (size_bytes > 0))
    if (end < start).any():
        raise OverflowError(f"a range from {start[end < start][0]:#x} on ends beyond 2^64")
    counts = ((end >> _PAGE_SHIFT) - first).astype(np.intp) + 1
    if len(counts) == 0 or counts.max() == 1:
        return first, None
    of_range = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(of_range)) - np.repeat(np.cumsum(counts) - counts, counts)
    return first[of_range] + nth.astype(np.uint64), of_range


class Collector:
    """Puts a trace together, batch by batch."""

    def __init__(self) -> None:
        """Nothing is there yet."""
        self.page_numbers = PageNumbers()
        self._parts: dict[str, list[tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.uint32]]]] = (
            defaultdict(list)
        )
        self._began_ns: int | None = None
        self._latest_ns: dict[str, int] = {}
        self.think_times = ThinkTimes()

    def add(
        self,
        thread: str,
        page: NDArray[np.uint32],
        is_write: NDArray[np.bool_] | None,
        think_ns: NDArray[np.uint32] | None,
    ) -> None:
        """What a thread does next; None: not known."""
        self._parts[thread].append(
            (
                page,
                np.zeros(len(page), np.bool_) if is_write is None else is_write,
                np.zeros(len(page), np.uint32) if think_ns is None else think_ns,
            )
        )

    def think_ns(self, thread: str, moment_ns: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Times to think of accesses that a thread makes at these moments.

        A thread's first is counted from the trace's first. A moment that lies before the last one is as if
        it were the same.
        """
        if not len(moment_ns):
            return np.empty(0, np.uint32)
        if self._began_ns is None:
            self._began_ns = int(moment_ns[0])
        before = self._latest_ns.get(thread, self._began_ns)
        latest = np.maximum.accumulate(np.concatenate((np.array([before], np.int64), moment_ns)))
        self._latest_ns[thread] = int(latest[-1])
        return self.think_times.cut(np.diff(latest))

    def spread_seconds(self) -> None:
        """Turn times to think that were given as the second of each access, in order, into such that spread
        the accesses of a second evenly over it. For one thread."""
        for parts in self._parts.values():
            seconds = np.concatenate([part[2] for part in parts])
            starts = np.flatnonzero(np.diff(seconds, prepend=np.int64(-1)))
            counts = np.diff(starts, append=len(seconds))
            step_ns = 1_000_000_000 // counts
            think_ns = np.repeat(step_ns.astype(np.uint32), counts)
            passed_ns = np.diff(seconds[starts].astype(np.int64)) * 1_000_000_000
            think_ns[starts[1:]] = self.think_times.cut(passed_ns - step_ns[:-1] * (counts[:-1] - 1))
            think_ns[:1] = 0
            at = 0
            for number, (page, is_write, _) in enumerate(parts):
                parts[number] = (page, is_write, think_ns[at : at + len(page)])
                at += len(page)

    def trace(self, source: str, lacks: tuple[str, ...]) -> Trace:
        """All of it.

        Raises ConfigurationError if nothing is there.
        """
        if not self.page_numbers.count:
            raise ConfigurationError(f"{source}: there is not one access in it")
        threads = []
        for name, parts in self._parts.items():
            page, is_write, think_ns = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            parts.clear()
            threads.append(ThreadTrace(name, page, is_write, think_ns))
        return Trace(tuple(threads), source=source, lacks=lacks + self.think_times.lacks())
