"""The pager as a user of numpy sees it, on the real engine and real memory."""

import dataclasses
import gc
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import zpager
from zpager import _core
from zpager.pager import _TEXT, _item_bytes

pytestmark = pytest.mark.userfaultfd

RAM = "16MiB"
SWAP = "64MiB"
OPTIONS: dict[str, Any] = {"ram": RAM, "swap": SWAP}


@pytest.fixture
def pager() -> Iterator[zpager.Pager]:
    with zpager.Pager(**OPTIONS) as pager:
        yield pager
        gc.collect()


def base_of(array: np.ndarray[Any, Any]) -> object:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base


# Arrays.

DTYPES = ["?", "i1", "u2", "<i4", ">i8", "f2", "f4", "f8", "c8", "c16", "M8[s]", "m8[ms]", "S3", "U5", "V7"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (1000,), (30, 40), (2, 3, 4)])
def test_arrays_are_what_numpy_makes(pager: zpager.Pager, dtype: str, shape: tuple[int, ...]) -> None:
    zeros, expected = pager.zeros(shape, dtype), np.zeros(shape, dtype)
    assert type(zeros) is np.ndarray
    assert (zeros.dtype, zeros.shape, zeros.strides) == (expected.dtype, expected.shape, expected.strides)
    assert zeros.flags.writeable
    assert zeros.flags.aligned
    assert zeros.tobytes() == expected.tobytes()
    source = np.frombuffer(np.random.default_rng(0).bytes(zeros.nbytes), "u1").copy()
    if dtype == "?":
        source &= 1
    if dtype.startswith("U"):
        source[:] = np.frombuffer(np.full(zeros.nbytes // 4, 0x20AC, "u4").tobytes(), "u1")
    existing = source.view(expected.dtype).reshape(shape)
    copy = pager.array(existing)
    assert copy.dtype == existing.dtype
    assert copy.tobytes() == existing.tobytes()


def test_structured_and_subarray_dtypes(pager: zpager.Pager) -> None:
    record = np.dtype([("time", "M8[ns]"), ("value", "f4", (3,)), ("name", "S6")])
    array = pager.zeros(1000, record)
    array["value"][:, 1] = np.arange(1000)
    array["name"] = b"abc"
    assert array["value"][999].tolist() == [0, 999, 0]
    assert (array["name"] == b"abc").all()
    assert pager.zeros((5,), ("f4", (3,))).shape == np.zeros((5,), ("f4", (3,))).shape
    assert pager.zeros(4, "U").dtype == np.zeros(4, "U").dtype


@pytest.mark.parametrize("shape", [0, (0,), (3, 0), (0, 1 << 40)])
def test_arrays_without_elements(pager: zpager.Pager, shape: int | tuple[int, ...]) -> None:
    array = pager.zeros(shape, "f4")
    assert array.size == 0
    assert array.shape == np.zeros(shape, "f4").shape


@pytest.mark.parametrize("shape", [5, np.int32(5), [5], (np.int64(5),), np.array([5])])
def test_shapes_may_be_given_as_for_numpy(pager: zpager.Pager, shape: Any) -> None:
    assert pager.empty(shape).shape == (5,)
    assert pager.empty(shape).dtype == float


def test_orders(pager: zpager.Pager) -> None:
    assert pager.empty((30, 40), order="F").flags.f_contiguous
    assert pager.zeros((30, 40), order="C").flags.c_contiguous
    existing = np.asfortranarray(np.arange(12).reshape(3, 4))
    copy = pager.array(existing)
    assert copy.flags.f_contiguous
    np.testing.assert_array_equal(copy, existing)


def test_full(pager: zpager.Pager) -> None:
    for value in (7, 2.5, True, 1j, "wörd", np.float32(3), [1, 2, 3]):
        array, expected = pager.full((4, 3), value), np.full((4, 3), value)
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
    assert pager.full(3, 7, dtype="u1").dtype == np.dtype("u1")


def test_array_copies_and_converts(pager: zpager.Pager) -> None:
    existing = np.arange(100)
    copy = pager.array(existing)
    existing[:] = 0
    assert copy.sum() == 4950
    assert pager.array([[1, 2], [3, 4]], dtype="f4").tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert pager.array(np.arange(10)[::-2], dtype="i2").tolist() == [9, 7, 5, 3, 1]
    assert pager.array(3.5).shape == ()
    np.testing.assert_array_equal(pager.array(copy), copy)


def test_more_than_ram_comes_back_as_it_was(pager: zpager.Pager) -> None:
    array = pager.empty((5, 1 << 20), "i8")  # 40 MiB in 16 MiB
    expected = np.arange(1 << 20, dtype="i8")
    for row in range(5):
        array[row] = expected * row
    for row in (3, 0, 4, 1, 2):
        np.testing.assert_array_equal(array[row], expected * row)
    stats = pager.stats
    assert stats.used_bytes <= stats.ram_bytes
    assert stats.managed_bytes >= array.nbytes
    assert stats.faults_zcache + stats.faults_device + stats.readahead_pages > 0
    assert stats.lost_pages == 0


@pytest.mark.parametrize(
    "options",
    [
        {"codec": "zstd"},
        {"pool": "zbud"},
        {"eviction": "writeback"},
        {"eviction": "intact"},
        {"policy": "second-chance"},
        {"policy": "sieve"},
        {"policy": "s3-fifo"},
        {"policy": "frame-aware"},
        {"eviction": "none"},
        {"encrypt": False},
        {"faults": "signal"},
        {"shuffle": False},
        {"readahead_pages": 0},
        {"io": "threads"},
        {"io": "threads", "faults": "signal", "eviction": "none"},
        {"pool_limit": "4MiB"},
        {"pool_limit": "auto"},
        {"reserve": "1MiB"},
    ],
)
def test_every_option_keeps_the_contents(options: dict[str, Any]) -> None:
    with zpager.Pager(**(OPTIONS | options)) as pager:
        expected = np.random.default_rng(1).integers(0, 1000, 3 << 20)  # 24 MiB
        array = pager.array(expected)
        np.testing.assert_array_equal(array, expected)
        np.testing.assert_array_equal(array[::-513], expected[::-513])
        del array


def test_memory_is_fresh_after_it_was_used_by_another(pager: zpager.Pager) -> None:
    for _ in range(5):
        array = pager.zeros(20 << 20, "u1")
        assert not array.any()
        array[:] = 255
        del array


# Buffers.


def test_a_buffer_is_writable_zeroed_bytes(pager: zpager.Pager) -> None:
    buffer = pager.allocate("1MiB")
    assert isinstance(buffer, zpager.Allocation)
    assert buffer.nbytes == 1 << 20
    view = memoryview(buffer)
    assert (view.nbytes, view.itemsize, view.readonly, view.c_contiguous) == (1 << 20, 1, False, True)
    assert bytes(view[:10]) == bytes(10)
    assert io.BytesIO(b"content").readinto(view) == 7
    assert bytes(view[:8]) == b"content\0"


def test_discarded_ranges_read_as_zeros(pager: zpager.Pager) -> None:
    buffer = pager.allocate(64 << 10)
    contents = np.frombuffer(memoryview(buffer), "u1")
    contents[:] = 1
    buffer.discard(1000, 20_000)
    assert not contents[1000:21_000].any()
    assert contents[:1000].all()
    assert contents[21_000:].all()
    with pytest.raises(zpager.ConfigurationError):
        buffer.discard(60 << 10, 8 << 10)


def test_sizes_of_buffers_are_sizes(pager: zpager.Pager) -> None:
    assert pager.allocate(1).nbytes == 1
    assert pager.allocate("10KB", item_bytes=8).nbytes == 10_000
    for bad in (0, -1, "much", True):
        with pytest.raises(zpager.ConfigurationError, match=r"size: .*256MiB"):
            pager.allocate(bad)
    for bad_item in (0, 65, 1.5):
        with pytest.raises(zpager.ConfigurationError, match="from 1 to 64"):
            pager.allocate(4096, item_bytes=bad_item)  # type: ignore[arg-type]


# Lifetime.


def test_views_keep_the_memory_alive(pager: zpager.Pager) -> None:
    array = pager.full((1000, 1000), 7, "u1")
    assert isinstance(base_of(array), zpager.Allocation)
    view = array[10:20, ::2].T
    del array
    gc.collect()
    assert len(pager.live) == 1
    assert (view == 7).all()
    del view
    assert not pager.live


def test_del_gives_everything_back_at_once(pager: zpager.Pager) -> None:
    before = pager.stats
    array = pager.empty(40 << 20, "u1")
    array[:] = np.random.default_rng(2).integers(
        0, 256, array.size, "u1"
    )  # incompressible, so all stages are full
    assert pager.stats.managed_bytes >= 40 << 20
    assert pager.stats.swap_used_bytes > 0
    del array
    after = pager.stats
    for name in ("managed_bytes", "resident_bytes", "swap_cache_bytes", "zpage_bytes", "swap_used_bytes"):
        assert getattr(after, name) == getattr(before, name), name


def test_live_tells_what_is_alive(pager: zpager.Pager) -> None:
    kept = [pager.zeros((100, 200), "f4"), pager.allocate("1MiB")]
    assert pager.live == ("array (100, 200) float32, 78.1 KiB", "buffer, 1 MiB")
    del kept


def test_closing_with_live_arrays_names_them_and_leaves_them(recwarn: pytest.WarningsRecorder) -> None:
    with zpager.Pager(**OPTIONS) as pager:
        array = pager.full((1000, 100), 5, "i4")
        structured = pager.zeros(10, [("a", "i4")])
    assert len(recwarn) == 1
    warning = recwarn.pop(zpager.LiveArraysWarning)
    assert warning.filename == __file__
    for words in ("2 of its arrays", "array (1000, 100) int32, 390.6 KiB", "[('a', '<i4')]", "stay valid"):
        assert words in str(warning.message)
    assert pager.closed
    assert (array == 5).all()
    array[:] = 6
    assert (array == 6).all()
    del array, structured
    assert pager.live == ()


def test_closing_without_live_arrays_is_silent_and_may_be_repeated() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pager = zpager.Pager(**OPTIONS)
        pager.zeros(1000)
        pager.close()
        pager.close()


def test_a_long_list_of_live_arrays_is_cut() -> None:
    pager = zpager.Pager(**OPTIONS)
    kept = [pager.zeros(10) for _ in range(13)]
    with pytest.warns(zpager.LiveArraysWarning, match="13 of its arrays.*and 3 more"):
        pager.close()
    del kept


def test_a_closed_pager_makes_nothing_more() -> None:
    pager = zpager.Pager(**OPTIONS)
    pager.close()
    calls: list[Callable[[], object]] = [
        lambda: pager.empty(3),
        lambda: pager.zeros(0),
        lambda: pager.full(3, 1),
        lambda: pager.array([1]),
        lambda: pager.allocate(1),
        pager.reclaim,
        pager.__enter__,
    ]
    for call in calls:
        with pytest.raises(zpager.ClosedError, match=r"closed.*new zpager\.Pager"):
            call()
    assert "closed" in repr(pager)
    assert pager.stats.managed_bytes == 0


@pytest.mark.parametrize("io", ["auto", "threads"])
def test_a_pager_that_is_dropped_leaves_nothing_behind(io: Literal["auto", "threads"]) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    def threads() -> int:
        names = [comm.read_text() for comm in Path("/proc/self/task").glob("*/comm")]
        # The kernel's own workers for io_uring stay for some seconds.
        return sum(not name.startswith("iou-wrk") for name in names)

    before = open_files(), threads()
    array = zpager.Pager(**OPTIONS, io=io).full(1000, 3, "i4")
    gc.collect()
    assert (array == 3).all()
    del array
    zpager.Pager(**OPTIONS, io=io)
    gc.collect()
    assert (open_files(), threads()) == before


def test_a_forked_child_is_told_that_the_memory_is_not_its_own(pager: zpager.Pager) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that this process has threads
        child = os.fork()
    if child == 0:
        told = 0
        calls: list[Callable[[], object]] = [
            lambda: pager.zeros(3),
            lambda: pager.allocate(3),
            lambda: pager.stats,
            lambda: pager.live,
            pager.reclaim,
        ]
        for call in calls:
            try:
                call()
            except zpager.ClosedError as error:
                told += "forked child" in str(error) and "spawn" in str(error)
        pager.close()  # does nothing, and in particular not to the parent
        os._exit(told)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 5
    assert pager.zeros(3).sum() == 0


# Limits and reports.


def test_more_than_ram_and_swap_is_refused_when_asked_for(pager: zpager.Pager) -> None:
    with pytest.raises(zpager.OutOfSwap) as caught:
        pager.allocate("81MiB")
    assert isinstance(caught.value, MemoryError)
    with pytest.raises(MemoryError):
        pager.zeros((1 << 20, 1 << 20))
    held = pager.zeros(48 << 20, "u1")
    with pytest.raises(zpager.OutOfSwap):
        pager.zeros(48 << 20, "u1")
    del held
    assert pager.zeros(48 << 20, "u1").nbytes == 48 << 20


def test_reclaim_pushes_pages_out_that_come_back(pager: zpager.Pager) -> None:
    array = pager.full(8 << 20, 9, "u1")
    resident_bytes = pager.stats.resident_bytes
    gone = pager.reclaim("4MiB")
    assert 0 < gone <= 4 << 20
    assert pager.stats.resident_bytes < resident_bytes
    pager.reclaim()
    assert (array == 9).all()


def test_the_engine_counts_exactly_what_stats_tell(pager: zpager.Pager) -> None:
    names = {field.name for field in dataclasses.fields(zpager.Stats)}
    assert set(pager._engine.counters()) == names - {"eviction_us", "fault_us", "unuse_to_write_us"}
    assert pager.stats.ram_bytes == pager.ram_bytes
    assert pager.stats.swap_bytes == pager.swap_bytes
    bounds = [bound for bound, _ in pager.stats.fault_us]
    assert bounds == sorted(bounds)
    assert all(bound & (bound - 1) == 0 for bound in bounds)


def test_repr_echoes_what_was_understood(tmp_path: Path) -> None:
    with zpager.Pager(ram="16 m", swap="50MB", pool_limit="25%", codec="zstd", swap_dir="/var/tmp") as pager:
        for words in (
            "ram=16 MiB (16777216 bytes)",
            "swap=47.7 MiB (50000000 bytes) in /var/tmp",
            "pool_limit=4 MiB (4194304 bytes)",
            "codec=zstd",
            "pool=zsmalloc",
            "policy=frame-lru",
            "eviction=intact",
            "faults=signal",
            "shuffle=True",
            "readahead_pages=32",
            "encrypt=True",
            "io=io_uring" if _core.probe()["io_uring"] else "io=threads",
            "open",
        ):
            assert words in repr(pager)


def test_io_uring_is_used_where_it_is_allowed_and_threads_where_asked_for() -> None:
    with zpager.Pager(**OPTIONS, io="threads") as pager:
        assert "io=threads" in repr(pager)
    if _core.probe()["io_uring"]:
        with zpager.Pager(**OPTIONS, io="io_uring") as pager:
            assert "io=io_uring" in repr(pager)
    else:
        with pytest.raises(zpager.ConfigurationError, match=r"not allow io_uring.*io=\"auto\""):
            zpager.Pager(**OPTIONS, io="io_uring")


def test_the_default_of_swap_is_four_times_ram_and_at_most_half_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with zpager.Pager(ram=RAM) as pager:
        assert pager.swap_bytes == 4 * pager.ram_bytes
    monkeypatch.setattr("zpager.options.free_bytes", lambda directory: 40 << 20)
    with zpager.Pager(ram=RAM) as pager:
        assert pager.swap_bytes == 20 << 20
    monkeypatch.setattr("zpager.options.free_bytes", lambda directory: 0)
    with pytest.raises(zpager.ConfigurationError, match="no free space"):
        zpager.Pager(ram=RAM)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ram": "0"}, "ram: '0' is 0 bytes"),
        ({"ram": "lots"}, "ram: 'lots' is not a size: give bytes"),
        ({"ram": True}, "ram: True is not a size"),
        ({"swap": -5}, "swap: -5 is -5 bytes"),
        ({"pool_limit": "101%"}, "more than ram=16 MiB"),
        ({"pool_limit": "0%"}, "pool_limit: '0%'"),
        ({"reserve": 4096}, "to let eviction always go on"),
        ({"reserve": "200%"}, "a pager works with"),
        ({"codec": "gzip"}, "codec='gzip': choose one of 'lz4', 'zstd'"),
        ({"pool": "z3fold"}, "pool='z3fold': choose one of 'zsmalloc', 'zbud'"),
        ({"eviction": "lru"}, "choose one of 'unuse', 'writeback', 'intact', 'none'"),
        ({"io": "aio"}, "io='aio': choose one of 'auto', 'io_uring', 'threads'"),
        ({"policy": "mru"}, "choose one of 'frame-lru', 'second-chance', 'sieve', 's3-fifo', 'frame-aware'"),
        ({"faults": "magic"}, "choose one of 'auto', 'signal', 'thread'"),
        ({"readahead_pages": -1}, "from 0 (off) to 32"),
        ({"readahead_pages": 1.5}, "from 0 (off) to 32"),
        ({"swap_dir": "/no/such/place"}, "does not exist; name a writable directory"),
        ({"swap_dir": "/etc/passwd"}, "is not a directory"),
    ],
)
def test_a_bad_option_is_refused_with_what_would_do(options: dict[str, Any], words: str) -> None:
    with pytest.raises(zpager.ConfigurationError, match=re.escape(words)):
        zpager.Pager(**(OPTIONS | options))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape": 3, "dtype": object}, "holds references to Python objects"),
        ({"shape": 3, "dtype": [("a", "i4"), ("b", "O")]}, "use a dtype of fixed size"),
        ({"shape": 0, "dtype": "O"}, "holds references to Python objects"),
        ({"shape": -1}, "lengths cannot be negative"),
        ({"shape": (3, 2.5)}, "give a whole number or a sequence"),
        ({"shape": None}, "give a whole number or a sequence"),
        ({"shape": 3, "order": "K"}, "choose 'C'"),
        ({"shape": (1 << 40, 1 << 40)}, "larger than any memory"),
    ],
)
def test_a_bad_array_is_refused_with_what_would_do(
    pager: zpager.Pager, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(zpager.ConfigurationError, match=re.escape(words)):
        pager.zeros(**arguments)


def test_objects_are_refused_before_they_are_copied(pager: zpager.Pager) -> None:
    with pytest.raises(zpager.ConfigurationError, match="Python objects"):
        pager.array(np.array([{}, None]))


@pytest.mark.parametrize(
    ("dtype", "item_bytes"),
    [
        ("i1", 1),
        ("u2", 2),
        ("f8", 8),
        ("M8[s]", 8),
        ("?", 1),
        ("c16", 8),
        ("c8", 4),
        ("U7", _TEXT),
        ("S7", 1),
        ("V8", 1),
        ([("a", "i4"), ("b", "f8")], 12),
        ([("a", "f8", (9,))], 1),
    ],
)
def test_pages_are_shuffled_by_the_width_of_their_numbers(dtype: Any, item_bytes: int) -> None:
    assert _item_bytes(np.dtype(dtype)) == item_bytes
