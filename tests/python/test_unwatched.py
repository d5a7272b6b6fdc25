"""Allocations that the kernel looks after while there is room, and what happens when there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engines import (
    MIB,
    address_of,
    as_words,
    eventually,
    evict,
    has_huge_pages,
    huge_bytes_at,
    make_engine,
)
from programs import PAGE_BYTES

from zpager._core import Allocation, Engine

pytestmark = pytest.mark.userfaultfd

WORDS_IN_PAGE = PAGE_BYTES // 8
RAM = 64 * MIB


@pytest.fixture(params=["thread", "signal"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = make_engine(ram_bytes=RAM, swap_bytes=2 * RAM, faults=request.param)
    yield engine
    engine.check()
    counters = engine.counters()
    assert counters["lost_pages"] == counters["vanished_pages"] == 0


def mappings() -> int:
    return len(Path("/proc/self/maps").read_text().splitlines())


def test_while_there_is_room_nothing_faults_into_zpager(engine: Engine) -> None:
    memory = engine.allocate(20 * MIB, 8, "words")
    words = as_words(memory)
    words[:] = np.arange(words.size)
    assert words.sum() == words.size * (words.size - 1) // 2
    counters = engine.counters()
    assert counters["faults"] == 0
    assert counters["unwatched_bytes"] == counters["resident_bytes"] == 20 * MIB


@pytest.mark.skipif(not has_huge_pages(), reason="no huge pages here")
def test_it_is_in_huge_pages_where_these_are_allowed(engine: Engine) -> None:
    memory = engine.allocate(20 * MIB, 8, "words")
    as_words(memory)[:] = 1
    assert huge_bytes_at(address_of(memory)) >= 18 * MIB
    evict(engine)
    assert huge_bytes_at(address_of(memory)) == 0


def test_what_is_too_large_or_too_small_is_watched(engine: Engine) -> None:
    small, large = engine.allocate(MIB, 8, "small"), engine.allocate(RAM, 8, "large")
    as_words(small)[:] = as_words(large)[:WORDS_IN_PAGE].sum()
    counters = engine.counters()
    assert counters["unwatched_bytes"] == 0
    assert counters["faults_zero"] > 0


def test_when_ram_runs_short_every_page_is_there_and_the_untouched_ones_are_free(engine: Engine) -> None:
    sparse, dense = (as_words(engine.allocate(20 * MIB, 8, name)) for name in ("sparse", "dense"))
    sparse[:: 7 * WORDS_IN_PAGE] = np.arange(sparse[:: 7 * WORDS_IN_PAGE].size)
    dense[:] = np.arange(dense.size)
    more = as_words(engine.allocate(60 * MIB, 8, "more"))
    more[:] = np.arange(more.size)
    counters = engine.counters()
    assert counters["watched_regions"] == 2
    assert counters["unwatched_bytes"] == 0
    for words in (dense, more):
        assert (words == np.arange(words.size, dtype=np.uint64)).all()
    wanted = np.zeros_like(sparse)
    wanted[:: 7 * WORDS_IN_PAGE] = np.arange(wanted[:: 7 * WORDS_IN_PAGE].size)
    assert (sparse == wanted).all()


@pytest.mark.parametrize("round_number", range(5))
def test_threads_go_on_touching_pages_while_they_are_taken_over(engine: Engine, round_number: int) -> None:
    words = as_words(engine.allocate(40 * MIB, 8, "words")).reshape(-1, WORDS_IN_PAGE)
    page_order = np.random.default_rng(round_number).permutation(len(words))
    has_begun = threading.Event()

    def touch(part: slice) -> None:
        for number, page in enumerate(page_order[part].tolist()):
            words[page, page % WORDS_IN_PAGE] = page + 1
            if number == 1000:
                has_begun.set()

    threads = [threading.Thread(target=touch, args=(slice(start, None, 2),)) for start in range(2)]
    for thread in threads:
        thread.start()
    has_begun.wait()
    evict(engine)
    for thread in threads:
        thread.join()
    assert engine.counters()["watched_regions"] == 1
    pages = np.arange(len(words))
    assert (words[pages, pages % WORDS_IN_PAGE] == pages + 1).all()
    assert np.count_nonzero(words) == len(words)


def test_discarded_parts_read_as_zeros_before_and_after(engine: Engine) -> None:
    memory = engine.allocate(8 * MIB, 8, "words")
    words = as_words(memory)
    words[:] = 5
    memory.discard(MIB, 2 * MIB)
    assert not words[MIB // 8 : 3 * MIB // 8].any()
    assert words.sum() == 5 * 6 * MIB // 8
    evict(engine)
    memory.discard(4 * MIB, MIB)
    assert words.sum() == 5 * 5 * MIB // 8


def test_freed_ones_leave_nothing_behind(engine: Engine) -> None:
    def use(bytes_: int) -> None:
        words = as_words(engine.allocate(bytes_, 8, "words"))
        assert not words.any(), "new memory is zeros"
        words[:] = 9

    for bytes_ in (8 * MIB, 5 * MIB, 13 * MIB):
        use(bytes_)
        assert engine.counters()["resident_bytes"] == 0
    # Watched and unwatched ones at the same places.
    large = engine.allocate(2 * RAM, 8, "large")
    assert not as_words(large)[::WORDS_IN_PAGE].any()
    del large
    evict(engine)
    use(10 * MIB)


def test_the_kernel_merges_its_areas_again(engine: Engine) -> None:
    sizes_bytes = 8 * np.random.default_rng(1).integers(MIB // 4, MIB, 400)
    before = mappings()
    kept: list[Allocation] = []
    for number, bytes_ in enumerate(sizes_bytes.tolist()):
        memory = engine.allocate(bytes_, 8, "words")
        as_words(memory)[[0, -1]] = 1
        kept = [*kept[-4:], memory]
        if number % 100 == 99:
            engine.reclaim(RAM)
    kept.clear()
    del memory
    eventually(lambda: mappings() <= before + 2)
