"""`zpager demo`: checks what was asked, carries out the runs, shows what came of them."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Literal, get_args

import click
from rich.console import Console

from zpager import ConfigurationError, format_size, parse_size
from zpager.demo.contest import Plan
from zpager.demo.data import Selection, TooLittleData, select_directory, select_interpreter_files
from zpager.demo.display import Display, LiveDisplay, PlainDisplay, rich_table
from zpager.demo.plot import SUFFIXES, can_plot, save_plot
from zpager.demo.report import BASELINE, Run, as_json, plain_table, result_rows
from zpager.demo.runner import RunFailed, carry_out
from zpager.demo.verify import mismatches, replay
from zpager.machine import memory_limit_bytes
from zpager.options import DEFAULT_EVICTION, DEFAULT_POLICY, Eviction, Faults, Policy
from zpager.swap_directory import choose_swap_directory, free_bytes

_MIB = 1 << 20
_RAM_LEAST_BYTES = 16 * _MIB
_ALL: Literal["all"] = "all"
_EXIT_INTERRUPTED = 130


class _SizeOption(click.ParamType[int]):
    """A size as people write it, in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option(
    "--ram", type=_SizeOption(), default="96MiB", show_default=True, help="The RAM that A and B share."
)
@click.option(
    "--pool-limit",
    default="50%",
    show_default=True,
    help="How large the compressed pool may grow; a per cent is a share of --ram.",
)
@click.option(
    "--eviction",
    "evictions",
    type=click.Choice([*get_args(Eviction), _ALL]),
    multiple=True,
    help="How a full pool makes room; a run for each one named, or for all.  "
    f"[default: {BASELINE}, {DEFAULT_EVICTION}]",
)
@click.option(
    "--policy",
    type=click.Choice(get_args(Policy)),
    default=DEFAULT_POLICY,
    show_default=True,
    help="Which compressed pages are evicted first.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1, 3600),
    default=10,
    show_default=True,
    help="How long B works in each run.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=2012, show_default=True, help="For B's tables and what it does."
)
@click.option(
    "--faults",
    type=click.Choice(get_args(Faults)),
    default="signal",
    show_default=True,
    help="How page faults are delivered; signal is faster.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, readable=True),
    help="A directory whose files are A's data.  [default: the interpreter's libraries and sources]",
)
@click.option(
    "--swap-dir",
    type=click.Path(),
    help="The directory of the swap file.  [default: $ZPAGER_SWAP_DIR, else /var/tmp or the next best]",
)
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw the runs over time into this PNG file.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False), help="Write all figures here.")
def demo(
    *,
    ram: int,
    pool_limit: str,
    evictions: tuple[Eviction | Literal["all"], ...],
    policy: Policy,
    seconds: int,
    seed: int,
    faults: Faults,
    data: str | None,
    swap_dir: str | None,
    plot: str | None,
    json_path: str | None,
) -> None:
    """Two programs in RAM that is too small for both: A sleeps, B works.

    A loads its data (real files), works once over it, and sleeps; its pages fill the compressed pool. B
    works on its tables all the time. How fast B gets on is measured with eviction="none", where a full pool
    refuses and B's misses go to the disk; with a mechanism that sends A's pages there instead; and alone,
    with enough RAM, for the limit. In the end every byte of A and B is checked; the exit code is 1 if one is
    wrong.
    """
    _check_output(plot, "--plot", SUFFIXES)
    _check_output(json_path, "--json", ())
    if plot and not can_plot():
        raise click.ClickException("--plot needs matplotlib: pip install 'zpager[demo]'")
    plans, selection = _make_plans(
        evictions=_in_order(evictions),
        ram_bytes=ram,
        pool_limit=pool_limit,
        policy=policy,
        seconds=seconds,
        seed=seed,
        faults=faults,
        data=data,
        swap_dir=swap_dir,
    )

    click.echo(f"A: {selection}")
    click.echo(f"B: {format_size(plans[0].busy_bytes)} of tables, seed {seed}; works {seconds} s in each run")
    click.echo(
        f"RAM for both: {format_size(ram)}, at most {pool_limit} of it pool; swap file: "
        f"{format_size(plans[0].swap_bytes)} in {plans[0].swap_directory}; policy={policy!r}, "
        f"faults={faults!r}\n"
    )
    try:
        runs, verdicts = _carry_out_all(plans)
    except RunFailed as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(_EXIT_INTERRUPTED)

    _show(runs, verdicts)
    if json_path:
        with open(json_path, "w", encoding="utf-8") as file:
            file.write(as_json(runs, verdicts, str(selection)))
        click.echo(f"figures: {json_path}")
    if plot:
        save_plot(runs, plot)
        click.echo(f"plot: {plot}")
    if any(verdicts.values()):
        sys.exit(1)


def _in_order(chosen: tuple[Eviction | Literal["all"], ...]) -> list[Eviction]:
    """The mechanisms to run, each once, the one that others are compared with first."""
    wanted = chosen or (BASELINE, DEFAULT_EVICTION)
    everything: list[Eviction] = sorted(get_args(Eviction), key=lambda eviction: eviction != BASELINE)
    return [eviction for eviction in everything if eviction in wanted or _ALL in wanted]


def _make_plans(
    *,
    evictions: list[Eviction],
    ram_bytes: int,
    pool_limit: str,
    policy: Policy,
    seconds: int,
    seed: int,
    faults: Faults,
    data: str | None,
    swap_dir: str | None,
) -> tuple[list[Plan], Selection]:
    """The runs: one for each mechanism, and B alone.

    Whatever would make one of them fail for want of room is found here.

    The sizes follow from `ram`: real libraries compress to about a half, B's tables to about a third. So A,
    twice the RAM, fills it all when compressed; and B, a third more than the RAM, fits once A is away.
    """
    busy_bytes = ram_bytes * 4 // 3
    swap_bytes = ram_bytes * 6
    alone_ram_bytes = busy_bytes * 2
    if ram_bytes < _RAM_LEAST_BYTES:
        raise click.BadParameter(f"at least {format_size(_RAM_LEAST_BYTES)}", param_hint="--ram")
    _check_pool_limit(pool_limit, ram_bytes)
    # Beside the pager the check needs B's tables in ordinary memory, though not at the same time.
    if alone_ram_bytes > memory_limit_bytes():
        raise click.BadParameter(
            f"the run of B alone takes {format_size(alone_ram_bytes)}, more than the "
            f"{format_size(memory_limit_bytes())} that this process can have",
            param_hint="--ram",
        )
    try:
        directory = choose_swap_directory(swap_dir)
    except ConfigurationError as error:
        raise click.BadParameter(str(error), param_hint="--swap-dir") from None
    if free_bytes(directory) < swap_bytes:
        raise click.BadParameter(
            f"{directory} has {format_size(free_bytes(directory))} free, but the swap file takes "
            f"{format_size(swap_bytes)}; name another directory, or take a smaller --ram",
            param_hint="--swap-dir",
        )
    most_bytes, least_bytes = ram_bytes * 2, ram_bytes * 5 // 4
    try:
        if data is None:
            selection = select_interpreter_files(most_bytes, least_bytes)
        else:
            selection = select_directory(data, most_bytes, least_bytes)
    except TooLittleData as error:
        raise click.ClickException(str(error)) from None

    def plan(name: str, *, eviction: Eviction, alone: bool) -> Plan:
        return Plan(
            name=name,
            ram_bytes=alone_ram_bytes if alone else ram_bytes,
            swap_bytes=swap_bytes,
            swap_directory=directory,
            eviction=eviction,
            policy=policy,
            faults=faults,
            pool_limit=pool_limit,
            seconds=seconds,
            seed=seed,
            busy_bytes=busy_bytes,
            idle_pieces=() if alone else selection.pieces,
        )

    return [
        *(plan(eviction, eviction=eviction, alone=False) for eviction in evictions),
        plan("alone", eviction=DEFAULT_EVICTION, alone=True),
    ], selection


def _carry_out_all(plans: list[Plan]) -> tuple[list[Run], dict[str, list[str]]]:
    """The runs, and for each by its name what is wrong with its bytes."""
    console = Console()
    display: Display = LiveDisplay(console) if console.is_terminal else PlainDisplay()
    runs: list[Run] = []
    with display:
        for plan in plans:
            display.begin(plan)
            result, samples = carry_out(plan, display.sample)
            runs.append(Run(plan, result, samples))
            display.end(runs[-1])
        display.note("checking every byte: doing B's work over again in ordinary memory …")
        expected = replay(plans[0].busy_bytes, plans[0].seed, [run.result.operations for run in runs])
    return runs, {run.plan.name: mismatches(run.result, expected[run.result.operations]) for run in runs}


def _show(runs: list[Run], verdicts: dict[str, list[str]]) -> None:
    rows = result_rows(runs, verdicts)
    console = Console()
    if console.is_terminal:
        console.print(rich_table(rows))
    else:
        click.echo(plain_table(rows))
    for name, wrong in verdicts.items():
        for what in wrong:
            click.echo(f"{name}: {what}", err=True)


def _check_pool_limit(pool_limit: str, ram_bytes: int) -> None:
    try:
        limit_bytes = parse_size(pool_limit, whole=ram_bytes)
    except ConfigurationError as error:
        raise click.BadParameter(str(error), param_hint="--pool-limit") from None
    if limit_bytes > ram_bytes:
        raise click.BadParameter(
            f"{format_size(limit_bytes)} is more than the {format_size(ram_bytes)} of --ram, of which the "
            "pool is a part",
            param_hint="--pool-limit",
        )


def _check_output(path: str | None, option: str, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that cannot be written now rather than after a minute."""
    if path is None:
        return
    if suffixes and not path.lower().endswith(suffixes):
        raise click.BadParameter(f"{path!r} should end in {', '.join(suffixes)}", param_hint=option)
    existed = os.path.exists(path)
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}", param_hint=option) from None
    if not existed:
        with contextlib.suppress(OSError):
            os.unlink(path)
