"""This machine's costs, for the lab's virtual time: measured by runs of zpager itself, and of its disk.

Each cost is the difference of two runs that differ in little else; each run is done several times, and the
median counts. At last a program that has too little RAM shows what a fault takes besides while kswapd is at
work: caches are cold, and each waits for the other's lock. That is added to the fault.
"""

from __future__ import annotations

import mmap
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zpager import Pager
from zpager._core import zpage_bytes
from zpager.lab.costs import CodecCosts, Costs
from zpager.lab.replay import Configuration, replay
from zpager.lab.trace import ThreadTrace, Trace
from zpager.options import CODECS, Codec
from zpager.sizes import PAGE_BYTES
from zpager.swap_directory import choose_swap_directory

RAM_BYTES: Final = 128 << 20
AREA_PAGES: Final = 504
"""Of one array: fewer than a huge page has, or the kernel would look after it alone."""
AREAS: Final = 8
ROUNDS: Final = 5
BATCH_PAGES: Final = 64
"""Pages that a pager with so much RAM works on together, and writes at once."""
NOISE_BYTES: Final = 600
WORDS, WORD_BYTES, WORDED_BYTES = 64, 8, 1024
DEVICE_PAGES: Final = 16384
DEVICE_REQUESTS: Final = 256
WAKES: Final = 300
PRESSED_RAM_BYTES: Final = 24 << 20
PRESSED_PAGES: Final = 12288
PRESSED_ACCESSES: Final = 30_000
DEPTHS: Final = (1, 2, 4, 8, 16, 32)
"""Requests at the same time that are tried."""
DEPTH_GAIN: Final = 1.1
"""How much more a longer queue has to bring to count."""


@dataclass(frozen=True)
class Device:
    """What a disk takes, in nanoseconds."""

    read_ns: float
    write_ns: float
    transfer_ns: float
    queue_depth: int


def calibrate(swap_dir: str | None = None, tell: Callable[[str], None] = lambda _: None) -> Costs:
    """Measure: about a quarter of a minute. `tell` is told what is being done.

    Raises UserfaultfdUnavailable where zpager does not work at all, DeviceError and ConfigurationError for a
    swap directory that cannot be used.
    """
    directory = choose_swap_directory(swap_dir)
    random = np.random.default_rng(1)
    tell(f"the disk under {directory}")
    device = device_costs(directory)
    tell("faults")
    touch_ns = _touch_ns(random, directory, readahead_pages=1)
    sequence_ns = _touch_ns(random, directory, readahead_pages=32)
    # A fault alone is `fault + map`; in a sequence there is a fault for every 32 pages.
    map_ns = max((32 * sequence_ns - touch_ns) / 31, 0)
    fault_ns = touch_ns - map_ns
    codecs: dict[str, CodecCosts] = {}
    leave: dict[str, float] = {}
    for codec in CODECS:
        tell(f"reclaim and {codec}")
        same = _there_and_back(random, directory, codec, _same_filled(random))
        compressed = _there_and_back(random, directory, codec, _compressible(random))
        codecs[codec] = CodecCosts(
            compress_ns=_whole(compressed.leave_ns - same.leave_ns),
            decompress_ns=_whole(compressed.return_ns),
        )
        for name, ns in (
            ("dirty", same.leave_ns),
            ("clean", compressed.leave_clean_ns),
            ("one", compressed.leave_one_ns),
        ):
            leave[name] = min(ns, leave.get(name, ns))
    tell("pages on the disk")
    noise = _there_and_back(random, directory, "lz4", _noise(random))
    call_ns = max((leave["one"] - leave["clean"]) * BATCH_PAGES / (BATCH_PAGES - 1), 0)
    costs = Costs(
        cpus=len(os.sched_getaffinity(0)),
        access_ns=_whole(_access_ns(random)),
        fault_ns=_whole(fault_ns),
        wake_ns=_whole(_wake_ns()),
        map_ns=_whole(map_ns),
        unmap_call_ns=_whole(call_ns),
        unmap_ns=_whole(leave["clean"] - call_ns / BATCH_PAGES),
        # A dirty page is moved away, and its frame released from there.
        move_ns=_whole(leave["dirty"] - leave["clean"]),
        codecs=codecs,
        read_ns=_whole(noise.return_ns - device.transfer_ns),
        write_ns=_whole(device.write_ns),
        transfer_ns=_whole(device.transfer_ns),
        queue_depth=device.queue_depth,
    )
    tell("a program with too little RAM")
    besides_ns = statistics.median(_besides_ns(random, directory, costs) for _ in range(ROUNDS))
    return replace(costs, fault_ns=_whole(costs.fault_ns + besides_ns))


def device_costs(directory: str) -> Device:
    """Requests of one page and of a batch to a file there, one at a time and several, past the page cache."""
    with _file(directory) as file:

        def elapsed(is_write: bool, pages: int, threads: int = 1) -> float:
            """Nanoseconds for a request, each of so many pages at a place of its own."""
            random = np.random.default_rng(pages + threads)
            places = random.permutation(DEVICE_PAGES // BATCH_PAGES)[: DEVICE_REQUESTS // threads * threads]
            buffers = [mmap.mmap(-1, pages * PAGE_BYTES) for _ in range(threads)]
            call = os.pwritev if is_write else os.preadv

            def serve(number: int) -> None:
                for place in places[number::threads].tolist():
                    call(file, [buffers[number]], place * BATCH_PAGES * PAGE_BYTES)

            with ThreadPoolExecutor(threads) as pool:
                began = time.perf_counter_ns()
                list(pool.map(serve, range(threads)))
                return (time.perf_counter_ns() - began) / len(places)

        read_ns = _median(lambda: elapsed(False, 1))
        read_batch_ns = _median(lambda: elapsed(False, BATCH_PAGES))
        write_ns = _median(lambda: elapsed(True, 1))
        transfer_ns = (read_batch_ns - read_ns) / (BATCH_PAGES - 1)
        queue_depth, best_ns = 1, read_ns
        for depth in DEPTHS[1:]:
            each_ns = _median(partial(elapsed, False, 1, depth))
            if each_ns * DEPTH_GAIN < best_ns:
                # What so many at a time bring is as if so many were served at the same time.
                queue_depth, best_ns = max(round(read_ns / each_ns), 1), each_ns
    return Device(read_ns - transfer_ns, max(write_ns - transfer_ns, 0), transfer_ns, queue_depth)


@dataclass(frozen=True)
class _ThereAndBack:
    """Nanoseconds a page."""

    leave_ns: float
    return_ns: float
    """More than a first touch of a page takes."""
    leave_clean_ns: float
    leave_one_ns: float


def _there_and_back(
    random: np.random.Generator, directory: str, codec: Codec, content: NDArray[np.uint8]
) -> _ThereAndBack:
    """Pages with this content leave RAM, are read again one by one, and leave again, unchanged."""
    rounds = []
    with _pager(directory, codec, readahead_pages=1) as pager:
        for _ in range(ROUNDS):
            areas = [pager.empty(AREA_PAGES * PAGE_BYTES, np.uint8) for _ in range(AREAS)]
            order = random.permutation(AREA_PAGES) * PAGE_BYTES
            all_pages = AREAS * AREA_PAGES
            touch_ns = _elapsed_ns(partial(_read, areas, order)) / all_pages
            for area in areas:
                area[:] = content
            leave_ns = _elapsed_ns(lambda: pager.reclaim("100%")) / all_pages
            return_ns = _elapsed_ns(partial(_read, areas, order)) / all_pages
            one_ns = _elapsed_ns(lambda: [pager.reclaim(PAGE_BYTES) for _ in range(100)]) / 100
            clean_ns = _elapsed_ns(lambda: pager.reclaim("100%")) / (all_pages - 100)
            rounds.append((leave_ns, return_ns - touch_ns, clean_ns, one_ns))
            del areas, area
    return _ThereAndBack(*np.median(rounds, axis=0).tolist())


def _read(areas: list[NDArray[np.uint8]], places: NDArray[np.int64]) -> None:
    for area in areas:
        area[places]


def _touch_ns(random: np.random.Generator, directory: str, readahead_pages: int) -> float:
    """A new page, touched at random, or in a row if more than one comes at a time."""
    order = np.arange(AREA_PAGES) if readahead_pages > 1 else random.permutation(AREA_PAGES)
    places = order * PAGE_BYTES
    with _pager(directory, "lz4", readahead_pages) as pager:

        def touch() -> float:
            areas = [pager.empty(AREA_PAGES * PAGE_BYTES, np.uint8) for _ in range(AREAS)]

            def all_of_them() -> None:
                for area in areas:
                    area[places] = 1

            return _elapsed_ns(all_of_them) / (AREAS * AREA_PAGES)

        return _median(touch)


def _besides_ns(random: np.random.Generator, directory: str, costs: Costs) -> float:
    """How much longer a fault of a program with half of the RAM that it wants takes than the lab says."""
    contents = np.resize(_compressible(random), PRESSED_PAGES * PAGE_BYTES)
    fill = np.arange(PRESSED_PAGES, dtype=np.uint32)
    page = random.integers(0, PRESSED_PAGES, PRESSED_ACCESSES, dtype=np.uint32)
    is_write = random.random(PRESSED_ACCESSES) < 0.2
    with Pager(
        ram=PRESSED_RAM_BYTES, swap=PRESSED_PAGES * PAGE_BYTES, swap_dir=directory, readahead_pages=1
    ) as pager:
        memory = pager.empty(len(contents), np.uint8)
        memory[:] = contents
        view = memory.data
        pressed_ns = _access(view, page, is_write)
        buffers_bytes = pager.stats.buffers_bytes
        view.release()
        del memory
    access_ns = _access(contents.data, page, is_write) / PRESSED_ACCESSES
    sizes = np.array(zpage_bytes(contents.tobytes(), 1)["lz4"], np.uint16)
    configuration = Configuration(ram_bytes=PRESSED_RAM_BYTES, readahead_pages=1, buffers_bytes=buffers_bytes)
    filling = np.ones(PRESSED_PAGES, np.bool_)
    replays = [
        replay(
            Trace((ThreadTrace("", pages, writes, np.zeros(len(pages), np.uint32)),), {"lz4": sizes}),
            configuration,
            replace(costs, access_ns=_whole(access_ns)),
        )
        for pages, writes in (
            (fill, filling),
            (np.concatenate([fill, page]), np.concatenate([filling, is_write])),
        )
    ]
    faults = replays[1].counters["faults"] - replays[0].counters["faults"]
    return (pressed_ns - (replays[1].end_ns - replays[0].end_ns)) / faults


def _access(memory: memoryview, page: NDArray[np.uint32], is_write: NDArray[np.bool_]) -> int:
    """Touch a byte of a page after the other; the nanoseconds that it took."""
    places = (page.astype(np.int64) * PAGE_BYTES).tolist()
    steps = list(zip(places, is_write.tolist(), strict=True))
    began = time.perf_counter_ns()
    for place, writes in steps:
        if writes:
            memory[place] = 7
        else:
            memory[place]
    return time.perf_counter_ns() - began


def _access_ns(random: np.random.Generator) -> float:
    """A byte of a page that is there: what numpy takes for one index of many."""
    memory = np.ones(AREAS * AREA_PAGES * PAGE_BYTES, np.uint8)
    places = random.permutation(AREAS * AREA_PAGES) * PAGE_BYTES
    return _median(lambda: _elapsed_ns(lambda: memory[places]) / len(places))


def _wake_ns() -> float:
    """Until a process that sleeps runs: half of what a byte takes to another one and back."""
    (read_end, far_write), (far_read, write_end) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        while os.read(far_read, 1):
            os.write(far_write, b"b")
        os._exit(0)
    os.close(far_read)
    os.close(far_write)

    def there_and_back() -> None:
        for _ in range(WAKES):
            os.write(write_end, b"a")
            os.read(read_end, 1)

    try:
        return _median(lambda: _elapsed_ns(there_and_back) / (2 * WAKES))
    finally:
        os.close(write_end)
        os.close(read_end)
        os.waitpid(child, 0)


def _same_filled(random: np.random.Generator) -> NDArray[np.uint8]:
    values = random.integers(1, 255, AREA_PAGES, dtype=np.uint8)
    return np.repeat(values, PAGE_BYTES)


def _compressible(random: np.random.Generator) -> NDArray[np.uint8]:
    """Some noise, some words of a small vocabulary, and zeros, as pages of programs are."""
    pages = np.zeros((AREA_PAGES, PAGE_BYTES), np.uint8)
    words = random.integers(0, 256, (WORDS, WORD_BYTES), dtype=np.uint8)
    chosen = words[random.integers(0, WORDS, (AREA_PAGES, WORDED_BYTES // WORD_BYTES))]
    pages[:, :NOISE_BYTES] = random.integers(0, 256, (AREA_PAGES, NOISE_BYTES), dtype=np.uint8)
    pages[:, NOISE_BYTES : NOISE_BYTES + WORDED_BYTES] = chosen.reshape(AREA_PAGES, WORDED_BYTES)
    return pages.reshape(-1)


def _noise(random: np.random.Generator) -> NDArray[np.uint8]:
    return random.integers(0, 256, AREA_PAGES * PAGE_BYTES, dtype=np.uint8)


@contextmanager
def _pager(directory: str, codec: Codec, readahead_pages: int) -> Iterator[Pager]:
    pager = Pager(
        ram=RAM_BYTES, swap=RAM_BYTES, swap_dir=directory, codec=codec, readahead_pages=readahead_pages
    )
    with pager:
        yield pager


@contextmanager
def _file(directory: str) -> Iterator[int]:
    """A file without a name, full of noise, past the page cache where the file system allows that."""
    file = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        noise = np.random.default_rng(2).integers(0, 256, BATCH_PAGES * PAGE_BYTES, dtype=np.uint8).tobytes()
        for start in range(0, DEVICE_PAGES, BATCH_PAGES):
            os.pwrite(file, noise, start * PAGE_BYTES)
        os.fsync(file)
        try:
            direct = os.open(f"/proc/self/fd/{file}", os.O_RDWR | os.O_DIRECT)
        except OSError:
            direct = os.dup(file)
        try:
            yield direct
        finally:
            os.close(direct)
    finally:
        os.close(file)


def _elapsed_ns(work: Callable[[], object]) -> int:
    began = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - began


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(ROUNDS))


def _whole(ns: float) -> int:
    return max(round(ns), 0)
