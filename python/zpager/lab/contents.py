"""What the pages of a running program come to when they are compressed."""

from __future__ import annotations

import os
from typing import Final, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from zpager._core import zpage_bytes
from zpager.lab.trace import UNKNOWN_BYTES
from zpager.options import Codec
from zpager.stats import PAGE_BYTES

CODECS: Final[tuple[str, ...]] = get_args(Codec)
ITEM_BYTES: Final = 8
"""As under `zpager run`: nobody knows what a program keeps where, and words are the best guess."""

_PAGES_MOST = 1 << (47 - 12)
_LOOKS_MOST = 6


class HasProcess(Protocol):
    """What tells whose memory it is."""

    process: int


class Contents:
    """Looks at pages in the memory of a process, soon after it has touched them: the first time, and then
    ever more rarely, at last after 64 batches of accesses."""

    def __init__(self, running: HasProcess) -> None:
        """`running`: its process may not have begun."""
        self._running = running
        self._memory: int | None = None
        self._why_not = ""
        self._batch = 0
        self._due = np.zeros(0, np.uint32)
        self._looks = np.zeros(0, np.uint8)

    def sizes(self, address: NDArray[np.uint64], page: NDArray[np.uint32]) -> dict[str, NDArray[np.uint16]]:
        """By codec, an item for each access: the size of its page if it was looked at, and
        `UNKNOWN_BYTES`.

        `address` is that of the page by 4096, `page` its number.
        """
        found = {codec: np.full(len(page), UNKNOWN_BYTES, np.uint16) for codec in CODECS}
        if not len(page):
            return found
        self._grow(int(page.max()) + 1)
        self._batch += 1
        pages, at = np.unique(page, return_index=True)
        at = at[(self._due[pages] <= self._batch) & (address[at] < _PAGES_MOST)]
        looked_at, text = [], []
        for access, place in zip(at.tolist(), address[at].tolist(), strict=True):
            if contents := self._read(place):
                looked_at.append(access)
                text.append(contents)
        if looked_at:
            for codec, sizes in zpage_bytes(b"".join(text), ITEM_BYTES).items():
                found[codec][looked_at] = sizes
            seen = page[looked_at]
            self._looks[seen] = np.minimum(self._looks[seen] + 1, _LOOKS_MOST)
            self._due[seen] = self._batch + (np.uint32(1) << self._looks[seen].astype(np.uint32))
        return found

    def lacks(self, page_count: int) -> tuple[str, ...]:
        """The words for `Trace.lacks`."""
        self._grow(page_count)
        unseen = int((self._looks[:page_count] == 0).sum())
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None
        words = ("how sizes change: a page's is that of its contents when they were looked at last",)
        if unseen:
            reason = self._why_not or "they were gone before anybody could look"
            return (*words, f"sizes of {unseen} of {page_count} pages: {reason}")
        return words

    def _read(self, place: int) -> bytes | None:
        try:
            if self._memory is None:
                self._memory = os.open(f"/proc/{self._running.process}/mem", os.O_RDONLY | os.O_CLOEXEC)
            contents = os.pread(self._memory, PAGE_BYTES, place * PAGE_BYTES)
        except FileNotFoundError:  # the process has ended
            return None
        except PermissionError as error:
            self._why_not = f"the memory of the process cannot be read ({error.strerror})"
            return None
        except OSError:  # nothing is mapped there any more
            return None
        return contents if len(contents) == PAGE_BYTES else None

    def _grow(self, page_count: int) -> None:
        if page_count > len(self._due):
            more = max(page_count, 2 * len(self._due)) - len(self._due)
            self._due = np.concatenate((self._due, np.zeros(more, np.uint32)))
            self._looks = np.concatenate((self._looks, np.zeros(more, np.uint8)))
