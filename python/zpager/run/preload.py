"""The environment in which the preloaded library finds itself and what it is to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import zpager
from zpager.options import Options

LIBRARY = Path(zpager.__file__).with_name("libzpager_preload.so")
VARIABLE = "ZPAGER_PRELOAD"
_LD_PRELOAD = "LD_PRELOAD"


def environment(
    options: Options,
    *,
    min_size_bytes: int,
    ledger: str,
    follow: bool,
    report_directory: str,
    report_every_seconds: float,
    inherited: Mapping[str, str],
    record: str = "",
) -> dict[str, str]:
    """The environment for the program: `inherited`, the library before all others, and what it is to do.
    `record`: the path of a pipe for what the pagers do (`zpager.lab.record_pager`)."""

    def text(value: int | None) -> str:
        return "auto" if value is None else str(value)

    wanted = {
        "ram": options.ram_bytes,
        "swap": options.swap_bytes,
        "swap_dir": options.swap_directory,
        "codec": options.codec,
        "pool": options.pool,
        "policy": options.policy,
        "pool_limit": text(options.pool_limit_bytes),
        "reserve": text(options.reserve_bytes),
        "eviction": options.eviction,
        "faults": options.faults,
        "readahead_pages": options.readahead_pages,
        "encrypt": str(options.encrypt).lower(),
        "io": options.io,
        "min_size": min_size_bytes,
        "ledger": ledger,
        "follow": str(follow).lower(),
        "report_dir": report_directory,
        "report_every_ms": int(report_every_seconds * 1000),
        "record": record,
    }
    others = inherited.get(_LD_PRELOAD, "")
    return {
        **inherited,
        _LD_PRELOAD: f"{LIBRARY}:{others}" if others else str(LIBRARY),
        VARIABLE: ";".join(f"{name}={value}" for name, value in wanted.items()),
    }
