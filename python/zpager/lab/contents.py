"""What the pages of a running program come to when they are compressed."""

from __future__ import annotations

import os
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from zpager._core import zpage_bytes
from zpager.lab.growing import Growing
from zpager.lab.trace import UNKNOWN_BYTES
from zpager.options import CODECS
from zpager.sizes import PAGE_BYTES

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
        self._due = Growing(np.uint32, 0)
        self._looks = Growing(np.uint8, 0)
        self._sizes: dict[str, Growing[np.uint16]] = {
            codec: Growing(np.uint16, UNKNOWN_BYTES) for codec in CODECS
        }

    def look(self, address: NDArray[np.uint64], page: NDArray[np.uint32]) -> None:
        """Look at those pages of a batch of accesses that are due. `address` is the page's by 4096, `page`
        its number."""
        if not len(page):
            return
        self._batch += 1
        pages, at = np.unique(page, return_index=True)
        due, looks = self._due.upto(int(pages[-1]) + 1), self._looks.upto(int(pages[-1]) + 1)
        at = at[(due[pages] <= self._batch) & (address[at] < _PAGES_MOST)]
        seen, text = [], []
        for number, place in zip(page[at].tolist(), address[at].tolist(), strict=True):
            if contents := self._read(place):
                seen.append(number)
                text.append(contents)
        if seen:
            for codec, sizes in zpage_bytes(b"".join(text), ITEM_BYTES).items():
                self._sizes[codec].upto(int(pages[-1]) + 1)[seen] = sizes
            looks[seen] = np.minimum(looks[seen] + 1, _LOOKS_MOST)
            due[seen] = self._batch + (np.uint32(1) << looks[seen].astype(np.uint32))

    def zpage_bytes(self, page_count: int) -> dict[str, NDArray[np.uint16]]:
        """By codec what each page came to when it was looked at last."""
        return {codec: sizes.upto(page_count) for codec, sizes in self._sizes.items()}

    def lacks(self, page_count: int) -> tuple[str, ...]:
        """The words for `Trace.lacks`. Nothing is looked at any more."""
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None
        unseen = int((self._looks.upto(page_count) == 0).sum())
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
