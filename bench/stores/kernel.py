"""Memory that the kernel swaps, and a mapped file: in a cgroup that is not larger than what there is."""

from __future__ import annotations

import mmap
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.machine import zram, zswap
from bench.stores import Counters, Store, Use
from bench.stores.flat import Flat
from bench.table import GROUP_BYTES, GROUP_WORDS

# By default it would be shared memory, which the kernel swaps as if it were a file of tmpfs.
_FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def run(pool: str, use: Use) -> None:
    """Use plain anonymous memory, without advice of any kind; `pool` as in `pool_reader`."""

    def make(groups: int, _item_bytes: int) -> Store:
        return Flat(np.frombuffer(mmap.mmap(-1, groups * GROUP_BYTES, flags=_FLAGS), np.int64))

    use(make, _counters(pool_reader(pool)))


def run_on_file(directory: str, use: Use) -> None:
    """Use `numpy.memmap` of new files."""

    def make(groups: int, _item_bytes: int) -> Store:
        path = Path(directory, f"zpager-bench-{os.getpid()}.mapped")
        with path.open("xb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, groups * GROUP_BYTES)
                return Flat(np.memmap(path, np.int64, "r+", shape=groups * GROUP_WORDS))
            finally:
                path.unlink()

    use(make, _counters(pool_reader("")))


def pool_reader(pool: str) -> Callable[[], tuple[int, int]]:
    """What tells bytes stored and bytes of RAM of a pool: "zswap", a zram's `mm_stat`, or "" for none."""
    if pool == "zswap":
        return zswap.pool
    if pool:
        return lambda: zram.mm_stat(Path(pool))
    return lambda: (0, 0)


def _counters(pool: Callable[[], tuple[int, int]]) -> Callable[[], Counters]:
    before = _swapped()

    def counters() -> Counters:
        stored_bytes, pool_bytes = pool()
        now = _swapped()
        return Counters(
            misses=resource.getrusage(resource.RUSAGE_SELF).ru_majflt,
            device_read_pages=now["pswpin"] - before["pswpin"],
            device_written_pages=now["pswpout"] - before["pswpout"],
            stored_bytes=stored_bytes,
            pool_bytes=pool_bytes,
        )

    return counters


def _swapped() -> dict[str, int]:
    """Of the whole machine; what zswap keeps is not in it, what goes to a zram device is."""
    lines = (line.split() for line in Path("/proc/vmstat").read_text("ascii").splitlines())
    return {name: int(value) for name, value in lines if name in {"pswpin", "pswpout"}}
