"""A group of commands that imports them only when they are asked for, so that `zpager` itself starts fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import click


class LazyGroup(click.Group):
    """A group with some commands in modules of their own, each under its own name."""

    def __init__(self, *arguments: Any, lazy_commands: Mapping[str, str], **more: Any) -> None:
        """`lazy_commands`: by their names, the modules that have them."""
        super().__init__(*arguments, **more)
        self._lazy_commands = lazy_commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them by name, in order."""
        return sorted([*super().list_commands(ctx), *self._lazy_commands])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None where its module is not installed."""
        module = self._lazy_commands.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        if not _is_installed(module):
            return None
        return cast(click.Command, getattr(import_module(module), cmd_name))


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its package is not there either
        return False
