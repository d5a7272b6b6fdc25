"""Dense numbers for pages, objects, or whatever has a name of 64 bits, in the order in which they come."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.trace import PAGES_MOST


class PageNumbers:
    """Gives the first key the number 0, the next new one 1, and so on; batch by batch.

    What is known lies in sorted runs, each at least twice as long as the next, as in a log-structured merge
    tree: 12 bytes a page, a few binary searches for each key that a batch has.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._runs: list[tuple[NDArray[np.uint64], NDArray[np.uint32]]] = []
        self.count = 0

    def of(self, keys: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """The number of each key.

        Raises ConfigurationError if there are more than a trace can have.
        """
        encoded = pa.array(keys).dictionary_encode()
        values = encoded.dictionary.to_numpy()
        numbers, is_known = self.find(values)
        is_new = ~is_known
        # Arrow's dictionaries are in the order in which the values come.
        new = values[is_new]
        if self.count + len(new) > PAGES_MOST:
            raise ConfigurationError(
                f"more than {PAGES_MOST} different pages or objects, the most of a trace"
            )
        numbers[is_new] = np.arange(self.count, self.count + len(new), dtype=np.uint32)
        self.count += len(new)
        self._remember(new, numbers[is_new])
        of_each: NDArray[np.uint32] = numbers[encoded.indices.to_numpy()]
        return of_each

    def find(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """The numbers of keys, and which of them have one already; others stay without."""
        numbers = np.zeros(len(keys), np.uint32)
        is_known = np.zeros(len(keys), np.bool_)
        for run_keys, run_numbers in self._runs:
            at = np.minimum(np.searchsorted(run_keys, keys), len(run_keys) - 1)
            found = run_keys[at] == keys
            numbers[found] = run_numbers[at[found]]
            is_known |= found
        return numbers, is_known

    def _remember(self, keys: NDArray[np.uint64], numbers: NDArray[np.uint32]) -> None:
        if not len(keys):
            return
        while self._runs and len(self._runs[-1][0]) < 2 * len(keys):
            older_keys, older_numbers = self._runs.pop()
            keys = np.concatenate((older_keys, keys))
            numbers = np.concatenate((older_numbers, numbers))
        order = np.argsort(keys)
        self._runs.append((keys[order], numbers[order]))
