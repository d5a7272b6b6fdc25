"""How one total is divided between what a cgroup may hold and the kernel's compressed pool outside of it.

A cgroup of version 1 counts neither zswap's pool nor a zram device's, one of version 2 counts zswap's. So the
cgroup's limit has to be lower than the total by what the pool will be. That depends on how well the data is
compressed, which a fill before the first round tells. The limit then stays as it is: to lower it while a
program runs would let another process reclaim for it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A total, divided."""

    limit_bytes: int
    """The cgroup's limit."""
    pool_bytes: int
    """What the pool will be."""


def split(total_bytes: int, data_bytes: int, ratio: float, pool_limit_bytes: int | None) -> Split | None:
    """Let both together be the total, once the data is filled in; None if it does not fit.

    What is not within the limit is in the pool, `ratio` bytes in one; with a limit of the pool, the rest is
    on a disk behind it.
    """
    if data_bytes <= total_bytes:
        return Split(limit_bytes=total_bytes, pool_bytes=0)
    # limit + (data - limit) / ratio = total
    limit_bytes = (total_bytes - data_bytes / ratio) / (1 - 1 / ratio) if ratio > 1 else 0.0
    if pool_limit_bytes is not None:
        limit_bytes = max(limit_bytes, total_bytes - pool_limit_bytes)
    if limit_bytes < total_bytes * _LEAST_SHARE:
        return None
    return Split(limit_bytes=round(limit_bytes), pool_bytes=total_bytes - round(limit_bytes))


_LEAST_SHARE = 1 / 16
"""Of the total: with less to run in, a program is not slow but killed."""
