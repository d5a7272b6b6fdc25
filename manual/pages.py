"""Writes the man pages from the commands' own words, into the folder that the wheel takes them from."""

from importlib.metadata import version
from pathlib import Path

import click
from click_man.core import write_man_pages

from zpager.cli import main

DIRECTORY = Path(__file__).with_name("zpager.data") / "data" / "share" / "man" / "man1"


def write(directory: Path) -> None:
    """Write a page for `zpager` and each of its commands."""
    context = click.Context(main)
    # The generator looks at a group's own commands, and ours are imported when they are asked for.
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    commands = {name: command for name, command in found.items() if command}
    whole = click.Group("zpager", commands=commands, help=main.help, params=main.params)
    write_man_pages("zpager", whole, version=version("zpager"), target_dir=str(directory), date=" ")


if __name__ == "__main__":
    write(DIRECTORY)
