"""An array with an item for each page, while nobody knows how many there will be."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

_Item = TypeVar("_Item", bound=np.generic)


class Growing(Generic[_Item]):
    """Grows by doubling; new items have the value that it was made with."""

    def __init__(self, kind: type[_Item], value: int) -> None:
        """Without an item."""
        self._items: NDArray[_Item] = np.empty(0, kind)
        self._value = value

    def upto(self, count: int) -> NDArray[_Item]:
        """The first so many items, to be read and written until it grows again."""
        if count > len(self._items):
            new = np.full(max(count, 2 * len(self._items)), self._value, self._items.dtype)
            new[: len(self._items)] = self._items
            self._items = new
        return self._items[:count]
