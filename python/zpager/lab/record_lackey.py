"""`zpager lab record --with lackey`: the loads and stores of a program, told by valgrind."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.contents import Contents
from zpager.lab.formats import lackey
from zpager.lab.formats.page_numbers import PageNumbers
from zpager.lab.record import Recorded, Running, pipe, run_recorded
from zpager.lab.think_times import ThinkTimes
from zpager.lab.trace import Writer
from zpager.run import program

LACKS: Final = (
    *lackey.LACKS,
    "what other processes do that the program starts",
    "what the kernel itself reads and writes in system calls",
)
BECAME_ANOTHER: Final = (
    "what came after the program had become another one (exec): valgrind does not follow; record that one"
)

# The program is at most so far ahead when its memory is looked at.
_PIPE_BYTES = 256 << 10
_BY_SIGNAL = 128


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

    with Writer(output) as writer:

        def write(accesses: lackey.Accesses) -> None:
            if accesses_most is not None:
                accesses = accesses.part(slice(accesses_most - recorded.accesses))
            page = numbers.of(accesses.page)
            contents.look(accesses.page, page)
            writer.add(0, page, accesses.is_write, clock.think_ns(accesses.instructions))
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

        with pipe(_PIPE_BYTES, is_inherited=True) as (reading, writing):
            arguments = (
                valgrind,
                "--tool=lackey",
                "--trace-mem=yes",
                "--child-silent-after-fork=yes",
                f"--log-fd={writing}",
                path,
                *command[1:],
            )
            recorded.code = run_recorded(
                valgrind, arguments, os.environ, running=running, reading=reading, consume=consume
            )
        write(parser.finish())
        recorded.pages = numbers.count
        is_whole = recorded.code < _BY_SIGNAL and not recorded.is_ended_by_limit
        recorded.lacks = (
            *LACKS,
            *(() if instruction_fetches else (lackey.NO_INSTRUCTIONS,)),
            *contents.lacks(numbers.count),
            *((BECAME_ANOTHER,) if is_whole and not parser.has_ended else ()),
            *clock.think_times.lacks(),
        )
        writer.close(
            [lackey.THREAD],
            f"valgrind's lackey: {shlex.join(command)}",
            recorded.lacks,
            contents.zpage_bytes(numbers.count),
        )
    return recorded


class _Clock:
    """Counts instructions, from the first access on."""

    def __init__(self) -> None:
        self._latest: NDArray[np.int64] | None = None
        self.think_times = ThinkTimes()

    def think_ns(self, moments: NDArray[np.int64]) -> NDArray[np.uint32]:
        if not len(moments):
            return np.empty(0, np.uint32)
        passed = np.diff(moments, prepend=moments[:1] if self._latest is None else self._latest)
        self._latest = moments[-1:]
        return self.think_times.cut(passed)
