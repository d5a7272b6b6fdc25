"""libCacheSim's csv: a request a line, with whatever columns, and a header or not."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.formats.collector import NO_WRITES, Collector
from zpager.lab.formats.requests import add_requests, what_requests_lack
from zpager.lab.formats.source import BATCH_BYTES, head, opened
from zpager.lab.trace import Trace

_SECTOR_BYTES = 512
_NAMES = {
    "time": {"time", "timestamp", "clock_time", "ts"},
    "object": {"object", "obj", "obj_id", "object_id", "id", "key"},
    "size": {"size", "obj_size", "object_size", "req_size", "value_size", "length"},
    "operation": {"op", "operation", "cmd", "command", "type"},
}
# Places on a disk, in sectors.
_BLOCK_NAMES = {"lbn", "lba"}
# Words of block traces, of memcached's protocol, and the codes of SCSI commands.
_READS = {"r", "read", "get", "gets", "08", "28", "88", "a8"}
_WRITES = {
    *("w", "write", "set", "put", "add", "replace", "cas", "append", "prepend", "incr", "decr", "delete"),
    *("0a", "2a", "8a", "aa"),
}


@dataclass(frozen=True)
class Columns:
    """Where things stand in a line; columns are counted from 1 on, and None is one that is not there.

    As text, as libCacheSim writes it: `time-col=1, obj-id-col=2, obj-size-col=3, op-col=4, has-header=true,
    delimiter=;, obj-id-is-num=true`.
    """

    object: int
    time: int | None = None
    size: int | None = None
    operation: int | None = None
    has_header: bool = False
    delimiter: str = ","
    is_number: bool = True
    """Whether objects are numbers, not any text."""
    block_bytes: int | None = None

    @classmethod
    def parse(cls, text: str, guessed: Columns | None) -> Columns:
        """From text; what it leaves out is as guessed.

        Raises ConfigurationError for text that says nothing of the kind.
        """
        columns = {"time-col": "time", "obj-id-col": "object", "obj-size-col": "size", "op-col": "operation"}
        switches = {"has-header": "has_header", "obj-id-is-num": "is_number"}
        found: dict[str, object] = {}
        for part in re.split(r",(?!,|$)\s*", text):
            name, _, value = (word.strip(" ") for word in part.partition("="))
            if name in columns and value.isdecimal():
                found[columns[name]] = int(value) or None
            elif name in switches and value.lower() in {"true", "false", "1", "0"}:
                found[switches[name]] = value.lower() in {"true", "1"}
            elif name == "delimiter" and len(value.replace("\\t", "\t")) == 1:
                found["delimiter"] = value.replace("\\t", "\t")
            else:
                raise ConfigurationError(
                    f"columns={text!r}: {part!r} is none of time-col, obj-id-col, obj-size-col, op-col (a "
                    "number, counted from 1 on), has-header, obj-id-is-num (true or false), delimiter (a "
                    "character)"
                )
        if guessed is None:
            if not found.get("object"):
                raise ConfigurationError(f"columns={text!r}: say which column has the objects by obj-id-col=")
            return cls(**found)  # type: ignore[arg-type]
        return replace(guessed, **found)  # type: ignore[arg-type]


def read(path: str | os.PathLike[str], columns: str = "", block_bytes: int | None = None) -> Trace:
    """The requests of a file, maybe compressed.

    `columns` as text, as in `Columns`; what it leaves out is guessed from the first lines. `block_bytes`: as
    `zpager.lab.formats.open_trace` says. Raises ConfigurationError for lines that are something else, OSError
    where the file cannot be read.
    """
    layout, count = _layout(path, columns)
    block_bytes = block_bytes or layout.block_bytes
    collector = Collector()
    places = _Places()
    with opened(path) as stream:
        try:
            for batch in _open(stream, layout, count):
                _add(collector, places, batch, layout, block_bytes)
        except pa.ArrowInvalid as error:
            raise ConfigurationError(f"{path}: {error}") from None
        except (OverflowError, _Unfit) as error:
            raise ConfigurationError(f"{path}: {error}") from None
    if layout.time:
        collector.spread_seconds()
    lacks = [*what_requests_lack(block_bytes)]
    if not layout.time:
        lacks[-1] = "when anything happens"
    if not layout.operation:
        lacks.append(NO_WRITES)
    return collector.trace(f"csv: {path}", tuple(lacks))


class _Unfit(Exception):
    """What stands in a column cannot be what it should be."""


class _Places:
    """A number for each text that names an object."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, names: pa.Array) -> NDArray[np.uint64]:
        encoded = names.dictionary_encode()
        numbers = [
            self._numbers.setdefault(name, len(self._numbers)) for name in encoded.dictionary.to_pylist()
        ]
        keys: NDArray[np.uint64] = np.array(numbers, np.uint64)[encoded.indices.to_numpy()]
        return keys


def _open(stream: object, layout: Columns, count: int) -> pyarrow.csv.CSVStreamingReader:
    names = [str(number) for number in range(1, count + 1)]
    types = {str(layout.object): pa.uint64() if layout.is_number else pa.string()}
    for column, kind in (
        (layout.time, pa.float64()),
        (layout.size, pa.uint64()),
        (layout.operation, pa.string()),
    ):
        if column:
            types[str(column)] = kind
    return pyarrow.csv.open_csv(
        pa.PythonFile(stream, "r"),
        # Threads would lose the numbers of rows that are wrong.
        pyarrow.csv.ReadOptions(
            use_threads=False, block_size=BATCH_BYTES, column_names=names, skip_rows=int(layout.has_header)
        ),
        pyarrow.csv.ParseOptions(delimiter=layout.delimiter),
        pyarrow.csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[], strings_can_be_null=False
        ),
    )


def _add(
    collector: Collector,
    places: _Places,
    batch: pa.RecordBatch,
    layout: Columns,
    block_bytes: int | None,
) -> None:
    names = batch.column(str(layout.object))
    objects = names.to_numpy() if layout.is_number else places.of(names)
    seconds = np.zeros(len(objects), np.uint32)
    if layout.time:
        moments = batch.column(str(layout.time)).to_numpy()
        if not ((moments >= 0) & (moments < 1 << 32)).all():
            raise _Unfit(f"column {layout.time} has times that are no seconds from 0 to 2^32")
        seconds = moments.astype(np.uint32)
    sizes = batch.column(str(layout.size)).to_numpy() if layout.size else np.ones(len(objects), np.uint64)
    is_write = _writes(batch.column(str(layout.operation)), layout.operation) if layout.operation else None
    add_requests(
        collector,
        objects=objects,
        size_bytes=sizes,
        is_write=is_write,
        seconds=seconds,
        block_bytes=block_bytes,
    )


def _writes(operations: pa.Array, column: int) -> NDArray[np.bool_]:
    encoded = pc.utf8_lower(pc.utf8_trim_whitespace(operations)).dictionary_encode()
    words = encoded.dictionary.to_pylist()
    unknown = [word for word in words if word not in _READS | _WRITES]
    if unknown:
        raise _Unfit(
            f"column {column} has {unknown[0]!r} as operation; known are "
            f"{', '.join(sorted(_READS | _WRITES))}; op-col=0 leaves the column out"
        )
    of_each: NDArray[np.bool_] = np.array([word in _WRITES for word in words])[encoded.indices.to_numpy()]
    return of_each


def _layout(path: str | os.PathLike[str], text: str) -> tuple[Columns, int]:
    """The layout of the lines, and how many columns they have."""
    lines = head(path, 1 << 16).decode(errors="replace").splitlines()
    if not lines:
        raise ConfigurationError(f"{path} is empty")
    # A header is known by its time or object, or the mark of a comment, being no number.
    delimiter = Columns.parse(text, Columns(1)).delimiter if "delimiter" in text else _delimiter(lines[0])
    first = [field.strip() for field in lines[0].split(delimiter)]
    second = [field.strip() for field in lines[1].split(delimiter)] if len(lines) > 1 else first
    guessed = _guess(first, second, delimiter)
    layout = Columns.parse(text, guessed) if text else guessed
    if layout is None:
        raise ConfigurationError(
            f"{path}: nothing tells which column is what; say so by columns='time-col=1, obj-id-col=2, "
            f"obj-size-col=3'; its first line is {lines[0][:80]!r}"
        )
    row = second if layout.has_header else first
    largest = max(column or 0 for column in (layout.object, layout.time, layout.size, layout.operation))
    if layout.object < 1 or largest > len(row):
        raise ConfigurationError(
            f"{path}: a line has {len(row)} columns, and column {largest} is asked for: {lines[-1][:80]!r}"
        )
    if "obj-id-is-num" not in text:
        layout = replace(layout, is_number=row[layout.object - 1].isdecimal())
    return layout, len(row)


def _delimiter(line: str) -> str:
    # A space may also follow another delimiter.
    return next((character for character in ",;\t| " if character in line), ",")


def _guess(first: list[str], second: list[str], delimiter: str) -> Columns | None:
    names = [field.lstrip("#").strip().lower().replace("-", "_").replace(" ", "_") for field in first]
    found = {
        what: next((number for number, name in enumerate(names, 1) if name in known), None)
        for what, known in _NAMES.items()
    }
    block = next((number for number, name in enumerate(names, 1) if name in _BLOCK_NAMES), None)
    if block or found["object"]:
        return Columns(
            object=block or found["object"] or 0,
            time=found["time"],
            size=found["size"],
            operation=found["operation"],
            has_header=True,
            delimiter=delimiter,
            block_bytes=_SECTOR_BYTES if block else None,
        )
    # Without names: libCacheSim's own order.
    if len(second) >= 3 and second[0].isdecimal() and second[2].isdecimal():
        has_header = first[0].startswith("#") or not first[0].isdecimal()
        return Columns(object=2, time=1, size=3, has_header=has_header, delimiter=delimiter)
    return None
