"""libCacheSim's `oracleGeneral`: 24 bytes a request, little-endian.

The time in seconds (uint32), the object (uint64), its size in bytes (uint32), and when it is requested the
next time (int64), which is not needed here.
"""

from __future__ import annotations

import os

import numpy as np

from zpager.errors import ConfigurationError
from zpager.lab.formats.collector import NO_WRITES, Collector
from zpager.lab.formats.requests import add_requests, what_requests_lack
from zpager.lab.formats.source import batches, opened
from zpager.lab.trace import Trace

_RECORD = np.dtype([("time", "<u4"), ("object", "<u8"), ("size_bytes", "<u4"), ("next_access", "<i8")])


def read(path: str | os.PathLike[str], block_bytes: int | None = None) -> Trace:
    """The requests of a file, maybe compressed by zstd.

    `block_bytes`: as `zpager.lab.formats.open_trace` says. Raises ConfigurationError for what is no such
    file, OSError where it cannot be read.
    """
    collector = Collector()
    records = 0
    with opened(path) as stream:
        for batch in batches(stream, _RECORD.itemsize):
            whole = len(batch) // _RECORD.itemsize
            if whole * _RECORD.itemsize != len(batch):
                raise ConfigurationError(
                    f"{path}: record {records + whole + 1} has {len(batch) % _RECORD.itemsize} bytes, not "
                    f"{_RECORD.itemsize} as in oracleGeneral: the file is cut off, or of another format"
                )
            requests = np.frombuffer(batch, _RECORD)
            try:
                add_requests(
                    collector,
                    objects=requests["object"],
                    size_bytes=requests["size_bytes"].astype(np.uint64),
                    is_write=None,
                    seconds=requests["time"],
                    block_bytes=block_bytes,
                )
            except OverflowError as error:
                raise ConfigurationError(f"{path}, near record {records + 1}: {error}") from None
            records += whole
    collector.spread_seconds()
    return collector.trace(f"oracleGeneral: {path}", (*what_requests_lack(block_bytes), NO_WRITES))
