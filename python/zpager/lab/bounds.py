"""What is possible: how often accesses miss if so many uncompressed pages are kept, under known policies and
under the best one.

The best takes the future: the page goes that is wanted again the latest (Bélády 1966). A pager that
compresses may miss less often than that with the same RAM, since it keeps more pages in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpager import _core
from zpager.errors import ConfigurationError
from zpager.options import is_whole

if TYPE_CHECKING:
    from zpager.lab.trace import Trace

Bound: TypeAlias = Literal["lru", "fifo", "clock", "sieve", "s3-fifo", "optimal"]
BOUNDS: Final[tuple[Bound, ...]] = ("lru", "fifo", "clock", "sieve", "s3-fifo", "optimal")
LARGEST_PAGES: Final = (1 << 32) - 1


def misses(
    trace: Trace, capacities_pages: Sequence[int], policies: Sequence[Bound] = BOUNDS
) -> dict[Bound, list[int]]:
    """For each policy how many accesses miss, first touches included, with each capacity.

    LRU, FIFO, CLOCK (one bit, set by uses after the first), SIEVE (Zhang et al., NSDI 2024) and S3-FIFO (Yang
    et al., SOSP 2023; a tenth small, a ghost as long as the main queue, two uses for the main queue). The
    code of all but the optimum is that of the pool's policies. Raises ConfigurationError for a capacity below
    one page.
    """
    for capacity in capacities_pages:
        if not is_whole(capacity, 1, LARGEST_PAGES):
            raise ConfigurationError(f"capacities_pages: {capacity!r} is no number of pages from 1 on")
    accesses = in_order(trace)
    return {policy: _core.misses(policy, accesses, list(capacities_pages)) for policy in policies}


def in_order(trace: Trace, access_ns: int = 100) -> NDArray[np.uint32]:
    """The pages of all threads' accesses in the order of time, if none had to wait for a page: each comes
    `access_ns` after what the thread did and thought before."""
    threads = [thread for thread in trace.threads if len(thread.page)]
    if not threads:
        return np.empty(0, np.uint32)
    if len(threads) == 1:
        return threads[0].page
    times = np.concatenate(
        [
            np.cumsum(thread.think_ns, dtype=np.uint64)
            + access_ns * np.arange(len(thread.page), dtype=np.uint64)
            for thread in threads
        ]
    )
    pages = np.concatenate([thread.page for thread in threads])
    return pages[np.argsort(times, kind="stable")]
