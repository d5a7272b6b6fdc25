"""What pages hold, for scenarios: not the bytes, only what they compress to under each codec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from zpager import _core
from zpager.errors import ConfigurationError
from zpager.options import CODECS
from zpager.sizes import PAGE_BYTES

MEASURED: Final = "drawn_pages.json"
"""The file beside this one that `python -m bench.lab_pages` writes."""


@dataclass(frozen=True, eq=False)
class Contents:
    """Some pages, of which all others are drawn, each as likely as the next."""

    zpage_bytes: Mapping[str, NDArray[np.uint16]]
    """By codec, what each of these pages compresses to, as `Trace.zpage_bytes` has it."""

    @classmethod
    def of(cls, pages: bytes, item_bytes: int = 1) -> Self:
        """As the engine would compress these bytes, whole pages of 4096, if they were items of that size.

        Raises ConfigurationError for no whole number of pages, and for none.
        """
        if not pages:
            raise ConfigurationError("contents of no pages: give one at least")
        by_codec = _core.zpage_bytes(pages, item_bytes)
        return cls({codec: np.array(sizes, np.uint16) for codec, sizes in by_codec.items()})

    def draw(self, count: int, random: np.random.Generator) -> dict[str, NDArray[np.uint16]]:
        """So many pages."""
        drawn = random.integers(len(next(iter(self.zpage_bytes.values()))), size=count)
        return {codec: sizes[drawn] for codec, sizes in self.zpage_bytes.items()}


def named(name: str) -> Contents:
    """Contents by their name.

    `table` and `numbers` are columns of int64 as `make bench` and `make eviction` have them, `files` are
    libraries and sources of the interpreter, `half noise` are numbers of which each second page is noise,
    `noise` does not get smaller, and `zeros` takes no room at all.

    Raises ConfigurationError for a name that is none.
    """
    known = _known()
    if name not in known:
        raise ConfigurationError(f"contents={name!r}: choose one of {', '.join(map(repr, known))}")
    return known[name]


@cache
def _known() -> dict[str, Contents]:
    """All that have names. The measured ones are 256 pages each, evenly picked from 4096 by their size."""
    measured = json.loads(files("zpager.lab").joinpath(MEASURED).read_text("utf-8"))
    constant = {"noise": PAGE_BYTES, "zeros": 0}
    sizes = measured | {name: dict.fromkeys(CODECS, [size]) for name, size in constant.items()}
    return {
        name: Contents({codec: np.array(values, np.uint16) for codec, values in by_codec.items()})
        for name, by_codec in sizes.items()
    }
