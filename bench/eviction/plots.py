"""The results as pictures, with matplotlib, which comes with `zpager[demo]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.eviction import questions
from bench.eviction.measure import Results
from bench.eviction.questions import Cell, Matrix
from bench.eviction.tables import best_fixed, operation_us

_BAR_WIDTH = 0.8


def save(question: int, results: Results, path: Path) -> None:
    """Draw the picture of a question, as SVG."""
    # Text as text, and no identifiers by chance: a small file, and the same one from the same figures.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "zpager", "font.size": 9}):
        figure = Figure(figsize=(9, 4.5), layout="constrained", facecolor="white")
        {1: _policies, 2: _shares, 3: _reserves, 5: _mechanisms}[question](results, figure)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _policies(results: Results, figure: Figure) -> None:
    time, device = figure.subplots(2, 1, sharex=True)
    _bars(time, questions.POLICIES, partial(_time_multiple, results))
    time.set_ylabel("time per operation,\nframe-lru is 1")
    _bars(device, questions.POLICIES, lambda cell, _: _thousands_read(results, cell), is_multiple=False)
    device.set_ylabel("pages read,\nthousands")
    time.legend(ncols=5, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1))


def _shares(results: Results, figure: Figure) -> None:
    axes = figure.subplots()
    settings = [*questions.FIXED_SHARES.settings, *questions.AUTOMATIC_SHARE.settings]
    for number, workload in enumerate(questions.FIXED_SHARES.workloads):
        best = best_fixed(results, workload)
        if best is None:
            continue
        best_us = results.median(Cell(workload, best.options), operation_us)
        points = [
            (place, results.median(Cell(workload, setting.options), operation_us) / best_us)
            for place, setting in enumerate(settings)
            if results.has(Cell(workload, setting.options))
        ]
        color = f"C{number}"
        fixed = [point for point in points if point[0] < len(questions.FIXED_SHARES.settings)]
        axes.plot(*zip(*fixed, strict=True), marker=".", color=color, label=workload)
        for place, multiple in points[len(fixed) :]:
            axes.plot(place, multiple, marker="D", color=color)
    axes.set_xticks(range(len(settings)), [setting.name for setting in settings])
    axes.set_xlabel("pool_limit")
    axes.set_ylabel("time per operation,\nthe best fixed share is 1")
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend(fontsize="small")


def _reserves(results: Results, figure: Figure) -> None:
    settings = questions.RESERVES.settings
    panels = figure.subplots(1, len(questions.RESERVES.workloads), squeeze=False)[0]
    for axes, workload in zip(panels, questions.RESERVES.workloads, strict=True):
        measured = [
            (place, Cell(workload, setting.options))
            for place, setting in enumerate(settings)
            if results.has(Cell(workload, setting.options))
        ]
        places = [place for place, _ in measured]
        axes.plot(
            places, [results.median(cell, operation_us) for _, cell in measured], marker=".", label="mean"
        )
        axes.plot(
            places,
            [results.median(cell, lambda outcome: outcome.chunk_us_p99) for _, cell in measured],
            marker=".",
            label="99% of chunks",
        )
        axes.set_title(workload)
        axes.set_xticks(range(len(settings)), [setting.name for setting in settings])
        axes.set_xlabel("reserve")
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("µs an operation")
    panels[0].legend()


def _mechanisms(results: Results, figure: Figure) -> None:
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    _bars(left, questions.MECHANISMS, partial(_time_multiple, results))
    left.set_ylabel("time per operation, none is 1")
    left.tick_params(axis="x", labelrotation=30)
    left.legend(ncols=4, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1))
    big = [(workload, phase) for workload in questions.BIG.workloads for phase in ("fill", "read")]
    width = _BAR_WIDTH / len(questions.BIG.settings)
    for number, setting in enumerate(questions.BIG.settings):
        heights = [_phase_us(results, Cell(workload, setting.options), phase) for workload, phase in big]
        right.bar([place + number * width for place in range(len(big))], heights, width)
    _name_groups(right, [f"{workload.removeprefix('big, ')}, {phase}" for workload, phase in big])
    right.tick_params(axis="x", labelrotation=30)
    right.set_ylabel("µs a page, of the big ones")


# What was not measured has no height.


def _phase_us(results: Results, cell: Cell, phase: str) -> float:
    return results.median(cell, lambda outcome: outcome.phase_us[phase]) if results.has(cell) else 0.0


def _thousands_read(results: Results, cell: Cell) -> float:
    return results.median(cell, lambda outcome: outcome.pswpin) / 1000 if results.has(cell) else 0.0


def _time_multiple(results: Results, cell: Cell, base: Cell) -> float:
    if not results.has(cell) or not results.has(base):
        return 0.0
    return results.median(cell, operation_us) / results.median(base, operation_us)


def _bars(
    axes: Axes, matrix: Matrix, height: Callable[[Cell, Cell], float], is_multiple: bool = True
) -> None:
    """A group for each workload, a bar in it for each setting: its height by its cell and the first one's."""
    width = _BAR_WIDTH / len(matrix.settings)
    for number, setting in enumerate(matrix.settings):
        heights = [
            height(Cell(workload, setting.options), Cell(workload, matrix.settings[0].options))
            for workload in matrix.workloads
        ]
        places = [place + number * width for place in range(len(matrix.workloads))]
        axes.bar(places, heights, width, label=setting.name)
    if is_multiple:
        axes.axhline(1, color="black", linewidth=0.5)
    _name_groups(axes, matrix.workloads)


def _name_groups(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks([place + _BAR_WIDTH / 2 for place in range(len(names))], names)
