"""Sizes as people write them: `"256MiB"`, `"1.5 GB"`, `"50%"`, `1 << 30`.

`K M G T` and `KiB MiB GiB TiB` are powers of 1024, `KB MB GB TB` powers of 1000, whatever the case of the
letters.
"""

from __future__ import annotations

import math
import operator
import re
from typing import Final, SupportsIndex, TypeAlias

from zpager.errors import ConfigurationError
from zpager.machine import memory_limit_bytes

PAGE_BYTES: Final = 4096

Size: TypeAlias = str | SupportsIndex | float
"""What is taken as a size: text with a unit, text in per cent, or a plain number of bytes."""

_ACCEPTED = (
    "give bytes as a number, or text such as '256MiB', '1.5 G' (K M G T and KiB MiB GiB TiB are binary, "
    "KB MB GB TB decimal), or '50%'"
)
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_UNIT_BYTES = {
    "": 1,
    "b": 1,
    **{letter: 1024**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
}
_PATTERN = re.compile(r"(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))?\s*(?P<unit>%|[a-z]*)", re.ASCII)
_LARGEST_BYTES = (1 << 63) - 1


def parse_size(value: Size, *, whole: int | None = None) -> int:
    """Turn a size as people write it into bytes, rounded down.

    A per cent is a share of `whole` bytes; by default of the RAM that this process can have, which is the
    smaller of the machine's and the cgroup's limit.

    >>> parse_size("256MiB"), parse_size("1.5 kb"), parse_size("50%", whole=4096), parse_size(4096)
    (268435456, 1500, 2048, 4096)

    Raises ConfigurationError for anything that is no size, and for sizes below one byte or beyond 2^63 - 1.
    """
    if isinstance(value, str):
        size = _parse_text(value, whole)
    elif isinstance(value, bool):
        raise ConfigurationError(f"{value!r} is not a size: {_ACCEPTED}")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigurationError(f"{value!r} is not a size: {_ACCEPTED}")
        size = int(value)
    else:
        try:
            size = operator.index(value)
        except TypeError:
            raise ConfigurationError(f"{value!r} is not a size: {_ACCEPTED}") from None
    if not 1 <= size <= _LARGEST_BYTES:
        raise ConfigurationError(f"{value!r} is {size} bytes, but a size is 1 to 2^63 - 1 bytes: {_ACCEPTED}")
    return size


def _parse_text(text: str, whole: int | None) -> int:
    match = _PATTERN.fullmatch(text.strip().lower())
    if match is None or match["unit"] not in {*_UNIT_BYTES, "%"}:
        raise ConfigurationError(f"{text!r} is not a size: {_ACCEPTED}")
    fraction = match["fraction"] or ""
    # Integers throughout, so that no size, however large, is off by a rounding.
    digits: int = int(match["whole"] + fraction)
    divisor: int = 10 ** len(fraction)
    if match["unit"] == "%":
        unit_bytes = memory_limit_bytes() if whole is None else whole
        divisor *= 100
    else:
        unit_bytes = _UNIT_BYTES[match["unit"]]
    return digits * unit_bytes // divisor


def format_size(size_bytes: int) -> str:
    """Bytes in the largest binary unit that fits, to one decimal; a sign is kept.

    >>> format_size(268435456), format_size(800_000_000), format_size(12), format_size(-2048)
    ('256 MiB', '762.9 MiB', '12 B', '-2 KiB')
    """
    amount = abs(size_bytes)
    power = 0
    # Compare what will be shown: 1023.96 KiB rounds to 1024 KiB, which is to be read as 1 MiB.
    while power < len(_BINARY_UNITS) - 1 and round(amount / 1024**power, 1) >= 1024:
        power += 1
    text = f"{amount / 1024**power:.1f}".removesuffix(".0")
    return f"{'-' if size_bytes < 0 else ''}{text} {_BINARY_UNITS[power]}"
