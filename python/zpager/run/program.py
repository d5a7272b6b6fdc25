"""What kind of program it is: whether a library can be preloaded into it."""

from __future__ import annotations

import os
import shutil
import stat
import struct
from dataclasses import dataclass

_ELF = b"\x7fELF"
_CLASS_64 = 2
_PT_INTERP = 3
_PROGRAM_HEADERS_MOST = 512
_INTERPRETERS_MOST = 4
_GO_MARKS = (b"\xff Go buildinf:", b"Go build ID:")
_GO_MARK_WITHIN_BYTES = 1 << 20
OWN_FAILURE = 125
"""The exit code of a failure of zpager itself, as of `env`."""


@dataclass(frozen=True)
class CannotStart(Exception):
    """The program is not started; `code` is the exit code, as of `env`."""

    code: int
    why: str

    def __str__(self) -> str:
        """The reason."""
        return self.why


def find(name: str) -> str:
    """The program's path, as a shell would find it.

    Raises CannotStart with 127 where there is none, with 126 where it cannot be executed.
    """
    found = shutil.which(name)
    if found:
        return found
    if os.sep in name and os.path.exists(name):
        what = "is a directory" if os.path.isdir(name) else "cannot be executed (its permissions)"
        raise CannotStart(126, f"{name} {what}")
    raise CannotStart(127, f"{name}: no such program")


def require_preloadable(path: str) -> None:
    """Raise CannotStart with 125 for a program into which nothing can be preloaded."""
    for _ in range(_INTERPRETERS_MOST):
        _require_own_rights(path)
        with open(path, "rb") as file:
            head = file.read(4096)
            if head.startswith(b"#!"):
                words = head[2:].split(b"\n", 1)[0].split()
                if not words:
                    return
                path = os.fsdecode(words[0])
                if os.path.basename(path) == "env" and len(words) > 1:
                    path = shutil.which(os.fsdecode(words[-1])) or path
                if not os.path.exists(path):
                    return
                continue
            if not head.startswith(_ELF):
                return
            objection = _objection_to_elf(head)
            if objection is None and _is_go(head + file.read(_GO_MARK_WITHIN_BYTES)):
                objection = "is a Go program, whose runtime asks the kernel for memory without the C library"
        if objection:
            raise CannotStart(125, f"{path} {objection}; zpager can do nothing for it")
        return


def _require_own_rights(path: str) -> None:
    status = os.stat(path)
    takes_rights = (status.st_mode & stat.S_ISUID and status.st_uid != os.geteuid()) or (
        status.st_mode & stat.S_ISGID and status.st_gid != os.getegid()
    )
    if takes_rights:
        raise CannotStart(
            125, f"{path} runs with the rights of another user (setuid), so that the system preloads nothing"
        )


def _objection_to_elf(head: bytes) -> str | None:
    if head[4] != _CLASS_64:
        return "is a program of 32 bits"
    offset, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    for number in range(min(count, _PROGRAM_HEADERS_MOST)):
        start = offset + number * size
        if start + 4 <= len(head) and struct.unpack_from("<I", head, start)[0] == _PT_INTERP:
            return None
    return "is linked statically, so that nothing can be preloaded"


def _is_go(start: bytes) -> bool:
    return any(mark in start for mark in _GO_MARKS)
