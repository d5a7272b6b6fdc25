"""Real memory under real load: threads, system calls, signals, forks, and RAM as the kernel counts it.

What ends in a signal, may hang, or is measured as a whole runs in a process of its own (`programs.py`).
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from engines import MIB, address_of, as_words, eventually, evict, make_engine, open_files_in
from programs import PAGE_BYTES, RSS_RAM_BYTES, SIGNALS_SECONDS, run_program

from zpager._core import Allocation, Engine

pytestmark = pytest.mark.userfaultfd

TURMOIL_SECONDS = 5
MODES = ("thread", "signal")
POOLS = ("zbud", "zsmalloc")

both_modes = pytest.mark.parametrize("faults", MODES)


def output_of(name: str, *arguments: object, seconds: float = 0) -> str:
    """What a program prints that must end well and have nothing to complain of."""
    done = run_program(name, *arguments, seconds=seconds)
    assert done.returncode == 0, f"{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def noise(length: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(length)


# Many threads.


@pytest.mark.parametrize(
    ("faults", "pool", "access"),
    [
        ("thread", "zsmalloc", "numpy"),
        ("thread", "zbud", "ctypes"),
        ("signal", "zbud", "numpy"),
        ("signal", "zsmalloc", "ctypes"),
    ],
)
def test_four_threads_on_four_times_the_budget_read_no_wrong_byte(
    faults: str, pool: str, access: str
) -> None:
    counters = json.loads(
        output_of("turmoil", faults, pool, access, TURMOIL_SECONDS, seconds=TURMOIL_SECONDS)
    )
    assert counters["lost_pages"] == 0
    # Else it was no test of what it should be one of.
    for name in ("operations", "faults_zcache", "faults_device", "faults_write_protect", "unuses"):
        assert counters[name] > 100, name


# System calls into memory that is not there. A thread serves them; in signal mode they are wrapped.


@pytest.fixture(params=MODES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = make_engine(faults=request.param)
    yield engine
    engine.check()
    assert engine.counters()["lost_pages"] == 0


SIZE = 4 * MIB
START, END = 1000, SIZE - 77
"""Not at the borders of pages: what surrounds the call's range has to stay."""


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[None]:
    """Does something beside the block, and raises what it raised."""
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(work)
        yield
        future.result()


def file_with(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "data"
    path.write_bytes(data)
    return path


def stream_functions() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    for function in (libc.fread, libc.fwrite):
        function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)
        function.restype = ctypes.c_size_t
    libc.fopen.restype = ctypes.c_void_p
    libc.fclose.argtypes = (ctypes.c_void_p,)
    return libc


Fill = Callable[[memoryview, bytes, Path], None]


def by_readinto(view: memoryview, data: bytes, tmp_path: Path) -> None:
    with FileIO(file_with(tmp_path, data)) as file:
        assert file.readinto(view) == len(data)


def by_readv(view: memoryview, data: bytes, tmp_path: Path) -> None:
    parts = [view[:5], view[5:100_000], view[100_000:]]
    with FileIO(file_with(tmp_path, data)) as file:
        assert os.readv(file.fileno(), parts) == len(data)


def by_pipe(view: memoryview, data: bytes, tmp_path: Path) -> None:
    reader, writer = os.pipe()

    def write_all() -> None:
        with FileIO(writer, "w") as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]

    with FileIO(reader) as file, in_background(write_all):
        done = 0
        while count := file.readinto(view[done:]):
            done += count
    assert done == len(data)


def by_recv_into(view: memoryview, data: bytes, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, in_background(lambda: theirs.sendall(data)):
        done = 0
        while done < len(data):
            done += ours.recv_into(view[done:])


def by_fromfile(view: memoryview, data: bytes, tmp_path: Path) -> None:
    np.frombuffer(view, "u1")[:] = np.fromfile(file_with(tmp_path, data), "u1")


def by_recvmsg_into(view: memoryview, data: bytes, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, in_background(lambda: theirs.sendall(data)):
        done = 0
        while done < len(data):
            done += ours.recvmsg_into([view[done : done + 70_000], view[done + 70_000 :]])[0]


def by_datagrams(view: memoryview, data: bytes, tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        for start in range(0, len(data), 50_000):
            part = data[start : start + 50_000]
            theirs.send(part)
            assert ours.recvfrom_into(view[start:])[0] == len(part)


def by_fread(view: memoryview, data: bytes, tmp_path: Path) -> None:
    libc = stream_functions()
    stream = libc.fopen(bytes(file_with(tmp_path, data)), b"r")
    assert libc.fread(np.frombuffer(view, "u1").ctypes.data, 1, len(data), stream) == len(data)
    assert libc.fclose(stream) == 0


def by_mapping(view: memoryview, data: bytes, tmp_path: Path) -> None:
    with (
        file_with(tmp_path, data).open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped,
    ):
        view[:] = mapped


def by_sqlite(view: memoryview, data: bytes, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "base") as base:
        base.execute("create table t (b blob)")
        base.execute("insert into t values (?)", (data,))
        view[:] = base.execute("select b from t").fetchone()[0]
    base.close()


@pytest.mark.parametrize(
    "fill",
    [
        by_readinto,
        by_readv,
        by_pipe,
        by_recv_into,
        by_recvmsg_into,
        by_datagrams,
        by_fromfile,
        by_fread,
        by_mapping,
        by_sqlite,
    ],
)
def test_system_calls_write_into_evicted_pages(engine: Engine, tmp_path: Path, fill: Fill) -> None:
    allocation = engine.allocate(SIZE, 1, "target")
    view = memoryview(allocation)
    before, data = noise(SIZE, seed=1), noise(END - START, seed=2)
    view[:] = before
    evict(engine)
    fill(view[START:END], data, tmp_path)
    expected = before[:START] + data + before[END:]
    assert bytes(view) == expected
    evict(engine)
    assert bytes(view) == expected


Drain = Callable[[memoryview, Path], None]


def by_tofile(view: memoryview, path: Path) -> None:
    np.frombuffer(view, "u1").tofile(path)


def by_write(view: memoryview, path: Path) -> None:
    with FileIO(path, "w") as file:
        assert file.write(view) == len(view)


def by_writev(view: memoryview, path: Path) -> None:
    parts = [view[:5], view[5:100_000], view[100_000:]]
    with FileIO(path, "w") as file:
        assert os.writev(file.fileno(), parts) == len(view)


def by_sendall(view: memoryview, path: Path) -> None:
    ours, theirs = socket.socketpair()

    def receive() -> None:
        with theirs, path.open("wb") as file:
            while data := theirs.recv(1 << 16):
                file.write(data)

    with in_background(receive), ours:
        ours.sendall(view)


def by_sendmsg(view: memoryview, path: Path) -> None:
    ours, theirs = socket.socketpair()

    def send() -> None:
        with ours:
            done = 0
            while done < len(view):
                done += ours.sendmsg([view[done : done + 70_000], view[done + 70_000 :]])

    with theirs, path.open("wb") as file, in_background(send):
        while data := theirs.recv(1 << 16):
            file.write(data)


def by_fwrite(view: memoryview, path: Path) -> None:
    libc = stream_functions()
    stream = libc.fopen(bytes(path), b"w")
    assert libc.fwrite(np.frombuffer(view, "u1").ctypes.data, 1, len(view), stream) == len(view)
    assert libc.fclose(stream) == 0


def by_a_program(view: memoryview, path: Path) -> None:
    with path.open("wb") as file:
        assert subprocess.run(["cat"], input=view, stdout=file, check=True).returncode == 0


def by_a_blob(view: memoryview, path: Path) -> None:
    with sqlite3.connect(path.with_name("base")) as base:
        base.execute("create table t (b blob)")
        base.execute("insert into t values (?)", (view,))
        base.commit()
        path.write_bytes(base.execute("select b from t").fetchone()[0])
    base.close()


@pytest.mark.parametrize(
    "drain",
    [
        by_tofile,
        by_write,
        by_writev,
        by_sendall,
        by_sendmsg,
        by_fwrite,
        by_a_program,
        by_a_blob,
    ],
)
def test_system_calls_read_from_evicted_pages(engine: Engine, tmp_path: Path, drain: Drain) -> None:
    allocation = engine.allocate(SIZE, 1, "source")
    view = memoryview(allocation)
    data = noise(SIZE)
    view[:] = data
    evict(engine)
    path = tmp_path / "written"
    drain(view[START:END], path)
    assert path.read_bytes() == data[START:END]
    assert bytes(view) == data


def test_direct_reads_and_writes_survive_reclaim_of_their_pages(engine: Engine, tmp_path: Path) -> None:
    """While the disk writes into a page or reads it the kernel has it pinned: it must not be taken away."""
    data = noise(SIZE, seed=3)
    path = file_with(tmp_path, data)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_DIRECT)
    except OSError as error:
        pytest.skip(f"no O_DIRECT in {tmp_path}: {error}")
    rounds, pages_max = 1500, 16
    allocation = engine.allocate(SIZE, 1, "pinned")
    view = memoryview(allocation)
    stop = threading.Event()

    def press() -> None:
        while not stop.is_set():
            engine.reclaim(SIZE // PAGE_BYTES)
            engine.evict(8)

    chance = random.Random(4)
    try:
        with in_background(press):
            try:
                for number in range(rounds):
                    length = chance.randint(1, pages_max) * PAGE_BYTES
                    in_file = chance.randrange(0, SIZE - length, PAGE_BYTES)
                    in_memory = chance.randrange(0, SIZE - length, PAGE_BYTES)
                    part = view[in_memory : in_memory + length]
                    assert os.preadv(descriptor, [part], in_file) == length
                    assert bytes(part) == data[in_file : in_file + length], number
                    # Back to where it came from, so that the file stays what it is if no byte is wrong.
                    assert os.pwritev(descriptor, [part], in_file) == length
            finally:
                stop.set()
    finally:
        os.close(descriptor)
    assert path.read_bytes() == data


# The interpreter's own lock.


@both_modes
def test_a_fault_is_served_while_the_thread_holds_the_interpreters_lock(faults: str) -> None:
    engine = make_engine(faults=faults)
    pages = 500
    allocation = engine.allocate(pages * PAGE_BYTES, 1, "indexed")
    view = memoryview(allocation)
    for page in range(pages):
        view[page * PAGE_BYTES + page] = page % 255 + 1
    stop = threading.Event()

    def spin() -> int:
        turns = 0
        while not stop.is_set():
            turns += 1
        return turns

    with ThreadPoolExecutor(2) as executor:
        spinning = [executor.submit(spin) for _ in range(2)]
        try:
            for _ in range(3):
                evict(engine)
                # Indexing a byte never releases the lock: nobody else's Python can help with the fault.
                assert [view[page * PAGE_BYTES + page] for page in range(pages)] == [
                    page % 255 + 1 for page in range(pages)
                ]
        finally:
            stop.set()
        assert all(future.result() > 0 for future in spinning)
    assert engine.counters()["faults_device"] > 0
    engine.check()


# Many allocations.


@both_modes
def test_a_thousand_arrays_come_and_go_and_addresses_are_used_again(faults: str) -> None:
    engine = make_engine(faults=faults)
    chance = random.Random(5)
    rounds, count, size_max = 3, 1000, 5 * PAGE_BYTES
    seen: set[int] = set()
    is_reused = False
    for number in range(rounds):
        arrays: list[tuple[Allocation, bytes]] = []
        for index in range(count):
            size = chance.randint(1, size_max)
            allocation = engine.allocate(size, chance.choice([1, 2, 4, 8]), f"array {index}")
            view = memoryview(allocation)
            # Nothing of those who had these addresses before.
            assert not any(view)
            address = address_of(allocation)
            is_reused |= address in seen
            seen.add(address)
            data = noise(size, number * count + index) if index % 2 else bytes([index % 256]) * size
            view[:] = data
            arrays.append((allocation, data))
        assert len(engine.live()) == count
        engine.reclaim(engine.counters()["ram_bytes"])
        engine.check()
        chance.shuffle(arrays)
        del allocation, view
        while arrays:
            allocation, data = arrays.pop()
            assert bytes(memoryview(allocation)) == data
            del allocation
        counters = engine.counters()
        for name in ("managed_bytes", "resident_bytes", "pool_bytes"):
            assert counters[name] == 0, name
        # A page that was touched while it was being written keeps its slot to the end of the write.
        eventually(lambda: engine.counters()["swap_used_bytes"] == 0)
        engine.check()
    assert is_reused


# RAM.


@pytest.mark.parametrize("pool", POOLS)
@both_modes
def test_resident_memory_grows_by_the_budget_at_most(faults: str, pool: str) -> None:
    figures = json.loads(output_of("fill_and_read", faults, pool))
    assert figures["used_peak"] <= RSS_RAM_BYTES
    assert figures["rss_growth"] <= RSS_RAM_BYTES * 1.02
    assert figures["mappings_growth"] <= RSS_RAM_BYTES * 1.02
    # It was put to use, too.
    assert figures["rss_growth"] > RSS_RAM_BYTES * 0.8


@pytest.mark.parametrize("eviction", ["unuse", "intact"])
@both_modes
def test_the_largest_batches_bring_every_page_back(faults: str, eviction: str) -> None:
    """With so much RAM a batch is as many pages as a word has bits."""
    engine = make_engine(ram_bytes=128 * MIB, swap_bytes=128 * MIB, faults=faults, eviction=eviction)
    words = as_words(engine.allocate(192 * MIB, 8, "words"))
    pattern = np.arange(MIB, dtype=np.uint64)
    parts = words.reshape(-1, MIB // 8, 8)
    for number, part in enumerate(parts):
        np.add(pattern.reshape(part.shape), number << 40, out=part)
    for number, part in enumerate(parts):
        assert np.array_equal(part, pattern.reshape(part.shape) + np.uint64(number << 40))


@pytest.mark.skipif(
    "ZPAGER_TEST_MACHINE" not in os.environ, reason="ZPAGER_TEST_MACHINE=1 lets memory be compacted"
)
@both_modes
def test_no_page_is_lost_while_the_kernel_compacts_its_memory(faults: str) -> None:
    """It migrates pages that are just being moved out of sight, which Linux 6.18 reports as not moved."""
    engine = make_engine(ram_bytes=64 * MIB, swap_bytes=128 * MIB, faults=faults)
    words = as_words(engine.allocate(96 * MIB, 8, "words"))
    pages = words.reshape(-1, PAGE_BYTES // 8)
    numbers = np.arange(len(pages), dtype=np.uint64)
    end = time.monotonic() + 5

    def compact() -> None:
        while time.monotonic() < end:
            Path("/proc/sys/vm/compact_memory").write_text("1")

    with in_background(compact):
        turn = 0
        while time.monotonic() < end:
            turn += 1
            pages[:, turn % 512] = numbers + np.uint64(turn)
            assert (pages[:, turn % 512] == numbers + np.uint64(turn)).all()
            assert (pages[:, (turn - 1) % 512] == (numbers + np.uint64(turn - 1) if turn > 1 else 0)).all()
    assert engine.counters()["vanished_pages"] == 0


def test_what_a_program_discards_by_itself_is_zeros_and_is_counted() -> None:
    """Before it is touched again, and before reclaim comes to it."""
    engine = make_engine()
    allocation = engine.allocate(2 * PAGE_BYTES, 8, "words")
    words = as_words(allocation)
    words[:] = 7
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert libc.madvise(address_of(allocation), 2 * PAGE_BYTES, mmap.MADV_DONTNEED) == 0
    assert words[0] == 0
    # The page is back before its fault has been counted.
    eventually(lambda: engine.counters()["vanished_pages"] == 1)
    evict(engine)
    assert engine.counters()["vanished_pages"] == 2
    assert not words.any()


# Accesses that must not succeed.


@pytest.mark.parametrize(
    ("program", "printed"), [("write_behind", "inside\n"), ("read_after_free", "freed\n")]
)
@both_modes
def test_an_access_outside_of_all_arrays_is_a_bus_error_with_a_message(
    faults: str, program: str, printed: str
) -> None:
    done = run_program(program, faults)
    assert done.returncode == -signal.SIGBUS, done
    assert done.stdout == printed
    assert "zpager: access to 0x" in done.stderr
    assert "no array has this page" in done.stderr


@pytest.mark.parametrize("has_faulthandler", ["before", "after", "no"])
def test_bus_errors_that_are_not_zpagers_go_to_who_had_them_before(
    tmp_path: Path, has_faulthandler: str
) -> None:
    done = run_program("sigbus_of_another", has_faulthandler, tmp_path)
    assert done.returncode == -signal.SIGBUS, done
    assert done.stdout == "own faults served\n"
    assert "zpager" not in done.stderr.partition("File")[0]
    if has_faulthandler != "no":
        assert "Fatal Python error: Bus error" in done.stderr
        assert "in sigbus_of_another" in done.stderr
    else:
        assert done.stderr == ""


# Signals, forks, and the end.


def test_a_handler_that_was_replaced_is_reported_before_it_can_hurt() -> None:
    assert "replaced zpager's handler for SIGBUS" in output_of("handler_is_replaced")


def test_sigbus_cannot_be_blocked() -> None:
    assert output_of("sigbus_is_blocked") == "done\n"


def test_libraries_that_are_loaded_later_and_functions_by_their_names_are_wrapped(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source, library = tmp_path / "later.c", tmp_path / "later.so"
    source.write_text(
        "#include <unistd.h>\n"
        "ssize_t read_all(int file, void *into, size_t bytes) { return read(file, into, bytes); }\n"
    )
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    assert output_of("load_a_library_later", library, tmp_path) == "done\n"


def test_the_collector_may_free_memory_while_an_error_is_raised() -> None:
    assert output_of("collect_while_an_error_is_raised") == "collected True\nraised []\n"


@pytest.mark.parametrize("eviction", ["unuse", "writeback", "intact", "none"])
@both_modes
def test_a_pager_that_is_given_out_to_the_last_page_gets_on(faults: str, eviction: str) -> None:
    assert output_of("fill_to_the_last_page", faults, eviction) == "done\n"


@both_modes
def test_signals_whose_handlers_read_managed_memory_may_come_at_any_moment(faults: str) -> None:
    rung = int(output_of("signals_during_faults", faults, seconds=SIGNALS_SECONDS))
    assert rung > 100


@both_modes
def test_a_forked_child_that_touches_managed_memory_dies_and_never_reads_zeros(faults: str) -> None:
    assert output_of("fork_and_touch", faults) == f"0 SIGSEGV\n{8 * MIB} SIGSEGV\n"


@both_modes
def test_a_forked_child_may_drop_the_engine_and_make_its_own(faults: str) -> None:
    assert output_of("fork_and_end", faults) == "child ended with 0\n"


def test_the_swap_file_is_nobody_elses(tmp_path: Path) -> None:
    swap_bytes = 8 * MIB
    engine = make_engine(swap_bytes=swap_bytes, swap_directory=str(tmp_path))
    (descriptor,) = open_files_in(tmp_path)
    status = os.fstat(descriptor)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_nlink == 0
    assert status.st_size == swap_bytes
    # Preallocated, so that a full disk shows at the start.
    assert status.st_blocks * 512 >= swap_bytes
    assert list(tmp_path.iterdir()) == []
    assert not os.get_inheritable(descriptor)
    assert engine.close()
    assert open_files_in(tmp_path) == []
