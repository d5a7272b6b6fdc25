"""A swap file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine.keeper import Keeper
from bench.machine.steps import Step, swap_on


@contextmanager
def made(keeper: Keeper, directory: Path, size_bytes: int) -> Iterator[Path]:
    """A file that can be turned on as swap, removed in the end.

    It is kept over all runs: to reserve it anew each time would be work for the disk.
    """
    path = directory / f"zpager-bench-{os.getpid()}.swap"
    with keeper.undone(Step("remove file", str(path))):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
        finally:
            os.close(descriptor)
        subprocess.run(["mkswap", str(path)], check=True, stdout=subprocess.DEVNULL)
        yield path


@contextmanager
def turned_on(keeper: Keeper, path: Path) -> Iterator[None]:
    """The swap file or device is on, and off in the end."""
    with keeper.undone(Step("swap off", str(path))):
        swap_on(str(path))
        yield
