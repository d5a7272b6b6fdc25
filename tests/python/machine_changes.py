"""Changes everything of the machine that the benchmark does, and then ends as it is told.

`python machine_changes.py DIRECTORY raise|wait` prints a line when all is changed; `wait` waits to be killed.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.machine import cgroup, swap_file, vm, zram, zswap  # noqa: E402
from bench.machine.keeper import Keeper  # noqa: E402
from bench.machine.signals import Ended, as_exceptions  # noqa: E402
from bench.machine.steps import Step  # noqa: E402

MIB = 1 << 20
WISH = "ZPAGER_TEST_MACHINE"
"""The environment variable without which no test changes the machine, and `make test` none of anybody's."""


def main() -> None:
    directory, end = Path(sys.argv[1]), sys.argv[2]
    with as_exceptions():
        try:
            change(directory, end)
        except Ended as ended:
            sys.exit(ended.exit_code)


def change(directory: Path, end: str) -> None:
    with Keeper() as keeper, ExitStack() as changes:
        if zswap.why_not() is None:
            changes.enter_context(zswap.turned_on(keeper, 1))
        changes.enter_context(vm.set_page_cluster(keeper, 1))
        scratch = directory / f"zpager-bench-{os.getpid()}"
        changes.enter_context(keeper.undone(Step("remove directory", str(scratch))))
        scratch.mkdir()
        (scratch / "left behind").touch()
        path = changes.enter_context(swap_file.made(keeper, directory, 16 * MIB))
        changes.enter_context(swap_file.turned_on(keeper, path))
        if zram.why_not() is None:
            device = changes.enter_context(zram.made(keeper, 16 * MIB))
            changes.enter_context(swap_file.turned_on(keeper, device.path))
        parent = cgroup.find_parent()
        assert parent is not None
        changes.enter_context(cgroup.made(keeper, parent, 64 * MIB))
        print("changed", flush=True)
        if end == "raise":
            raise ZeroDivisionError("on purpose")
        time.sleep(60)


if __name__ == "__main__":
    main()
