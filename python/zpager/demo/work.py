"""B, the busy program: a shop's orders in numpy columns, and what is asked of them all day long.

The same seed makes the same tables and the same sequence of operations, whatever memory they live in. That is
how a run is checked: done once more in ordinary memory, it must come to the same bytes and the same answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Allocate: TypeAlias = Callable[[int, DTypeLike], NDArray[Any]]
"""Makes a one-dimensional array, `numpy.empty` or `Pager.empty`."""

Digests: TypeAlias = dict[str, str]
"""What a column contains: its name, and its hash."""

# An order's four columns take 24 bytes; a customer's total takes 8.
_ORDER_BYTES = 24
_TOTALS_SHARE = 8
_LOOK_UP_ORDERS = 128
_SORT_ORDERS = 16_384
_AGGREGATE_ORDERS = 32_768
_GENERATE_ORDERS = 32_768
_HASH_ITEMS = 1 << 17
_CHECKSUM_MODULUS = (1 << 61) - 1
_MINUTE_MS = 60_000
_MEAN_GAP_MS = 40
_OPENING_MS = 1_349_049_600_000  # 1 October 2012, midnight
# Prices come in quarters, which binary fractions hold exactly: sums do not depend on the order of adding.
_TICKS_PER_UNIT = 4


@dataclass(frozen=True, slots=True)
class Orders:
    """The tables. All columns but `total` are only read once they are made."""

    customer: NDArray[np.int64]
    placed_at_ms: NDArray[np.int64]
    quantity: NDArray[np.int32]
    price: NDArray[np.float32]
    total: NDArray[np.int64]
    """What each customer has spent in the orders looked up so far, in quarters."""

    @classmethod
    def make(cls, size_bytes: int, seed: int, allocate: Allocate) -> Orders:
        """Make tables of `size_bytes` in all, in memory from `allocate`."""
        customers = size_bytes // _TOTALS_SHARE // 8
        orders = (size_bytes - customers * 8) // _ORDER_BYTES
        tables = cls(
            customer=allocate(orders, np.int64),
            placed_at_ms=allocate(orders, np.int64),
            quantity=allocate(orders, np.int32),
            price=allocate(orders, np.float32),
            total=allocate(customers, np.int64),
        )
        random = np.random.default_rng(seed)
        now_ms, ticks = _OPENING_MS, 400
        # In small parts, so that what is made on the way takes no memory to speak of.
        for start in range(0, orders, _GENERATE_ORDERS):
            part = slice(start, min(start + _GENERATE_ORDERS, orders))
            count = part.stop - part.start
            tables.customer[part] = random.integers(0, customers, count)
            moments_ms = now_ms + np.cumsum(random.integers(0, 2 * _MEAN_GAP_MS, count))
            tables.placed_at_ms[part] = moments_ms
            now_ms = int(moments_ms[-1])
            tables.quantity[part] = random.geometric(0.3, count)
            walk = np.clip(ticks + np.cumsum(random.integers(-1, 2, count)), 4, 4000)
            tables.price[part] = walk / _TICKS_PER_UNIT
            ticks = int(walk[-1])
        tables.total[:] = 0
        return tables

    def digests(self) -> Digests:
        """A hash of every column's bytes."""
        return {column.name: digest(getattr(self, column.name)) for column in fields(self)}


class Work:
    """B at work: `step` does the next operation of an endless sequence that the seed determines."""

    def __init__(self, orders: Orders, seed: int) -> None:
        """Begin the sequence."""
        self.operations = 0
        self.checksum = 0
        """All answers so far in one number; a single wrong one, once read, changes it for good."""
        self._orders = orders
        self._random = np.random.default_rng([seed, 1])

    def step(self) -> None:
        """Do one operation: a look-up, a sort, or an aggregate, by turns."""
        match self.operations % 3:
            case 0:
                answer = self._look_up()
            case 1:
                answer = self._sort()
            case _:
                answer = self._aggregate()
        self.checksum = (self.checksum * 31 + answer) % _CHECKSUM_MODULUS
        self.operations += 1

    def _look_up(self) -> int:
        """Book orders from all over the table: what they cost is added to their customers' totals."""
        orders = self._orders
        rows = self._random.integers(0, len(orders.customer), _LOOK_UP_ORDERS)
        spent = _quarters(orders.quantity[rows], orders.price[rows])
        np.add.at(orders.total, orders.customer[rows], spent)
        return int(spent.sum())

    def _sort(self) -> int:
        """Who ordered in some stretch of time: the customers, sorted, and how many there are."""
        ordered = np.sort(self._orders.customer[self._window(_SORT_ORDERS)])
        return int(ordered[len(ordered) // 2]) + int(np.count_nonzero(ordered[1:] != ordered[:-1]))

    def _aggregate(self) -> int:
        """The turnover by the minute in some stretch of time, and the best minute of it."""
        orders = self._orders
        window = self._window(_AGGREGATE_ORDERS)
        moments_ms = orders.placed_at_ms[window]
        minutes = (moments_ms - moments_ms[0]) // _MINUTE_MS
        turnover = np.bincount(minutes, weights=_quarters(orders.quantity[window], orders.price[window]))
        best = int(np.argmax(turnover))
        return best + int(turnover[best])

    def _window(self, length: int) -> slice:
        orders = len(self._orders.customer)
        length = min(length, orders)
        start = int(self._random.integers(0, orders - length + 1))
        return slice(start, start + length)


def digest(array: NDArray[Any]) -> str:
    """A hash of an array's bytes, taken part by part: nothing of its size is made on the way."""
    hasher = hashlib.blake2b(digest_size=16)
    for start in range(0, len(array), _HASH_ITEMS):
        hasher.update(array[start : start + _HASH_ITEMS].data)
    return hasher.hexdigest()


def _quarters(quantity: NDArray[np.int32], price: NDArray[np.float32]) -> NDArray[np.int64]:
    return quantity.astype(np.int64) * (price * _TICKS_PER_UNIT).astype(np.int64)
