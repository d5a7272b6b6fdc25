"""zswap, turned on for a run."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.machine.keeper import Keeper
from bench.machine.steps import Step
from zpager.machine import physical_ram_bytes

_PARAMETERS = Path("/sys/module/zswap/parameters")
# The fastest first, as far as this kernel has them.
_COMPRESSORS = ("lz4", "lzo-rle", "lzo")


def parameters() -> dict[str, str]:
    """All of them; none without zswap."""
    return {path.name: path.read_text("ascii").strip() for path in sorted(_PARAMETERS.glob("*"))}


def why_not() -> str | None:
    """Why it cannot be turned on; None if it can."""
    return None if _PARAMETERS.is_dir() else "this kernel has no zswap"


def percent_for(pool_bytes: int) -> int:
    """The largest `max_pool_percent` that keeps the pool within that, but at least 1: it is whole numbers."""
    return max(1, pool_bytes * 100 // physical_ram_bytes())


def pool_limit_bytes(percent: int) -> int:
    """What so many per cent are here."""
    return physical_ram_bytes() * percent // 100


def pool() -> tuple[int, int]:
    """Bytes that are stored, and bytes of RAM that they take."""
    sizes = {}
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name in {"Zswap", "Zswapped"}:
            sizes[name] = int(value.split()[0]) * 1024
    return sizes["Zswapped"], sizes["Zswap"]


@contextmanager
def turned_on(keeper: Keeper, percent: int) -> Iterator[str]:
    """It is on, with the best compressor and that limit; in the end all parameters are as before.

    Hands out the compressor's name.
    """
    with ExitStack() as changes:
        for name, value in parameters().items():
            changes.enter_context(keeper.undone(Step("write", str(_PARAMETERS / name), value)))
        # A compressor must exist when zswap is on; before, any name is taken.
        _set("max_pool_percent", str(percent))
        _set("compressor", _COMPRESSORS[-1])
        _set("enabled", "Y")
        for name in _COMPRESSORS:
            with contextlib.suppress(OSError):
                _set("compressor", name)
                if parameters()["compressor"] == name:
                    break
        yield parameters()["compressor"]


def _set(name: str, value: str) -> None:
    path = _PARAMETERS / name
    try:
        path.write_text(value, "ascii")
    except OSError as error:
        raise OSError(error.errno or errno.EINVAL, f"{path} does not take {value!r}") from error
