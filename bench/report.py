"""The tables: medians and spread, ratios beside their targets, what was held, and what to know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median

from rich.table import Table as RichTable

from bench.contestants import CONTESTANTS
from bench.outcome import Outcome
from bench.results import Results
from zpager import format_size

TARGETS: Mapping[str, float] = {
    "fill": 0.60,
    "random read": 0.50,
    "random write": 0.80,
    "Zipf read": 0.50,
    "sequential read": 0.20,
    "sequential write": 0.45,
    "overflow: fill": 0.60,
    "overflow: sequential read": 0.20,
    "overflow: random read": 0.95,
    "idle A, busy B": 0.50,
    "two threads, random read": 0.70,
}
"""What zpager's time should be at most, as a multiple of the time of the best of the kernel's contestants."""

PAGERS = ("zpager, signal", "zpager, thread")
_NOTHING = "–"
# The kernel's threads and the benchmark's own looks at the cgroup stay below that.
_OTHERS_SHARE_MAX = 0.5


def times(results: Results) -> RichTable:
    """Microseconds per page or access: medians, and in brackets the lowest and the highest."""
    return _by_workload(results, "µs a page or access", None, lambda value: f"{value:.2f}")


def misses(results: Results) -> RichTable:
    """The share of accesses that found their page not in RAM."""
    return _by_workload(
        results, "misses", lambda outcome, workload: outcome.misses[workload], lambda value: f"{value:.1%}"
    )


def ratios(results: Results) -> RichTable:
    """zpager beside the best of the kernel's, pair by pair, and the targets."""
    table = RichTable(title="zpager ÷ the kernel's best, median of the rounds' ratios (lowest–highest)")
    table.add_column("workload")
    table.add_column("kernel's best")
    for name in PAGERS:
        table.add_column(name, justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    for workload in results.workloads():
        best = results.best_of_the_kernel(workload)
        if best is None:
            continue
        found = {name: results.ratios(name, best, workload) for name in PAGERS}
        target = TARGETS.get(workload)
        table.add_row(
            workload,
            best,
            *(spread(values, lambda value: f"{value:.2f}") for values in found.values()),
            _NOTHING if target is None else f"≤ {target:.2f}",
            verdict(found, target),
        )
    return table


def verdict(found: Mapping[str, list[float]], target: float | None) -> str:
    """Whether the better of the modes meets the target, and which it is."""
    medians = [(median(values), name) for name, values in found.items() if values]
    if target is None or not medians:
        return ""
    ratio, name = min(medians)
    return f"{'ok' if ratio <= target else 'MISSED'} ({name.removeprefix('zpager, ')})"


def held(results: Results) -> RichTable:
    """What each had of RAM at the highest moment, over all rounds."""
    table = RichTable(title=f"RAM held at most, of {format_size(results.settings.sizes['total_bytes'])}")
    for column in (
        "programme",
        "contestant",
        "limit",
        "cgroup + pool",
        "pool",
        "growth of RSS",
        "ratio",
        "written",
    ):
        table.add_column(column, justify="left" if column in {"programme", "contestant"} else "right")
    for programme in results.settings.programmes:
        for name in results.settings.contestants:
            outcomes = list(results.outcomes.get((name, programme), {}).values())
            if outcomes:
                table.add_row(
                    programme,
                    name,
                    _size(max(one.limit_bytes for one in outcomes)),
                    _size(max(one.held_bytes for one in outcomes)),
                    _size(max(one.pool_bytes_peak or one.pool_bytes for one in outcomes)),
                    _size(max(one.resident_growth_bytes for one in outcomes)),
                    f"{median(one.compression_ratio for one in outcomes):.2f}",
                    f"{median(one.device_written_pages for one in outcomes):,.0f}",
                    f"{max(one.others_share for one in outcomes):.2f}",
                )
    return table


def checked(results: Results) -> RichTable:
    """What was measured of zpager alone."""
    table = RichTable(title="zpager alone, medians (lowest–highest)")
    for column in ("", "of", "measured", "target", "", ""):
        table.add_column(column)
    for one in results.findings:
        target = f"{'≥' if one.is_at_least else '≤'} {one.limit:g}"
        shown = spread(one.values, lambda value: f"{value:.3f}")
        table.add_row(one.check, one.of, shown, target, "ok" if one.is_met else "MISSED", one.note)
    return table


def remarks(results: Results) -> list[str]:
    """What must be known of these figures."""
    found = results.wrong()
    found += [f"left out: {name}: {why}" for name, why in results.absent.items()]
    found += [f"left out: {name}, {programme}: {why}" for (name, programme), why in results.left_out.items()]
    found += [
        f"{name}, {programme}: {times} runs were killed by the kernel, out of memory in the cgroup"
        for (name, programme), times in results.killed.items()
    ]
    found += [f"left out: {check}: {why}" for check, why in results.not_checked.items()]
    found += [f"{name}: {note}" for name, note in results.notes.items()]
    busiest = max(
        (one.others_share for rounds in results.outcomes.values() for one in rounds.values()), default=0.0
    )
    if busiest > _OTHERS_SHARE_MAX:
        found.append(
            f"DISTURBED: other processes kept up to {busiest:.1f} processors busy during a run; "
            "these figures are not to be relied on"
        )
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.swap.items())
    return [*found, f"how the kernel swaps here: {settings}"]


def spread(values: list[float], show: Callable[[float], str]) -> str:
    """The median, and in brackets the lowest and the highest value."""
    if not values:
        return _NOTHING
    if min(values) == max(values):
        return show(values[0])
    return f"{show(median(values))} ({show(min(values))}–{show(max(values))})"


def _by_workload(
    results: Results,
    title: str,
    value: Callable[[Outcome, str], float] | None,
    show: Callable[[float], str],
) -> RichTable:
    table = RichTable(title=f"{title}: medians (lowest–highest)")
    table.add_column("workload")
    for name in results.settings.contestants:
        table.add_column(name, justify="right")
    for workload in results.workloads():
        values = (
            list(results.by_round(name, workload, value).values()) for name in results.settings.contestants
        )
        table.add_row(workload, *(spread(one, show) for one in values))
    return table


def _size(size_bytes: int) -> str:
    return format_size(size_bytes) if size_bytes else _NOTHING


assert set(PAGERS) <= CONTESTANTS.keys()
