"""`perf script` with the addresses of data.

What is known: `perf script -F comm,tid,time,event,addr` of `perf record -d`, also with `pid`, `cpu`, `period`
and with `ip` and what follows it; and the trace points `exceptions:page_fault_user` and `page_fault_kernel`
as perf prints them by default, which also tell whether it was a write.
"""

from __future__ import annotations

import os
import re
from typing import Final

import numpy as np

from zpager.errors import ConfigurationError
from zpager.lab.formats.collector import NO_WRITES, Collector, spread_over_pages
from zpager.lab.formats.source import line_batches, opened
from zpager.lab.trace import Trace

_BEGINNING = (
    rb"^[ \t]*(?P<command>\S.{0,63}?)[ \t]+(?:-?\d+/)?(?P<thread>-?\d+)[ \t]+(?:\[\d+\][ \t]+)?"
    rb"(?P<seconds>\d+)\.(?P<fraction>\d+):[ \t]+(?:\d+[ \t]+)?(?P<event>[^\s:]\S*?):[ \t]+"
)
# A number alone is an address of data; one with a symbol is an instruction's, unless another follows.
_ADDRESS = (
    rb"(?:(?P<data>[0-9a-f]+)(?=[ \t]*$|(?:[ \t]+\S+)*?[ \t]+[0-9a-f]{8,16}(?:[ \t]|$))"
    rb"|address=(?:0x)?(?P<fault>[0-9a-f]+)"
)
_FAULT = rb"[ \t]+ip=\S+[ \t]+error_code=(?:0x)?(?P<code>[0-9a-f]+))"
_SAMPLE = re.compile(_BEGINNING + _ADDRESS + _FAULT, re.MULTILINE)
_ANY_SAMPLE = re.compile(_BEGINNING, re.MULTILINE)
# Call chains, empty lines, and comments.
_PASSED_OVER = re.compile(rb"^(?:[ \t]+[0-9a-f]+ .*|[ \t]*|#.*)$", re.MULTILINE)
_FRACTION_DIGITS = 9
# Of the processor's error code for page faults.
_WRITE_BIT = 2
_STORES = re.compile(rb"stores?\b|:w\b")

LACKS: Final = (
    "accesses that were not sampled, or that raised no event: with page-faults only those of pages that were "
    "not mapped",
    "what is shared: the same address in two processes counts as one page",
)


def is_like(start: bytes) -> bool:
    """Whether a file begins so."""
    return _ANY_SAMPLE.search(start) is not None


def read(path: str | os.PathLike[str]) -> Trace:
    """The samples of a file, maybe compressed.

    Raises ConfigurationError for lines that are something else, and for samples without addresses; OSError
    where the file cannot be read.
    """
    collector = Collector()
    names: dict[bytes, str] = {}
    lines = 0
    knows_writes = True
    with opened(path) as stream:
        for batch in line_batches(stream):
            samples = []
            end = 0
            for match in _SAMPLE.finditer(batch):
                if match.start() != end:
                    _require_nothing_else(path, batch, end, match.start(), lines)
                end = batch.find(b"\n", match.end()) + 1 or len(batch)
                samples.append(match)
            _require_nothing_else(path, batch, end, len(batch), lines)
            lines += batch.count(b"\n")
            knows_writes &= _add(collector, samples, names)
    return collector.trace(f"perf script: {path}", LACKS if knows_writes else (*LACKS, NO_WRITES))


def _add(collector: Collector, samples: list[re.Match[bytes]], names: dict[bytes, str]) -> bool:
    """Add samples; whether all of them tell if they are writes."""
    if not samples:
        return True
    address = np.array([int(match["data"] or match["fault"], 16) for match in samples], np.uint64)
    page, _ = spread_over_pages(address, np.ones(len(address), np.uint64))
    number = collector.page_numbers.of(page)
    moment_ns = np.array(
        [
            int(match["seconds"]) * 10**_FRACTION_DIGITS
            + int(match["fraction"][:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, b"0"))
            for match in samples
        ],
        np.int64,
    )
    is_write = np.array(
        [
            bool(int(match["code"], 16) & _WRITE_BIT)
            if match["code"]
            else bool(_STORES.search(match["event"]))
            for match in samples
        ],
        np.bool_,
    )
    threads = np.array([int(match["thread"]) for match in samples], np.int64)
    for thread in dict.fromkeys(threads.tolist()):
        its = threads == thread
        first = samples[int(np.flatnonzero(its)[0])]
        name = names.setdefault(
            first["thread"], f"{first['command'].decode(errors='replace')} {first['thread'].decode()}"
        )
        collector.add(name, number[its], is_write[its], collector.think_ns(name, moment_ns[its]))
    return all(match["code"] or b"mem-" in match["event"] for match in samples)


def _require_nothing_else(
    path: str | os.PathLike[str], batch: bytes, start: int, end: int, lines: int
) -> None:
    """Raise ConfigurationError for lines from start to end that are no call chains, no comments, and not
    empty. `lines`: how many came before the batch."""
    for line in batch[start:end].splitlines(keepends=True):
        start += len(line)
        is_sample = _ANY_SAMPLE.match(line)
        if not is_sample and _PASSED_OVER.match(line):
            continue
        number = lines + batch.count(b"\n", 0, start - 1) + 1
        shown = line[:100].decode(errors="replace").rstrip()
        if is_sample:
            raise ConfigurationError(
                f"{path}, line {number}: a sample without the address of its data; record with `perf record "
                f"-d` and print with `perf script -F comm,tid,time,event,addr`: {shown!r}"
            )
        raise ConfigurationError(
            f"{path}, line {number} is none of perf script's as `-F comm,tid,time,event,addr` has them: "
            f"{shown!r}"
        )
