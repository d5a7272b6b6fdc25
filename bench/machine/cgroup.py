"""A memory cgroup for one run, of version 1 or 2, whichever has the memory controller."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine.keeper import Keeper
from bench.machine.steps import Step
from zpager.machine import read_mounts


@dataclass(frozen=True, slots=True)
class Parent:
    """Where a memory cgroup can be made."""

    path: Path
    version: int

    @property
    def charges_zswap(self) -> bool:
        """Whether what is in zswap counts in the cgroup; version 1 does not count it."""
        return self.version == 2


class Cgroup:
    """A memory cgroup."""

    def __init__(self, path: Path, version: int) -> None:
        """Use the cgroup at `path`, which is there."""
        self.path = path
        self._limit, self._usage = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes")
            if version == 1
            else ("memory.max", "memory.current")
        )

    @property
    def processes_path(self) -> Path:
        """The file that a process writes its number into in order to be in it."""
        return self.path / "cgroup.procs"

    @property
    def usage_bytes(self) -> int:
        """What counts in it now: anonymous memory, the cache of files, what the kernel needs for them."""
        return int((self.path / self._usage).read_text("ascii"))

    def limit(self, limit_bytes: int) -> None:
        """Set the limit; pages are reclaimed meanwhile if more is used.

        Raises OSError (EBUSY) if they cannot be.
        """
        (self.path / self._limit).write_text(str(limit_bytes), "ascii")


def find_parent(root: str = "/") -> Parent | None:
    """Where this process may make memory cgroups: below its own in version 1; in version 2 below the next one
    up the tree that hands the memory controller down."""
    own = dict(
        (controllers, path)
        for _, controllers, path in (
            line.split(":", 2) for line in Path(root, "proc/self/cgroup").read_text().splitlines()
        )
    )
    for mount in read_mounts(root):
        if mount.file_system == "cgroup" and "memory" in mount.options:
            below = next((path for name, path in own.items() if "memory" in name.split(",")), "/")
            path = _within(root, mount.mount_point, mount.source_root, below)
            return Parent(path, 1) if path.is_dir() else None
    for mount in read_mounts(root):
        if mount.file_system == "cgroup2":
            top = Path(root, mount.mount_point.lstrip("/"))
            path = _within(root, mount.mount_point, mount.source_root, own.get("", "/"))
            for candidate in (path, *path.parents):
                handed_down = candidate / "cgroup.subtree_control"
                if handed_down.exists() and "memory" in handed_down.read_text("ascii").split():
                    return Parent(candidate, 2)
                if candidate == top:
                    break
    return None


@contextmanager
def made(keeper: Keeper, parent: Parent, limit_bytes: int | None) -> Iterator[Cgroup]:
    """A new cgroup with that limit; in the end what runs in it is killed, and it is removed."""
    path = parent.path / f"zpager-bench-{os.getpid()}"
    with keeper.undone(Step("remove cgroup", str(path))):
        path.mkdir()
        cgroup = Cgroup(path, parent.version)
        if limit_bytes is not None:
            cgroup.limit(limit_bytes)
        yield cgroup


def _within(root: str, mount_point: str, source_root: str, path: str) -> Path:
    """Where a cgroup is seen that /proc calls `path`, if `source_root` is mounted at `mount_point`."""
    below = os.path.relpath(path, source_root)
    if below.startswith(".."):  # outside of what is mounted: a container's namespace
        below = "."
    return Path(os.path.normpath(Path(root, mount_point.lstrip("/"), below)))
