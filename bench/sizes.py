"""How much data there is in how much RAM."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of the programmes; a group is 4 MiB."""

    total_bytes: int
    """The RAM for everything."""
    table_groups: int
    overflow_groups: int
    idle_groups: tuple[int, int]
    """A's and B's. B's are a third more than RAM, as in the demo: without A it would have to swap, too."""
    real_groups: int
    """Of each kind of real data."""
    accesses: int
    """Of each kind of random access."""
    overflow_accesses: int
    """The same where most of them wait for the disk."""

    @property
    def groups_max(self) -> int:
        """Of the largest programme: what swap must have room for."""
        return max(self.table_groups, self.overflow_groups, sum(self.idle_groups), self.real_groups)


FULL = Sizes(
    total_bytes=512 * _MIB,
    table_groups=256,
    overflow_groups=768,
    idle_groups=(256, 170),
    real_groups=192,
    accesses=200_000,
    overflow_accesses=50_000,
)
# Large enough for every mechanism to be at work, too small and too short for the figures to mean anything.
QUICK = Sizes(
    total_bytes=48 * _MIB,
    table_groups=24,
    overflow_groups=40,
    idle_groups=(20, 16),
    real_groups=16,
    accesses=500,
    overflow_accesses=500,
)
