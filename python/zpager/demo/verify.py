"""Every byte of A and B, and every answer that B got, against what ordinary memory gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from zpager.demo.contest import Result
from zpager.demo.work import Digests, Orders, Work


@dataclass(frozen=True, slots=True)
class Expected:
    """What B must have after some number of operations."""

    checksum: int
    busy_digests: Digests


def replay(busy_bytes: int, seed: int, operations: Iterable[int]) -> dict[int, Expected]:
    """Do B's work over again without a pager; the state after each of the given numbers of operations."""
    orders = Orders.make(busy_bytes, seed, np.empty)
    work = Work(orders, seed)
    expected = {}
    for number in sorted(set(operations)):
        while work.operations < number:
            work.step()
        expected[number] = Expected(work.checksum, orders.digests())
    return expected


def mismatches(result: Result, expected: Expected) -> list[str]:
    """What is not as it must be, in words; empty if every byte is."""
    found = [
        f"B's column {name!r} has other bytes"
        for name, wanted in expected.busy_digests.items()
        if result.busy_digests.get(name) != wanted
    ]
    if result.checksum != expected.checksum:
        found.append("B got a wrong answer while it worked")
    if result.idle_digest != result.idle_digest_loaded:
        found.append("A's data has other bytes than its files")
    return found
