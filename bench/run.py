"""One run in a process of its own: `python -m bench.run`, a task as JSON on stdin, outcomes on stdout.

The last line is the whole of it; those before are what there was after each workload.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from bench.outcome import Task
from bench.programmes import prepare
from bench.sizes import Sizes
from bench.stores import Use
from bench.table import GROUP_BYTES

_PR_SET_PDEATHSIG = 1


def _pager(task: Task, sizes: Sizes, use: Use) -> None:
    from bench.stores import pager  # noqa: PLC0415

    pager.run(task.total_bytes, sizes.groups_max * GROUP_BYTES, task.directory, task.options, use)


def _kernel(task: Task, _sizes: Sizes, use: Use) -> None:
    from bench.stores import kernel  # noqa: PLC0415

    kernel.run(task.pool, use)


def _mapped_file(task: Task, _sizes: Sizes, use: Use) -> None:
    from bench.stores import kernel  # noqa: PLC0415

    kernel.run_on_file(task.scratch, use)


def _blosc2(_task: Task, _sizes: Sizes, use: Use) -> None:
    from bench.stores import blosc2_array  # noqa: PLC0415

    blosc2_array.run(use)


def _spill_buffer(task: Task, _sizes: Sizes, use: Use) -> None:
    from bench.stores import spill_buffer  # noqa: PLC0415

    spill_buffer.run(task.total_bytes, task.scratch, use)


# Imported when it is needed, so that a contestant's packages cost nobody else memory.
STORES: dict[str, Callable[[Task, Sizes, Use], None]] = {
    "pager": _pager,
    "kernel": _kernel,
    "mapped file": _mapped_file,
    "blosc2": _blosc2,
    "spill buffer": _spill_buffer,
}


def main() -> None:
    """Read the task, carry it out, print the outcome."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    document = json.loads(sys.stdin.read())
    sizes = Sizes(**document["sizes"] | {"idle_groups": tuple(document["sizes"]["idle_groups"])})
    task = Task(**document["task"])
    programme = prepare(task, sizes)
    if task.cgroup_processes:
        # Only now: what was made before is the programme's own, and counts nowhere.
        Path(task.cgroup_processes).write_text(str(os.getpid()), "ascii")
    STORES[task.store](task, sizes, programme)


if __name__ == "__main__":
    main()
