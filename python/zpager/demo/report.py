"""What is left of a run when it is over: its rates, its column in the table, its part of the JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from zpager import format_size
from zpager.demo.contest import Plan, Result, Sample
from zpager.options import Eviction
from zpager.sizes import PAGE_BYTES

SCHEMA_VERSION = 2
BASELINE: Final[Eviction] = "none"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: what was asked, what came of it, and what was seen on the way."""

    plan: Plan
    result: Result
    samples: list[Sample]

    @property
    def rate_per_second(self) -> float:
        """B's operations per second over all of its time."""
        return self.result.operations / self.result.work_seconds

    @property
    def steady_rate_per_second(self) -> float:
        """B's operations per second in the second half of its time, when A's pages have had time to go."""
        half_seconds = self.result.work_seconds / 2
        middle = next(sample for sample in self.work_samples if sample.work_seconds >= half_seconds)
        seconds = self.result.work_seconds - middle.work_seconds
        # One very slow operation may span the whole half.
        return (self.result.operations - middle.operations) / seconds if seconds else self.rate_per_second

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the whole process while B worked."""
        return self.result.user_cpu_seconds + self.result.system_cpu_seconds

    @property
    def cpu_seconds_per_operation(self) -> float:
        """That, divided by what B got done."""
        return self.cpu_seconds / self.result.operations

    @property
    def work_samples(self) -> list[Sample]:
        """The samples from B's start to B's end."""
        return [sample for sample in self.samples if sample.phase == "B works"]

    def device_bytes(self, counter: str) -> int:
        """How much went to ("pswpout") or came from ("pswpin") the device while B worked."""
        pages: int = self.result.stats[counter] - self.result.stats_at_start[counter]
        return pages * PAGE_BYTES


def result_rows(runs: Sequence[Run], verdicts: dict[str, list[str]] | None = None) -> list[tuple[str, ...]]:
    """The table of results: the first row holds the names of the runs, each other one a measure.

    `verdicts` has for each run what was wrong with its bytes; None as long as that is not known.
    """
    baseline = _baseline_rate(runs)
    measures: list[tuple[str, Callable[[Run], str]]] = [
        ("B's operations per second", lambda run: f"{run.rate_per_second:,.1f}"),
        ("  in the last half", lambda run: f"{run.steady_rate_per_second:,.1f}"),
        (f"  against {BASELINE}", lambda run: _times(_ratio(run, baseline))),
        ("CPU time of B's work", lambda run: f"{run.cpu_seconds:,.1f} s"),
        ("  per operation", lambda run: f"{run.cpu_seconds_per_operation * 1000:,.2f} ms"),
        ("RAM allowed", lambda run: format_size(run.plan.ram_bytes)),
        ("  peak growth of RSS", lambda run: format_size(run.result.resident_growth_bytes)),
        ("  of RAM allowed", lambda run: f"{run.result.resident_growth_bytes / run.plan.ram_bytes:.0%}"),
        ("  pool in the end", lambda run: format_size(run.result.stats["pool_bytes"])),
        ("device, read by B's work", lambda run: format_size(run.device_bytes("pswpin"))),
        ("  written", lambda run: format_size(run.device_bytes("pswpout"))),
        ("time to evict a frame, half", lambda run: _within(run.result.eviction_us_p50)),
        ("  99%", lambda run: _within(run.result.eviction_us_p99)),
        ("from unuse to write, half", lambda run: _within(run.result.unuse_to_write_us_p50)),
        ("  99%", lambda run: _within(run.result.unuse_to_write_us_p99)),
    ]
    rows = [("", *(run.plan.name for run in runs))]
    rows += [(name, *(measure(run) for run in runs)) for name, measure in measures]
    if verdicts is not None:
        rows.append(("every byte right", *("NO" if verdicts[run.plan.name] else "yes" for run in runs)))
    return rows


def plain_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as plain text, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [
                f"{row[0]:<{widths[0]}}",
                *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    )


def as_json(runs: Sequence[Run], verdicts: dict[str, list[str]], idle_data: str) -> str:
    """Everything that is known of the runs; `schema_version` grows when a name changes or goes."""
    baseline = _baseline_rate(runs)
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "idle_data": idle_data,
        "all_bytes_right": not any(verdicts.values()),
        "runs": [
            {
                "name": run.plan.name,
                # The list of A's files may be thousands long, and is summed up in `idle_data`.
                "plan": {name: value for name, value in asdict(run.plan).items() if name != "idle_pieces"},
                "operations_per_second": run.rate_per_second,
                "operations_per_second_last_half": run.steady_rate_per_second,
                "against_none": _ratio(run, baseline),
                "cpu_seconds": run.cpu_seconds,
                "cpu_seconds_per_operation": run.cpu_seconds_per_operation,
                "device_read_bytes": run.device_bytes("pswpin"),
                "device_written_bytes": run.device_bytes("pswpout"),
                "mismatches": verdicts[run.plan.name],
                "result": asdict(run.result),
                "samples": [asdict(sample) for sample in run.samples],
            }
            for run in runs
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _baseline_rate(runs: Sequence[Run]) -> float | None:
    return next((run.steady_rate_per_second for run in runs if run.plan.name == BASELINE), None)


def _ratio(run: Run, baseline: float | None) -> float | None:
    return run.steady_rate_per_second / baseline if baseline else None


def _times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:,.1f} times"


def _within(microseconds: int | None) -> str:
    if microseconds is None:
        return "–"
    return f"{microseconds} µs" if microseconds < 10_000 else f"{microseconds / 1000:,.0f} ms"
