"""The command `zpager`: its subcommands, and how they are shown on a terminal and elsewhere."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import click
from click.shell_completion import get_completion_class

from zpager.doctor import Finding, Status, can_run, examine
from zpager.errors import Error
from zpager.lazy_group import LazyGroup

# Commands with heavy imports of their own, and the modules in which they are found under the same name.
_LAZY_COMMANDS = {
    "config": "zpager.run.command",
    "demo": "zpager.demo.command",
    "lab": "zpager.lab.command",
    "run": "zpager.run.command",
}
_COLOURS: dict[Status, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}


class _Commands(LazyGroup):
    """Shows zpager's errors as messages."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Error as error:
            raise click.ClickException(f"{type(error).__name__}: {error}") from error


@click.group(
    cls=_Commands,
    lazy_commands=_LAZY_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="zpager", prog_name="zpager", message="%(prog)s %(version)s")
def main() -> None:
    """Memory larger than RAM, by a compressed swap in user space.

    For any program by `zpager run`, and for numpy arrays by the Python package.

    Begin with `zpager doctor`, which tells whether this machine allows it.
    """


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--swap-dir",
    type=click.Path(),
    help="The directory of the swap file.  [default: $ZPAGER_SWAP_DIR, else /var/tmp or the next best]",
)
def doctor(as_json: bool, swap_dir: str | None) -> None:
    """Tell what this machine allows, and what to do where it doesn't.

    Looks at userfaultfd and its features, the swap directory, RAM, the cgroup's limit, CPUs. The exit code is
    0 if zpager can run here and 1 otherwise.
    """
    findings = examine(swap_dir)
    runs = can_run(findings)
    if as_json:
        click.echo(
            json.dumps({"can_run": runs, "findings": [asdict(finding) for finding in findings]}, indent=2)
        )
    elif sys.stdout.isatty():
        _print_table(findings)
    else:
        _print_text(findings)
    if not as_json:
        click.echo(f"\nzpager {'can' if runs else 'cannot'} run on this machine.")
    sys.exit(0 if runs else 1)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Complete zpager's commands in a shell.

    Prints what the shell is to run. For bash, put into ~/.bashrc: eval "$(zpager completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "zpager", "_ZPAGER_COMPLETE").source())


def _print_table(findings: list[Finding]) -> None:
    # Not before: `zpager run` starts in the way of every program.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in findings:
        # Text, and no markup: what was found may hold brackets of its own.
        found = Text(finding.found)
        if finding.remedy:
            found.append(f"\n→ {finding.remedy}", style="cyan")
        table.add_row(
            Text(finding.status, style=_COLOURS[finding.status]), Text(finding.subject, style="bold"), found
        )
    Console().print(table)


def _print_text(findings: list[Finding]) -> None:
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        click.echo(f"{finding.status:<7}  {finding.subject:<{width}}  {finding.found}")
        if finding.remedy:
            click.echo(f"{'':<7}  {'':<{width}}  what to do: {finding.remedy}")
