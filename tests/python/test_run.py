"""`zpager run` with real programs: their signals and codes, their memory, and what is told of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from engines import MIB, has_huge_pages
from programs import command

from zpager.run import supervise

pytestmark = pytest.mark.userfaultfd

ZPAGER = str(Path(sys.executable).with_name("zpager"))
RAM = "--ram=48MiB", "--swap=512MiB"
SECONDS = 60


def run(*arguments: str, options: tuple[str, ...] = RAM, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ZPAGER, "run", *options, "--", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **more,
    )


def python(code: str, *arguments: str, options: tuple[str, ...] = RAM) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-c", code, *arguments, options=options)


# As if nobody stood between.


def test_input_output_and_code_are_the_programs_own() -> None:
    done = run("sh", "-c", "cat; echo error >&2; exit 7", options=(*RAM, "--quiet"), input="in\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\n", "error\n")


def test_a_signal_that_ends_it_is_128_and_its_number() -> None:
    assert run("sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_signals_are_sent_on(number: signal.Signals) -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(int(sys.argv[1]), lambda *_: sys.exit(9))\n"
        "print(flush=True)\n"
        "signal.pause()"
    )
    with subprocess.Popen(
        [ZPAGER, "run", *RAM, sys.executable, "-c", code, str(int(number))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(SECONDS) == 9


@pytest.mark.parametrize(
    ("command", "code", "why"),
    [
        (["no-such-program-here"], 127, "no such program"),
        (["/etc/passwd"], 126, "cannot be executed"),
    ],
)
def test_what_cannot_be_started_is_told(command: list[str], code: int, why: str) -> None:
    done = run(*command)
    assert done.returncode == code
    assert why in done.stderr


def test_a_bad_setting_is_125_and_told() -> None:
    done = run("true", options=("--ram=much",))
    assert done.returncode == 125
    assert "ram: 'much' is not a size" in done.stderr


@pytest.mark.parametrize("arguments", [["--no-such-flag", "true"], ["--codec=lz5", "true"], ["--ram=1G"]])
def test_what_it_is_called_with_wrongly_is_125(arguments: list[str]) -> None:
    done = subprocess.run([ZPAGER, "run", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "Usage: zpager run" in done.stderr


def test_a_pager_that_cannot_be_made_ends_the_program_with_125() -> None:
    # The budget is too small for any pager, which only the program's process finds out.
    done = python("bytearray(1 << 20)", options=("--ram=1MiB", "--swap=16MiB"))
    assert done.returncode == 125
    assert "zpager run: ram=1048576 bytes" in done.stderr


def test_an_end_that_only_another_thread_hears_of_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()
    other = threading.Thread(target=is_over.wait)
    other.start()
    wait4 = os.wait4

    def slow_wait4(process: int, options: int) -> Any:
        found = wait4(process, options)
        if not found[0]:
            time.sleep(0.4)  # meanwhile it ends
        return found

    monkeypatch.setattr(os, "wait4", slow_wait4)
    try:
        assert supervise.run("/bin/sleep", ("sleep", "0.2"), os.environ).code == 0
    finally:
        is_over.set()
        other.join()


# Memory.


def test_blocks_larger_than_ram_keep_their_contents() -> None:
    done = python(
        "size = 160 << 20\n"
        "block = bytearray(size)\n"
        "for at in range(0, size, 4096): block[at:at + 8] = at.to_bytes(8, 'little')\n"
        "block.extend(bytes(8 << 20))\n"  # realloc
        "assert all(block[at:at + 8] == at.to_bytes(8, 'little') for at in range(0, size, 4096))\n"
        "assert not any(block[size::4096])\n"
        "print(len(block))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{168 * MIB}\n"
    assert re.search(r"managed memory took at most 4[5-8](\.\d)? MiB of 48 MiB RAM", done.stderr)


def test_the_interpreters_own_heap_is_managed_too() -> None:
    done = python(
        "import resource\n"
        "words = [f'word {number}' for number in range(700_000)]\n"
        "assert all(word == f'word {number}' for number, word in enumerate(words))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)"
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 48 * MIB * 1.05 + 24 * MIB, "what is not managed is the interpreter itself"


def test_mappings_can_be_cut_moved_and_dropped() -> None:
    done = python(
        "import ctypes, mmap\n"
        "m = mmap.mmap(-1, 8 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "m[:] = b'x' * len(m)\n"
        "m.madvise(mmap.MADV_DONTNEED, 1 << 20, 1 << 20)\n"
        "assert not any(m[1 << 20:2 << 20]) and m[(2 << 20) - 1:][:2] == b'\\0x'\n"
        "m.resize(16 << 20)\n"  # mremap
        "assert m[:4] == b'xxxx' and not any(m[8 << 20:])\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.mmap.restype = ctypes.c_void_p\n"
        "libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)\n"
        "libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)\n"
        "start = libc.mmap(None, 4 << 20, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)\n"
        "ctypes.memset(start, 7, 4 << 20)\n"
        "assert libc.munmap(start + (1 << 20), 1 << 20) == 0\n"
        "for kept in start + (1 << 20) - 1, start + (2 << 20):\n"
        "    assert ctypes.string_at(kept, 1) == b'\\7'\n"
        "assert libc.munmap(start, 4 << 20) == 0\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not has_huge_pages(), reason="no huge pages here")
@pytest.mark.parametrize("advice", ["nothing", "MADV_HUGEPAGE", "MADV_NOHUGEPAGE"])
def test_huge_pages_are_had_by_who_has_them_without_zpager(advice: str) -> None:
    program = command("map_huge_pages", advice)
    plain = subprocess.run(program, capture_output=True, text=True, check=True, timeout=SECONDS)
    managed = run(*program, options=("--ram=256MiB", "--swap=512MiB"))
    huge_bytes = [int(done.stdout) for done in (plain, managed)]
    if advice == "MADV_HUGEPAGE":
        assert min(huge_bytes) >= 28 * MIB
    else:
        assert (huge_bytes[0] > 0) == (huge_bytes[1] > 0)


def test_more_than_ram_and_swap_is_refused_when_it_is_asked_for() -> None:
    done = python(
        "try: bytearray(1 << 40)\nexcept MemoryError: print('refused')",
        options=("--ram=48MiB", "--swap=64MiB"),
    )
    assert (done.returncode, done.stdout) == (0, "refused\n")


def test_many_threads_allocate_and_free() -> None:
    done = python(
        "import random, threading\n"
        "def work(seed):\n"
        "    draw = random.Random(seed)\n"
        "    held = {}\n"
        "    for number in range(300):\n"
        "        size = int(2 ** draw.uniform(10, 22))\n"
        "        held[number] = bytes([number % 256]) * size\n"
        "        if len(held) > 20:\n"
        "            old = draw.choice(list(held))\n"
        "            block = held.pop(old)\n"
        "            assert block.count(old % 256) == len(block)\n"
        "threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "print('done')"
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_programs_that_it_starts_are_followed_or_not(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "block = bytearray(96 << 20)\n"
        "inner = 'block = bytearray(96 << 20); print(len(block))'\n"
        "done = subprocess.run([sys.executable, '-c', inner], capture_output=True)\n"
        "assert done.stdout == b'100663296\\n', done\n"
    )
    for flag, processes in (("--follow", 2), ("--no-follow", 1)):
        report = tmp_path / flag
        done = python(code, options=(*RAM, flag, f"--report={report}"))
        assert done.returncode == 0, done.stderr
        assert len(json.loads(report.read_text())["processes"]) == processes, flag


# What is told.


def test_the_report_has_what_happened(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    done = python(
        "block = bytearray(96 << 20); block[::4096] = b'a' * (24 << 10)", options=(*RAM, f"--report={path}")
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    assert report["schema_version"] == 1
    assert report["code"] == 0
    assert report["options"]["ram_bytes"] == 48 * MIB
    assert report["total"]["faults"] > 0
    assert 40 * MIB < report["total"]["used_most_bytes"] <= 48 * MIB
    assert report["total"]["lost_pages"] == 0


def test_statistics_come_while_it_runs() -> None:
    done = python(
        "import time; block = bytearray(4 << 20); time.sleep(1.2)", options=(*RAM, "--stats-every=0.3")
    )
    assert done.returncode == 0
    assert done.stderr.count("managed memory took at most") >= 3


def test_without_managed_memory_that_is_said() -> None:
    done = run("true")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no memory of the program was managed" in done.stderr


def test_it_ends_soon_after_the_program(tmp_path: Path) -> None:
    began = time.monotonic()
    assert run("sleep", "0.1", env={**os.environ, "TMPDIR": str(tmp_path)}).returncode == 0
    assert time.monotonic() - began < 5
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("faults", ["thread", "signal"])
def test_a_program_may_close_everything_that_it_does_not_know(faults: str) -> None:
    done = python(
        "import fcntl, os, resource\n"
        "block = bytearray(96 << 20)\n"
        "assert os.open('/dev/null', os.O_RDONLY) == 3\n"  # the lowest number is the program's
        "for number in range(4, 5000):\n"
        "    for ask in os.fstat, lambda number: fcntl.fcntl(number, fcntl.F_GETFD):\n"
        "        try: ask(number)\n"
        "        except OSError: pass\n"
        "        else: raise AssertionError(number)\n"
        "highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0]\n"
        "os.closerange(3, highest)\n"
        "for number in range(3, 5000):\n"
        "    try: os.close(number)\n"
        "    except OSError: pass\n"
        "for at in range(0, len(block), 4096): block[at:at + 8] = at.to_bytes(8, 'little')\n"
        "assert all(block[at:at + 8] == at.to_bytes(8, 'little') for at in range(0, len(block), 4096))\n",
        options=(*RAM, f"--faults={faults}"),
    )
    assert done.returncode == 0, done.stderr
