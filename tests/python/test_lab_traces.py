"""Traces and their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zpager import ConfigurationError
from zpager.lab import trace as trace_file
from zpager.lab.trace import UNKNOWN_BYTES, ThreadTrace, Trace, Writer, read, write

SIZES = st.one_of(st.integers(0, 4096), st.just(UNKNOWN_BYTES))


def thread(name: str, *accesses: tuple[int, bool, int]) -> ThreadTrace:
    page, is_write, think_ns = zip(*accesses, strict=True) if accesses else ((), (), ())
    return ThreadTrace(
        name, np.array(page, np.uint32), np.array(is_write, np.bool_), np.array(think_ns, np.uint32)
    )


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    pages = draw(st.integers(0, 20))
    threads = []
    for number in range(draw(st.integers(1, 3))):
        # The first thread touches every page, so that none is left out.
        first = list(range(pages)) if number == 0 else []
        more = draw(st.lists(st.integers(0, pages - 1), max_size=30)) if pages else []
        page = np.array(first + more, np.uint32)
        count = len(page)
        threads.append(
            ThreadTrace(
                draw(st.text(max_size=10)),
                page,
                draw(arrays(np.bool_, count)),
                draw(arrays(np.uint32, count)),
            )
        )
    codecs = draw(st.lists(st.sampled_from(["lz4", "zstd"]), unique=True))
    return Trace(
        tuple(threads),
        {
            codec: np.array(draw(st.lists(SIZES, min_size=pages, max_size=pages)), np.uint16)
            for codec in codecs
        },
        draw(st.text(max_size=10)),
        tuple(draw(st.lists(st.text(max_size=10), max_size=3))),
    )


def assert_same(one: Trace, other: Trace) -> None:
    assert (one.source, one.lacks) == (other.source, other.lacks)
    assert [thread.name for thread in one.threads] == [thread.name for thread in other.threads]
    for a, b in zip(one.threads, other.threads, strict=True):
        for name in ("page", "is_write", "think_ns"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), name
            assert getattr(b, name).dtype == getattr(a, name).dtype
    assert list(one.zpage_bytes) == list(other.zpage_bytes)
    for codec, sizes in one.zpage_bytes.items():
        assert np.array_equal(sizes, other.zpage_bytes[codec])


@settings(deadline=None)  # a busy machine
@given(traces())
def test_a_trace_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> None:
    path = tmp_path_factory.getbasetemp() / "trace.parquet"
    write(trace, path)
    assert_same(trace, read(path))


def test_a_file_of_several_row_groups_has_each_size_at_the_first_access(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_file, "_ROWS_AT_ONCE", 3)
    page = np.array([0, 1, 0, 0, 2, 1, 3, 0], np.uint32)
    one = ThreadTrace("", page, page == 1, page + 7)
    trace = Trace((one,), {"lz4": np.array([10, 20, UNKNOWN_BYTES, 40], np.uint16)})
    write(trace, tmp_path / "t")
    assert_same(trace, read(tmp_path / "t"))
    column = pq.read_table(tmp_path / "t")["zpage_bytes_lz4"].to_pylist()
    assert column == [10, 20, None, None, None, None, 40, None]


def test_the_file_is_what_the_documentation_says(tmp_path: Path) -> None:
    trace = Trace((thread("one", (0, True, 5)), thread("two", (1, False, 0), (0, False, 9))), source="a test")
    write(trace, tmp_path / "t")
    with pq.ParquetFile(tmp_path / "t") as file:
        assert file.metadata.metadata[b"zpager.trace"] == (
            b'{"schema_version": 1, "source": "a test", "lacks": [], "threads": ["one", "two"]}'
        )
    assert pq.read_table(tmp_path / "t").to_pylist() == [
        {"thread": 0, "page": 0, "is_write": True, "think_ns": 5},
        {"thread": 1, "page": 1, "is_write": False, "think_ns": 0},
        {"thread": 1, "page": 0, "is_write": False, "think_ns": 9},
    ]


def test_rows_of_threads_may_be_mixed_and_sizes_come_in_the_end(tmp_path: Path) -> None:
    with Writer(tmp_path / "t") as writer:
        writer.add(
            np.array([0, 1, 0], np.uint16),
            np.array([0, 1, 0], np.uint32),
            np.array([False, True, True]),
            np.array([1, 2, 3], np.uint32),
        )
        writer.add(1, np.array([1], np.uint32), np.array([False]), np.array([4], np.uint32))
        writer.close(["a", "b"], "", (), {"zstd": np.array([300, 200], np.uint16)})
    trace = read(tmp_path / "t")
    assert [thread.think_ns.tolist() for thread in trace.threads] == [[1, 3], [2, 4]]
    assert trace.zpage_bytes["zstd"].tolist() == [300, 200]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_file_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Writer(tmp_path / "t") as writer:
        writer.add(0, np.array([0], np.uint32), np.array([False]), np.array([0], np.uint32))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_steps_are_as_the_engine_takes_them() -> None:
    steps = thread("", (3, True, 5), (2**31 - 1, False, 2**32 - 1)).steps()
    assert steps.dtype == np.uint64
    assert steps.tolist() == [5 << 32 | 3 << 1 | 1, (2**32 - 1) << 32 | (2**31 - 1) << 1]


def test_pages_of_unknown_sizes_get_the_default() -> None:
    trace = Trace((thread("", (0, True, 0), (1, True, 0)),), {"lz4": np.array([7, UNKNOWN_BYTES], np.uint16)})
    assert trace.zpages("lz4", 4).tolist() == [7, 1024]
    assert trace.zpages("zstd", 1).tolist() == [4096, 4096]
    with pytest.raises(ConfigurationError, match="give 1 or more"):
        trace.zpages("lz4", 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"zpage_bytes": {"lz4": np.zeros(2, np.uint16)}},
            r"shape \(2,\); it has to be uint16 of shape \(1,\)",
        ),
        ({"zpage_bytes": {"lz4": np.full(1, 4097, np.uint16)}}, "above 4096 bytes"),
    ],
)
def test_a_trace_that_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Trace((thread("", (0, True, 0)),), **arguments)  # type: ignore[arg-type]


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="thread 'x': is_write is bool of shape"):
        ThreadTrace("x", np.zeros(2, np.uint32), np.zeros(1, np.bool_), np.zeros(2, np.uint32))
    with pytest.raises(ConfigurationError, match="page is int64"):
        ThreadTrace("x", np.zeros(2, np.int64), np.zeros(2, np.bool_), np.zeros(2, np.uint32))  # type: ignore[arg-type]


def _as_parquet(path: Path, table: pa.Table, about: str | None) -> None:
    pq.write_table(table.replace_schema_metadata({} if about is None else {"zpager.trace": about}), path)


GOOD = '{"schema_version": 1, "source": "", "lacks": [], "threads": ["a"]}'


def _table(**columns: pa.Array) -> pa.Table:
    fields = {
        "thread": pa.array([0], pa.uint16()),
        "page": pa.array([0], pa.uint32()),
        "is_write": pa.array([True]),
        "think_ns": pa.array([0], pa.uint32()),
        **columns,
    }
    schema = pa.schema(
        [pa.field(name, array.type, nullable=array.null_count > 0) for name, array in fields.items()]
    )
    return pa.Table.from_arrays(list(fields.values()), schema=schema)


@pytest.mark.parametrize(
    ("table", "about", "message"),
    [
        (_table(), None, "a Parquet file, but no trace"),
        (_table(), "nonsense", "its metadata are damaged"),
        (_table(), '{"schema_version": 1}', "its metadata are damaged"),
        (_table(), '{"schema_version": 9}', "is of version 9, and this zpager reads version 1"),
        (_table().drop_columns("page"), GOOD, "column 'page' of uint32 is missing"),
        (_table(page=pa.array([0], pa.int64())), GOOD, "column 'page' of uint32 is missing"),
        (_table(page=pa.array([None], pa.uint32())), GOOD, "'page' has to be one without nulls"),
        (_table(page=pa.array([1], pa.uint32())), GOOD, "its largest page is 1, but pages below"),
        (_table(thread=pa.array([1], pa.uint16())), GOOD, "a row of thread 1, but 1 have names"),
        (_table(zpage_bytes_lz4=pa.array([1.5])), GOOD, "'zpage_bytes_lz4' of uint16 is missing"),
    ],
)
def test_a_file_of_something_else_is_refused_with_its_name(
    tmp_path: Path, table: pa.Table, about: str | None, message: str
) -> None:
    _as_parquet(tmp_path / "other.parquet", table, about)
    with pytest.raises(ConfigurationError, match=rf"other\.parquet.*{message}"):
        read(tmp_path / "other.parquet")


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(ConfigurationError, match="is no trace"):
        read(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "y")
