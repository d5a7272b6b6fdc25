"""Policies of the pool in Python, to try an idea: slower than the built-in ones, by the same interface.

A policy says which *unit* of the pool is evicted next: a page frame of zbud with one or two zpages, or a
zspage of zsmalloc with up to 64 zpages in a few frames. Give `Configuration(policy=...)` a class of yours, or
whatever makes such an object when it is called: each replay has one of its own.

    class Oldest:
        def __init__(self) -> None:
            self.units: dict[int, None] = {}

        def insert(self, unit: int) -> None:
            self.units[unit] = None
        ...

Whatever it raises ends the replay.
"""

from __future__ import annotations

from typing import Protocol


class Units(Protocol):
    """What can be known of units while `Policy.take_coldest` runs. At any other time each method raises
    ConfigurationError."""

    def frame_count(self, unit: int, /) -> int:
        """Frames that are freed with the unit."""

    def zpage_count(self, unit: int, /) -> int:
        """Zpages in the unit, each of which has to be decompressed or written somewhere."""

    def take_referenced(self, unit: int, /) -> int:
        """How many of the unit's zpages were stored or used since the last such call."""


class UnitPolicy(Protocol):
    """A replacement policy. It has every unit of the pool but those that it was asked for.

    `stored`, `used` and `left` are also called for units that it does not have: those that are just being
    evicted.
    """

    def insert(self, unit: int, /) -> None:
        """There is a new unit, about to get its first zpage. The numbers of units that are gone come
        again."""

    def stored(self, unit: int, page: int, /) -> None:
        """A page's zpage was stored into a unit."""

    def used(self, unit: int, /) -> None:
        """A zpage of the unit was loaded for the program, or is its page's only copy again."""

    def left(self, unit: int, page: int, is_isolated: bool, /) -> None:
        """A page's zpage has left a unit. `is_isolated`: the unit was taken out, and this is how it is
        evicted."""

    def remove(self, unit: int, /) -> None:
        """A unit is empty and goes."""

    def take_coldest(self, units: Units, /) -> int | None:
        """Take the coldest unit out; None if there is none at all."""

    def put_back(self, unit: int, /) -> None:
        """A unit that was taken out comes back, since it could not be emptied: it is the coldest."""
