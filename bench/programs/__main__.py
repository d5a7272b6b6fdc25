"""`python -m bench.programs`: programs without a limit, under zpager, on plain swap, and without any."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.machine import cgroup, survey, swap_file
from bench.machine.keeper import Keeper
from bench.machine.signals import Ended, as_exceptions
from bench.programs import tree
from bench.programs.programs import PROGRAMS, Program
from zpager import ConfigurationError, parse_size
from zpager.swap_directory import choose_swap_directory

_SWAP_OF_RAM = 16
_TIMEOUT_SECONDS = 1800
_ZPAGER = str(Path(sys.executable).with_name("zpager"))
_KILLED = -9


@dataclass(frozen=True)
class Contestant:
    """A way to run a program in so much RAM."""

    name: str
    prefix: tuple[str, ...] = ()
    is_limited: bool = False
    has_swap: bool = False


def _contestants(ram_bytes: int, directory: Path) -> tuple[Contestant, ...]:
    wrapper = (_ZPAGER, "run", f"--ram={ram_bytes}", f"--swap={_SWAP_OF_RAM * ram_bytes}")
    return (
        Contestant("no limit"),
        Contestant("zpager run", (*wrapper, f"--swap-dir={directory}", "--quiet", "--")),
        Contestant("swap file", is_limited=True, has_swap=True),
        Contestant("no swap", is_limited=True),
    )


@click.command()
@click.option("--ram", default="256MiB", show_default=True, help="For each program.")
@click.option("--only", multiple=True, help="The first word of a program's name; may be given several times.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="The fastest that ends is shown.",
)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="On a disk, for swap and the programs' files. Default: as a pager chooses it.",
)
def main(ram: str, only: tuple[str, ...], rounds: int, directory: Path | None) -> None:
    """Run programs that take more memory than RAM: as root also on the kernel's swap, and without any.

    A cgroup holds the kernel's contestants to the same RAM. The exit code is 1 if something else came out.
    """
    try:
        ram_bytes = parse_size(ram)
    except ConfigurationError as error:
        raise click.BadParameter(str(error), param_hint="--ram") from None
    where = directory or Path(choose_swap_directory(None))
    console = Console() if sys.stdout.isatty() else Console(width=120)
    why_not = survey.why_not_swap()
    if why_not:
        console.print(f"left out: the kernel's swap, and its absence: {why_not}")
    contestants = [one for one in _contestants(ram_bytes, where) if not (why_not and one.is_limited)]
    programs = [program for program in PROGRAMS if not only or program.short_name in only]
    table = Table("program", *(f"{one.name}: s, RAM" for one in contestants), title=f"RAM: {ram}")
    wrong = False
    with as_exceptions(), Keeper() as keeper:
        try:
            for program in programs:
                absent = program.why_not()
                if absent:
                    console.print(f"left out: {program.name}: {absent}")
                    continue
                ways = _Ways(contestants, ram_bytes, where, keeper)
                cells, is_wrong = ways.measure(program, rounds)
                wrong |= is_wrong
                table.add_row(program.name, *cells)
        except Ended as end:
            console.print(f"interrupted by {end}; every setting of the machine is restored")
            sys.exit(end.exit_code)
    console.print(table)
    if wrong:
        sys.exit(1)


@dataclass(frozen=True)
class _Ways:
    contestants: list[Contestant]
    ram_bytes: int
    where: Path
    keeper: Keeper

    def measure(self, program: Program, rounds: int) -> tuple[list[str], bool]:
        """A row, and whether somebody had another outcome than the others."""
        runs: dict[Contestant, list[tree.Ran]] = {one: [] for one in self.contestants}
        outcomes = set()
        with tempfile.TemporaryDirectory(prefix="zpager-bench-", dir=self.where) as name:
            directory = Path(name)
            program.prepare(directory, self.ram_bytes)
            for one in self.contestants * rounds:
                ran = self._run(program, one, directory)
                if ran.code == 0:
                    files = [(directory / output).read_bytes() for output in program.outputs]
                    outcomes.add((ran.stdout, *files))
                runs[one].append(ran)
        return [_cell(runs[one], self.ram_bytes) for one in self.contestants], len(outcomes) > 1

    def _run(self, program: Program, one: Contestant, directory: Path) -> tree.Ran:
        with self._limited(one) as limiter:
            return tree.run(
                [*limiter, *one.prefix, *program.command(self.ram_bytes)],
                timeout_seconds=_TIMEOUT_SECONDS,
                directory=directory,
                stdin=directory / program.stdin if program.stdin else None,
                is_wrapped=bool(one.prefix),
            )

    @contextmanager
    def _limited(self, one: Contestant) -> Iterator[list[str]]:
        """What puts a program under the contestant's limit."""
        if not one.is_limited:
            yield []
            return
        parent = cgroup.find_parent()
        assert parent is not None
        with ExitStack() as changes:
            if one.has_swap:
                swap_bytes = _SWAP_OF_RAM * self.ram_bytes
                path = changes.enter_context(swap_file.made(self.keeper, self.where, swap_bytes))
                changes.enter_context(swap_file.turned_on(self.keeper, path))
            group = changes.enter_context(cgroup.made(self.keeper, parent, self.ram_bytes))
            yield ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group.processes_path)]


def _cell(runs: list[tree.Ran], ram_bytes: int) -> str:
    """The fastest run that came to its end, and how many were killed."""
    fastest = min(runs, key=lambda ran: (ran.code != 0, ran.wall_seconds))
    if fastest.code:
        killed = f"killed after {fastest.wall_seconds:.1f}"
        return killed if fastest.code == _KILLED else f"failed: {fastest.code}"
    killed_count = sum(ran.code == _KILLED for ran in runs)
    note = f"; {killed_count} of {len(runs)} killed" if killed_count else ""
    return f"{fastest.wall_seconds:.1f}, {fastest.rss_bytes_peak / ram_bytes:.2f}{note}"


if __name__ == "__main__":
    main(prog_name="python -m bench.programs")
