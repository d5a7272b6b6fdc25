"""`zpager lab record`: the page accesses of a program, written while it runs.

What the program does comes through a pipe. A thread reads it, while the main one looks after the program as
`zpager run` does.
"""

from __future__ import annotations

import fcntl
import os
import select
import shlex
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.contents import CODECS, Contents
from zpager.lab.formats import lackey
from zpager.lab.formats.collector import CUT_SHORT, LONGEST_THINK_NS
from zpager.lab.formats.page_numbers import PageNumbers
from zpager.lab.trace import Writer
from zpager.run import program, supervise

LACKS_OF_LACKEY = (
    "what other processes do that the program starts",
    "what the kernel itself reads and writes in system calls",
)

_PIPE_BYTES = 256 << 10
_READ_BYTES = 1 << 20
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


def with_lackey(
    command: Sequence[str],
    output: str | os.PathLike[str],
    *,
    accesses_most: int | None = None,
    instruction_fetches: bool = False,
) -> Recorded:
    """Run a program under valgrind and write what it touches to a trace's file.

    With `accesses_most` the program is ended after so many accesses; those that are folded to one count as
    one. To be called by the main thread.

    Raises ConfigurationError where valgrind is not installed, CannotStart where the program cannot be
    started, OSError where the file cannot be written.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise ConfigurationError("valgrind is not installed, and lackey is a tool of it: install it")
    path = program.find(command[0])
    recorded = Recorded()
    running = Running()
    parser = lackey.Parser(instruction_fetches=instruction_fetches)
    numbers = PageNumbers()
    contents = Contents(running)
    clock = _Clock()
    rest = b""

    with Writer(output, CODECS) as writer:

        def write(accesses: lackey.Accesses) -> None:
            if accesses_most is not None:
                accesses = accesses.part(slice(accesses_most - recorded.accesses))
            page = numbers.of(accesses.page)
            think_ns = clock.think_ns(accesses.instructions)
            writer.add(0, page, accesses.is_write, think_ns, contents.sizes(accesses.page, page))
            recorded.accesses += len(page)

        def consume(text: bytes) -> None:
            nonlocal rest
            if recorded.accesses == accesses_most:
                recorded.is_ended_by_limit = True
                running.end()
                return
            text = rest + text
            cut = text.rfind(b"\n") + 1
            rest = text[cut:]
            if cut:
                write(parser.parse(text[:cut]))

        with _pipe() as (reading, writing):
            arguments = (
                valgrind,
                "--tool=lackey",
                "--trace-mem=yes",
                "--child-silent-after-fork=yes",
                f"--log-fd={writing}",
                path,
                *command[1:],
            )
            recorded.code = _run(arguments, os.environ, running=running, reading=reading, consume=consume)
        write(parser.finish())
        recorded.pages = numbers.count
        recorded.lacks = (
            *lackey.LACKS,
            *LACKS_OF_LACKEY,
            *(() if instruction_fetches else (lackey.NO_INSTRUCTIONS,)),
            *contents.lacks(numbers.count),
            *((CUT_SHORT,) if clock.is_cut_short else ()),
        )
        writer.close([lackey.THREAD], f"valgrind's lackey: {shlex.join(command)}", recorded.lacks)
    return recorded


class _Clock:
    """Counts instructions, from the first access on."""

    def __init__(self) -> None:
        self._latest: NDArray[np.int64] | None = None
        self.is_cut_short = False

    def think_ns(self, moments: NDArray[np.int64]) -> NDArray[np.uint32]:
        if not len(moments):
            return np.empty(0, np.uint32)
        passed = np.diff(moments, prepend=moments[:1] if self._latest is None else self._latest)
        self._latest = moments[-1:]
        self.is_cut_short |= bool((passed > LONGEST_THINK_NS).any())
        return np.minimum(passed, LONGEST_THINK_NS).astype(np.uint32)


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """A pipe: its end to read from, and the one to write to, which programs inherit."""
    reading, writing = os.pipe()
    try:
        os.set_inheritable(writing, True)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def _run(
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
            # We hold the other end ourselves, and so may a process that outlives the program: its end is no
            # end of the pipe.
            while select.select([reading], [], [], _LOOK_EVERY_SECONDS)[0] or not running.has_ended.is_set():
                if select.select([reading], [], [], 0)[0]:
                    consume(os.read(reading, _READ_BYTES))
        except BaseException as failure:  # noqa: BLE001 - it is raised again
            failures.append(failure)
            running.send(signal.SIGKILL)

    # It begins with the signals blocked that are the main thread's to wait for.
    reader = threading.Thread(target=read, name="zpager-record")

    def begin(process: int) -> None:
        running.process = process
        reader.start()

    try:
        code = supervise.run(arguments[0], arguments, environment, on_start=begin).code
    finally:
        running.has_ended.set()
        if reader.ident is not None:
            reader.join()
    if failures:
        raise failures[0]
    return code
