"""The command `zpager lab record`."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from zpager.errors import Error
from zpager.lab.record import Recorded
from zpager.lab.record_lackey import with_lackey
from zpager.lab.record_pager import with_pager
from zpager.run.program import OWN_FAILURE, CannotStart


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
    "--with",
    "way",
    type=click.Choice(["lackey", "pager"]),
    default="lackey",
    show_default=True,
    help="Who tells: valgrind of every load and store, or zpager's own pager of faults.",
)
@click.option(
    "--accesses",
    "accesses_most",
    type=click.IntRange(1),
    help="End the program after so many page accesses.  [default: let it run]",
)
@click.option("--instructions", is_flag=True, help="With lackey: fetches of instructions are accesses, too.")
@click.option(
    "--ram",
    default="64MiB",
    show_default=True,
    help="With pager: RAM for the program; what stays in there is not seen.",
)
@click.option("--swap", default="4GiB", show_default=True, help="With pager: the size of the swap file.")
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] PROGRAM [ARGUMENT]..."
)
def record(
    *,
    output: str,
    way: str,
    accesses_most: int | None,
    instructions: bool,
    ram: str,
    swap: str,
    command: tuple[str, ...],
) -> NoReturn:
    """Record which pages a program touches, and what they come to under each codec.

    For small programs by valgrind's tool lackey, which tells of every load and store, and takes a hundred
    times as long as the program by itself. For large ones by zpager's own pager, with so little RAM that most
    of what the program does shows in page faults.

    Standard input, output and error, signals and the exit code are the program's own (0 where --accesses
    ended it), and what was recorded until then is in the file however it ends. 125 is a failure of zpager
    itself.
    """
    try:
        if way == "lackey":
            recorded = with_lackey(
                command, output, accesses_most=accesses_most, instruction_fetches=instructions
            )
        else:
            recorded = with_pager(command, output, ram=ram, swap=swap, accesses_most=accesses_most)
    except CannotStart as reason:
        _fail(reason.code, str(reason))
    except Error as error:
        _fail(OWN_FAILURE, f"{type(error).__name__}: {error}")
    except OSError as error:
        _fail(OWN_FAILURE, f"{error.filename or output}: {error.strerror}")
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
