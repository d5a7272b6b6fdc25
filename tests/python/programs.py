"""What tests run in processes of their own, because it ends in a signal, may hang, or is measured as a whole.

`python programs.py NAME ARGUMENT ...` calls the function of that name; `run_program` does this from a test.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import mmap
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import numpy as np
from engines import MIB, address_of, as_words, evict, make_engine, used_bytes
from turmoil import Turmoil, Words

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
    """Installs another handler for SIGBUS after the engine's, and asks for memory."""
    engine = make_engine(faults="signal")
    faulthandler.enable()
    try:
        engine.allocate(MIB, 1, "refused")
    except ConfigurationError as error:
        print(error)


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
    if has_faulthandler == "yes":
        faulthandler.enable()
    engine = make_engine(faults="signal")
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


def wait_to_be_killed(faults: str, directory: str) -> None:
    """Writes to a swap file in that directory, says so, and waits."""
    engine = make_engine(faults=faults, swap_directory=directory)
    words = as_words(engine.allocate(16 * MIB, 8, "words"))
    words[:] = np.arange(len(words))
    evict(engine)
    assert engine.counters()["swap_used_bytes"] > 0
    print("written", flush=True)
    signal.pause()


def main() -> None:
    hang_seconds, name, *arguments = sys.argv[1:]
    faulthandler.dump_traceback_later(float(hang_seconds), exit=True)
    globals()[name](*arguments)


if __name__ == "__main__":
    main()
