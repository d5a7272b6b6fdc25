"""Memory at plain addresses: what zpager and the kernel provide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.table import GROUP_WORDS, Words


class Flat:
    """A store in one array. Every access is numpy's, in a compiled loop."""

    def __init__(self, words: Words) -> None:
        """Use that memory."""
        self._words = words

    def write(self, group: int, make: Callable[[Words], None]) -> None:
        """Straight into its place."""
        make(self._words[group * GROUP_WORDS : (group + 1) * GROUP_WORDS])

    read = modify = write

    def take(self, indices: Words, out: Words) -> None:
        """By one call, which lets other threads run."""
        # "wrap" instead of "raise": the latter makes numpy work on a copy of `out`.
        np.take(self._words, indices, out=out, mode="wrap")

    def put(self, indices: Words, words: Words) -> None:
        """By one call."""
        self._words[indices] = words
