"""The commands `zpager run` and `zpager config`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click
from click.shell_completion import CompletionItem

from zpager.errors import Error
from zpager.run import preload, program, summary, supervise
from zpager.run.ledger import new_ledger
from zpager.run.possible import find_possible
from zpager.run.settings import SETTINGS, Value, min_size_bytes, options_of, resolve

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _shown(value: Any) -> str:
    if value is None:
        return "as zpager chooses it"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _setting_flags(function: _Function) -> _Function:
    """A flag for each setting; what is not given is None."""
    for setting in reversed(SETTINGS):
        text = f"{setting.help}  [default: {_shown(setting.default)}]"
        if isinstance(setting.default, bool):
            names = f"{setting.flag}/--no-{setting.flag[2:]}"
            function = click.option(names, setting.name, default=None, help=text)(function)
        else:
            kind = click.Choice(setting.choices) if setting.choices else None
            metavar = None if kind else "VALUE"
            function = click.option(setting.flag, setting.name, type=kind, metavar=metavar, help=text)(
                function
            )
    return function


class _Run(click.Command):
    """What it was called with wrongly is a failure of its own, and no code of the program's."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*arguments, **more)
        except click.UsageError as error:
            error.show()
            sys.exit(program.OWN_FAILURE)


def _files(ctx: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


@click.command(
    cls=_Run,
    context_settings={"allow_interspersed_args": False},
    epilog="Every setting can also stand in the environment (ZPAGER_RAM=2G) or under [tool.zpager] in "
    "pyproject.toml; `zpager config` shows what holds.",
)
@_setting_flags
@click.argument(
    "command",
    nargs=-1,
    required=True,
    type=click.UNPROCESSED,
    metavar="[--] PROGRAM [ARGUMENT]...",
    shell_complete=_files,
)
def run(command: tuple[str, ...], **flags: Any) -> NoReturn:
    """Run a program with more memory than RAM.

    The large memory of PROGRAM (blocks and anonymous mappings from --min-size on) is kept within --ram: what
    is cold is compressed, and goes to a swap file when that is not enough. The program need not know.

    Standard input, output and error, signals and the exit code are the program's own: 128 and the number for
    a signal, 127 if it is not found, 126 if it cannot be executed, 125 if zpager itself fails.
    """
    try:
        code = _run(command, resolve(flags))
    except program.CannotStart as reason:
        _fail(reason.code, str(reason))
    except Error as error:
        _fail(program.OWN_FAILURE, f"{type(error).__name__}: {error}")
    sys.exit(code)


def _run(command: tuple[str, ...], values: dict[str, Value]) -> int:
    options = options_of(values)
    path = find_possible(command[0], options)
    every_seconds = values["stats_every"].value
    with tempfile.TemporaryDirectory(prefix="zpager-run-") as reports, new_ledger() as ledger:

        def tell() -> None:
            _tell(summary.lines(summary.Reports.read(reports, ledger.read()), None, options))

        ended = supervise.run(
            path,
            command,
            preload.environment(
                options,
                min_size_bytes=min_size_bytes(values),
                ledger=ledger.path,
                follow=values["follow"].value,
                report_directory=reports,
                report_every_seconds=every_seconds,
                inherited=os.environ,
            ),
            every_seconds=every_seconds,
            on_tick=tell,
        )
        reported = summary.Reports.read(reports, ledger.read())
    if not values["quiet"].value:
        _tell(summary.lines(reported, ended, options))
    if values["report"].value:
        with open(values["report"].value, "w", encoding="utf-8") as file:
            json.dump(summary.as_json(command, reported, ended, options), file, indent=2)
            file.write("\n")
    return ended.code


@click.command()
@_setting_flags
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def config(as_json: bool, **flags: Any) -> None:
    """Show the settings of `zpager run`.

    Each with what holds for it here, and from where: a flag, the environment, a file, or by default.
    """
    values = resolve(flags)
    options_of(values)
    if as_json:
        click.echo(
            json.dumps(
                {name: {"value": one.value, "from": one.origin} for name, one in values.items()}, indent=2
            )
        )
        return
    width = max(map(len, values))
    shown = {name: _shown(one.value) for name, one in values.items()}
    value_width = max(map(len, shown.values()))
    for name, one in values.items():
        click.echo(f"{name:<{width}}  {shown[name]:<{value_width}}  {one.origin}".rstrip())


def _tell(lines: list[str]) -> None:
    for line in lines:
        click.echo(f"zpager: {line}", err=True)


def _fail(code: int, why: str) -> NoReturn:
    click.echo(f"zpager run: {why}", err=True)
    sys.exit(code)
