"""Measures what the lab's named contents compress to: `python -m bench.lab_pages`.

256 pages of each, evenly picked from the benchmark's prototypes in the order of their sizes, so that they
are as large as the whole is; the sizes under both codecs are those of one page.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import zpager.lab.drawn_pages as lab
from bench.eviction.contents import CONTENTS, item_bytes, make_prototypes

_SEED = 2012
_PICKED = 256
_NAMES = {"table": "table", "files": "files", "numbers": "mixed", "half noise": "half noise"}
"""Those of the lab, and of `bench.eviction`."""


def measure() -> dict[str, dict[str, list[int]]]:
    """Sizes by codec, by the name of the contents."""
    assert set(_NAMES.values()) <= set(CONTENTS)
    found = {}
    for name, prototypes in _NAMES.items():
        pages = make_prototypes(prototypes, _SEED).tobytes()
        sizes = lab.Contents.of(pages, item_bytes(prototypes)).zpage_bytes
        order = np.argsort(sizes["lz4"], kind="stable")
        places = (np.arange(_PICKED) * 2 + 1) * len(order) // (2 * _PICKED)
        found[name] = {codec: those[order[places]].tolist() for codec, those in sizes.items()}
    return found


if __name__ == "__main__":
    Path(lab.__file__).with_name(lab.MEASURED).write_text(json.dumps(measure()) + "\n", "utf-8")
