"""What the two ways to record a program have in common.

What the program does comes through a pipe. A thread reads it, while the main one looks after the program as
`zpager run` does.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from zpager.run import supervise

BATCH_BYTES: Final = 128 << 10
"""So much is read, at most, before it is looked at."""

_GATHER_SECONDS = 0.001
_LOOK_EVERY_SECONDS = 0.1
_END_WITHIN_SECONDS = 5.0


@dataclass
class Recorded:
    """What came of it."""

    code: int = 0
    """The program's exit code, as a shell has it."""
    accesses: int = 0
    pages: int = 0
    is_ended_by_limit: bool = False
    lacks: tuple[str, ...] = ()


@dataclass
class Running:
    """The program's process, once there is one."""

    process: int = 0
    has_ended: threading.Event = field(default_factory=threading.Event)
    _told_to_end: float | None = None

    def send(self, what: signal.Signals) -> None:
        """Send it a signal."""
        if self.process and not self.has_ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.process, what)

    def end(self) -> None:
        """End it: ask it to, and if it goes on, do not. To be called until it has ended."""
        now = time.monotonic()
        if self._told_to_end is None:
            self._told_to_end = now
            self.send(signal.SIGTERM)
        elif now > self._told_to_end + _END_WITHIN_SECONDS:
            self.send(signal.SIGKILL)


@contextmanager
def pipe(size_bytes: int, *, is_inherited: bool) -> Iterator[tuple[int, int]]:
    """A pipe: its end to read from, and the one to write to, which the program inherits or not."""
    reading, writing = os.pipe()
    try:
        os.set_inheritable(writing, is_inherited)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, size_bytes)
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def _batches(reading: int, running: Running) -> Iterator[bytes]:
    """What comes through a pipe, until it is empty and the program has ended. We hold the other end
    ourselves, and so may a process that outlives the program: that is no end of the pipe."""
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        # Before the look into the pipe: what was written until then is in it.
        has_ended = running.has_ended.is_set()
        if select.select([reading], [], [], _LOOK_EVERY_SECONDS)[0]:
            parts.append(os.read(reading, BATCH_BYTES))
            size_bytes += len(parts[-1])
            if size_bytes < BATCH_BYTES:
                # Whoever writes little at a time would else wake us for each line.
                time.sleep(_GATHER_SECONDS)
                continue
        elif has_ended and not parts:
            return
        yield b"".join(parts)
        parts.clear()
        size_bytes = 0


def run_recorded(
    path: str,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    running: Running,
    reading: int,
    consume: Callable[[bytes], None],
) -> int:
    """Run a program to its end, and give all that comes through the pipe to `consume`, in another thread,
    where an exception ends the program and is raised here. Returns the program's exit code."""
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for text in _batches(reading, running):
                consume(text)
        except BaseException as failure:  # noqa: BLE001 - it is raised again
            failures.append(failure)
            running.send(signal.SIGKILL)

    # It begins with the signals blocked that are the main thread's to wait for.
    reader = threading.Thread(target=read, name="zpager-record")

    def begin(process: int) -> None:
        running.process = process
        reader.start()

    try:
        code = supervise.run(path, arguments, environment, on_start=begin).code
    finally:
        running.has_ended.set()
        if reader.ident is not None:
            reader.join()
    if failures:
        raise failures[0]
    return code
