"""The pictures of a report. Each function makes one that is drawn on a figure later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from zpager import format_size
from zpager.lab.replay import Result
from zpager.lab.report.group import Group
from zpager.lab.report.theme import COLOURS, DASHES, Draw
from zpager.lab.results import Outcome
from zpager.sizes import PAGE_BYTES

MIB: Final = 1 << 20
SECOND_NS: Final = 1_000_000_000
BARS_MOST: Final = 20
"""Configurations in one picture of bars: the fastest ones."""

_PLACES = {
    "in RAM": "resident_pages",
    "swap cache": "swap_cache_pages",
    "zcache": "zcache_pages",
    "device": "device_pages",
}
_TIERS = {"swap cache": "swap_cache", "zcache": "zcache", "device": "device"}
_USES = {
    "resident": "resident_frames",
    "swap cache": "swap_cache_frames",
    "pool": "pool_frames",
    "reserve": "reserve_frames",
    "tables": "metadata_frames",
    "buffers": "buffers_frames",
}
_IDLE_RATE = 0.001
"""Of accesses, against the highest: below it, and with next to no time lost, all tasks sleep."""
_IDLE_SHARE = 0.01
_PAUSE_SHARE = 0.04
_LABEL_LETTERS = 28


@dataclass(frozen=True)
class Picture:
    """A picture that can be drawn."""

    name: str
    """A file's name without its suffix, unique on a page."""
    title: str
    caption: str
    """What is to be seen, in words."""
    height_inches: float
    draw: Draw


def fastest_by_ram(group: Group, name: str) -> Picture:
    """How the wait goes down with more RAM, for each mechanism with what else suits it best."""
    lines: dict[str, dict[int, Outcome]] = {}
    for outcome in group.outcomes:
        configuration = outcome.configuration
        lines.setdefault(configuration.eviction, {}).setdefault(configuration.ram_bytes, outcome)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, (eviction, by_ram) in enumerate(lines.items()):
            ram = sorted(by_ram)
            axes.plot(
                [ram_bytes / MIB for ram_bytes in ram],
                [by_ram[ram_bytes].lost_ns / SECOND_NS for ram_bytes in ram],
                marker="o",
                linestyle=DASHES[number % len(DASHES)],
                label=eviction,
            )
        axes.set_xlabel("RAM, MiB")
        axes.set_ylabel("seconds that all tasks wait")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.legend(title="eviction")

    best = group.fastest_by_ram()
    words = "; ".join(
        f"{format_size(one.configuration.ram_bytes)}: {one.lost_ns / SECOND_NS:,.2f} s ({group.label(one)})"
        for one in best
    )
    return Picture(
        f"{name}-fastest",
        "Time lost by RAM",
        f"For each mechanism of eviction what waits least. The fastest of all with {words}.",
        3.4,
        draw,
    )


def misses_by_tier(group: Group, name: str) -> Picture:
    """Where faults found their pages, and the optimum."""
    shown = group.outcomes[:BARS_MOST]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(shown))
        left = np.zeros(len(shown))
        for number, (tier, key) in enumerate(_TIERS.items()):
            counts = np.array([outcome.require().misses()[key] for outcome in shown]) / 1000
            axes.barh(places, counts, left=left, label=tier, color=COLOURS[number], height=0.7)
            left += counts
        optimal = [(outcome.bounds.misses - outcome.page_count) / 1000 for outcome in shown]
        axes.plot(
            optimal, places, linestyle="none", marker="|", markersize=14, color=COLOURS[3], label="optimum"
        )
        axes.set_yticks(places, [fill(group.label(outcome), _LABEL_LETTERS) for outcome in shown])
        axes.invert_yaxis()
        axes.set_xlabel("misses, thousands")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)

    return Picture(
        f"{name}-misses",
        "Misses by tier",
        _of_all(
            group,
            "Touches of pages that were not mapped, by where these were; first touches are left out",
        )
        + ". The stroke is the optimum (Bélády) of who keeps uncompressed pages in all of the RAM.",
        1.3 + 0.28 * len(shown),
        draw,
    )


def device_traffic(group: Group, name: str) -> Picture:
    """What was read from the device and written to it in all."""
    shown = group.outcomes[:BARS_MOST]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(shown))
        for number, (label, counter) in enumerate((("read", "pswpin"), ("written", "pswpout"))):
            amounts = [outcome.require().counters[counter] * PAGE_BYTES / MIB for outcome in shown]
            axes.barh(
                places + (number - 0.5) * 0.38, amounts, height=0.36, label=label, color=COLOURS[number]
            )
        axes.set_yticks(places, [fill(group.label(outcome), _LABEL_LETTERS) for outcome in shown])
        axes.invert_yaxis()
        axes.set_xlabel("MiB")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)

    return Picture(
        f"{name}-traffic",
        "Read from the device, and written to it",
        _of_all(group, "What is read counts pages that came of it, what is written slots") + ".",
        1.3 + 0.3 * len(shown),
        draw,
    )


def fault_latency(group: Group, name: str) -> Picture:
    """How long faults take."""
    shown = group.shown_in_time()

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, outcome in enumerate(shown):
            below, longer = _longer_than(outcome.require())
            axes.step(
                below,
                longer,
                where="post",
                linestyle=DASHES[number % len(DASHES)],
                label=group.label(outcome),
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("microseconds")
        axes.set_ylabel("share of faults that take longer")
        axes.grid()
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=1)

    return Picture(
        f"{name}-latency",
        "How long faults take",
        "Faults of all tasks together. Where a line crosses 10⁻² is what 99% of the faults keep to.",
        3.2 + 0.2 * len(shown),
        draw,
    )


def over_time(group: Group, outcome: Outcome, name: str) -> list[Picture]:
    """What happened when in one replay: time lost, where pages live, what RAM is used for, the device."""
    result = outcome.require()
    samples = result.samples
    if len(samples.get("now_ns", ())) < 3:
        return []
    label = group.label(outcome)
    seconds, pauses = _awake_seconds(samples)

    def axes_of(figure: Figure) -> Axes:
        axes = figure.subplots()
        for pause in pauses:
            axes.axvline(pause, color=COLOURS[5], linestyle="dotted", linewidth=1)
        axes.set_xlabel("seconds" + (", pauses cut out where there is a dotted line" if pauses else ""))
        axes.set_xlim(seconds[0], seconds[-1])
        return axes

    def lost(figure: Figure) -> None:
        axes = axes_of(figure)
        for number, thread in enumerate(result.threads):
            axes.plot(
                seconds,
                samples["lost_ns"][:, number] / SECOND_NS,
                linestyle=DASHES[number % len(DASHES)],
                label=thread.name,
            )
        axes.set_ylabel("seconds waited so far")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        _legend(axes)

    def places(figure: Figure) -> None:
        axes = axes_of(figure)
        parts = [samples[key] * (PAGE_BYTES / MIB) for key in _PLACES.values()]
        axes.stackplot(seconds, parts, labels=list(_PLACES), colors=COLOURS)
        axes.set_ylabel("pages, MiB")
        _legend(axes)

    def uses(figure: Figure) -> None:
        axes = axes_of(figure)
        parts = {label: samples[key] * (PAGE_BYTES / MIB) for label, key in _USES.items()}
        parts = {label: part for label, part in parts.items() if part.any()}
        axes.stackplot(seconds, list(parts.values()), labels=list(parts), colors=COLOURS)
        axes.axhline(outcome.configuration.ram_bytes / MIB, linestyle="dashed", linewidth=1, color=COLOURS[5])
        axes.set_ylabel("RAM, MiB")
        _legend(axes)

    def traffic(figure: Figure) -> None:
        axes = axes_of(figure)
        lasted = np.diff(samples["now_ns"]) / SECOND_NS
        for number, (label, counter) in enumerate((("read", "pswpin"), ("written", "pswpout"))):
            amount = np.diff(samples[counter].astype(np.int64)) * (PAGE_BYTES / MIB)
            axes.step(seconds[1:], amount / lasted, where="pre", label=label, linestyle=DASHES[number])
        axes.set_ylabel("MiB/s")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        _legend(axes)

    waited = ", ".join(f"{thread.name} {thread.lost_ns / SECOND_NS:,.2f} s" for thread in result.threads)
    counters = result.counters
    device = " and ".join(
        f"{format_size(counters[counter] * PAGE_BYTES)} {what}"
        for what, counter in (("read", "pswpin"), ("written", "pswpout"))
    )
    last = {label: int(samples[key][-1]) * PAGE_BYTES for label, key in _PLACES.items()}
    ends = ", ".join(f"{format_size(size_bytes)} {label}" for label, size_bytes in last.items())
    return [
        Picture(f"{name}-lost", f"Time lost: {label}", f"In the end {waited}.", 2.9, lost),
        Picture(f"{name}-places", f"Where pages live: {label}", f"In the end {ends}.", 2.9, places),
        Picture(f"{name}-uses", f"What RAM is used for: {label}", "The dashed line is all of it.", 2.9, uses),
        Picture(f"{name}-device", f"Device: {label}", f"In all {device}.", 2.6, traffic),
    ]


def of_group(group: Group, name: str) -> list[Picture]:
    """All pictures of a group; none if nothing was possible."""
    if not group.outcomes:
        return []
    pictures = [
        fastest_by_ram(group, name),
        misses_by_tier(group, name),
        fault_latency(group, name),
        device_traffic(group, name),
    ]
    for number, outcome in enumerate(group.shown_in_time(), start=1):
        pictures += over_time(group, outcome, f"{name}-{number}")
    return pictures


def _of_all(group: Group, words: str) -> str:
    rest = len(group.outcomes) - BARS_MOST
    return words if rest <= 0 else f"{words}; of {len(group.outcomes)} configurations the {BARS_MOST} fastest"


def _legend(axes: Axes) -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)


def _longer_than(result: Result) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For times in microseconds which share of the faults takes longer."""
    counts: dict[int, int] = {}
    for thread in result.threads:
        for below_ns, count in thread.latency:
            counts[below_ns] = counts.get(below_ns, 0) + count
    below = np.array(sorted(counts))
    longer = 1 - np.cumsum([counts[one] for one in below]) / sum(counts.values())
    # None takes longer than the longest: nothing to draw on a logarithmic axis.
    return below[:-1] / 1000, longer[:-1]


def _awake_seconds(samples: Mapping[str, NDArray[np.uint64]]) -> tuple[NDArray[np.float64], list[float]]:
    """The samples' times with long pauses, in which all tasks sleep, made short; and where these are."""
    seconds = samples["now_ns"].astype(np.float64) / SECOND_NS
    steps = np.diff(seconds)
    accesses, lost = (
        np.diff(samples[name].astype(np.float64), axis=0).sum(axis=1) for name in ("accesses", "lost_ns")
    )
    rate = accesses / steps
    is_idle = (rate < _IDLE_RATE * rate.max()) & (lost < _IDLE_SHARE * SECOND_NS * steps)
    gap = _PAUSE_SHARE * max(float(steps[~is_idle].sum()), float(steps.min()))
    pauses = []
    begun = 0
    for number in range(len(steps) + 1):
        if number < len(steps) and is_idle[number]:
            continue
        if steps[begun:number].sum() > gap:
            steps[begun:number] *= gap / steps[begun:number].sum()
            pauses.append((begun, number))
        begun = number + 1
    shortened = seconds[0] + np.concatenate([[0.0], np.cumsum(steps)])
    return shortened, [float(shortened[begin] + shortened[end]) / 2 for begin, end in pauses]
