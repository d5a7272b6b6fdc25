"""`python -m bench`: rounds of all contestants by turns, and the tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import checks, plots, report, samples
from bench.contestants import CONTESTANTS
from bench.machine.signals import Ended, as_exceptions
from bench.programmes import IDLE, OVERFLOW, TABLE
from bench.results import Results, Settings
from bench.rounds import measure
from bench.sizes import FULL, QUICK
from zpager import format_size
from zpager.swap_directory import choose_swap_directory

_PROGRAMMES = (TABLE, OVERFLOW, IDLE, *samples.KINDS)
_PLAIN_WIDTH = 200


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1, 1000), default=5, show_default=True, help="For each contestant."
)
@click.option("--quick", is_flag=True, help="Little data, one round: to see that it runs.")
@click.option(
    "--seed", type=click.IntRange(0), default=2012, show_default=True, help="For data and accesses."
)
@click.option(
    "--contestants", "contestant_names", help=f"Some of these, with ; between: {'; '.join(CONTESTANTS)}."
)
@click.option(
    "--only",
    "--workloads",
    "programmes",
    type=click.Choice(_PROGRAMMES),
    multiple=True,
    help="The programme to do; may be given several times. Default: all.",
)
@click.option("--checks/--no-checks", "with_checks", default=True, help="Measure zpager alone, too, or not.")
@click.option("--pool-limit", help="Of the pagers. Default: zpager's own.")
@click.option("--eviction", help="Of the pagers. Default: zpager's own.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="On a disk, for swap files and mapped files. Default: as a pager chooses it.",
)
@click.option(
    # Opened at once, so that a name that cannot be written shows before the rounds and not after them.
    "--json",
    "json_file",
    type=click.File("w", encoding="utf-8", lazy=False),
    help="Write all rounds here.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the ratios here, as SVG.")
@click.option(
    "--from",
    "earlier",
    type=click.File("r", encoding="utf-8"),
    help="Measure nothing: show and draw the results of an earlier --json.",
)
def main(  # noqa: PLR0917
    rounds: int,
    quick: bool,
    seed: int,
    contestant_names: str | None,
    programmes: tuple[str, ...],
    with_checks: bool,
    pool_limit: str | None,
    eviction: str | None,
    directory: Path | None,
    json_file: TextIO | None,
    plot: Path | None,
    earlier: TextIO | None,
) -> None:
    """Measure zpager beside the kernel's swap and others, with the same RAM for each.

    The kernel's contestants need root. Every setting of the machine that is changed is restored. The exit
    code is 1 if a byte was wrong; a missed target is shown, and is no failure.
    """
    # Not as narrow as a file or a pipe would make it.
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    if earlier:
        results = Results.from_json(earlier.read())
    else:
        results = _planned(
            rounds=1 if quick else rounds,
            quick=quick,
            seed=seed,
            contestant_names=contestant_names,
            programmes=programmes,
            options=_options(pool_limit, eviction),
        )
        _announce(results, console)
        with as_exceptions():
            try:
                _measure(results, console, directory or Path(choose_swap_directory(None)))
                if with_checks:
                    checks.carry_out(results, lambda text: console.print(f"checking: {text}"))
            except Ended as end:
                console.print(f"interrupted by {end}; every setting of the machine is restored")
                if json_file:
                    json_file.write(results.as_json())
                sys.exit(end.exit_code)
    _show(results, console)
    if json_file:
        json_file.write(results.as_json())
    if plot:
        plots.save(results, plot)
    if results.wrong():
        sys.exit(1)


def _options(pool_limit: str | None, eviction: str | None) -> dict[str, str]:
    given = {"pool_limit": pool_limit, "eviction": eviction}
    return {name: value for name, value in given.items() if value}


def _planned(
    *,
    rounds: int,
    quick: bool,
    seed: int,
    contestant_names: str | None,
    programmes: tuple[str, ...],
    options: dict[str, str],
) -> Results:
    """Who takes part in what, and who does not, and why."""
    chosen = _chosen(contestant_names)
    absent = {name: why for name in chosen if (why := CONTESTANTS[name].why_not())}
    settings = Settings.here(
        sizes=QUICK if quick else FULL,
        rounds=rounds,
        seed=seed,
        quick=quick,
        contestants=tuple(name for name in chosen if name not in absent),
        programmes=tuple(dict.fromkeys(programmes)) or _PROGRAMMES,
        options=options,
    )
    results = Results(settings, absent=absent)
    for name in settings.contestants:
        for programme, why in CONTESTANTS[name].cannot.items():
            if programme in settings.programmes:
                results.left_out[name, programme] = why
    return results


def _announce(results: Results, console: Console) -> None:
    settings = results.settings
    console.print(
        f"{format_size(settings.sizes['total_bytes'])} of RAM for each, {settings.rounds} rounds, "
        f"seed {settings.seed}; {settings.machine}"
    )
    if settings.quick:
        console.print("quick: too small and too short for the figures to mean anything")
    for name, why in results.absent.items():
        console.print(f"left out: {name}: {why}")
    if not settings.contestants:
        raise click.ClickException("nobody is left to be measured")


def _show(results: Results, console: Console) -> None:
    for table in (report.times, report.misses, report.ratios, report.held, report.checked):
        console.print(table(results))
    for remark in report.remarks(results):
        console.print(remark, soft_wrap=True)


def _measure(results: Results, console: Console, directory: Path) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("preparing", total=None)

        def show(text: str, done: int, total: int) -> None:
            bar.update(task, description=text, completed=done, total=total)

        measure(results, QUICK if results.settings.quick else FULL, directory, show)


def _chosen(names: str | None) -> list[str]:
    """The contestants that are asked for; "zpager" is both of its modes."""
    if names is None:
        return list(CONTESTANTS)
    wanted = {name.strip() for name in names.split(";")}
    chosen = [name for name in CONTESTANTS if name in wanted or name.partition(",")[0] in wanted]
    unknown = wanted - set(chosen) - {name.partition(",")[0] for name in chosen}
    if unknown:
        raise click.BadParameter(
            f"no contestant is called {', '.join(sorted(unknown))}; there are {'; '.join(CONTESTANTS)}",
            param_hint="--contestants",
        )
    return chosen


if __name__ == "__main__":
    main(prog_name="python -m bench")
