"""What provides the memory that a workload runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

import zpager
from bench.table import PAGE_BYTES, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a contestant tells of itself; events are counted since its start."""

    misses: int
    """Accesses that found their page compressed or on the device."""
    device_written_pages: int
    compression_ratio: float
    """Of what is compressed now: its size over its compressed size, 0 if there is nothing."""
    resident_share: float
    """How much of the table is resident now, from 0 to 1."""
    metadata_bytes_per_page: float


@dataclass(frozen=True, slots=True)
class Memory:
    """A table's memory, and a way to look at the counters."""

    words: Words
    counters: Callable[[], Counters]


Contestant: TypeAlias = Callable[[int, int, Callable[[Memory], None]], None]
"""Calls its third argument with memory for so many words, within so many bytes of RAM.

It is handed in rather than out, so that nothing refers to the memory any more when it is to be given back.
"""

# The pool's share is what makes the data fit: with a smaller one, pages would go to the device.
_POOL_LIMIT = "75%"


def _zpager(
    faults: Literal["thread", "signal"], words: int, ram_bytes: int, use: Callable[[Memory], None]
) -> None:
    with zpager.Pager(ram=ram_bytes, swap=words * 8, faults=faults, pool_limit=_POOL_LIMIT) as pager:

        def counters() -> Counters:
            stats = pager.stats
            return Counters(
                misses=stats.faults_zcache + stats.faults_device,
                device_written_pages=stats.pswpout,
                compression_ratio=stats.compression_ratio if stats.zpage_bytes else 0.0,
                resident_share=stats.resident_bytes / stats.managed_bytes,
                metadata_bytes_per_page=stats.metadata_bytes / (stats.managed_bytes / PAGE_BYTES),
            )

        use(Memory(pager.empty(words, np.int64), counters))


CONTESTANTS: dict[str, Contestant] = {
    "zpager, signal": partial(_zpager, "signal"),
    "zpager, thread": partial(_zpager, "thread"),
}
