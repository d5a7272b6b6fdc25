"""What a programme runs on, in the run's own process: memory, or something that has to do instead of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from bench.table import Words


class Store(Protocol):
    """Words in groups of 4 MiB, which a programme accesses by groups or one by one."""

    def write(self, group: int, make: Callable[[Words], None]) -> None:
        """Let `make` write all words of a group."""

    def read(self, group: int, see: Callable[[Words], None]) -> None:
        """Let `see` look at a group."""

    def modify(self, group: int, change: Callable[[Words], None]) -> None:
        """Let `change` look at a group and write to it."""

    def take(self, indices: Words, out: Words) -> None:
        """Read the words at `indices`, in that order."""

    def put(self, indices: Words, words: Words) -> None:
        """Write the words at `indices`, in that order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a contestant tells of itself; events are counted since its start."""

    misses: int
    """Accesses that found their page neither mapped nor on its way out in RAM."""
    device_read_pages: int
    device_written_pages: int
    stored_bytes: int
    """What is compressed now, before compression."""
    pool_bytes: int
    """The RAM that it takes compressed."""


Make: TypeAlias = Callable[[int, int], Store]
"""Makes a store of so many groups, of items of so many bytes."""

Use: TypeAlias = Callable[[Make, Callable[[], Counters]], None]
"""Uses stores that it has made. It is called rather than handed a store, so that nothing refers to a store
any more when the memory is to be given back."""
