"""What every kind of data can tell of itself, and the check of every byte."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bench.table import GROUP_WORDS, Words


class Data(Protocol):
    """What must be in a memory, group by group; a version is added to each word of it.

    What a memory must contain is known from a few groups' worth of memory, so that nearly all of the RAM is
    the contestant's.
    """

    @property
    def groups(self) -> int:
        """How many groups of 4 MiB there are."""

    def write_group(self, group: int, to: Words, version: int = 0) -> None:
        """Make a group in `to`."""

    def first_words_sum(self, group: int) -> int:
        """What the first words of a group's pages add up to, in version 0."""

    def at(self, indices: Words, version: int = 0) -> Words:
        """The words at `indices`."""


class Check:
    """Compares every byte of a memory with what it must be."""

    def __init__(self, data: Data, changed: Words, version: int = 0) -> None:
        """The words at the sorted indices `changed` are to be inverted in their lowest bit."""
        self._data, self._changed, self._version = data, changed, version
        self._expected = np.zeros(GROUP_WORDS, np.int64)

    def is_right(self, group: int, words: Words) -> bool:
        """Whether a group is as it must be."""
        start = group * GROUP_WORDS
        self._data.write_group(group, self._expected, self._version)
        first, last = np.searchsorted(self._changed, (start, start + GROUP_WORDS))
        self._expected[self._changed[first:last] - start] ^= 1
        return np.array_equal(self._expected, words)
