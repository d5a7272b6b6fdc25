"""The command `zpager lab record`."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from zpager.errors import Error
from zpager.lab.record import Recorded, with_lackey
from zpager.run.program import CannotStart

_OWN_FAILURE = 125


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    default="trace.parquet",
    show_default=True,
    help="The trace's file.",
)
@click.option(
    "--accesses",
    "accesses_most",
    type=click.IntRange(1),
    help="End the program after so many page accesses.  [default: let it run]",
)
@click.option(
    "--instructions", is_flag=True, help="Pages from which instructions are fetched are accessed, too."
)
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] PROGRAM [ARGUMENT]..."
)
def record(
    *, output: str, accesses_most: int | None, instructions: bool, command: tuple[str, ...]
) -> NoReturn:
    """Record which pages a program touches.

    PROGRAM runs under valgrind, whose tool lackey tells of each load and store; that takes a hundred times
    as long as the program by itself. The file has the accesses page by page, and what the pages come to under
    each codec.

    Standard input, output and error, signals and the exit code are the program's own (0 where --accesses
    ended it), and what was recorded until then is in the file however it ends. 125 is a failure of zpager
    itself.
    """
    try:
        recorded = with_lackey(command, output, accesses_most=accesses_most, instruction_fetches=instructions)
    except CannotStart as reason:
        _fail(reason.code, str(reason))
    except Error as error:
        _fail(_OWN_FAILURE, f"{type(error).__name__}: {error}")
    except OSError as error:
        _fail(_OWN_FAILURE, f"{error.filename or output}: {error.strerror}")
    _tell(recorded, output)
    sys.exit(0 if recorded.is_ended_by_limit else recorded.code)


def _tell(recorded: Recorded, output: str) -> None:
    click.echo(f"zpager: {recorded.accesses:,} accesses of {recorded.pages:,} pages, in {output}", err=True)
    click.echo("zpager: what it does not show:", err=True)
    for lack in recorded.lacks:
        click.echo(f"zpager: - {lack}", err=True)


def _fail(code: int, message: str) -> NoReturn:
    click.echo(f"zpager lab record: {message}", err=True)
    sys.exit(code)
