"""Records of damo, the tool of the kernel's data access monitor (DAMON).

What is known: files of `damo record` and `damo report access --json --raw_number` as json and json_compressed
(json in zlib's format); perf_script, and `perf script` of a perf_data file, which is a line for each event
`damon:damon_aggregated`; and the text of `damo report raw` or `damo report access --raw_form`.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from zpager.errors import ConfigurationError
from zpager.lab.formats.collector import NO_WRITES, Collector, spread_over_pages
from zpager.lab.formats.source import Stream, head, line_batches, opened, read_all
from zpager.lab.trace import Trace

LACKS: Final = (
    "which pages of a region are touched: DAMON looks at one of them, and all count as touched if that was",
    "how often, and in which order: each page of a region counts once for each interval in which DAMON has "
    "seen an access",
    NO_WRITES,
)

_ZLIB = b"\x78"
_PERF_DATA = b"PERFILE2"
_REGION_MOST_BYTES = 1 << 46
_EVENT = re.compile(
    rb"[ \t](?P<seconds>\d+)\.(?P<fraction>\d+):\s+damon:damon_aggregated:\s+target_id=(?P<target>\d+)\s+"
    rb"nr_regions=\d+\s+(?P<start>\d+)-(?P<end>\d+):\s+(?P<accesses>-?\d+)"
)
_OTHER_EVENT = re.compile(rb"[ \t]\d+\.\d+:\s+damon:")
_RAW_REGION = re.compile(rb"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) \([^)]*\)\s+(?P<accesses>-?\d+)\s+-?\d+$")
_RAW_FIELD = re.compile(
    rb"(?P<name>base_time_absolute|monitoring_start|monitoring_end|monitoring_duration|target_id|nr_regions|"
    rb"data source)\s*:\s*(?P<value>.*)$"
)
_UNITS_NS = {
    "ns": 1,
    "us": 1000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_TIME = re.compile(r"\s*(?P<amount>[0-9][0-9,]*(?:\.[0-9]+)?)\s*(?P<unit>ns|us|ms|s|m|h|d)?\b")


def is_like(start: bytes) -> bool:
    """Whether a file begins so."""
    if start.startswith(_PERF_DATA) or _EVENT.search(start) or b"monitoring_start:" in start:
        return True
    if start.startswith(_ZLIB):
        try:
            start = zlib.decompressobj().decompress(start)
        except zlib.error:
            return False
    return start.lstrip().startswith((b"[", b"{")) and b'"snapshots"' in start


class _Region(NamedTuple):
    """Where an access was seen, and until when."""

    target: str
    end_ns: int
    start: int
    end: int


def read(path: str | os.PathLike[str]) -> Trace:
    """The regions of a file in which accesses were seen, page by page. A monitoring target is a thread.

    Files of JSON are read as a whole. Raises ConfigurationError for what is no such file, OSError where it
    cannot be read.
    """
    start = head(path, len(_PERF_DATA))
    if start == _PERF_DATA:
        raise ConfigurationError(
            f"{path} is a perf_data file; what `perf script -i {path}` prints can be read"
        )
    collector = Collector()
    with opened(path) as stream:
        is_json = start.startswith((_ZLIB, b"[", b"{"))
        for region in _of_json(path, read_all(stream)) if is_json else _regions(path, stream):
            _add(path, collector, region)
    return collector.trace(f"damo: {path}", LACKS)


def _add(path: str | os.PathLike[str], collector: Collector, region: _Region) -> None:
    size_bytes = region.end - region.start
    if not 0 <= region.start < 1 << 64 or not 0 < size_bytes <= _REGION_MOST_BYTES:
        raise ConfigurationError(
            f"{path}: a region from {region.start:#x} to {region.end:#x}, which no program can have"
        )
    pages, _ = spread_over_pages(np.array([region.start], np.uint64), np.array([size_bytes], np.uint64))
    number = collector.page_numbers.of(pages)
    moment_ns = np.full(len(number), region.end_ns, np.int64)
    collector.add(region.target, number, None, collector.think_ns(region.target, moment_ns))


def _regions(path: str | os.PathLike[str], stream: Stream) -> Iterator[_Region]:
    """Those of lines of text."""
    lines = 0
    state = _RawState()
    for batch in line_batches(stream):
        for number, line in enumerate(batch.splitlines(), lines + 1):
            try:
                region = state.region(line)
            except ValueError:
                raise ConfigurationError(
                    f"{path}, line {number} is none of damo's: {line[:100].decode(errors='replace')!r}"
                ) from None
            if region is not None:
                yield region
        lines += batch.count(b"\n")


class _RawState:
    """What the lines of text before have told."""

    def __init__(self) -> None:
        self._base_ns = 0
        self._end_ns = 0
        self._target = ""

    def region(self, line: bytes) -> _Region | None:
        """The region of a line, or None if it has none in which anything was seen.

        Raises ValueError for a line of something else.
        """
        if event := _EVENT.search(line):
            if int(event["accesses"]) <= 0:
                return None
            end_ns = int(event["seconds"]) * 10**9 + int(event["fraction"][:9].ljust(9, b"0"))
            return _Region(
                f"target {event['target'].decode()}", end_ns, int(event["start"]), int(event["end"])
            )
        if found := _RAW_REGION.match(line):
            if int(found["accesses"]) <= 0:
                return None
            return _Region(
                f"target {self._target}",
                self._base_ns + self._end_ns,
                int(found["start"], 16),
                int(found["end"], 16),
            )
        if field := _RAW_FIELD.match(line):
            value = field["value"].decode().strip()
            match field["name"]:
                case b"base_time_absolute":
                    self._base_ns = _time_ns(value)
                case b"monitoring_end":
                    self._end_ns = _time_ns(value)
                case b"target_id":
                    self._target = value
            return None
        if line.strip() and not line.startswith(b"#") and not _OTHER_EVENT.search(line):
            raise ValueError(line)
        return None


def _of_json(path: str | os.PathLike[str], text: bytes) -> Iterator[_Region]:
    try:
        if text.startswith(_ZLIB):
            text = zlib.decompress(text)
        records = json.loads(text)
        for record in records:
            for snapshot in record["snapshots"]:
                end_ns = _time_ns(snapshot["end_time"])
                for region in snapshot["regions"]:
                    accesses = region["nr_accesses"]
                    if (accesses.get("samples") or accesses.get("percent") or 0) > 0:
                        yield _Region(
                            f"target {record['target_id']}",
                            end_ns,
                            _number(region["start"]),
                            _number(region["end"]),
                        )
    except (zlib.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{path} is no record of damo's in JSON: {error!r}") from None


def _number(value: object) -> int:
    return int(str(value).replace(",", ""))


def _time_ns(value: object) -> int:
    """A time as damo writes it: nanoseconds as a number, or amounts with units."""
    total = 0
    at = 0
    text = str(value)
    while match := _TIME.match(text, at):
        amount = (
            float(match["amount"].replace(",", "")) if "." in match["amount"] else _number(match["amount"])
        )
        total += round(amount * _UNITS_NS[match["unit"] or "ns"])
        at = match.end()
    if not at or text[at:].strip():
        raise ValueError(f"{text!r} is no time")
    return total
