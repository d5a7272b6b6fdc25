"""Writes the man pages from the commands' own words, into the folder that the wheel takes them from."""

from importlib.metadata import version
from pathlib import Path

import click
from click_man.core import write_man_pages

from zpager.cli import main

DIRECTORY = Path(__file__).with_name("zpager.data") / "data" / "share" / "man" / "man1"


def write(directory: Path) -> None:
    """Write a page for `zpager` and each of its commands, and of theirs."""
    whole = _with_commands_imported("zpager", main, click.Context(main))
    write_man_pages("zpager", whole, version=version("zpager"), target_dir=str(directory), date=" ")


def _with_commands_imported(name: str, command: click.Command, context: click.Context) -> click.Command:
    """The generator looks at a group's own commands, and ours are imported when they are asked for."""
    if not isinstance(command, click.Group):
        return command
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    commands = {
        name: _with_commands_imported(name, command, click.Context(command, parent=context))
        for name, command in found.items()
        if command
    }
    return click.Group(name, commands=commands, help=command.help, params=command.params)


if __name__ == "__main__":
    write(DIRECTORY)
