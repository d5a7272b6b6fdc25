"""The policies alone and the optimum miss as often as those of libCacheSim do on the same accesses."""

import numpy as np
import pytest
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.bounds import BOUNDS, Bound, in_order, misses
from zpager.lab.trace import ThreadTrace, Trace

PAGES = 3000
# libCacheSim's S3-FIFO takes nothing where its small queue has one place.
CAPACITIES_PAGES = [20, 37, 100, 333, 1000]
NEVER = np.iinfo(np.int64).max


def zipf(random: np.random.Generator, accesses: int) -> NDArray[np.uint32]:
    rank: NDArray[np.float64] = PAGES ** random.random(accesses)
    return (rank.astype(np.uint32) * 1009) % PAGES


def trace_of(*pages_of_threads: NDArray[np.uint32], think_ns: int = 0) -> Trace:
    return Trace(
        threads=tuple(
            ThreadTrace(
                f"{number}", pages, np.zeros(len(pages), np.bool_), np.full(len(pages), think_ns, np.uint32)
            )
            for number, pages in enumerate(pages_of_threads)
        )
    )


def accesses(name: str) -> NDArray[np.uint32]:
    random = np.random.default_rng(7)
    match name:
        case "zipf":
            return zipf(random, 60_000)
        case "loop":
            return np.arange(40_000, dtype=np.uint32) % 700
        case "two loops":
            return np.concatenate([np.arange(20_000) % 300, 300 + np.arange(20_000) % 1500]).astype(np.uint32)
        case "scans":
            scan = np.arange(PAGES, 2 * PAGES, dtype=np.uint32)
            return np.concatenate(
                [zipf(random, 20_000), scan, zipf(random, 20_000), scan, zipf(random, 5_000)]
            )
        case _:
            return random.integers(0, PAGES, 40_000, dtype=np.uint32)


def misses_of_libcachesim(bound: Bound, pages: NDArray[np.uint32], capacity: int) -> int:
    libcachesim = pytest.importorskip("libcachesim")
    cache = {
        "lru": libcachesim.LRU,
        "fifo": libcachesim.FIFO,
        "clock": libcachesim.Clock,
        "sieve": libcachesim.Sieve,
        "s3-fifo": libcachesim.S3FIFO,
        "optimal": libcachesim.Belady,
    }[bound](capacity)
    next_use = np.full(len(pages), NEVER)
    order = np.argsort(pages, kind="stable")
    is_same = pages[order[:-1]] == pages[order[1:]]
    next_use[order[:-1][is_same]] = order[1:][is_same]
    request = libcachesim.Request()
    request.obj_size = 1
    missed = 0
    for page, at in zip(pages.tolist(), next_use.tolist(), strict=True):
        request.obj_id = page
        request.next_access_vtime = at
        missed += not cache.get(request)
    return missed


@pytest.mark.parametrize("name", ["zipf", "loop", "two loops", "scans", "random"])
def test_misses_are_those_of_libcachesim(name: str) -> None:
    pages = accesses(name)
    ours = misses(trace_of(pages), CAPACITIES_PAGES)
    for bound in BOUNDS:
        theirs = [misses_of_libcachesim(bound, pages, capacity) for capacity in CAPACITIES_PAGES]
        assert ours[bound] == theirs, bound


def test_no_policy_is_better_than_the_optimum() -> None:
    found = misses(trace_of(accesses("zipf")), [100])
    assert all(found[bound] > found["optimal"] for bound in BOUNDS if bound != "optimal")


def test_threads_take_turns_by_their_time() -> None:
    slow = np.arange(0, 3, dtype=np.uint32)
    quick = np.arange(10, 16, dtype=np.uint32)
    trace = Trace(
        threads=(
            ThreadTrace("slow", slow, np.zeros(3, np.bool_), np.full(3, 200, np.uint32)),
            ThreadTrace("quick", quick, np.zeros(6, np.bool_), np.full(6, 90, np.uint32)),
        )
    )
    assert in_order(trace, access_ns=10).tolist() == [10, 11, 0, 12, 13, 1, 14, 15, 2]


def test_a_cache_has_a_page_at_least() -> None:
    with pytest.raises(ConfigurationError, match="0 is no number of pages"):
        misses(trace_of(accesses("loop")), [100, 0])


def test_nothing_misses_nothing() -> None:
    assert misses(trace_of(), [1]) == dict.fromkeys(BOUNDS, [0])
