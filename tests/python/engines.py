"""Small engines for tests on real memory, and a look at memory from below."""

from __future__ import annotations

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
    options = {
        "swap_directory": "/var/tmp",
        "codec": "lz4",
        "pool": "zsmalloc",
        "pool_limit_bytes": ram_bytes // 4,
        "eviction": "unuse",
        "faults": "thread",
        "readahead_pages": 32,
    }
    return Engine(ram_bytes=ram_bytes, swap_bytes=swap_bytes, **(options | changes))


def evict(engine: Engine) -> None:
    """Push everything out of RAM, pool and all, so that every touch is a fault and a read of the device."""
    whole = engine.counters()["ram_bytes"]
    engine.reclaim(whole)
    engine.unuse(whole)
    counters = engine.counters()
    assert counters["resident_bytes"] == counters["swap_cache_bytes"] == counters["pool_bytes"] == 0


def used_bytes(counters: dict[str, int]) -> int:
    """What of the budget is in use."""
    return sum(counters[part] for part in PARTS_OF_RAM)


def address_of(allocation: Allocation) -> int:
    """Where it is."""
    return np.frombuffer(allocation, "u1").ctypes.data


def as_words(allocation: Allocation) -> NDArray[np.uint64]:
    """It as numbers of 8 bytes; the array keeps it alive."""
    return np.frombuffer(allocation, np.uint64)
