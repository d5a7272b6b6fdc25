"""zpager's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

import zpager
from bench.stores import Counters, Store, Use
from bench.stores.flat import Flat
from bench.table import GROUP_WORDS, PAGE_BYTES

# The dtypes that an array of items of so many bytes has; a pager shuffles by it.
_DTYPES = {1: "u1", 4: "i4", 8: "i8"}


def run(ram_bytes: int, swap_bytes: int, directory: str, options: dict[str, Any], use: Use) -> None:
    """Use arrays of a pager that has `ram_bytes` for everything."""
    with zpager.Pager(ram=ram_bytes, swap=swap_bytes, swap_dir=directory, **options) as pager:

        def make(groups: int, item_bytes: int) -> Store:
            items = groups * GROUP_WORDS * 8 // item_bytes
            return Flat(pager.empty(items, _DTYPES[item_bytes]).view(np.int64))

        def counters() -> Counters:
            stats = pager.stats
            return Counters(
                misses=stats.faults_zcache + stats.faults_device,
                device_read_pages=stats.pswpin,
                device_written_pages=stats.pswpout,
                stored_bytes=stats.stored_pages * PAGE_BYTES,
                pool_bytes=stats.pool_bytes,
            )

        use(make, counters)
