"""zpager: numpy arrays larger than RAM, through a compressed swap in user space.

>>> import zpager
>>> with zpager.Pager(ram="256MiB", swap="4GiB") as pager:   # doctest: +SKIP
...     table = pager.empty((20_000, 10_000), dtype="f4")    # a plain numpy.ndarray, larger than ram

The map, from what one uses to what it stands on:

- `pager`: `Pager`, which hands out arrays and buffers; `stats`: what it did and where the pages are;
- `sizes`: `"256MiB"` and `"50%"`; `errors`: what can go wrong, and what to do then;
- `swap_directory`, `machine`: where the swap file goes; RAM, cgroup limit, mounts;
- `cli`: the command `zpager`; `doctor`: what this machine allows; `demo`: the contest of `zpager demo`;
- `_core`: the engine, compiled from Rust: faults, reclaim, zcache, unuse, the swap file.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zpager._core import Allocation
from zpager.errors import (
    ClosedError,
    ConfigurationError,
    DeviceError,
    Error,
    LiveArraysWarning,
    OutOfSwap,
    PageLost,
    SwapDirectoryWarning,
    UserfaultfdUnavailable,
)
from zpager.sizes import format_size, parse_size

if TYPE_CHECKING:
    from zpager.pager import Pager
    from zpager.stats import Stats

# Found when they are asked for: the command line does not need them, and starts in the way of every program.
_LAZY = {"Pager": "zpager.pager", "Stats": "zpager.stats"}

__all__ = [
    "Allocation",
    "ClosedError",
    "ConfigurationError",
    "DeviceError",
    "Error",
    "LiveArraysWarning",
    "OutOfSwap",
    "PageLost",
    "Pager",
    "Stats",
    "SwapDirectoryWarning",
    "UserfaultfdUnavailable",
    "format_size",
    "parse_size",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        found = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
