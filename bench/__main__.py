"""`python -m bench`: rounds of all contestants by turns, each in a process of its own, and the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import TextIO

import click

from bench.contestants import CONTESTANTS
from bench.report import as_json, remarks, table
from bench.table import GROUP_BYTES
from bench.workload import Round, Task
from zpager import format_size

_CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_MIB = 1 << 20
_EXIT_INTERRUPTED = 130


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1, 1000), default=5, show_default=True, help="For each contestant."
)
@click.option("--quick", is_flag=True, help="64 MiB in 16 MiB, one round: to see that it runs.")
@click.option(
    "--seed", type=click.IntRange(0), default=2012, show_default=True, help="For data and accesses."
)
@click.option(
    # Opened at once, so that a name that cannot be written shows before the rounds and not after them.
    "--json",
    "json_file",
    type=click.File("w", encoding="utf-8", lazy=False),
    help="Write all rounds here.",
)
def main(rounds: int, quick: bool, seed: int, json_file: TextIO | None) -> None:
    """Measure zpager: 1 GiB of data in 256 MiB of RAM, in both ways of delivering faults.

    The exit code is 1 if a byte was wrong or a round failed; a missed target is shown, and is no failure.
    """
    ram_bytes = (16 if quick else 256) * _MIB
    groups = 4 * ram_bytes // GROUP_BYTES
    accesses = 10_000 if quick else 200_000
    rounds = 1 if quick else rounds

    click.echo(
        f"{format_size(groups * GROUP_BYTES)} of data in ram={format_size(ram_bytes)}, {rounds} rounds, "
        f"{accesses:,} random accesses each, seed {seed}"
    )
    if quick:
        click.echo("quick: too small and too short for the targets to mean anything")
    done: dict[str, list[Round]] = {name: [] for name in CONTESTANTS}
    try:
        for number in range(1, rounds + 1):
            for name, its_rounds in done.items():
                task = Task(
                    contestant=name, groups=groups, ram_bytes=ram_bytes, accesses=accesses, seed=seed + number
                )
                its_rounds.append(_carry_out(task))
                one = its_rounds[-1]
                click.echo(
                    f"round {number}, {name}: fill {one.fill_us:.2f}, "
                    f"sequential {one.sequential_read_us:.2f}, random read {one.random_read_us:.2f}, "
                    f"random write {one.random_write_us:.2f} µs"
                )
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(_EXIT_INTERRUPTED)

    click.echo("\nmedians (lowest–highest)")
    click.echo(table(done, ram_bytes))
    for remark in remarks(done):
        click.echo(remark)
    if json_file:
        settings = {
            "data_bytes": groups * GROUP_BYTES,
            "ram_bytes": ram_bytes,
            "accesses": accesses,
            "seed": seed,
            "quick": quick,
        }
        json_file.write(as_json(done, settings))
    if any(one.wrong for its_rounds in done.values() for one in its_rounds):
        sys.exit(1)


def _carry_out(task: Task) -> Round:
    """Do a round in a new process; what it says on stderr is shown as it is."""
    finished = subprocess.run(
        [sys.executable, "-m", "bench.workload"],
        input=json.dumps(asdict(task)),
        stdout=subprocess.PIPE,
        text=True,
        cwd=_CHECKOUT,
        start_new_session=True,  # Ctrl-C is for this process, which ends the other
        check=False,
    )
    if finished.returncode:
        raise click.ClickException(f"{task.contestant}: the round ended with exit code {finished.returncode}")
    return Round(**json.loads(finished.stdout))


if __name__ == "__main__":
    main(prog_name="python -m bench")
