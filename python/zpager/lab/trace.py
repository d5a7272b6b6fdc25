"""Traces: which pages threads touch, one after another, and the Parquet file that holds them.

`docs/lab.md` documents the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.whole_file import place_beside
from zpager.sizes import PAGE_BYTES

SCHEMA_VERSION: Final = 1
"""Of the file; a column that goes or changes its meaning is a new version, one that is added is not."""
UNKNOWN_BYTES: Final = 0xFFFF
"""Stands in `Trace.zpage_bytes` for a page of which nobody knows what it compresses to."""
LONGEST_THINK_NS: Final = 0xFFFF_FFFF
ASLEEP_NS: Final = 100_000_000
"""Whoever thinks for longer than that between two accesses is asleep."""
PAGES_MOST: Final = 1 << 31
THREADS_MOST: Final = 1 << 16

_METADATA = b"zpager.trace"
_ZPAGE_BYTES = "zpage_bytes_"
_COLUMNS = {"thread": pa.uint16(), "page": pa.uint32(), "is_write": pa.bool_(), "think_ns": pa.uint32()}
_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class ThreadTrace:
    """What one thread does: three arrays, an item for each access."""

    name: str
    page: NDArray[np.uint32]
    """The page touched, by its number in the trace."""
    is_write: NDArray[np.bool_]
    think_ns: NDArray[np.uint32]
    """Time between the thread's access before and this one, faults left out; 0 where it is unknown."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError unless the arrays fit together."""
        for name, kind in (("page", np.uint32), ("is_write", np.bool_), ("think_ns", np.uint32)):
            array = getattr(self, name)
            if array.dtype != kind or array.shape != (len(self.page),):
                raise ConfigurationError(
                    f"thread {self.name!r}: {name} is {array.dtype} of shape {array.shape}; it has to be "
                    f"{np.dtype(kind)} of shape ({len(self.page)},)"
                )

    def steps(self) -> NDArray[np.uint64]:
        """Each access as one number, as the engine's replay takes it: the time to think in the upper 32 bits,
        then the page, and whether it is a write in the lowest."""
        steps = self.think_ns.astype(np.uint64) << np.uint64(32)
        steps |= self.page.astype(np.uint64) << np.uint64(1)
        steps |= self.is_write
        return steps


@dataclass(frozen=True, eq=False)
class Trace:
    """What some threads do with the pages that they share.

    Pages have numbers from 0 on without gaps, in the order in which they are first touched.
    """

    threads: tuple[ThreadTrace, ...]
    zpage_bytes: Mapping[str, NDArray[np.uint16]] = field(default_factory=dict)
    """By the codec's name, what each page compresses to, in bytes, without a header: 0 for a page that is one
    value of 8 bytes over and over, 4096 for one that does not get smaller, `UNKNOWN_BYTES` where nobody
    knows. Empty if nothing is known."""
    source: str = ""
    """Where it comes from, in words."""
    lacks: tuple[str, ...] = ()
    """What of a program's page accesses it does not show, a sentence each."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a trace that cannot be."""
        if len(self.threads) > THREADS_MOST:
            raise ConfigurationError(f"{len(self.threads)} threads: a trace has {THREADS_MOST} at most")
        if self.page_count > PAGES_MOST:
            raise ConfigurationError(f"{self.page_count} pages: a trace has {PAGES_MOST} at most")
        for codec, sizes in self.zpage_bytes.items():
            if sizes.dtype != np.uint16 or sizes.shape != (self.page_count,):
                raise ConfigurationError(
                    f"zpage_bytes of {codec!r} is {sizes.dtype} of shape {sizes.shape}; it has to be uint16 "
                    f"of shape ({self.page_count},), an item for each page"
                )
            if ((sizes > PAGE_BYTES) & (sizes != UNKNOWN_BYTES)).any():
                raise ConfigurationError(
                    f"zpage_bytes of {codec!r} has sizes above {PAGE_BYTES} bytes, a whole page"
                )

    @cached_property
    def page_count(self) -> int:
        """How many pages are touched."""
        return max((int(thread.page.max()) + 1 for thread in self.threads if len(thread.page)), default=0)

    @property
    def access_count(self) -> int:
        """How many accesses all threads make."""
        return sum(len(thread.page) for thread in self.threads)

    def zpages(self, codec: str, default_ratio: float) -> NDArray[np.uint16]:
        """What each page compresses to with a codec, in bytes: pages of which it is unknown, maybe all, as if
        they were compressed `default_ratio` to 1.

        Raises ConfigurationError for a ratio below 1.
        """
        if not default_ratio >= 1:
            raise ConfigurationError(f"default_ratio={default_ratio!r}: give 1 or more")
        default_bytes = np.uint16(round(PAGE_BYTES / default_ratio))
        sizes = self.zpage_bytes.get(codec)
        if sizes is None:
            return np.full(self.page_count, default_bytes)
        return np.where(sizes == UNKNOWN_BYTES, default_bytes, sizes)


class Writer:
    """Writes a trace's file batch by batch, so that a trace of any length takes little memory.

    The file is whole when the writer is closed; where the `with` block ends before that, there is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises OSError where the file cannot be written."""
        self._path = Path(path)
        self._being_written = place_beside(self._path)
        self._rows = _open_to_write(self._being_written, ())
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0

    def add(
        self,
        thread: int | NDArray[np.uint16],
        page: NDArray[np.uint32],
        is_write: NDArray[np.bool_],
        think_ns: NDArray[np.uint32],
    ) -> None:
        """Write some accesses, those of each thread in order."""
        threads = np.full(len(page), thread, np.uint16) if isinstance(thread, int) else thread
        columns = [pa.array(threads), pa.array(page), pa.array(is_write), pa.array(think_ns)]
        self._waiting.append(pa.Table.from_arrays(columns, schema=_schema(())))
        self._waiting_rows += len(page)
        if self._waiting_rows >= _ROWS_AT_ONCE:
            self._flush()

    def close(
        self,
        threads: Sequence[str],
        source: str,
        lacks: Sequence[str],
        zpage_bytes: Mapping[str, NDArray[np.uint16]] | None = None,
    ) -> None:
        """Write the end: the names of the threads, and the rest as `Trace` has it."""
        about = {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "lacks": list(lacks),
            "threads": list(threads),
        }
        self._flush()
        if zpage_bytes:
            self._add_sizes(zpage_bytes)
        self._rows.add_key_value_metadata({_METADATA: json.dumps(about)})
        self._rows.close()
        self._being_written.replace(self._path)

    def _flush(self) -> None:
        """Small batches would make row groups that are mostly headers."""
        if self._waiting:
            self._rows.write_table(pa.concat_tables(self._waiting), row_group_size=_ROWS_AT_ONCE)
        self._waiting.clear()
        self._waiting_rows = 0

    def _add_sizes(self, zpage_bytes: Mapping[str, NDArray[np.uint16]]) -> None:
        """Write all rows anew, with the sizes, which nobody has known before the end."""
        self._rows.close()
        without = self._being_written.with_suffix(".rows")
        self._being_written.replace(without)
        try:
            self._rows = _open_to_write(self._being_written, tuple(zpage_bytes))
            seen = np.zeros(max(len(sizes) for sizes in zpage_bytes.values()), np.bool_)
            with pq.ParquetFile(without) as file:
                for batch in file.iter_batches(_ROWS_AT_ONCE):
                    columns = _at_first_access(batch.column("page").to_numpy(), seen, zpage_bytes)
                    arrays = [pa.array(sizes, mask=sizes == UNKNOWN_BYTES) for sizes in columns.values()]
                    table = pa.Table.from_arrays([*batch.columns, *arrays], schema=_schema(tuple(columns)))
                    self._rows.write_table(table, row_group_size=_ROWS_AT_ONCE)
        finally:
            without.unlink()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Remove what was begun, unless it was closed."""
        if self._rows.is_open:
            self._rows.close()
            self._being_written.unlink(missing_ok=True)


def write(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace's file, thread by thread.

    Raises OSError where it cannot be written.
    """
    with Writer(path) as writer:
        for number, thread in enumerate(trace.threads):
            writer.add(number, thread.page, thread.is_write, thread.think_ns)
        names = [thread.name for thread in trace.threads]
        writer.close(names, trace.source, trace.lacks, trace.zpage_bytes)


def read(path: str | os.PathLike[str]) -> Trace:
    """Read a trace's file.

    Raises ConfigurationError for what is no such file, OSError where it cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            about = _about(path, file)
            codecs = [
                name.removeprefix(_ZPAGE_BYTES)
                for name in file.schema_arrow.names
                if name.startswith(_ZPAGE_BYTES)
            ]
            _require_columns(path, file.schema_arrow, codecs)
            table = file.read([*_COLUMNS, *(_ZPAGE_BYTES + codec for codec in codecs)])
    except pa.ArrowInvalid as error:
        raise ConfigurationError(f"{path} is no trace: {error}") from None
    thread = table["thread"].to_numpy()
    page = table["page"].to_numpy()
    is_write = table["is_write"].to_numpy()
    think_ns = table["think_ns"].to_numpy()
    names = about["threads"]
    if len(thread) and thread.max() >= len(names):
        raise ConfigurationError(f"{path}: a row of thread {thread.max()}, but {len(names)} have names")
    page_count = _require_dense(path, page)
    if len(names) == 1:
        threads = [ThreadTrace(names[0], page, is_write, think_ns)]
    else:
        threads = []
        for number, name in enumerate(names):
            its = thread == number
            threads.append(ThreadTrace(name, page[its], is_write[its], think_ns[its]))
    return Trace(
        threads=tuple(threads),
        zpage_bytes={
            codec: _sizes_of_pages(page, page_count, table[_ZPAGE_BYTES + codec]) for codec in codecs
        },
        source=about["source"],
        lacks=tuple(about["lacks"]),
    )


def _schema(codecs: Sequence[str]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in _COLUMNS.items()]
        + [pa.field(_ZPAGE_BYTES + codec, pa.uint16()) for codec in codecs]
    )


def _open_to_write(path: Path, codecs: Sequence[str]) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        _schema(codecs),
        compression="zstd",
        use_dictionary=["thread"],
        column_encoding={"page": "DELTA_BINARY_PACKED", "think_ns": "DELTA_BINARY_PACKED"},
    )


def _at_first_access(
    page: NDArray[np.uint32], seen: NDArray[np.bool_], sizes_of_pages: Mapping[str, NDArray[np.uint16]]
) -> dict[str, NDArray[np.uint16]]:
    """A size for each access: known at the page's first, which is marked in `seen`."""
    pages, first = np.unique(page, return_index=True)
    first = first[~seen[pages]]
    seen[pages] = True
    found = {}
    for codec, sizes in sizes_of_pages.items():
        column = np.full(len(page), UNKNOWN_BYTES, np.uint16)
        column[first] = sizes[page[first]]
        found[codec] = column
    return found


def _sizes_of_pages(page: NDArray[np.uint32], page_count: int, column: pa.ChunkedArray) -> NDArray[np.uint16]:
    """The size that stands at an access of the page, and the last one of several."""
    sizes = np.full(page_count, UNKNOWN_BYTES, np.uint16)
    known = column.is_valid().to_numpy()
    sizes[page[known]] = column.drop_null().to_numpy()
    return sizes


def _about(path: str | os.PathLike[str], file: pq.ParquetFile) -> dict[str, Any]:
    text = (file.metadata.metadata or {}).get(_METADATA)
    if text is None:
        raise ConfigurationError(f"{path} is a Parquet file, but no trace of zpager's")
    try:
        about: dict[str, Any] = json.loads(text)
        version = about["schema_version"]
        if version == SCHEMA_VERSION:
            about = {name: about[name] for name in ("threads", "source", "lacks")}
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{path}: its metadata are damaged ({error!r})") from None
    if version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} is of version {version}, and this zpager reads version {SCHEMA_VERSION}"
        )
    return about


def _require_columns(path: str | os.PathLike[str], schema: pa.Schema, codecs: Sequence[str]) -> None:
    for name, kind in {**_COLUMNS, **{_ZPAGE_BYTES + codec: pa.uint16() for codec in codecs}}.items():
        if name not in schema.names or schema.field(name).type != kind:
            raise ConfigurationError(f"{path}: the column {name!r} of {kind} is missing")
        if name in _COLUMNS and schema.field(name).nullable:
            raise ConfigurationError(f"{path}: the column {name!r} has to be one without nulls")


def _require_dense(path: str | os.PathLike[str], page: NDArray[np.uint32]) -> int:
    """The number of pages, none of which is left out."""
    if not len(page):
        return 0
    page_count = int(page.max()) + 1
    occurs = np.zeros(min(page_count, PAGES_MOST), np.bool_) if page_count <= len(page) else None
    if occurs is not None:
        occurs[page] = True
    if occurs is None or not occurs.all():
        raise ConfigurationError(
            f"{path}: its largest page is {page_count - 1}, but pages below that are never touched; pages "
            "are numbered without gaps"
        )
    return page_count
