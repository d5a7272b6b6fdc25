"""Starts a run as a process of its own, reads what it reports, and ends it, also when interrupted."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable

from zpager.demo.contest import Plan, Result, Sample

_SHOWN_ERROR_LINES = 15


class RunFailed(Exception):
    """A run came to no result; the message says why."""


def carry_out(plan: Plan, observe: Callable[[Sample], None]) -> tuple[Result, list[Sample]]:
    """Run `plan` in a new process; `observe` gets every sample as it comes.

    Raises RunFailed. Whatever else ends this, such as KeyboardInterrupt, ends the process, too.
    """
    samples: list[Sample] = []
    result: Result | None = None
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        # A session of its own, so that Ctrl-C reaches this process alone, which then decides.
        with subprocess.Popen(
            [sys.executable, "-m", "zpager.demo.contest"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                # A process that ended early breaks the pipe, also at the flush in `close`; its exit code
                # tells.
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(plan.to_json())
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                for line in process.stdout:
                    message = json.loads(line)
                    if "sample" in message:
                        samples.append(Sample(**message["sample"]))
                        observe(samples[-1])
                    elif "result" in message:
                        result = Result(**message["result"])
                    else:
                        raise RunFailed(message["error"])
            except BaseException:
                process.kill()
                raise
        if process.returncode or result is None:
            errors.seek(0)
            last = "".join(errors.readlines()[-_SHOWN_ERROR_LINES:])
            raise RunFailed(
                f"the run {plan.name!r} ended with exit code {process.returncode}\n{last}".rstrip()
            )
    return result, samples
