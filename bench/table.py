"""The data: a numpy table whose bytes are the same for every contestant, made from a seed.

It is a table of int64 columns, kept in row groups as columnar files do: in each group the values of a column
lie together, so that a page holds values of one column. A group is one of a few prepared ones, plus its own
number in the upper bits: that costs one addition a word to make, and tells groups apart when they are
checked.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.int64]

PAGE_BYTES = 4096
WORDS_IN_PAGE = PAGE_BYTES // 8
GROUP_WORDS = 1 << 19
GROUP_BYTES = GROUP_WORDS * 8
PAGES_IN_GROUP = GROUP_BYTES // PAGE_BYTES
_PATTERNS = 4
_COLUMNS = 4
# Above every value of a column: of a group's number only a byte that is the same all over the page is seen.
_GROUP_SHIFT = 44


class Table:
    """What a table of `groups` row groups must contain; it holds a few groups' worth of memory itself."""

    def __init__(self, groups: int, seed: int) -> None:
        """Prepare the groups that all others are made from."""
        self.groups = groups
        random = np.random.default_rng(seed)
        self._patterns = np.stack([_pattern(random) for _ in range(_PATTERNS)])

    @property
    def words(self) -> int:
        """The length of the table in words of 8 bytes."""
        return self.groups * GROUP_WORDS

    @property
    def pages(self) -> int:
        """Its length in pages."""
        return self.groups * PAGES_IN_GROUP

    def write_group(self, group: int, to: Words, version: int = 0) -> None:
        """Make a group in `to`, in one pass, without anything in between; `version` is added to each word."""
        np.add(self._patterns[group % _PATTERNS], (group << _GROUP_SHIFT) + version, out=to)

    def first_words_sum(self, group: int) -> int:
        """What the first words of a group's pages add up to."""
        return int(self._patterns[group % _PATTERNS][::WORDS_IN_PAGE].sum()) + PAGES_IN_GROUP * (
            group << _GROUP_SHIFT
        )

    def at(self, indices: Words, version: int = 0) -> Words:
        """The words at `indices` of the table."""
        groups = indices // GROUP_WORDS
        found: Words = self._patterns[groups % _PATTERNS, indices % GROUP_WORDS]
        return found + ((groups << _GROUP_SHIFT) + version)


def _pattern(random: np.random.Generator) -> Words:
    """One group: moments, customers, quantities, prices of some orders."""
    rows = GROUP_WORDS // _COLUMNS
    moments_ms = 1_349_049_600_000 + np.cumsum(random.integers(0, 4, rows))
    # Regular customers come back: a few hundred at a time, another few hundred later on.
    customers = random.integers(0, 250, rows) + np.arange(rows) // 16_384 * 256
    quantities = random.geometric(0.3, rows)
    prices_cents = 2000 + np.cumsum(random.integers(-1, 2, rows))
    return np.concatenate([moments_ms, customers, quantities, prices_cents]).astype(np.int64)
