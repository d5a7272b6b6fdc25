"""What one sees while the runs are on: a live picture on a terminal, lines of text elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from zpager import format_size
from zpager.demo.contest import Plan, Sample
from zpager.demo.report import Run, result_rows
from zpager.sizes import PAGE_BYTES

_BAR_WIDTH = 40
_HISTORY = 40
_LEVELS = "▁▂▃▄▅▆▇█"
_PARTS = (
    ("resident", "resident_bytes", "green"),
    ("swap cache", "swap_cache_bytes", "cyan"),
    ("pool", "pool_bytes", "yellow"),
    ("reserve", "reserve_bytes", "magenta"),
    ("metadata", "metadata_bytes", "blue"),
)


class Display(Protocol):
    """Shows how the runs are getting on."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def begin(self, plan: Plan) -> None:
        """A run begins."""

    def sample(self, sample: Sample) -> None:
        """It was looked at."""

    def end(self, run: Run) -> None:
        """It is over."""

    def note(self, text: str) -> None:
        """Something else is being done, which takes a moment."""


class _Rates:
    """What happened per second between the last two samples of B's work."""

    def __init__(self, before: Sample | None, now: Sample) -> None:
        self.operations = self.read_bytes = self.written_bytes = 0.0
        if before is None or now.work_seconds <= before.work_seconds:
            return
        seconds = now.work_seconds - before.work_seconds
        self.operations = (now.operations - before.operations) / seconds
        self.read_bytes = (now.pswpin - before.pswpin) * PAGE_BYTES / seconds
        self.written_bytes = (now.pswpout - before.pswpout) * PAGE_BYTES / seconds


class PlainDisplay:
    """A line of text for each phase, and for each second of B's work."""

    def __init__(self) -> None:
        """Nothing is shown yet."""
        self._name = ""
        self._before: Sample | None = None

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to undo."""

    def begin(self, plan: Plan) -> None:
        """Name the run."""
        click.echo(f"{plan.name}: {_headline(plan)}")
        self._name = plan.name
        self._before = None

    def sample(self, sample: Sample) -> None:
        """Print a line, unless the last one is too fresh."""
        before = self._before
        if (
            before is not None
            and before.phase == sample.phase
            and (sample.phase != "B works" or sample.work_seconds - before.work_seconds < 1)
        ):
            return
        parts = ", ".join(f"{name} {format_size(getattr(sample, field))}" for name, field, _ in _PARTS[:3])
        state = f"{parts}, device {format_size(sample.swap_used_bytes)}"
        if sample.phase == "B works":
            rates = _Rates(before, sample)
            pace = f"{sample.work_seconds:5.1f} s {rates.operations:9,.1f}/s"
            state += f" (read {_speed(rates.read_bytes)}, written {_speed(rates.written_bytes)})"
        else:
            pace = " " * 19
        click.echo(f"{self._name:<9} {sample.phase:<13} {pace}  {state}")
        self._before = sample

    def end(self, run: Run) -> None:
        """Print its rate."""
        click.echo(f"{run.plan.name}: {run.steady_rate_per_second:,.1f} operations/s in the last half\n")

    def note(self, text: str) -> None:
        """Print it."""
        click.echo(text)


class LiveDisplay:
    """A picture that is drawn anew several times a second."""

    def __init__(self, console: Console) -> None:
        """Nothing is shown yet."""
        self._plan: Plan | None = None
        self._samples: list[Sample] = []
        self._rates: list[_Rates] = []
        self._done: list[Run] = []
        self._note = ""
        self._live = Live(console=console, get_renderable=self._picture, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the picture away."""
        self._live.stop()

    def begin(self, plan: Plan) -> None:
        """Show another run."""
        self._samples = []
        self._rates = []
        self._plan = plan

    def sample(self, sample: Sample) -> None:
        """Take it up; it is drawn with the next picture."""
        before = self._samples[-1] if self._samples else None
        self._samples.append(sample)
        if sample.phase == "B works" and sample.operations:
            self._rates.append(_Rates(before, sample))

    def end(self, run: Run) -> None:
        """Put it among the results."""
        self._done.append(run)
        self._plan = None

    def note(self, text: str) -> None:
        """Show it below."""
        self._note = text

    def _picture(self) -> RenderableType:
        # Drawn by another thread than the one that feeds it, hence the copies of what may change.
        parts: list[RenderableType] = []
        plan, samples, rates = self._plan, list(self._samples), list(self._rates)
        if plan is not None and samples:
            parts.append(
                Panel(
                    _run_picture(plan, samples, rates),
                    title=f"{plan.name}: {_headline(plan)}",
                    title_align="left",
                )
            )
        if self._done:
            parts.append(rich_table(result_rows(list(self._done))))
        if self._note:
            parts.append(Text(self._note, style="dim"))
        return Group(*parts)


def rich_table(rows: Sequence[tuple[str, ...]]) -> Table:
    """The rows of `report.result_rows` for a terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(rows[0][0])
    for name in rows[0][1:]:
        table.add_column(name, justify="right", style="bold")
    for row in rows[1:]:
        table.add_row(*(Text(cell, style="bold red") if cell == "NO" else Text(cell) for cell in row))
    return table


def _headline(plan: Plan) -> str:
    if not plan.idle_pieces:
        return f"B alone with enough RAM, {format_size(plan.ram_bytes)}"
    full_pool = "refuses" if plan.eviction == "none" else "evicts its coldest frames"
    return f"A and B in {format_size(plan.ram_bytes)}, eviction={plan.eviction!r}: a full pool {full_pool}"


def _run_picture(plan: Plan, samples: list[Sample], rates: list[_Rates]) -> Table:
    now = samples[-1]
    last = rates[-1] if rates else _Rates(None, now)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(width=_BAR_WIDTH)
    grid.add_column()
    grid.add_row("now", Text(now.phase), f"{now.work_seconds:.1f} of {plan.seconds:g} s")
    grid.add_row(
        "B", Text(_sparkline([r.operations for r in rates]), "green"), f"{last.operations:,.1f} operations/s"
    )
    grid.add_row("RAM", _memory_bar(plan, now), _memory_legend(now))
    grid.add_row(
        "device read", Text(_sparkline([r.read_bytes for r in rates]), "red"), _speed(last.read_bytes)
    )
    grid.add_row(
        "written", Text(_sparkline([r.written_bytes for r in rates]), "red"), _speed(last.written_bytes)
    )
    grid.add_row(
        "in use",
        _bar(now.swap_used_bytes / plan.swap_bytes, "red"),
        f"{format_size(now.swap_used_bytes)} of {format_size(plan.swap_bytes)}",
    )
    return grid


def _memory_bar(plan: Plan, sample: Sample) -> Text:
    bar = Text()
    for _, field, colour in _PARTS:
        bar.append("█" * round(getattr(sample, field) / plan.ram_bytes * _BAR_WIDTH), style=colour)
    bar.append("░" * (_BAR_WIDTH - len(bar)), style="dim")
    bar.truncate(_BAR_WIDTH)
    return bar


def _memory_legend(sample: Sample) -> Text:
    return Text("  ").join(
        Text(f"{name} {format_size(getattr(sample, field))}", style=colour) for name, field, colour in _PARTS
    )


def _bar(share: float, colour: str) -> Text:
    filled = min(_BAR_WIDTH, round(share * _BAR_WIDTH))
    return Text("█" * filled, style=colour).append("░" * (_BAR_WIDTH - filled), style="dim")


def _sparkline(values: Sequence[float]) -> str:
    shown = values[-_HISTORY:]
    highest = max(shown, default=0) or 1
    return "".join(_LEVELS[round(value / highest * (len(_LEVELS) - 1))] for value in shown)


def _speed(bytes_per_second: float) -> str:
    return f"{format_size(round(bytes_per_second))}/s"
