"""Files that appear when they are whole, whatever ends their writing before that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def place_beside(path: Path) -> Path:
    """Where a file is while it is written: on the same file system, so that it can be renamed."""
    return path.with_name(f".{path.name}.{os.getpid()}")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The path to write to, which becomes `path` at the end, and is gone if that is an error."""
    being_written = place_beside(path)
    try:
        yield being_written
        being_written.replace(path)
    except BaseException:
        being_written.unlink(missing_ok=True)
        raise
