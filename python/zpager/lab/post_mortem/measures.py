"""What is read off a result for the post-mortem."""

from __future__ import annotations

from typing import Final

import numpy as np

from zpager.lab.replay import ThreadResult
from zpager.lab.results import Outcome
from zpager.lab.trace import ASLEEP_NS, Trace
from zpager.stats import quantile

_SECOND_NS: Final = 1_000_000_000


def busy(outcome: Outcome) -> list[ThreadResult]:
    """The threads that are not of type A: those for which the RAM is."""
    return [thread for thread in outcome.require().threads if not thread.name.startswith("A")]


def waited_seconds(outcome: Outcome) -> float:
    """What the busy threads together waited for pages."""
    return sum(thread.lost_ns for thread in busy(outcome)) / _SECOND_NS


def slow_down(outcome: Outcome, trace: Trace) -> float:
    """How many times as long the busy threads take as they would without any wait, sleep left out; of those
    accesses that were made. Infinite where none was."""
    asleep_ns = {
        thread.name: int(thread.think_ns[thread.think_ns > ASLEEP_NS].sum(dtype=np.uint64))
        for thread in trace.threads
    }
    lost_ns = own_ns = 0
    for thread in busy(outcome):
        if not thread.accesses:
            return float("inf")
        lost_ns += thread.lost_ns
        own_ns += thread.end_ns - thread.lost_ns - asleep_ns[thread.name]
    return 1 + lost_ns / own_ns


def within(outcome: Outcome, histogram: str, share: float) -> int | None:
    """The microseconds that this share keeps to, up to a power of two; None where nothing was counted."""
    return quantile(outcome.require().histograms[histogram], share)


def freed_per_second(outcome: Outcome) -> float:
    """Frames of RAM that eviction from a pool of zbud gains in a second, from its begin to the end of the
    busy threads: one for each unit, less those in which its pages wait to be written. 0 if it never began."""
    samples = outcome.require().samples
    end_ns = max(thread.end_ns for thread in busy(outcome))
    seen = samples["now_ns"] <= end_ns
    now_ns, units, taken_out, written = (
        samples[name][seen].astype(np.int64)
        for name in ("now_ns", "evicted_units", "zswpwb", "written_back_pages")
    )
    begun = np.flatnonzero(units)
    if not len(begun) or begun[0] == 0:
        return 0.0
    gained = int(units[-1] - taken_out[-1] + written[-1])
    return gained * _SECOND_NS / (end_ns - int(now_ns[begun[0] - 1]))


def device_misses(outcome: Outcome) -> int:
    """Faults of the busy threads that had to be read from the device."""
    return sum(thread.found["device"] for thread in busy(outcome))
