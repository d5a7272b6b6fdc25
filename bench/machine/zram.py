"""A zram device of the benchmark's own, added for a run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.machine.keeper import Keeper
from bench.machine.signals import held_back
from bench.machine.steps import Step, retry

_CONTROL = Path("/sys/class/zram-control")
# The fastest first; zstd would be smaller and slower, and zpager is measured with LZ4.
_ALGORITHMS = ("lz4", "lzo-rle", "lzo")
_ORIGINAL_COLUMN, _USED_COLUMN = 0, 2


class Zram:
    """A device."""

    def __init__(self, number: int) -> None:
        """Use device `number`."""
        self.path = Path(f"/dev/zram{number}")
        self.sysfs = Path(f"/sys/block/zram{number}")

    @property
    def algorithm(self) -> str:
        """How it compresses."""
        return _chosen((self.sysfs / "comp_algorithm").read_text("ascii"))


def mm_stat(path: Path) -> tuple[int, int]:
    """Bytes that are stored, and bytes of RAM that they take, by a device's `mm_stat`."""
    columns = path.read_text("ascii").split()
    return int(columns[_ORIGINAL_COLUMN]), int(columns[_USED_COLUMN])


def why_not() -> str | None:
    """Why there can be no device; None if there can."""
    return None if _CONTROL.is_dir() else "this kernel has no zram, or its module is not loaded"


@contextmanager
def made(keeper: Keeper, size_bytes: int) -> Iterator[Zram]:
    """A new device that can be turned on as swap; it is removed in the end."""
    with ExitStack() as changes:
        # The one change that comes before its way back: the device has no number until it is there.
        with held_back():
            number = int((_CONTROL / "hot_add").read_text("ascii"))
            zram = Zram(number)
            changes.enter_context(keeper.undone(Step("remove zram", str(zram.sysfs), str(number))))
        offered = (zram.sysfs / "comp_algorithm").read_text("ascii").replace("[", "").replace("]", "").split()
        best = next(name for name in (*_ALGORITHMS, *offered) if name in offered)
        (zram.sysfs / "comp_algorithm").write_text(best, "ascii")
        retry(lambda: (zram.sysfs / "disksize").write_text(str(size_bytes), "ascii"))
        subprocess.run(["mkswap", str(zram.path)], check=True, stdout=subprocess.DEVNULL)
        yield zram


def _chosen(line: str) -> str:
    return line.partition("[")[2].partition("]")[0]
