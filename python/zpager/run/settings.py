"""What `zpager run` is to do: by flags, else by `$ZPAGER_…`, else by `[tool.zpager]` of the nearest
`pyproject.toml`, else by default.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from zpager.errors import ConfigurationError
from zpager.options import (
    CODECS,
    DEFAULT_CODEC,
    DEFAULT_EVICTION,
    DEFAULT_FAULTS,
    DEFAULT_IO,
    DEFAULT_POLICY,
    DEFAULT_POOL,
    LARGEST_READAHEAD_PAGES,
    Eviction,
    Faults,
    Io,
    Options,
    Policy,
    Pool,
    size_argument,
)
from zpager.swap_directory import ENVIRONMENT_VARIABLE

PREFIX: Final = "ZPAGER_"
_SWITCHES = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _text(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ConfigurationError(f"{name}={value!r}: give text or a number")
    return str(value)


def _switch(name: str, value: object) -> bool:
    switch = value if isinstance(value, bool) else _SWITCHES.get(str(value).lower())
    if switch is None:
        raise ConfigurationError(f"{name}={value!r}: give true or false")
    return switch


def _whole(name: str, value: object) -> int:
    try:
        return int(_text(name, value))
    except ValueError:
        raise ConfigurationError(f"{name}={value!r}: give a whole number") from None


def _seconds(name: str, value: object) -> float:
    try:
        seconds = float(_text(name, value) if not isinstance(value, float) else value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigurationError(f"{name}={value!r}: give seconds, 0 for never")
    return seconds


@dataclass(frozen=True)
class Setting:
    """One thing that can be set."""

    name: str
    default: Any
    help: str
    parse: Callable[[str, object], Any] = _text
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The variable of the environment."""
        return ENVIRONMENT_VARIABLE if self.name == "swap_dir" else PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return "--" + self.name.replace("_", "-")


SETTINGS: Final = (
    Setting("ram", "50%", "RAM for the program's large memory; a per cent is a share of what there is."),
    Setting("swap", None, "The size of the swap file."),
    Setting("swap_dir", None, "A directory on a disk for the swap file."),
    Setting("min_size", "64KiB", "Blocks and mappings smaller than that are not managed."),
    Setting("faults", DEFAULT_FAULTS, "How faults are served.", choices=get_args(Faults)),
    Setting("codec", DEFAULT_CODEC, "How pages are compressed: fast, or small.", choices=CODECS),
    Setting("pool", DEFAULT_POOL, "How compressed pages are packed.", choices=get_args(Pool)),
    Setting("pool_limit", "auto", "How large the compressed pool may grow; a per cent is a share of --ram."),
    Setting("policy", DEFAULT_POLICY, "Which compressed pages are evicted first.", choices=get_args(Policy)),
    Setting("eviction", DEFAULT_EVICTION, "How a full pool makes room.", choices=get_args(Eviction)),
    Setting("reserve", None, "RAM that is kept for making room."),
    Setting(
        "readahead_pages", LARGEST_READAHEAD_PAGES, "Pages that a sequential fault brings at once.", _whole
    ),
    Setting("encrypt", True, "Whether the swap file is encrypted.", _switch),
    Setting("io", DEFAULT_IO, "How the swap file is accessed.", choices=get_args(Io)),
    Setting("follow", True, "Whether programs that the program starts are run under zpager, too.", _switch),
    Setting("quiet", False, "No summary at the end.", _switch),
    Setting("stats_every", 0.0, "Seconds between two lines of statistics on stderr; 0 is never.", _seconds),
    Setting("report", None, "A file for a report as JSON."),
)


@dataclass(frozen=True)
class Value:
    """What holds for a setting, and where it comes from."""

    value: Any
    origin: str


def resolve(
    flags: Mapping[str, Any],
    *,
    environment: Mapping[str, str] = os.environ,
    directory: str | os.PathLike[str] = ".",
) -> dict[str, Value]:
    """What holds for every setting. A flag that was not given is None, or is not in `flags`.

    Raises ConfigurationError for values that cannot be, naming where they stand, and for names in
    `[tool.zpager]` that are not known.
    """
    path, table = _tool_table(Path(directory).resolve())
    known = {setting.name: setting for setting in SETTINGS}
    unknown = sorted(table.keys() - known.keys())
    if unknown:
        raise ConfigurationError(
            f"{path}: [tool.zpager] has {', '.join(unknown)}, which is not known; there is {', '.join(known)}"
        )
    return {name: _value(setting, flags, environment, path, table) for name, setting in known.items()}


def _value(
    setting: Setting,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    path: Path | None,
    table: Mapping[str, object],
) -> Value:
    if flags.get(setting.name) is not None:
        found, origin = flags[setting.name], setting.flag
    elif environment.get(setting.variable):
        found, origin = environment[setting.variable], f"${setting.variable}"
    elif setting.name in table:
        found, origin = table[setting.name], f"[tool.zpager] of {path}"
    else:
        return Value(setting.default, "default")
    try:
        return Value(setting.parse(setting.name, found), origin)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (from {origin})") from None


def _tool_table(directory: Path) -> tuple[Path | None, Mapping[str, object]]:
    """`[tool.zpager]` of the nearest `pyproject.toml` that has it."""
    for parent in (directory, *directory.parents):
        path = parent / "pyproject.toml"
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path} is no TOML: {error}") from None
        # Not before: `zpager run` starts in the way of every program.
        import tomllib  # noqa: PLC0415

        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{path} is no TOML: {error}") from None
        table = content.get("tool", {}).get("zpager")
        if isinstance(table, dict):
            return path, table
    return None, {}


def options_of(values: Mapping[str, Value]) -> Options:
    """The pager's options of these settings, checked.

    Raises ConfigurationError or DeviceError, as `Options.checked`.
    """
    return Options.checked(
        **{name: values[name].value for name in inspect.signature(Options.checked).parameters}
    )


def min_size_bytes(values: Mapping[str, Value]) -> int:
    """From which size on memory is managed, in bytes."""
    return size_argument("min_size", values["min_size"].value)
