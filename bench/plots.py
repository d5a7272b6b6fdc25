"""The results as a picture, with matplotlib, which comes with `zpager[demo]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.contestants import CONTESTANTS
from bench.report import PAGERS, TARGETS
from bench.results import Results

_BAR_WIDTH = 0.8


def save(results: Results, path: Path) -> None:
    """Draw times as multiples of those of the kernel's best, as SVG: below 1 is faster than the kernel."""
    compared = [name for name in results.workloads() if results.best_of_the_kernel(name)]
    panels = [
        [name for name in compared if name in TARGETS],
        [name for name in compared if name not in TARGETS],
    ]
    panels = [names for names in panels if names]
    # Text as text, and no identifiers by chance: a small file, and the same one from the same figures.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "zpager", "font.size": 8}):
        figure = Figure(figsize=(9, 3.8 * max(1, len(panels))), layout="constrained", facecolor="white")
        axes = figure.subplots(max(1, len(panels)), 1, squeeze=False)[:, 0]
        for one, workloads in zip(axes, panels, strict=False):
            _bars(one, results, workloads)
        if panels:
            axes[0].legend(ncols=4, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1))
        figure.savefig(path, format="svg", metadata={"Date": None})


def _bars(axes: Axes, results: Results, workloads: Sequence[str]) -> None:
    shown = [name for name in results.settings.contestants if name in PAGERS or CONTESTANTS[name].is_kernel]
    width = _BAR_WIDTH / len(shown)
    for number, name in enumerate(shown):
        multiples = [_multiple(results, name, workload) for workload in workloads]
        axes.bar([place + number * width for place in range(len(workloads))], multiples, width, label=name)
    for place, workload in enumerate(workloads):
        if workload in TARGETS:
            target = TARGETS[workload]
            axes.plot([place - width / 2, place + _BAR_WIDTH - width / 2], [target] * 2, color="black")
    axes.axhline(1, color="black", linewidth=0.5)
    axes.set_ylim(0, 3)
    axes.set_ylabel("time; the kernel's best is 1,\nthe black line is the target")
    places = [place + (_BAR_WIDTH - width) / 2 for place in range(len(workloads))]
    axes.set_xticks(places, workloads, rotation=30, ha="right")


def _multiple(results: Results, contestant: str, workload: str) -> float:
    """The median's; 0 for what was not measured."""
    best = results.best_of_the_kernel(workload)
    ours = results.median(contestant, workload)
    theirs = results.median(best, workload) if best else None
    return ours / theirs if ours is not None and theirs else 0.0
