"""The keeper: a process that knows all ways back, and goes those that are left when this one is gone.

Context managers undo their change at an exception, at Ctrl-C and at SIGTERM. At a crash of the interpreter or
SIGKILL they do not; then the keeper reads the end of its pipe, and does it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.machine.signals import held_back
from bench.machine.steps import Step, go

_CHECKOUT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 60


class Keeper:
    """Notes ways back; as a context manager it has gone all of them when it ends."""

    def __enter__(self) -> Self:
        """Start the other process."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.machine.keeper"],
            stdin=subprocess.PIPE,
            text=True,
            cwd=_CHECKOUT,
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go what is left of the ways, which is nothing unless one has failed."""
        with held_back():
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(_PATIENCE_SECONDS)
        if self._process.returncode and error is None:
            raise OSError("some settings of this machine could not be restored: see above")

    @contextmanager
    def undone(self, step: Step) -> Iterator[None]:
        """Around a change and its use: the way back is noted before, and gone in the end."""
        self.note(step)
        try:
            yield
        finally:
            with held_back():
                go(step)
                self._say("done", step)

    def note(self, step: Step) -> None:
        """Have a way gone in the end."""
        self._say("add", step)

    def _say(self, word: str, step: Step) -> None:
        assert self._process.stdin is not None
        with held_back():
            self._process.stdin.write(json.dumps([word, asdict(step)]) + "\n")
            self._process.stdin.flush()


def main() -> None:
    """Listen until the pipe ends, then go the ways that are left, the latest first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left: list[Step] = []
    for line in sys.stdin:
        word, fields = json.loads(line)
        if word == "add":
            left.append(Step(**fields))
        else:
            left.remove(Step(**fields))
    failed = False
    for step in reversed(left):
        try:
            go(step)
        except OSError as error:
            failed = True
            # stderr may have gone with the benchmark, and the next way is still to be gone.
            os.write(2, f"could not undo {step}: {error}\n".encode())
    sys.exit(failed)


if __name__ == "__main__":
    main()
