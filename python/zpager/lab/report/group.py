"""Which outcomes are compared with one another, and what they are called there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import get_args

from zpager import format_size
from zpager.lab.replay import Configuration, Defect
from zpager.lab.results import Outcome

_SHOWN_MOST = 4
_ALL_DEFECTS = frozenset(get_args(Defect))
_AXES = {
    "ram_bytes": "RAM",
    "swap_bytes": "swap",
    "pool": "pool",
    "codec": "codec",
    "eviction": "eviction",
    "defects": "defects",
    "policy": "policy",
    "pool_limit_bytes": "pool limit",
    "reserve_bytes": "reserve",
    "readahead_pages": "readahead",
    "buffers_bytes": "buffers",
    "default_ratio": "ratio",
}
"""What a configuration is told by, in the order in which it is read."""


@dataclass(frozen=True)
class Group:
    """The outcomes of one trace under the same costs, the fastest first, and those that were impossible."""

    trace: str
    costs: str
    outcomes: Sequence[Outcome]
    impossible: Sequence[Outcome]

    @property
    def varying(self) -> list[str]:
        """The fields of configurations in which these differ from one another."""
        configurations = [outcome.configuration for outcome in (*self.outcomes, *self.impossible)]
        return [name for name in _AXES if len({getattr(one, name) for one in configurations}) > 1] or [
            "ram_bytes"
        ]

    def label(self, outcome: Outcome) -> str:
        """What tells a configuration from the others here."""
        fields = (shown(outcome.configuration, name) for name in self.varying)
        return ", ".join(field for field in fields if field)

    def fastest_by_ram(self) -> list[Outcome]:
        """For each RAM the outcome that waits least, by RAM."""
        found: dict[int, Outcome] = {}
        for outcome in self.outcomes:
            found.setdefault(outcome.configuration.ram_bytes, outcome)
        return [found[ram_bytes] for ram_bytes in sorted(found)]

    def shown_in_time(self) -> list[Outcome]:
        """A few that are worth a look at what happens when: the fastest of all and the slowest, and the
        fastest with the least and the most RAM."""
        if not self.outcomes:
            return []
        fastest = self.fastest_by_ram()
        wanted = [self.outcomes[0], self.outcomes[-1], fastest[0], fastest[-1]]
        return list({outcome.key: outcome for outcome in wanted}.values())[:_SHOWN_MOST]


def groups(outcomes: Iterable[Outcome]) -> list[Group]:
    """By trace and costs."""

    def of(outcome: Outcome) -> tuple[str, str]:
        return outcome.trace, outcome.costs

    found = []
    for (trace, costs), members in groupby(sorted(outcomes, key=of), key=of):
        its_own = list(members)
        possible = [outcome for outcome in its_own if not why_not(outcome)]
        impossible = [outcome for outcome in its_own if why_not(outcome)]
        found.append(Group(trace, costs, sorted(possible, key=lambda one: one.lost_ns), impossible))
    return found


def why_not(outcome: Outcome) -> str:
    """Why a replay did not come to its end; nothing if it did."""
    if outcome.result is None or outcome.result.gave_up_ns is None:
        return outcome.impossible
    return f"after {outcome.result.gave_up_ns / 1e9:.1f} s no frame had been to be had for 30 s"


def axis_name(name: str) -> str:
    """How a field of a configuration is called."""
    return _AXES[name]


def shown(configuration: Configuration, name: str) -> str:
    """A field of a configuration, as a person reads it."""
    value = getattr(configuration, name)
    if name == "defects":
        return "all defects" if value == _ALL_DEFECTS else " + ".join(sorted(value))
    if value is None:
        return "auto"
    return format_size(value) if name.endswith("_bytes") else str(value)
