"""What traces of requests, to a disk or to a key-value store, have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.formats.collector import Collector, spread_over_pages

WHOLE_SECONDS = "times within a second: the requests of a second are spread evenly over it"

_NO_FAULTS = (
    "requests to {} are not page faults: a program touches pages far more often, and what it "
    "touches again at once is not seen"
)
_THREAD = "requests"


def what_requests_lack(block_bytes: int | None) -> tuple[str, ...]:
    """The words for `Trace.lacks`."""
    if block_bytes is None:
        return (
            _NO_FAULTS.format("a key-value store"),
            "sizes: each object counts as one page",
            WHOLE_SECONDS,
        )
    return (_NO_FAULTS.format("a disk"), WHOLE_SECONDS)


def add_requests(
    collector: Collector,
    *,
    objects: NDArray[np.uint64],
    size_bytes: NDArray[np.uint64],
    is_write: NDArray[np.bool_] | None,
    seconds: NDArray[np.uint32],
    block_bytes: int | None,
) -> None:
    """Add requests for objects, or for blocks of so many bytes; times in seconds, to be spread in the end.

    Raises OverflowError for a place beyond 2^64 bytes.
    """
    if block_bytes is None:
        collector.add(_THREAD, collector.page_numbers.of(objects), is_write, seconds)
        return
    if len(objects) and int(objects.max()) > 0xFFFF_FFFF_FFFF_FFFF // block_bytes:
        raise OverflowError(f"block {objects.max()} of {block_bytes} bytes lies beyond 2^64 bytes")
    keys, of_request = spread_over_pages(objects * np.uint64(block_bytes), size_bytes)
    if of_request is not None:
        is_write = None if is_write is None else is_write[of_request]
        seconds = seconds[of_request]
    collector.add(_THREAD, collector.page_numbers.of(keys), is_write, seconds)


def require_block_bytes(block_bytes: int | None) -> None:
    """Raise ConfigurationError unless that can be a block."""
    if block_bytes is not None and not 1 <= block_bytes <= 1 << 30:
        raise ConfigurationError(f"block_bytes={block_bytes!r}: give the bytes of a block, such as 512")
