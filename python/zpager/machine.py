"""What the machine has: RAM, the cgroup's memory limit, mounted file systems.

All of it is read from `/proc` and `/sys`. Each function takes `root`, the directory under which these lie, so
that a test can show it any machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

# Version 1 says "no limit" by LONG_MAX rounded down to pages; nothing near it is a limit.
_UNLIMITED_BYTES = 1 << 62


class Mount(NamedTuple):
    """One line of `/proc/self/mountinfo`."""

    source_root: str
    """The directory of the file system that is mounted here; `/` unless it is a bind mount or a namespace."""
    mount_point: str
    file_system: str
    """Its type: `ext4`, `tmpfs`, `cgroup2`."""
    options: frozenset[str]
    """The file system's own options; for a version 1 cgroup these name its controllers."""


class CgroupLimit(NamedTuple):
    """A memory limit, and the file that sets it."""

    limit_bytes: int
    path: str


def physical_ram_bytes() -> int:
    """The RAM of this machine, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def memory_limit_bytes() -> int:
    """The RAM that this process can have: the smaller of the machine's and the cgroup's limit, in bytes."""
    limit = cgroup_limit()
    ram_bytes = physical_ram_bytes()
    return ram_bytes if limit is None else min(ram_bytes, limit.limit_bytes)


def cgroup_limit(root: str = "/") -> CgroupLimit | None:
    """The tightest memory limit on this process's cgroup or any above it (versions 1 and 2); None without
    one.

    A limit anywhere on the way up holds for everything below it, hence the walk.
    """
    limits = []
    for path in _cgroup_limit_files(root):
        text = _read(path).strip()
        if (
            text.isdecimal() and int(text) < _UNLIMITED_BYTES
        ):  # otherwise "max", or no such file at this level
            limits.append(CgroupLimit(int(text), path))
    return min(limits, default=None)


def _cgroup_limit_files(root: str) -> Iterator[str]:
    """The files that may limit this process's memory, from its own cgroup up to the mount point."""
    mounts = read_mounts(root)
    for line in _read(os.path.join(root, "proc/self/cgroup")).splitlines():
        hierarchy, controllers, cgroup = line.split(":", 2)
        if hierarchy == "0":
            found = [mount for mount in mounts if mount.file_system == "cgroup2"]
            name = "memory.max"
        elif "memory" in controllers.split(","):
            found = [mount for mount in mounts if mount.file_system == "cgroup" and "memory" in mount.options]
            name = "memory.limit_in_bytes"
        else:
            continue
        for mount in found:
            top = os.path.join(root, mount.mount_point.lstrip("/"))
            # In a container the mount often shows only a part of the hierarchy, the one below `source_root`.
            inside = os.path.relpath(cgroup, mount.source_root)
            parts = [] if inside == "." or inside.startswith("..") else inside.split("/")
            for depth in range(len(parts), -1, -1):
                yield os.path.join(top, *parts[:depth], name)


def read_mounts(root: str = "/") -> list[Mount]:
    """The mounted file systems, in the order in which they were mounted."""
    mounts = []
    for line in _read(os.path.join(root, "proc/self/mountinfo")).splitlines():
        left, _, right = line.partition(" - ")
        source_root, mount_point = left.split()[3:5]
        # The source may be empty, which leaves two spaces; so split at single ones.
        file_system, _, options = right.split(" ", 2)
        mounts.append(
            Mount(_unescape(source_root), _unescape(mount_point), file_system, frozenset(options.split(",")))
        )
    return mounts


def file_system_type(path: str, mounts: list[Mount] | None = None) -> str:
    """The type of the file system on which `path` lies (`ext4`, `tmpfs`), or `"unknown"`."""
    real = os.path.realpath(path)
    found, longest = "unknown", -1
    for mount in read_mounts() if mounts is None else mounts:
        prefix = mount.mount_point.rstrip("/") + "/"
        # Of two mounts at the same place the later one is seen, hence >=.
        if (real + "/").startswith(prefix) and len(prefix) >= longest:
            found, longest = mount.file_system, len(prefix)
    return found


def _unescape(text: str) -> str:
    """Undo mountinfo's octal escapes of blanks and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _read(path: str) -> str:
    """The text of a file, or nothing if it is not there or not for us."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
