"""How much RAM the kernel says that this process uses; the pager's own figures are checked against it."""

from __future__ import annotations

import contextlib


class ResidentPeak:
    """The growth of this process's resident memory at its highest, from the moment this object is made.

    It reads `VmHWM`, which the kernel keeps itself, so that no peak between two looks is missed.
    """

    def __init__(self) -> None:
        """Begin at the memory of now."""
        # "5" resets VmHWM to the present. Where that is refused, an earlier peak can make the growth look
        # larger, never smaller.
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        self._start_bytes = _status_bytes("VmRSS")

    def growth_bytes(self) -> int:
        """The highest growth so far, in bytes."""
        return _status_bytes("VmHWM") - self._start_bytes


def _status_bytes(name: str) -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
