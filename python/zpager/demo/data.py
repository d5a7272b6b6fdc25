"""A's data: real content, because the ratios of made-up bytes show nothing.

By default it is the interpreter's own libraries and sources, which are on every machine that runs this; the
user may name a directory instead. No file is taken twice to fill a gap.
"""

from __future__ import annotations

import os
import stat
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zpager import format_size

_BLOCK_BYTES = 1 << 20
_SOURCE_SUFFIXES = (".py", ".pyi", ".pyx", ".c", ".h", ".so", ".a")


class TooLittleData(Exception):
    """The directories hold less than is needed."""


class DataChanged(Exception):
    """A file is no longer as it was when it was chosen."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The first `size_bytes` of a file."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What was taken, and where from."""

    pieces: tuple[Piece, ...]
    directories: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """The sum of the pieces."""
        return sum(piece.size_bytes for piece in self.pieces)

    def __str__(self) -> str:
        """For the user: how much, of how many files, and where they lie."""
        where = ", ".join(self.directories)
        return f"{format_size(self.size_bytes)} from {len(self.pieces):,} files in {where}"


def select_interpreter_files(most_bytes: int, least_bytes: int) -> Selection:
    """Choose sources and shared objects of this Python and its packages, at most `most_bytes`.

    Raises TooLittleData if all of them are less than `least_bytes`.
    """
    directories = [
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        sysconfig.get_config_var("LIBDIR"),
    ]
    files = _regular_files(directory for directory in directories if directory)
    sources = ((directory, piece) for directory, piece in files if _is_source(os.path.basename(piece.path)))
    return _take(sources, most_bytes, least_bytes, "the interpreter's directories")


def select_directory(directory: str, most_bytes: int, least_bytes: int) -> Selection:
    """Choose files below `directory`, of whatever kind, at most `most_bytes`.

    Raises TooLittleData if all of them are less than `least_bytes`.
    """
    return _take(_regular_files([directory]), most_bytes, least_bytes, directory)


def read_blocks(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """The contents of `pieces`, one after the other, in blocks of ordinary memory.

    Raises DataChanged if a file is shorter than it was, and OSError if it cannot be read.
    """
    for piece in pieces:
        left_bytes = piece.size_bytes
        with open(piece.path, "rb") as file:
            while left_bytes:
                block = file.read(min(left_bytes, _BLOCK_BYTES))
                if not block:
                    raise DataChanged(f"{piece.path} has become shorter since it was chosen; start again")
                left_bytes -= len(block)
                yield block


def _take(files: Iterator[tuple[str, Piece]], most_bytes: int, least_bytes: int, where: str) -> Selection:
    pieces: list[Piece] = []
    directories: dict[str, None] = {}
    left_bytes = most_bytes
    for directory, piece in files:
        if not left_bytes:
            break
        taken = Piece(piece.path, min(piece.size_bytes, left_bytes))
        left_bytes -= taken.size_bytes
        pieces.append(taken)
        directories[directory] = None
    if most_bytes - left_bytes < least_bytes:
        raise TooLittleData(
            f"{where} hold {format_size(most_bytes - left_bytes)} of readable files, but A needs at least "
            f"{format_size(least_bytes)}; name another directory by --data, or take a smaller --ram"
        )
    return Selection(tuple(pieces), tuple(directories))


def _regular_files(directories: Iterable[str]) -> Iterator[tuple[str, Piece]]:
    """Every readable regular file below `directories`, once, in an order that stays the same."""
    seen: set[tuple[int, int]] = set()
    for top in directories:
        for directory, subdirectories, names in os.walk(top):
            subdirectories.sort()
            for name in sorted(names):
                path = os.path.join(directory, name)
                try:
                    status = os.lstat(path)
                except OSError:
                    continue
                # One directory may lie within another, and one file may have two names.
                identity = status.st_dev, status.st_ino
                if not stat.S_ISREG(status.st_mode) or not status.st_size or identity in seen:
                    continue
                if not _is_text(path) or not os.access(path, os.R_OK):
                    continue
                seen.add(identity)
                yield top, Piece(path, status.st_size)


def _is_source(name: str) -> bool:
    return name.endswith(_SOURCE_SUFFIXES) or ".so." in name


def _is_text(path: str) -> bool:
    """Whether a path can be handed on as JSON; names that are no UTF-8 cannot."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
