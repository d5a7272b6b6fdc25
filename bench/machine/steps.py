"""Ways back, as plain data, so that another process can go them.

Each can be gone when its change was never made, or undone already: a way back is noted before the change.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_SECONDS = 10.0
_RETRY_SECONDS = 0.02
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Step:
    """One way back."""

    action: str
    """A name in `ACTIONS`."""
    path: str
    value: str = ""


def go(step: Step) -> None:
    """Undo it.

    Raises OSError if the machine does not let us.
    """
    ACTIONS[step.action](step)


def swaps_on() -> list[str]:
    """The swap that is on, by path."""
    lines = Path("/proc/swaps").read_text("ascii", errors="replace").splitlines()[1:]
    # The kernel writes a space in a path as \040.
    return [line.split()[0].encode().decode("unicode_escape") for line in lines]


def swap_on(path: str) -> None:
    """Turn a swap on that was made with mkswap."""
    _call("swapon", path.encode(), 0)


def retry(attempt: Callable[[], object]) -> None:
    """Do it again while the machine is busy with what came before, for some seconds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            attempt()
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _write(step: Step) -> None:
    Path(step.path).write_text(step.value, "ascii")


def _swap_off(step: Step) -> None:
    if step.path in swaps_on():
        _call("swapoff", step.path.encode())


def _remove_file(step: Step) -> None:
    Path(step.path).unlink(missing_ok=True)


def _remove_directory(step: Step) -> None:
    """With everything in it."""
    if Path(step.path).exists():
        shutil.rmtree(step.path)


def _remove_cgroup(step: Step) -> None:
    """Kill what runs in it, which are processes of this benchmark, and remove it."""
    path = Path(step.path)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while path.exists():
        for process in (path / "cgroup.procs").read_text("ascii").split():
            try:
                os.kill(int(process), signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            path.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)


def _remove_zram(step: Step) -> None:
    """`path` is the device in /sys/block, `value` its number."""
    device = Path(step.path)
    if device.exists():
        retry(lambda: (device / "reset").write_text("1", "ascii"))
        retry(lambda: Path("/sys/class/zram-control/hot_remove").write_text(step.value, "ascii"))


def _call(name: str, path: bytes, *flags: int) -> None:
    if getattr(_libc, name)(path, *flags):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}", os.fsdecode(path))


ACTIONS: dict[str, Callable[[Step], None]] = {
    "write": _write,
    "swap off": _swap_off,
    "remove file": _remove_file,
    "remove directory": _remove_directory,
    "remove cgroup": _remove_cgroup,
    "remove zram": _remove_zram,
}
