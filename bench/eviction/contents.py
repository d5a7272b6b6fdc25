"""What pages are filled with: a few thousand prepared pages, repeated, each with a stamp of its own.

A page's first word is its stamp: the page's number, and a version that every write to the page changes. The
other words are those of its prototype. So a page that was mixed up with another, an old version of it, and
foreign bytes are all noticed, and what must be there costs a few bytes a page to know.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np

from bench.table import GROUP_WORDS, PAGE_BYTES, WORDS_IN_PAGE, Table, Words
from zpager.demo.data import read_blocks, select_interpreter_files

CHUNK_PAGES = 256
"""Pages that are filled, read or written in one call of numpy, which is what is timed."""

_PROTOTYPES = 4096
_LEAST_FILE_BYTES = 4 << 20
_RANDOM_BYTES = 1, 2, 3, 4
_VERSION_SHIFT = 32
# Random places within a page, for so many chunks; then they come again.
_OFFSET_ROWS = 64


class Pages:
    """An array in pages of 512 words, and what must be in it."""

    def __init__(self, words: Words, prototypes: Words, seed: int) -> None:
        """Take over `words`, which are overwritten by `fill`."""
        self.pages = len(words) // WORDS_IN_PAGE
        self.wrong_words = 0
        """How many words were read that were not what they must be."""
        self._words = words
        self._prototypes = prototypes.reshape(-1, WORDS_IN_PAGE)
        self._flat_prototypes = prototypes.reshape(-1)
        self._stamps = np.arange(self.pages)
        self._version = 0
        self._offsets = np.random.default_rng([seed, 2]).integers(
            1, WORDS_IN_PAGE, (_OFFSET_ROWS, CHUNK_PAGES)
        )
        self._scratch = np.zeros((CHUNK_PAGES, WORDS_IN_PAGE), np.int64)
        self._read_words = np.zeros((2, CHUNK_PAGES), np.int64)

    def fill(self, first: int) -> int:
        """Write all words of a chunk of pages, and return how many pages these were."""
        count = min(CHUNK_PAGES, self.pages - first)
        page = np.arange(first, first + count)
        made = self._scratch[:count]
        # "wrap" instead of "raise": the latter makes numpy work on a copy of `out`.
        np.take(self._prototypes, page % len(self._prototypes), axis=0, out=made, mode="wrap")
        made[:, 0] = self._stamps[first : first + count]
        self._words[first * WORDS_IN_PAGE : (first + count) * WORDS_IN_PAGE] = made.reshape(-1)
        return count

    def read(self, pages: Words) -> None:
        """Read the stamp and one more word of each of up to a chunk of pages, and check them."""
        count = len(pages)
        stamps, words = self._read_words[:, :count]
        offsets = self._offsets[self._version % _OFFSET_ROWS, :count]
        self._version += 1
        heads = pages * WORDS_IN_PAGE
        np.take(self._words, heads, out=stamps, mode="wrap")
        np.take(self._words, heads + offsets, out=words, mode="wrap")
        prototypes = pages % len(self._prototypes)
        expected = self._flat_prototypes[prototypes * WORDS_IN_PAGE + offsets]
        self.wrong_words += int(np.count_nonzero(stamps != self._stamps[pages]))
        self.wrong_words += int(np.count_nonzero(words != expected))

    def write(self, pages: Words) -> None:
        """Give each of up to a chunk of pages a new stamp."""
        self._version += 1
        stamps = (self._version << _VERSION_SHIFT) + pages
        self._stamps[pages] = stamps
        self._words[pages * WORDS_IN_PAGE] = stamps


def make_prototypes(name: str, seed: int) -> Words:
    """The prepared pages of one of `CONTENTS`, as one row of words."""
    return CONTENTS[name](np.random.default_rng([seed, 1]))


def item_bytes(name: str) -> int:
    """By how many bytes pages of these contents are shuffled: bytes of files are not numbers."""
    return 1 if name == "files" else 8


def _table(random: np.random.Generator) -> Words:
    """The benchmark's columns of a shop's orders."""
    table = Table(_PROTOTYPES * WORDS_IN_PAGE // GROUP_WORDS, int(random.integers(1 << 32)))
    words = np.empty(table.words, np.int64)
    for group in range(table.groups):
        table.write_group(group, words[group * GROUP_WORDS : (group + 1) * GROUP_WORDS])
    return words


def _files(_random: np.random.Generator) -> Words:
    """Sources and libraries of the running interpreter."""
    # Every fourth block, so that there is some of everything and not only what comes first.
    selection = select_interpreter_files(4 * _PROTOTYPES * PAGE_BYTES, _LEAST_FILE_BYTES)
    blocks = itertools.islice(read_blocks(selection.pieces), 0, None, 4)
    content = b"".join(blocks)[: _PROTOTYPES * PAGE_BYTES]
    whole_pages = len(content) // PAGE_BYTES
    return np.frombuffer(content[: whole_pages * PAGE_BYTES], np.int64)


def _mixed(random: np.random.Generator, noise_share: float = 0.0) -> Words:
    """Numbers of one to four random bytes, a width for each page; and pages of noise."""
    words = random.integers(-(1 << 63), 1 << 63, (_PROTOTYPES, WORDS_IN_PAGE), np.int64)
    masks = (1 << 8 * random.choice(_RANDOM_BYTES, _PROTOTYPES)) - 1
    masks[random.random(_PROTOTYPES) < noise_share] = -1
    made: Words = words & masks[:, np.newaxis]
    return made.reshape(-1)


CONTENTS: dict[str, Callable[[np.random.Generator], Words]] = {
    "table": _table,
    "files": _files,
    "mixed": _mixed,
    "half noise": partial(_mixed, noise_share=0.5),
}
