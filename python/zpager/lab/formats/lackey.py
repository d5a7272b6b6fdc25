"""valgrind's lackey: `valgrind --tool=lackey --trace-mem=yes --log-file=FILE PROGRAM`.

A line an access: ` L`, ` S`, ` M` (load, store, both) or `I ` (an instruction's fetch), the address in
hexadecimal, a comma, the size in bytes. There may be a hundred million lines for a second of the program, so
a batch of them is taken apart by a few operations on whole arrays: eight digits are one word of 64 bits.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.formats.collector import Collector, spread_over_pages
from zpager.lab.formats.source import line_batches, opened
from zpager.lab.trace import Trace

LACKS: Final = (
    "the same page touched several times in a row: that is one access, a write if one of them is",
    "time: each instruction counts as a nanosecond",
    "threads: all are one, in the order in which valgrind runs them, one at a time",
)
NO_INSTRUCTIONS: Final = "pages from which instructions are fetched"
THREAD: Final = "all threads"

_LINE = re.compile(rb"^(?:I  | [LSM] )[0-9a-fA-F]+,[0-9]+$", re.MULTILINE)
# Of valgrind's own messages.
_MESSAGE = re.compile(rb"(?:==|--)[0-9]+(?:==|--)")
_WORD_BYTES = 8
_ADDRESS_OFFSET = 3
_DIGITS_MOST = 16
_SIZE_DIGITS_MOST = 3
_INVALID = 0x80
_ANY_INVALID = np.uint64(0x8080_8080_8080_8080)
_NIBBLES = np.full(256, _INVALID, np.uint8)
_NIBBLES[0] = 0
for _digit in b"0123456789abcdefABCDEF":
    _NIBBLES[_digit] = int(chr(_digit), 16)


def is_like(start: bytes) -> bool:
    """Whether a file begins so."""
    return _LINE.search(start) is not None


class Accesses(NamedTuple):
    """Accesses without repetitions: arrays with an item for each."""

    page: NDArray[np.uint64]
    """The page's address, by 4096."""
    is_write: NDArray[np.bool_]
    instructions: NDArray[np.int64]
    """How many the program had executed before."""

    def part(self, which: slice) -> Accesses:
        """Some of them."""
        return Accesses(self.page[which], self.is_write[which], self.instructions[which])


class Parser:
    """Takes lackey's output apart, batch by batch, and folds what follows on the same page to one access."""

    def __init__(self, *, instruction_fetches: bool = False) -> None:
        """`instruction_fetches`: they are accesses, too."""
        self._instruction_fetches = instruction_fetches
        self.lines = 0
        self.instructions = 0
        self.accesses = 0
        """Before they were folded."""
        self.has_ended = False
        """Whether valgrind has told of the program's end."""
        self._open = Accesses(np.empty(0, np.uint64), np.empty(0, np.bool_), np.empty(0, np.int64))
        """The last access, which may go on in the next batch: an item, or none at first."""

    def parse(self, batch: bytes) -> Accesses:
        """The accesses of whole lines that are known to be over.

        Raises ConfigurationError for a line that is neither lackey's nor a message of valgrind's.
        """
        if not batch.endswith(b"\n"):
            batch += b"\n"
        # The margins are for words that begin before the first line, and for the end of the last.
        text = bytes(_DIGITS_MOST) + batch + bytes(_WORD_BYTES)
        characters = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(characters == ord("\n"))
        starts = np.empty_like(ends)
        starts[0] = _DIGITS_MOST
        starts[1:] = ends[:-1] + 1
        first, second = characters[starts], characters[starts + 1]
        is_fetch = (first == ord("I")) & (second == ord(" "))
        is_store = (second == ord("S")) | (second == ord("M"))
        is_data = (first == ord(" ")) & (is_store | (second == ord("L")))
        self._require_messages(text, starts, ends, ~(is_fetch | is_data))

        chosen = np.flatnonzero(is_data | is_fetch if self._instruction_fetches else is_data)
        address, size_bytes, is_valid = _numbers(text, characters, starts[chosen], ends[chosen])
        if not is_valid.all():
            self._refuse(text, starts, ends, int(chosen[~is_valid][0]))
        executed = self.instructions + np.cumsum(is_fetch)[chosen]
        self.lines += len(starts)
        self.instructions += int(is_fetch.sum())
        self.accesses += len(chosen)
        is_write = (is_store & is_data)[chosen]
        page, of_access = spread_over_pages(address, size_bytes)
        if of_access is not None:
            is_write, executed = is_write[of_access], executed[of_access]
        return self._fold(page, is_write, executed)

    def finish(self) -> Accesses:
        """The last access."""
        last = self._open
        self._open = last.part(slice(0))
        return last

    def _fold(
        self, page: NDArray[np.uint64], is_write: NDArray[np.bool_], executed: NDArray[np.int64]
    ) -> Accesses:
        page = np.concatenate((self._open.page, page))
        is_write = np.concatenate((self._open.is_write, is_write))
        executed = np.concatenate((self._open.instructions, executed))
        if not len(page):
            return self._open
        begins = np.flatnonzero(np.concatenate(([True], page[1:] != page[:-1])))
        folded = Accesses(page[begins], np.logical_or.reduceat(is_write, begins), executed[begins])
        self._open = folded.part(slice(-1, None))
        return folded.part(slice(-1))

    def _require_messages(
        self, text: bytes, starts: NDArray[np.intp], ends: NDArray[np.intp], is_other: NDArray[np.bool_]
    ) -> None:
        for line in np.flatnonzero(is_other):
            if starts[line] != ends[line] and not _MESSAGE.match(text, starts[line]):
                self._refuse(text, starts, ends, int(line))
            self.has_ended |= b" Exit code: " in text[starts[line] : ends[line]]

    def _refuse(self, text: bytes, starts: NDArray[np.intp], ends: NDArray[np.intp], line: int) -> None:
        found = text[starts[line] : ends[line]]
        raise ConfigurationError(
            f"line {self.lines + line + 1} is neither an access of lackey's, such as ' L 1ffeffe7e8,8', nor "
            f"a message of valgrind's: {found[:80].decode(errors='replace')!r}; --log-file= keeps what the "
            "program itself prints out of the file"
        )


def _numbers(
    text: bytes, characters: NDArray[np.uint8], starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]:
    """Address and size of each line, and whether they are numbers."""
    comma = np.zeros_like(ends)
    for size_digits in range(_SIZE_DIGITS_MOST, 0, -1):
        at = ends - (size_digits + 1)
        comma = np.where(characters[at] == ord(","), at, comma)
    digits = comma - starts - _ADDRESS_OFFSET
    is_valid = (digits >= 1) & (digits <= _DIGITS_MOST) & (characters[starts + 2] == ord(" "))
    comma = np.where(is_valid, comma, _DIGITS_MOST)

    low, is_low_valid = _word(text, comma - _WORD_BYTES, digits)
    high, is_high_valid = _word(text, comma - 2 * _WORD_BYTES, digits - _WORD_BYTES)
    is_valid &= is_low_valid & is_high_valid
    size_bytes = np.zeros(len(ends), np.uint64)
    for place in range(_SIZE_DIGITS_MOST):
        at = ends - (place + 1)
        digit = _NIBBLES[characters[at]]
        is_there = at > comma
        is_valid &= ~is_there | (digit <= 9)
        size_bytes += np.where(is_there, digit, 0).astype(np.uint64) * np.uint64(10**place)
    return high << np.uint64(32) | low, size_bytes, is_valid


def _word(
    text: bytes, at: NDArray[np.intp], digits: NDArray[np.intp]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The last so many (0 to 8) of the eight characters there, as hexadecimal digits."""
    words = np.ndarray(len(text) - _WORD_BYTES + 1, "<u8", text, strides=(1,))
    others = np.uint64(8) * np.clip(_WORD_BYTES - digits, 0, _WORD_BYTES).astype(np.uint64)
    # A shift by 64 is not defined; by 32 twice it is.
    half = others >> np.uint64(1)
    word = words[at] >> half >> half << half << half
    word = _NIBBLES[word.view(np.uint8)].view("<u8")
    is_valid = (word & _ANY_INVALID) == 0
    # Each round puts neighbours together; the first character, the lowest byte, counts most.
    for shift, mask in ((4, 0x00FF_00FF_00FF_00FF), (8, 0x0000_FFFF_0000_FFFF), (16, 0xFFFF_FFFF)):
        word = (word << np.uint64(shift) | word >> np.uint64(2 * shift)) & np.uint64(mask)
    return word, is_valid


def read(path: str | os.PathLike[str], *, instruction_fetches: bool = False) -> Trace:
    """The accesses of a file, maybe compressed, folded to pages.

    Raises ConfigurationError for lines that are something else, OSError where it cannot be read.
    """
    collector = Collector()
    parser = Parser(instruction_fetches=instruction_fetches)

    def add(accesses: Accesses) -> None:
        collector.add(
            THREAD,
            collector.page_numbers.of(accesses.page),
            accesses.is_write,
            collector.think_ns(THREAD, accesses.instructions),
        )

    with opened(path) as stream:
        try:
            for batch in line_batches(stream):
                add(parser.parse(batch))
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None
    add(parser.finish())
    lacks = LACKS if instruction_fetches else (*LACKS, NO_INSTRUCTIONS)
    return collector.trace(f"lackey: {path}", lacks)
