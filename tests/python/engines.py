"""Small engines for tests on real memory, and a look at memory from below."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zpager._core import Allocation, Engine

MIB = 1 << 20

PARTS_OF_RAM = (
    "resident_bytes",
    "swap_cache_bytes",
    "pool_bytes",
    "reserve_bytes",
    "metadata_bytes",
    "buffers_bytes",
)


def make_engine(ram_bytes: int = 8 * MIB, swap_bytes: int = 32 * MIB, **changes: Any) -> Engine:
    """An engine with a pool of a quarter of its RAM, unless `changes` say otherwise."""
    options: dict[str, Any] = {
        "swap_directory": "/var/tmp",
        "codec": "lz4",
        "pool": "zsmalloc",
        "policy": "frame-lru",
        "pool_limit_bytes": ram_bytes // 4,
        "reserve_bytes": None,
        "eviction": "unuse",
        "faults": "thread",
        "readahead_pages": 32,
        "encrypt": True,
        "io": "auto",
    }
    return Engine(ram_bytes=ram_bytes, swap_bytes=swap_bytes, **(options | changes))


def evict(engine: Engine) -> None:
    """Push everything out of RAM, pool and all, so that every touch is a fault and a read of the device."""
    whole = engine.counters()["ram_bytes"]

    def is_out() -> bool:
        engine.reclaim(whole)
        engine.evict(whole)
        counters = engine.counters()
        return not any(counters[name] for name in ("resident_bytes", "swap_cache_bytes", "pool_bytes"))

    # What the engine's own threads have in hand just then stays for another round.
    eventually(is_out)


def used_bytes(counters: dict[str, int]) -> int:
    """What of the budget is in use."""
    return sum(counters[part] for part in PARTS_OF_RAM)


def address_of(allocation: Allocation) -> int:
    """Where it is."""
    return int(np.frombuffer(memoryview(allocation), "u1").ctypes.data)


def as_words(allocation: Allocation) -> NDArray[np.uint64]:
    """It as numbers of 8 bytes; the array keeps it alive."""
    return np.frombuffer(memoryview(allocation), np.uint64)


def eventually(is_so: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what zpager's threads do in their own time and tell nobody."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {seconds} s"


def open_files_in(directory: Path) -> list[int]:
    """The descriptors of this process that are files in a directory, with a name or without."""
    found = []
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:  # what `listdir` had open
            continue
        if Path(target).parent == directory:
            found.append(descriptor)
    return found


def has_huge_pages() -> bool:
    """Whether the system has any."""
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return setting.exists() and "[never]" not in setting.read_text()


def huge_bytes_at(address: int) -> int:
    """How much of the kernel's area of memory that an address is in is in huge pages."""
    is_it = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            start, end = (int(part, 16) for part in name.split("-"))
            is_it = start <= address < end
        elif is_it and name == "AnonHugePages:":
            return int(rest[0]) << 10
    raise AssertionError(f"nothing is mapped at {address:#x}")
