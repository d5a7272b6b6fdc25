"""`zpager lab calibrate`: this machine's costs, as a file for `--costs`."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import click

from zpager.errors import DeviceError
from zpager.lab.costs import Costs
from zpager.lab.whole_file import whole_file


@click.command()
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default=Path("costs.toml"),
    show_default=True,
    help="Where the costs go.",
)
@click.option(
    "--swap-dir", type=click.Path(file_okay=False), help="The directory of the disk; as zpager chooses it."
)
def calibrate(output: Path, swap_dir: str | None) -> None:
    """Measure what everything takes on this machine, by runs of zpager itself and of its disk.

    It takes a quarter of a minute, of a machine that does nothing else: whatever does makes faults slower.
    Give the file to the lab as --costs.
    """
    from zpager.lab.calibrate import calibrate as measure  # noqa: PLC0415  (numpy and the engine)

    costs = measure(swap_dir, lambda what: click.echo(f"measuring {what}", err=True))
    write(costs, output)
    click.echo(costs.to_toml(), nl=False)
    click.echo(f"written to {output}", err=True)


def write(costs: Costs, output: Path) -> None:
    """Write costs, and of which machine they are.

    Raises DeviceError where that cannot be.
    """
    of = f"{platform.node() or 'this machine'}, Linux {platform.release()}, {time.strftime('%Y-%m-%d')}"
    try:
        with whole_file(output) as being_written:
            being_written.write_text(f"# Costs of {of}, by `zpager lab calibrate`.\n{costs.to_toml()}")
    except OSError as error:
        raise DeviceError(f"{output} cannot be written: {error}") from error
