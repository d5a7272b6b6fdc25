"""A policy in a file of a user's, as a sweep names it: `mine.py:Oldest`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, cast

from zpager.errors import ConfigurationError
from zpager.lab.policy import UnitPolicy

MARK: Final = ".py:"
"""What tells such a name from that of a policy of the engine."""


@dataclass(frozen=True)
class PolicyFile:
    """What makes policies of a class in a file. It has the file's text, so that it can go to other processes
    and machines, and a result's key is of all that it follows from."""

    name: str
    source: str | None
    """None in a result that was read: the file may have changed since."""

    @classmethod
    def read(cls, name: str) -> Self:
        """Read the file of `FILE.py:CLASS`.

        Raises ConfigurationError where there is no such file or class.
        """
        path = name.rpartition(":")[0]
        try:
            made = cls(f"{Path(path).name}:{name.rpartition(':')[2]}", Path(path).read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"policy={name!r}: {error}") from None
        made()
        return made

    def __call__(self) -> UnitPolicy:
        """Make a policy.

        Raises ConfigurationError where the file has no such class, or was not kept.
        """
        file, _, class_name = self.name.rpartition(":")
        if self.source is None:
            raise ConfigurationError(f"policy={self.name!r}: its file was not kept with the result")
        names: dict[str, Any] = {"__name__": Path(file).stem}
        exec(compile(self.source, file, "exec"), names)
        if not callable(names.get(class_name)):
            raise ConfigurationError(f"policy={self.name!r}: the file has no class {class_name!r}")
        return cast(UnitPolicy, names[class_name]())

    def __str__(self) -> str:
        """The file and the class."""
        return self.name
