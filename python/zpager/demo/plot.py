"""The runs over time as a picture, with matplotlib, which comes with `zpager[demo]`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise

from zpager.demo.contest import Sample
from zpager.demo.report import Run
from zpager.sizes import PAGE_BYTES

SUFFIXES = (".png", ".svg", ".pdf")
_MIB = 1 << 20
_PARTS = {
    "resident": "resident_bytes",
    "swap cache": "swap_cache_bytes",
    "pool": "pool_bytes",
    "reserve": "reserve_bytes",
    "metadata": "metadata_bytes",
}


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def save_plot(runs: Sequence[Run], path: str) -> None:
    """Draw B's rate, the use of RAM, and the device's traffic, a column for each run."""
    # Optional, and slow to import.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(4 * len(runs), 8), layout="constrained")
    grid = figure.subplots(3, len(runs), sharex=True, sharey="row", squeeze=False)
    for column, run in enumerate(runs):
        rate, memory, device = grid[:, column]
        samples = run.work_samples
        seconds = [sample.work_seconds for sample in samples]
        steps = [(a, b) for a, b in pairwise(samples) if b.work_seconds > a.work_seconds]
        step_seconds = [b.work_seconds for _, b in steps]

        rate.set_title(f"{run.plan.name}\n{run.steady_rate_per_second:,.0f} operations/s in the last half")
        rate.plot(step_seconds, [_per_second(a, b, "operations") for a, b in steps])
        # The runs differ by powers of ten.
        rate.set_yscale("log")

        parts = [[getattr(sample, name) / _MIB for sample in samples] for name in _PARTS.values()]
        memory.stackplot(seconds, parts, labels=list(_PARTS))

        for counter, label in (("pswpin", "read"), ("pswpout", "written")):
            traffic = [_per_second(a, b, counter) * PAGE_BYTES / _MIB for a, b in steps]
            device.plot(step_seconds, traffic, label=label)
        device.set_xlabel("seconds of B's work")
    grid[0, 0].set_ylabel("B's operations per second")
    grid[1, 0].set_ylabel("RAM, MiB")
    grid[2, 0].set_ylabel("device, MiB/s")
    grid[1, 0].set_ylim(bottom=0)
    grid[2, 0].set_ylim(bottom=0)
    grid[1, 0].legend(loc="lower right", fontsize="small")
    grid[2, -1].legend(loc="upper right", fontsize="small")
    figure.savefig(path, dpi=120)


def _per_second(before: Sample, after: Sample, counter: str) -> float:
    seconds = after.work_seconds - before.work_seconds
    return float(getattr(after, counter) - getattr(before, counter)) / seconds
