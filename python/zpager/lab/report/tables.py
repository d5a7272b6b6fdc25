"""The figures of a report in rows: of text, the first one being the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from zpager import format_size
from zpager.lab.report.group import Group, axis_name, shown
from zpager.lab.results import Outcome
from zpager.sizes import PAGE_BYTES

Rows: TypeAlias = Sequence[Sequence[str]]

_SECOND_NS = 1_000_000_000
_COLUMNS: dict[str, Callable[[Outcome], str]] = {
    "waited, s": lambda outcome: f"{outcome.lost_ns / _SECOND_NS:,.3f}",
    "slowest 1% of faults, µs": lambda outcome: f"{quantile_ns(outcome, 0.99) / 1000:,.0f}",
    "misses: swap cache": lambda outcome: f"{outcome.require().misses()['swap_cache']:,}",
    "zcache": lambda outcome: f"{outcome.require().misses()['zcache']:,}",
    "device": lambda outcome: f"{outcome.require().misses()['device']:,}",
    "optimum": lambda outcome: f"{outcome.bounds.misses - outcome.page_count:,}",
    "optimum, compressed": lambda outcome: f"{outcome.bounds.compressed_misses - outcome.page_count:,}",
    "read": lambda outcome: format_size(outcome.require().counters["pswpin"] * PAGE_BYTES),
    "written": lambda outcome: format_size(outcome.require().counters["pswpout"] * PAGE_BYTES),
    "end, s": lambda outcome: f"{outcome.end_ns / _SECOND_NS:,.3f}",
}


def comparison(group: Group) -> Rows:
    """All configurations, the fastest first."""
    return _rows(group, group.outcomes, group.varying)


def fastest(group: Group) -> Rows:
    """The fastest configuration for each RAM."""
    varying = [name for name in group.varying if name != "ram_bytes"]
    return _rows(group, group.fastest_by_ram(), ["ram_bytes", *varying])


def tasks(group: Group, outcome: Outcome) -> Rows:
    """What came of each task of a configuration."""
    return [
        ("task", "accesses", "faults", "waited, s", "half of faults within, µs", "99% within, µs", "end, s"),
        *(
            (
                thread.name,
                f"{thread.accesses:,}",
                f"{thread.faults:,}",
                f"{thread.lost_ns / _SECOND_NS:,.3f}",
                f"{thread.latency_ns(0.5) / 1000:,.1f}",
                f"{thread.latency_ns(0.99) / 1000:,.1f}",
                f"{thread.end_ns / _SECOND_NS:,.3f}",
            )
            for thread in outcome.require().threads
        ),
    ]


def quantile_ns(outcome: Outcome, quantile: float) -> int:
    """The longest of the tasks' times that this share of a task's faults keep to."""
    return max(thread.latency_ns(quantile) for thread in outcome.require().threads)


def _rows(group: Group, outcomes: Sequence[Outcome], axes: Sequence[str]) -> Rows:
    return [
        (*map(axis_name, axes), *_COLUMNS),
        *(
            (
                *(shown(outcome.configuration, axis) for axis in axes),
                *(cell(outcome) for cell in _COLUMNS.values()),
            )
            for outcome in outcomes
        ),
    ]
