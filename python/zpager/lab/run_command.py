"""`zpager lab run`: replays traces and scenarios under every configuration that is to be tried."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click
from click.shell_completion import CompletionItem

from zpager import format_size
from zpager.errors import ConfigurationError
from zpager.lab import costs, execute, scenario
from zpager.lab.formats import Format, open_trace
from zpager.lab.progress import progress, usable_cpus
from zpager.lab.results import Outcome
from zpager.lab.sweep import AXES, Plan, Sweep, split
from zpager.lab.trace import Trace
from zpager.options import CODECS, Eviction, Policy, Pool
from zpager.sizes import PAGE_BYTES

DEFAULT_COSTS: Final = "nvme"
DEFAULT_OUTPUT: Final = "lab-results"
DEFAULT_RATIO: Final = 3.0
DEFAULT_SEED: Final = 2012

_Function = TypeVar("_Function", bound=Callable[..., Any])
_HELP = {
    "ram": "RAM for everything; a per cent is a share of the trace's pages.",
    "swap": "The device; a per cent is a share of the trace's pages, auto holds all of them.",
    "pool": f"How zpages are packed: {', '.join(get_args(Pool))}.",
    "pool_limit": "How much of RAM may be pool: auto, a size, or a per cent.",
    "codec": f"{', '.join(CODECS)}.",
    "eviction": f"How a full pool makes room: {', '.join(get_args(Eviction))}.",
    "policy": f"Which zpages go first: {', '.join(get_args(Policy))}, or FILE.py:CLASS of yours.",
    "reserve": "RAM kept for making room: auto, a size, or a per cent.",
    "readahead_pages": "Pages that a fault in sequence brings at once.",
}


def _axis_flags(function: _Function) -> _Function:
    for axis in reversed(AXES):
        default = ", ".join(getattr(Sweep(), axis))
        function = click.option(
            f"--{axis.replace('_', '-')}",
            axis,
            multiple=True,
            metavar="VALUE[,VALUE]...",
            help=f"{_HELP[axis]}  [default: {default}]",
        )(function)
    return function


def _complete(ctx: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    named = [CompletionItem(name) for name in scenario.names() if name.startswith(incomplete)]
    return [*named, CompletionItem(incomplete, type="file")]


@click.command(
    epilog="Every flag with a VALUE may be given several times or with commas, and every value is tried with "
    "every other. What is already in the results is not computed again."
)
@click.argument("traces", nargs=-1, metavar="[TRACE|SCENARIO]...", shell_complete=_complete)
@_axis_flags
@click.option(
    "--costs",
    "costs_names",
    multiple=True,
    metavar="PROFILE|FILE",
    help="What everything takes: nvme, sata-ssd, disk, network, or a .toml file by `zpager lab calibrate`.  "
    f"[default: {DEFAULT_COSTS}]",
)
@click.option(
    "--config",
    "config",
    type=click.Path(exists=True, dir_okay=False),
    help="A TOML file with the same names as the flags, and `traces`; flags win.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(get_args(Format)),
    help="What the traces are.  [default: what their names or contents tell]",
)
@click.option("--columns", default="", help="Of csv: which column is what, in libCacheSim's words.")
@click.option(
    "--block-bytes",
    type=click.IntRange(1),
    help="Of oracleGeneral and csv: objects are places on a disk, in blocks of so many bytes.",
)
@click.option("--seed", type=click.IntRange(0), help=f"For scenarios.  [default: {DEFAULT_SEED}]")
@click.option(
    "--default-ratio",
    type=click.FloatRange(1),
    help=f"How well pages compress of which the trace does not tell.  [default: {DEFAULT_RATIO:g}]",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    help="How many replays at the same time.  [default: one for each CPU]",
)
@click.option("--dask", metavar="ADDRESS", help="Replay on the cluster of this Dask scheduler instead.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False),
    default=DEFAULT_OUTPUT,
    show_default=True,
    help="The directory of the results, in Parquet.",
)
def run(
    *,
    traces: tuple[str, ...],
    costs_names: tuple[str, ...],
    config: str | None,
    format_name: Format | None,
    columns: str,
    block_bytes: int | None,
    seed: int | None,
    default_ratio: float | None,
    processes: int | None,
    dask: str | None,
    output: str,
    **axes: tuple[str, ...],
) -> None:
    """Replay traces and scenarios in virtual time, under every configuration that is to be tried.

    A TRACE is a file, by `zpager lab record` or of another format that is understood; a SCENARIO is a .py
    file, or one of those that have names: rfc, scan_and_hot, shifting.
    """
    plan = Plan(sweep={}) if config is None else Plan.read(config)
    names = traces or plan.traces
    if not names:
        raise click.UsageError("name a trace or a scenario")
    sweep = Sweep().with_values(plan.sweep).with_values({axis: split(axes[axis]) for axis in axes})
    its_costs = {name: costs.costs(name) for name in split(costs_names) or plan.costs or (DEFAULT_COSTS,)}
    ratio = default_ratio or plan.default_ratio or DEFAULT_RATIO
    its_seed = seed if seed is not None else plan.seed if plan.seed is not None else DEFAULT_SEED
    read = partial(open_trace, format=format_name, columns=columns, block_bytes=block_bytes)
    opened = _open(names, its_seed, read)
    tasks = [
        task
        for name, trace in opened.items()
        for task in execute.tasks(name, trace, sweep.configurations(trace.page_count, ratio), its_costs)
    ]
    directory = Path(output)
    missing = execute.missing(tasks, directory)
    already = len({task.key for task in tasks}) - len(missing)
    click.echo(f"{len(missing)} to replay, {already} already in {directory}")
    impossible: list[Outcome] = []
    with progress(len(missing)) as advance:

        def on_done(outcome: Outcome) -> None:
            if outcome.result is None:
                impossible.append(outcome)
            advance()

        if dask is not None:
            execute.run_on_dask(missing, opened, directory, address=dask, on_done=on_done)
        else:
            execute.run(missing, opened, directory, processes=processes or usable_cpus(), on_done=on_done)
    for outcome in impossible:
        click.echo(
            f"{outcome.trace}, {format_size(outcome.configuration.ram_bytes)} of RAM: {outcome.impossible}",
            err=True,
        )
    click.echo(f"results: {directory}; see them by: zpager lab report {directory}")


def _open(names: tuple[str, ...], seed: int, read: Callable[[str], Trace]) -> dict[str, Trace]:
    """Traces and scenarios, by the names that results have."""
    opened: dict[str, Trace] = {}
    for name in names:
        is_scenario = name.endswith(".py") or (name in scenario.names() and not os.path.exists(name))
        try:
            trace = scenario.make(name, seed).trace() if is_scenario else read(name)
        except OSError as error:
            raise ConfigurationError(
                f"{name}: {error.strerror or error}; scenarios with names are {', '.join(scenario.names())}"
            ) from None
        if not trace.access_count:
            raise ConfigurationError(f"{name} has no accesses")
        short = Path(name).stem if is_scenario else Path(name).name
        if short in opened:
            raise ConfigurationError(f"two traces are called {short!r}; give one of them another name")
        opened[short] = trace
        click.echo(
            f"{short}: {trace.access_count:,} accesses of {len(trace.threads)} threads to "
            f"{format_size(trace.page_count * PAGE_BYTES)}"
        )
        for lack in trace.lacks:
            click.echo(f"  it lacks: {lack}")
    return opened
