"""A program's run, while the RAM of the whole tree of its processes is looked at."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOOK_SECONDS = 0.005
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LIBC = ctypes.CDLL(None)
_SYS_KCMP = 312  # on x86-64, as all of zpager
_KCMP_VM = 1


@dataclass(frozen=True)
class Ran:
    """How it went."""

    code: int
    stdout: bytes
    stderr: str
    wall_seconds: float
    cpu_seconds: float
    """Of all processes that were waited for."""
    rss_bytes_peak: int
    """Of all processes together, but for the one that was started if that is only a wrapper."""


def run(
    command: Sequence[str],
    *,
    timeout_seconds: float,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    stdin: Path | None = None,
    is_wrapped: bool = False,
) -> Ran:
    """Run it to its end.

    Raises subprocess.TimeoutExpired if it does not end; then it is killed, with all of its processes.
    """
    with (
        open(stdin or os.devnull, "rb") as source,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        before = os.times()
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=source,
            stdout=output,
            stderr=errors,
            cwd=directory,
            env=environment,
            process_group=0,
        )
        peak = _Peak(process.pid, is_wrapped)
        try:
            code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            raise
        finally:
            peak.end()
        after = os.times()
        cpu_seconds = sum(after[2:4]) - sum(before[2:4])
        output.seek(0)
        errors.seek(0)
        return Ran(
            code,
            output.read(),
            errors.read().decode(errors="replace"),
            time.monotonic() - began,
            cpu_seconds,
            peak.rss_bytes,
        )


class _Peak:
    def __init__(self, process: int, is_wrapped: bool) -> None:
        self.rss_bytes = 0
        self._root, self._is_wrapped = process, is_wrapped
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> None:
        self._ending.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            processes = processes_of(self._root)
            if self._is_wrapped:
                processes.remove(self._root)
            self.rss_bytes = max(self.rss_bytes, sum(map(_rss_bytes, processes)))


def processes_of(root: int) -> list[int]:
    """A process and its descendants, without those that still have their parent's own memory: what a child of
    `vfork` seems to have until it is another program is nobody's twice."""
    found = [root]
    for process in found:
        try:
            children = Path(f"/proc/{process}/task/{process}/children").read_text("ascii")
        except OSError:  # it has ended
            continue
        found += [child for child in map(int, children.split()) if not _have_one_memory(process, child)]
    return found


def _have_one_memory(one: int, other: int) -> bool:
    # kcmp(2), which is 0 for the same; a kernel without it says that it failed.
    return int(_LIBC.syscall(_SYS_KCMP, one, other, _KCMP_VM, 0, 0)) == 0


def _rss_bytes(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0
