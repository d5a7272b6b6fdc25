"""What tests run in processes of their own, because it ends in a signal, may hang, or is measured as a whole.

`python programs.py NAME ARGUMENT ...` calls the function of that name; `run_program` does this from a test.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import mmap
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

import numpy as np
from engines import MIB, address_of, as_words, evict, huge_bytes_at, make_engine, open_files_in, used_bytes
from numpy.typing import NDArray
from turmoil import Turmoil, Words

import zpager
from zpager import errors
from zpager._core import Engine
from zpager.errors import ConfigurationError, OutOfSwap

PAGE_BYTES = 4096
HANG_SECONDS = 60
"""How long a program may go on after the time that it is meant to take."""

CHILD_SECONDS = 10

SIGNALS_SECONDS = 3
SIGNAL_EVERY_SECONDS = 0.001

RSS_RAM_BYTES = 64 * MIB
RSS_SAMPLE_SECONDS = 0.002


def command(name: str, *arguments: object, seconds: float = 0) -> list[str]:
    """The command that runs one of the functions below, which is meant to take that long."""
    return [sys.executable, __file__, str(seconds + HANG_SECONDS), name, *map(str, arguments)]


def run_program(name: str, *arguments: object, seconds: float = 0) -> subprocess.CompletedProcess[str]:
    """Run it. If it hangs it ends by itself, and every thread's traceback is in its stderr."""
    return subprocess.run(
        command(name, *arguments, seconds=seconds),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 2 * HANG_SECONDS,
    )


# Much at the same time.


def turmoil(faults: str, pool: str, access: str, seconds: str) -> None:
    """Four threads on four times the budget. Prints what happened."""
    engine = make_engine(ram_bytes=16 * MIB, swap_bytes=96 * MIB, faults=faults, pool=pool)
    operations = Turmoil(engine, managed_bytes=64 * MIB, access=access).run(float(seconds))
    engine.check()
    print(json.dumps({"operations": operations} | engine.counters()))


def map_huge_pages(advice: str) -> None:
    """Maps 32 MiB with this advice to the kernel, and writes. Prints the bytes in huge pages."""
    memory = mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if advice != "nothing":
        memory.madvise(getattr(mmap, advice))
    words = np.frombuffer(memory, np.int64)
    words[:] = 1
    print(huge_bytes_at(words.ctypes.data + 16 * MIB))


def read_at_random(faults: str) -> None:
    """Reads words of four times the budget. Prints the seconds."""
    with zpager.Pager(ram="64MiB", swap="512MiB", faults=faults) as pager:
        words = pager.empty(256 * MIB // 8, dtype=np.int64)
        words[:] = np.arange(len(words)) % 1000
        at = np.random.default_rng(1).integers(0, len(words), 100_000)
        began = time.perf_counter()
        found = words[at]
        print(time.perf_counter() - began)
        assert (found == at % 1000).all()


def signals_during_faults(faults: str) -> None:
    """A timer's handler reads managed memory while the program does the same. Prints how often it rang."""
    engine = make_engine(faults=faults)
    words = as_words(engine.allocate(24 * MIB, 8, "words"))
    pages = words.reshape(-1, PAGE_BYTES // 8)
    page_count = len(pages)
    for number in range(page_count):
        pages[number] = number
    for_program, for_handler = np.random.default_rng(0), np.random.default_rng(1)
    rung = 0

    def on_alarm(number: int, frame: FrameType | None) -> None:
        nonlocal rung
        rung += 1
        for page in for_handler.integers(page_count, size=4).tolist():
            assert (pages[page] == page).all()

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, SIGNAL_EVERY_SECONDS, SIGNAL_EVERY_SECONDS)
    deadline = time.monotonic() + SIGNALS_SECONDS
    while time.monotonic() < deadline:
        for page in for_program.integers(page_count, size=100).tolist():
            assert (pages[page] == page).all()
            pages[page] = page  # so that there are write faults, too
    signal.setitimer(signal.ITIMER_REAL, 0)
    engine.check()
    print(rung)


# RAM as the kernel counts it.


def fill_and_read(faults: str, pool: str) -> None:
    """Fills four times the budget and reads it at random. Prints peaks of Rss's growth and of the budget."""
    # The library's own code and Python's are touched once before, so that the growth is data.
    _fill_and_read(make_engine(faults=faults, pool=pool), 16 * MIB)
    gc.collect()
    rss_before, mappings_before = rss_bytes(), rss_of_mappings_bytes()
    engine = make_engine(RSS_RAM_BYTES, 4 * RSS_RAM_BYTES, faults=faults, pool=pool)
    stop = threading.Event()
    rss_peak = used_peak = 0

    def sample() -> None:
        nonlocal rss_peak, used_peak
        while not stop.wait(RSS_SAMPLE_SECONDS):
            rss_peak = max(rss_peak, rss_bytes())
            used_peak = max(used_peak, used_bytes(engine.counters()))

    sampler = threading.Thread(target=sample)
    sampler.start()
    words = _fill_and_read(engine, 4 * RSS_RAM_BYTES)
    stop.set()
    sampler.join()
    figures = {
        "rss_growth": rss_peak - rss_before,
        "mappings_growth": rss_of_mappings_bytes() - mappings_before,
        "used_peak": used_peak,
    }
    del words
    print(json.dumps(figures))


def _fill_and_read(engine: Engine, size: int) -> Words:
    words = as_words(engine.allocate(size, 8, "words"))
    pages = words.reshape(-1, PAGE_BYTES // 8)
    row = np.arange(PAGE_BYTES // 8, dtype=np.uint64) % np.uint64(1000)
    for number in range(len(pages)):
        np.add(row, np.uint64(number), out=pages[number])
    random = np.random.default_rng(0)
    for _ in range(len(pages) // 4):
        # One at a time: a list of them all would be RAM of Python's that counts as growth.
        number = int(random.integers(len(pages)))
        page = pages[number]
        assert page[0] == number
        assert page[-1] == number + row[-1]
    return words


def rss_bytes() -> int:
    """What the kernel counts as resident of this process, at any moment.

    It is the count of smaps without the walk: a page that is moved from one mapping to another during a walk
    is seen in both.
    """
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * PAGE_BYTES


def rss_of_mappings_bytes() -> int:
    """The same as the sum over all mappings, from smaps; exact only while nothing moves."""
    with open("/proc/self/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Rss:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("smaps_rollup without Rss")


# Accesses that must not succeed.


def write_behind(faults: str) -> None:
    """Runs past the end of an allocation."""
    engine = make_engine(faults=faults)
    size = 10 * PAGE_BYTES
    allocation = engine.allocate(size, 1, "short")
    address = address_of(allocation)
    ctypes.memset(address, 1, size)
    print("inside", flush=True)
    ctypes.memset(address + size, 1, 1)
    print("behind")


def read_after_free(faults: str) -> None:
    """Reads by an address that was kept."""
    engine = make_engine(faults=faults)
    allocation = engine.allocate(10 * PAGE_BYTES, 1, "freed")
    address = address_of(allocation)
    ctypes.memset(address, 1, 10 * PAGE_BYTES)
    assert ctypes.string_at(address, 1) == b"\x01"
    del allocation
    print("freed", flush=True)
    print("read", ctypes.string_at(address + PAGE_BYTES, 1))


def handler_is_replaced() -> None:
    """Has SIGBUS at its default, past the C library's functions for it, and asks for memory."""
    engine = make_engine(faults="signal")
    assert libc_rt_sigaction(signal.SIGBUS, bytes(32)) == 0
    try:
        engine.allocate(MIB, 1, "refused")
    except ConfigurationError as error:
        print(error)


def libc_rt_sigaction(number: int, action: bytes) -> int:
    """The system call, by `syscall`, with a `sigaction` as the kernel has it."""
    rt_sigaction, set_bytes = 13, 8
    return int(ctypes.CDLL(None).syscall(rt_sigaction, number, action, None, set_bytes))


def sigbus_is_blocked() -> None:
    """Blocks all signals, in a thread that was there before the engine and in others, and touches memory."""
    begin, result = threading.Event(), []
    everything = signal.valid_signals()

    def touch() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, everything)
        result.append(int(words.sum()))

    def wait_and_touch() -> None:
        begin.wait()
        touch()

    before = threading.Thread(target=wait_and_touch)
    before.start()
    engine = make_engine(faults="signal")
    words = as_words(engine.allocate(16 * MIB, 8, "words"))
    words[:] = 1
    evict(engine)
    begin.set()
    before.join()
    evict(engine)
    touch()
    assert result == [len(words)] * 2
    print("done")


def collect_while_an_error_is_raised() -> None:
    """Frees an allocation by the collector just when the engine makes the exception for a closed one."""
    engine = make_engine()

    class Collecting(errors.ClosedError):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)
            print("collected", gc.collect() > 0, flush=True)

    errors.ClosedError = Collecting  # type: ignore[misc]
    cycle: list[object] = [engine.allocate(MIB, 1, "in a cycle")]
    cycle.append(cycle)
    gc.disable()
    del cycle
    assert not engine.close()
    try:
        engine.allocate(MIB, 1, "refused")
    except Collecting:
        print("raised", engine.live())


def load_a_library_later(library: str, directory: str) -> None:
    """Reads a file into evicted memory by a library that is loaded when the engine is there."""
    engine = make_engine(faults="signal")
    allocation = engine.allocate(4 * MIB, 1, "target")
    memory = memoryview(allocation)
    memory[:] = b"x" * len(memory)
    data = np.random.default_rng(6).bytes(len(memory))
    path = Path(directory, "data")
    path.write_bytes(data)
    later, libc = ctypes.CDLL(library), ctypes.CDLL(None)
    with path.open("rb", buffering=0) as file:
        for read in (later.read_all, libc.read):
            evict(engine)
            file.seek(0)
            read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
            read.restype = ctypes.c_ssize_t
            assert read(file.fileno(), address_of(allocation), len(memory)) == len(memory)
            assert memory == data
            memory[:] = b"x" * len(memory)
    print("done")


def fill_to_the_last_page(faults: str, eviction: str) -> None:
    """Has all that ram and swap can hold, lets most of it compress a little, and makes that noise."""
    engine = make_engine(faults=faults, eviction=eviction, pool_limit_bytes=8 * MIB, ram_bytes=8 * MIB)
    try:
        engine.allocate(1 << 40, 1, "refused")
    except OutOfSwap as error:
        size = int(re.findall(r"(\d+) bytes could be had", str(error))[0])
    memory = engine.allocate(size, 1, "all")
    pages = np.frombuffer(memoryview(memory), "u1").reshape(-1, PAGE_BYTES)
    chance = np.random.default_rng(1)
    pages[:, :3100] = chance.integers(0, 256, (len(pages), 3100), "u1")
    noise = chance.integers(0, 256, PAGE_BYTES, "u1")
    for number in range(len(pages)):
        if number % 5:
            pages[number] = noise
    assert all((pages[number] == noise).all() for number in range(len(pages)) if number % 5)
    engine.check()
    print("done")


def sigbus_of_another(has_faulthandler: str, directory: str) -> None:
    """Touches a mapped file where it has been cut off, beside an engine in signal mode."""
    if has_faulthandler == "before":
        faulthandler.enable()
    engine = make_engine(faults="signal")
    if has_faulthandler == "after":
        faulthandler.enable()
    words = as_words(engine.allocate(16 * MIB, 8, "words"))
    words[:] = 7
    evict(engine)
    assert (words == 7).all()  # the handler serves what is the engine's
    print("own faults served", flush=True)
    path = Path(directory, "cut off")
    path.write_bytes(bytes(2 * PAGE_BYTES))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 2 * PAGE_BYTES) as mapped:
        file.truncate(PAGE_BYTES)
        print("read", mapped[PAGE_BYTES + 10])


# Fork, and the end.


def fork_and_touch(faults: str) -> None:
    """Forks children that touch managed memory, resident and evicted; then the parent uses it."""
    engine = make_engine(faults=faults)
    allocation = engine.allocate(16 * MIB, 1, "inherited")
    memory = memoryview(allocation)
    memory[:] = b"z" * len(memory)
    evict(engine)
    resident, evicted = 0, len(memory) // 2
    assert memory[resident] == ord("z")
    for offset in (resident, evicted):
        child = os.fork()
        if child == 0:
            # An exit code that tells what was read, if anything was.
            os._exit(memory[offset])
        status = os.waitpid(child, 0)[1]
        print(offset, os.WIFSIGNALED(status) and signal.Signals(os.WTERMSIG(status)).name)
    for offset in range(0, len(memory), PAGE_BYTES // 2):
        assert memory[offset] == ord("z")
        memory[offset] = ord("y")
    evict(engine)
    assert bytes(memory[:PAGE_BYTES]) == (b"y" + b"z" * (PAGE_BYTES // 2 - 1)) * 2
    engine.check()


def fork_and_end(faults: str) -> None:
    """A forked child drops what it has of the engine, makes one of its own, and exits as programs do."""
    engine: Engine | None = make_engine(faults=faults)
    assert engine is not None
    words = as_words(engine.allocate(16 * MIB, 8, "inherited"))
    words[:] = 7
    # The child has no watchdog's thread, and at its exit Python would wait for it for ever.
    faulthandler.cancel_dump_traceback_later()
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(CHILD_SECONDS, exit=True)
        del words
        engine = None
        gc.collect()
        own = as_words(make_engine(faults=faults).allocate(16 * MIB, 8, "the child's own"))
        own[:] = 8
        assert (own == 8).all()
        sys.exit(0)
    status = os.waitpid(child, 0)[1]
    assert (words == 7).all()
    words[:] = 9
    assert (words == 9).all()
    engine.check()
    print(f"child ended with {status}")


def worker_processes(method: str, faults: str, has_faulthandler: str) -> None:
    """Lets workers of multiprocessing do what they may and may not. Prints their exit codes and answers."""
    if has_faulthandler == "yes":
        faulthandler.enable()
    faulthandler.cancel_dump_traceback_later()  # a child would wait for its thread, which is not there
    context = multiprocessing.get_context(method)
    with zpager.Pager(ram="16MiB", swap="64MiB", faults=faults) as pager:
        array = pager.full(20 * MIB, 7, "u1")
        INHERITED.append(array)
        for target in (leave_it, use_own_pager, touch_inherited, touch_inherited_beside_own):
            ours, theirs = context.Pipe()
            # A forked child gets no pickle of its arguments, but one of what goes through a pipe.
            ours.send(array[:COPIED_BYTES])
            worker = context.Process(target=target, args=(theirs, faults))
            worker.start()
            worker.join(CHILD_SECONDS)
            print(target.__name__, worker.exitcode, ours.recv() if ours.poll() else "-", flush=True)
            worker.kill()
        assert (array == 7).all()
        INHERITED.clear()
        del array


COPIED_BYTES = 50_000
"""Less than a pipe takes before anybody reads it."""

INHERITED: list[NDArray[np.uint8]] = []
"""What a forked worker finds here; others find nothing."""


def leave_it(pipe: Connection, faults: str) -> None:
    """Uses a copy, and drops what was inherited."""
    copy = pipe.recv()
    INHERITED.clear()
    gc.collect()
    pipe.send((type(copy.base).__name__, int(copy.sum(dtype="i8"))))


def use_own_pager(pipe: Connection, faults: str) -> None:
    """Makes a pager, and keeps more in it than fits into RAM."""
    with zpager.Pager(ram="16MiB", swap="64MiB", faults=faults) as pager:
        array = pager.array(np.arange(3 * MIB))
        assert array[-1] == 3 * MIB - 1
        pipe.send(int(array.sum()))
        del array


def touch_inherited(pipe: Connection, faults: str) -> None:
    """Reads its parent's memory, if it has any."""
    pipe.send([int(array[10 * MIB]) for array in INHERITED])


def touch_inherited_beside_own(pipe: Connection, faults: str) -> None:
    """The same with a pager of its own, whose memory must not lie at its parent's addresses."""
    with zpager.Pager(ram="16MiB", swap="64MiB", faults=faults) as pager:
        own = pager.full(20 * MIB, 8, "u1")
        pipe.send([int(array[10 * MIB]) for array in INHERITED])
        del own


def segfault_elsewhere(has_faulthandler: str) -> None:
    """A forked child reads address 0, and another is sent SIGSEGV, beside a pager of the parent's."""
    if has_faulthandler == "yes":
        faulthandler.enable()
    engine = make_engine()
    for number in range(2):
        child = os.fork()
        if child == 0:
            if number == 0:
                ctypes.string_at(0, 1)
            os.kill(os.getpid(), signal.SIGSEGV)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    engine.check()


# Failures.

SECRET = b"zpager keeps this to itself. "


def wait_to_be_killed(faults: str, directory: str, encrypt: str) -> None:
    """Has a secret on the device in that directory, says so, and waits."""
    is_encrypted = encrypt == "encrypted"
    pager = zpager.Pager(ram="16MiB", swap="16MiB", swap_dir=directory, faults=faults, encrypt=is_encrypted)
    memory = memoryview(pager.allocate("24MiB"))
    chance = np.random.default_rng(0)
    for offset in range(0, len(memory), PAGE_BYTES):
        # Noise, so that it goes to the device.
        memory[offset : offset + PAGE_BYTES] = (SECRET + chance.bytes(PAGE_BYTES))[:PAGE_BYTES]
    pager.reclaim()
    assert pager.stats.swap_used_bytes > 0
    print("written", flush=True)
    signal.pause()


def limit_files_to(size: int) -> None:
    """No file can be written beyond that any more; SIGXFSZ is ignored, as Python does by itself."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def swap_file_beyond_the_limit(directory: str) -> None:
    """Asks for a swap file that must not become so large."""
    limit_files_to(8 * MIB)
    try:
        zpager.Pager(ram="16MiB", swap="64MiB", swap_dir=directory)
    except zpager.DeviceError as error:
        print(error)


def noise_pages(count: int, seed: int) -> NDArray[np.uint8]:
    """Pages that cannot be compressed, each another."""
    return np.random.default_rng(seed).integers(0, 256, (count, PAGE_BYTES), "u1")


def writes_fail(faults: str, beyond: str) -> None:
    """Writes fail from a place in the swap file on, and go on later. Prints the counters in between."""
    engine = make_engine(ram_bytes=16 * MIB, swap_bytes=64 * MIB, faults=faults)
    data = noise_pages(10 * MIB // PAGE_BYTES, 1)
    memory = engine.allocate(data.nbytes, 1, "noise")
    pages = np.frombuffer(memoryview(memory), "u1").reshape(data.shape)
    limit_files_to(int(beyond))
    pages[:] = data
    for _ in range(3):
        engine.reclaim(data.size)
        assert (pages == data).all()
    engine.check()
    print(json.dumps(engine.counters()), flush=True)
    limit_files_to(resource.RLIM_INFINITY)
    # Twice the RAM, which needs the device.
    more = noise_pages(20 * MIB // PAGE_BYTES, 2)
    others = np.frombuffer(memoryview(engine.allocate(more.nbytes, 1, "more noise")), "u1").reshape(
        more.shape
    )
    others[:] = more
    evict(engine)
    assert (pages == data).all()
    assert (others == more).all()
    engine.check()
    print(json.dumps(engine.counters()))


def damage(path: str, kind: str) -> None:
    """Makes a part of a swap file unreadable or wrong, but not its first quarter."""
    size = os.stat(path).st_size
    used = noise_file_bytes(path)
    quarter = used // 4 // PAGE_BYTES * PAGE_BYTES
    if kind == "truncated":
        os.truncate(path, 3 * quarter)
    elif kind == "truncated inside of a page":
        os.truncate(path, 3 * quarter + 1001)
    with open(path, "r+b", buffering=0) as file:
        if kind == "overwritten":
            os.pwrite(file.fileno(), b"wrong" * 100, quarter + 1000)
        elif kind == "exchanged":
            # Right in itself, and at the wrong place.
            one, other = (os.pread(file.fileno(), quarter, number * quarter) for number in (1, 2))
            os.pwrite(file.fileno(), other, quarter)
            os.pwrite(file.fileno(), one, 2 * quarter)
        elif kind == "zeros":
            os.pwrite(file.fileno(), bytes(quarter), quarter)
        os.fsync(file.fileno())
    assert kind.startswith("truncated") == (os.stat(path).st_size < size)


def noise_file_bytes(path: str) -> int:
    """How much of a swap file is written: what is behind has never been touched, and reads as zeros."""
    with open(path, "rb", buffering=0) as file:
        data = file.readall()
    return len(data.rstrip(b"\0"))


def swap_path(directory: str) -> str:
    """A path to the swap file, which has no name, in that directory."""
    (descriptor,) = open_files_in(Path(directory))
    return f"/proc/self/fd/{descriptor}"


def touch_what_is_lost(faults: str, kind: str, directory: str, is_verified: str) -> None:
    """Damages the swap file, uses what is left, and touches what is not, which ends the process."""
    pager = zpager.Pager(ram="16MiB", swap="64MiB", swap_dir=directory, faults=faults)
    data = noise_pages(24 * MIB // PAGE_BYTES, 3)
    pages = pager.array(data)
    pager.reclaim()
    damage(swap_path(directory), kind)
    if is_verified == "no":
        for number, page in enumerate(pages):
            assert (page == data[number]).all()
        return
    is_good = np.ones(len(pages), bool)
    for number, page in enumerate(pages):
        try:
            pager.verify(page)
        except zpager.PageLost:
            is_good[number] = False
    assert (pages[is_good] == data[is_good]).all()
    lost = np.flatnonzero(~is_good)
    print("lost", lost[-1] * PAGE_BYTES, flush=True)
    print("read", pages[lost[-1], 0])


def close_userfaultfd(faults: str) -> None:
    """Closes the descriptor that faults come by, as a program does that closes all it finds."""
    engine = make_engine(faults=faults)
    words = as_words(engine.allocate(16 * MIB, 8, "words"))
    words[:] = 7
    evict(engine)
    (descriptor,) = [
        number
        for number in os.listdir("/proc/self/fd")
        if "[userfaultfd]" in os.path.realpath(f"/proc/self/fd/{number}")
    ]
    os.close(int(descriptor))
    print("closed", flush=True)
    int(words.sum())
    time.sleep(CHILD_SECONDS)


def close_a_pipe(faults: str) -> None:
    """Reads a pipe, that was there before the pager, to its end."""
    reading, writing = os.pipe()
    engine = make_engine(faults=faults)
    words = as_words(engine.allocate(MIB, 8, "words"))
    words[:] = 7
    os.close(writing)
    assert os.read(reading, 1) == b""


def main() -> None:
    hang_seconds, name, *arguments = sys.argv[1:]
    faulthandler.dump_traceback_later(float(hang_seconds), exit=True)
    globals()[name](*arguments)


if __name__ == "__main__":
    main()
