"""Medians over the rounds, beside their targets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.workload import Round
from zpager import format_size

SCHEMA_VERSION = 1
# What peaks above `ram` and still counts as kept: the interpreter takes a little for itself meanwhile.
_RAM_TOLERANCE = 1.02


@dataclass(frozen=True, slots=True)
class Measure:
    """A line of the table."""

    name: str
    value: Callable[[Round], float]
    show: Callable[[float], str]
    target: float | None = None
    """What the median should not exceed."""
    target_contestant: str | None = None
    """For whom; None: for all."""

    def holds_for(self, contestant: str) -> bool:
        """Whether the target is this contestant's."""
        return self.target is not None and self.target_contestant in (None, contestant)


def measures(ram_bytes: int) -> list[Measure]:
    """The lines of the table."""
    return [
        Measure("fill, µs a page", lambda r: r.fill_us, _microseconds),
        Measure("sequential read, µs a page", lambda r: r.sequential_read_us, _microseconds, 5.0),
        Measure(
            "random read, µs an access", lambda r: r.random_read_us, _microseconds, 9.0, "zpager, signal"
        ),
        Measure("  share of misses", lambda r: r.random_read_misses, _per_cent),
        Measure("random write, µs an access", lambda r: r.random_write_us, _microseconds),
        Measure("peak growth of RSS", lambda r: r.resident_growth_bytes, _size, ram_bytes * _RAM_TOLERANCE),
        Measure("metadata, bytes a page", lambda r: r.metadata_bytes_per_page, lambda x: f"{x:.1f}", 16.0),
        Measure("resident share of the table", lambda r: r.resident_share, _per_cent),
        Measure("ratio of compression", lambda r: r.compression_ratio, lambda x: f"{x:.2f}"),
        Measure("pages written to the device", lambda r: r.device_written_pages, lambda x: f"{x:,.0f}"),
    ]


def table(rounds: Mapping[str, Sequence[Round]], ram_bytes: int) -> str:
    """The table as plain text: medians, and in brackets the lowest and the highest value."""
    rows = [("", "target", *rounds)]
    for measure in measures(ram_bytes):
        target = "" if measure.target is None else f"≤ {measure.show(measure.target)}"
        row = [measure.name, target]
        for contestant, its_rounds in rounds.items():
            values = [measure.value(one) for one in its_rounds]
            cell = measure.show(median(values))
            if min(values) < max(values):
                cell += f" ({measure.show(min(values))}–{measure.show(max(values))})"
            if measure.target is not None and measure.holds_for(contestant):
                cell += " ok" if median(values) <= measure.target else " MISSED"
            row.append(cell)
        rows.append(tuple(row))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def remarks(rounds: Mapping[str, Sequence[Round]]) -> list[str]:
    """What must be known of these figures: wrong bytes, and data that did not fit."""
    found = []
    for contestant, its_rounds in rounds.items():
        for number, one in enumerate(its_rounds, start=1):
            found += [f"WRONG BYTES: {contestant}, round {number}, {where}" for where in one.wrong]
        if any(one.device_written_pages for one in its_rounds):
            found.append(
                f"{contestant}: the data did not fit, pages went to the device; figures include that"
            )
    return found


def as_json(rounds: Mapping[str, Sequence[Round]], settings: Mapping[str, Any]) -> str:
    """All rounds; `schema_version` grows when a name changes or goes."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "settings": dict(settings),
        "rounds": {name: [asdict(one) for one in its_rounds] for name, its_rounds in rounds.items()},
    }
    return json.dumps(document, indent=2) + "\n"


def _microseconds(value: float) -> str:
    return f"{value:.2f}"


def _per_cent(value: float) -> str:
    return f"{value:.0%}"


def _size(value: float) -> str:
    return format_size(round(value))
