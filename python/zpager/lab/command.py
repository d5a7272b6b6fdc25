"""The group of commands `zpager lab`, each of which is in a module of its own."""

from __future__ import annotations

from importlib.util import find_spec

import click

from zpager.lazy_group import LazyGroup

_LAZY_COMMANDS = {
    "calibrate": "zpager.lab.calibrate_command",
    "record": "zpager.lab.record_command",
    "report": "zpager.lab.report_command",
    "rfc": "zpager.lab.rfc_command",
    "run": "zpager.lab.run_command",
}
_NEEDED = "matplotlib", "pyarrow"


class _Commands(LazyGroup):
    """Says what to install where something is missing."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return None if _missing() else super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        missing = _missing()
        if missing:
            raise click.ClickException(
                f"zpager lab needs {' and '.join(missing)}, not installed here: pip install 'zpager[lab]'"
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, lazy_commands=_LAZY_COMMANDS)
def lab() -> None:
    """Replay what programs do with their memory, in virtual time.

    The same engine as under `zpager run`, any configuration of it, without the memory itself: which
    mechanism, which policy, how much RAM does a workload want? Needs pip install 'zpager[lab]'.
    """


def _missing() -> list[str]:
    return [name for name in _NEEDED if find_spec(name) is None]
