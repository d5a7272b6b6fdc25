"""Programs that nobody here wrote, under `zpager run` with less RAM than they take: what comes out is
the same as without it, and the RAM of the whole tree of processes is what was asked for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pytest
from engines import MIB
from test_run import RAM, ZPAGER, python
from test_run_system_calls import WITHOUT_PRIVILEGE, require_privilege_to_drop

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

from bench.programs import tree  # noqa: E402
from bench.programs.programs import PROGRAMS, Program  # noqa: E402

pytestmark = pytest.mark.userfaultfd

SWAP = "--swap=4GiB"
RSS_OF_RAM_MOST = 1.05

# RAM for each in MiB: for a test that takes seconds, and for one that takes minutes. What is not managed
# takes its part, of pandas with pyarrow 200 MiB. sort and gcc go over all of their memory again and again.
SHORT = {"numpy": 64, "objects": 48, "sqlite3": 40, "pandas": 384}
LONG = {"numpy": 512, "objects": 256, "sqlite3": 256, "sort": 128, "gcc": 512, "pandas": 1024}
SHORT_SECONDS = 120
LONG_SECONDS = 1200


@pytest.fixture
def disk_directory() -> Iterator[Path]:
    """Not pytest's own, which keeps what it has of several runs."""
    with TemporaryDirectory(prefix="zpager-test-", dir="/var/tmp") as path:
        yield Path(path)


def compare(
    program: Program, ram_bytes: int, directory: Path, seconds: float, before: Sequence[str] = ()
) -> tuple[tree.Ran, tree.Ran]:
    """How it ran without and with zpager, with the same outcome. The time is shown, and not asserted."""
    why_not = program.why_not()
    if why_not:
        pytest.skip(why_not)
    program.prepare(directory, ram_bytes)
    command = program.command(ram_bytes)
    wrapper = [*before, ZPAGER, "run", f"--ram={ram_bytes}", SWAP, "--"]
    found = []
    for prefix in [], wrapper:
        ran = tree.run(
            prefix + command,
            timeout_seconds=seconds,
            directory=directory,
            stdin=directory / program.stdin if program.stdin else None,
            is_wrapped=bool(prefix),
        )
        assert ran.code == 0, ran.stderr[-3000:]
        found.append((ran, [(directory / name).read_bytes() for name in program.outputs]))
    (plain, plain_outputs), (managed, managed_outputs) = found
    assert plain.stdout == managed.stdout
    assert plain_outputs == managed_outputs
    assert plain.rss_bytes_peak > 1.4 * ram_bytes, "or it shows nothing"
    print(
        f"{program.name}: {managed.wall_seconds / plain.wall_seconds:.2f} times the time, "
        f"{managed.rss_bytes_peak / ram_bytes:.2f} times the RAM; without zpager it takes "
        f"{plain.rss_bytes_peak / ram_bytes:.2f} times"
    )
    return plain, managed


@pytest.mark.parametrize(
    "program",
    [program for program in PROGRAMS if program.short_name in SHORT],
    ids=lambda program: program.short_name,
)
def test_a_program_with_more_memory_than_ram(program: Program, disk_directory: Path) -> None:
    compare(program, SHORT[program.short_name] * MIB, disk_directory, SHORT_SECONDS)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(program, marks=[pytest.mark.soak] if program.short_name == "pandas" else [])
        for program in PROGRAMS
        if program.short_name in ("pandas", "sqlite3")
    ],
    ids=lambda program: program.short_name,
)
def test_a_program_of_an_ordinary_user(program: Program, disk_directory: Path) -> None:
    require_privilege_to_drop()
    ram_bytes = SHORT[program.short_name] * MIB
    compare(program, ram_bytes, disk_directory, SHORT_SECONDS, before=WITHOUT_PRIVILEGE)


@pytest.mark.soak
@pytest.mark.timeout(2 * LONG_SECONDS + 60)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.short_name)
def test_a_program_with_much_more_memory_than_ram(program: Program, disk_directory: Path) -> None:
    ram_bytes = LONG[program.short_name] * MIB
    plain, managed = compare(program, ram_bytes, disk_directory, LONG_SECONDS)
    assert managed.rss_bytes_peak <= RSS_OF_RAM_MOST * ram_bytes
    if program.short_name == "pandas":
        assert managed.wall_seconds <= 2.5 * plain.wall_seconds


# What each has at its peak, in MiB, for some seconds of work.
WITHIN_RAM = {"pandas": 1500, "numpy": 2000, "objects": 2000}
WITHIN_RAM_ROUNDS = 5


@pytest.mark.soak
@pytest.mark.timeout(LONG_SECONDS)
@pytest.mark.parametrize("job", WITHIN_RAM)
def test_a_program_within_its_ram_is_not_slowed_down(job: str, disk_directory: Path) -> None:
    command = [sys.executable, str(CHECKOUT / "bench/programs/jobs.py"), job, str(WITHIN_RAM[job])]
    wrapper = [ZPAGER, "run", "--quiet", "--ram=6GiB", "--swap=16GiB", "--"]
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for round_ in range(WITHIN_RAM_ROUNDS):
        for managed in (False, True) if round_ % 2 == 0 else (True, False):
            prefix = wrapper if managed else []
            ran = tree.run(prefix + command, timeout_seconds=SHORT_SECONDS, directory=disk_directory)
            assert ran.code == 0, ran.stderr[-3000:]
            seconds[managed].append(ran.wall_seconds)
    ratio = median(seconds[True]) / median(seconds[False])
    print(f"{job}: {ratio:.3f} times the time; {seconds}")
    assert ratio <= 1.05


# stress-ng


STRESS = {
    "vm": "--vm 2 --vm-bytes 512M --vm-method all --verify --vm-ops 200",
    "malloc": "--malloc 2 --malloc-bytes 300M --verify --malloc-ops 8000",
    "mremap": "--mremap 2 --mremap-bytes 16M --verify --mremap-ops 20",
    "madvise": "--madvise 2 --verify --madvise-ops 20",
    "brk": "--brk 2 --verify --brk-ops 20000",
    "fork": "--fork 2 --fork-ops 100",
    "mlock": "--mlock 1 --mlock-ops 100",
}
STRESS_LONG = {
    "vm": "--vm 2 --vm-bytes 1G --vm-method all --verify --timeout 120",
    "malloc": "--malloc 2 --malloc-bytes 1G --verify --timeout 60",
    "mremap": "--mremap 2 --mremap-bytes 128M --verify --timeout 30",
    "madvise": "--madvise 2 --verify --timeout 30",
    "brk": "--brk 2 --verify --timeout 30",
    "fork": "--fork 2 --timeout 30",
    "mlock": "--mlock 2 --timeout 30",
}


def stress(arguments: str, ram: str, directory: Path, seconds: float, before: Sequence[str] = ()) -> None:
    if not shutil.which("stress-ng"):
        pytest.skip("stress-ng is not installed")
    ran = tree.run(
        [*before, ZPAGER, "run", f"--ram={ram}", SWAP, "--", "stress-ng", *arguments.split()],
        timeout_seconds=seconds,
        directory=directory,
    )
    told = ran.stderr + ran.stdout.decode()
    assert ran.code == 0, told[-3000:]
    # A child that dies of our doing is started anew by stress-ng, which does not mind.
    for bad in ("fail:", "error:", "panicked", "Aborting", "zpager: access to"):
        assert bad not in told, told[-3000:]


@pytest.mark.parametrize("stressor", STRESS)
def test_stress_ng(stressor: str, disk_directory: Path) -> None:
    stress(f"{STRESS[stressor]} --timeout 20", "128MiB", disk_directory, SHORT_SECONDS)


def test_stress_ng_of_an_ordinary_user(disk_directory: Path) -> None:
    require_privilege_to_drop()
    stress(f"{STRESS['vm']} --timeout 20", "128MiB", disk_directory, SHORT_SECONDS, before=WITHOUT_PRIVILEGE)


@pytest.mark.soak
@pytest.mark.parametrize("stressor", STRESS_LONG)
def test_stress_ng_for_long(stressor: str, disk_directory: Path) -> None:
    stress(STRESS_LONG[stressor], "256MiB", disk_directory, LONG_SECONDS)


# CPython's own tests.


# Debian's has all of them (libpython3.11-testsuite); others are built without some.
INTERPRETERS = ("/usr/bin/python3", sys.executable)
# Where the host of a virtual machine has no sockets for it, this one waits for ever, also without zpager.
IGNORED = "*VSOCK*"
RESULTS = re.compile(
    r"^(?:Ran \d+ tests?|(?:OK|FAILED)\b.*|(?:FAIL|ERROR): .*|(?:Tests r|R)esult: .*)$", re.M
)


def cpython(
    interpreter: str, test: str, directory: Path, prefix: list[str], environment: dict[str, str]
) -> str:
    ran = tree.run(
        [*prefix, interpreter, "-m", "test", "-v", "--timeout", "300", "--ignore", IGNORED, test],
        timeout_seconds=LONG_SECONDS / 2,
        directory=directory,
        environment=os.environ | environment,
    )
    told = RESULTS.findall(ran.stdout.decode() + ran.stderr)
    return "\n".join([f"code {ran.code}", *sorted(told)])


def same_as_without(test: str, directory: Path, environment: dict[str, str]) -> None:
    for interpreter in INTERPRETERS:
        done = subprocess.run([interpreter, "-c", f"import test.{test}"], capture_output=True, check=False)
        if done.returncode == 0:
            break
    else:
        pytest.skip("CPython's own tests are not installed")
    plain = cpython(interpreter, test, directory, [], environment)
    wrapper = [ZPAGER, "run", "--quiet", "--ram=256MiB", "--swap=2GiB", "--"]
    assert cpython(interpreter, test, directory, wrapper, environment) == plain


@pytest.mark.parametrize("test", ["test_mmap", "test_memoryview", "test_array", "test_bytes"])
def test_cpythons_own_tests(test: str, disk_directory: Path) -> None:
    same_as_without(test, disk_directory, {})


@pytest.mark.soak
@pytest.mark.timeout(2 * LONG_SECONDS)
@pytest.mark.parametrize("allocator", ["pymalloc", "malloc"])
@pytest.mark.parametrize(
    "test",
    [
        "test_mmap",
        "test_fork1",
        "test_threading",
        "test_subprocess",
        "test_multiprocessing_fork",
        "test_multiprocessing_spawn",
        "test_multiprocessing_forkserver",
        "test_io",
        "test_socket",
        "test_gc",
        "test_bytes",
        "test_array",
        "test_memoryview",
        "test_faulthandler",
    ],
)
def test_cpythons_own_tests_with_any_allocator(test: str, allocator: str, disk_directory: Path) -> None:
    same_as_without(test, disk_directory, {"PYTHONMALLOC": allocator})


# What programs do with their mappings.

LIBC = """
import ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
SIZE, INT, POINTER = ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p
libc.mmap.argtypes = POINTER, SIZE, INT, INT, INT, ctypes.c_long
libc.mremap.argtypes = POINTER, SIZE, SIZE, INT, POINTER
for name in 'munmap mlock munlock'.split():
    getattr(libc, name).argtypes = POINTER, SIZE
libc.madvise.argtypes = libc.mprotect.argtypes = POINTER, SIZE, INT
MIB = 1 << 20
ANONYMOUS, FIXED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 0x10
FAILED = ctypes.c_void_p(-1).value
def new(size, at=None, flags=0):
    start = libc.mmap(at, size, 3, ANONYMOUS | flags, -1, 0)
    assert start != FAILED, ctypes.get_errno()
    return start
def fill(start, size):
    for page in range(0, size, 4096):
        ctypes.memset(start + page, page // 4096 % 251 + 1, 4096)
def check(start, size, first=0):
    for page in range(0, size, 4096):
        want = bytes([(first + page) // 4096 % 251 + 1])
        assert ctypes.string_at(start + page, 4096) == want * 4096, page
def zeros(start, size):
    return not any(ctypes.string_at(start, size))
def squeeze():
    "What is not in use goes."
    block = bytearray(150 << 20)
    for page in range(0, len(block), 4096): block[page:page + 8] = page.to_bytes(8, 'little')
"""


def mapping(code: str, *options: str) -> None:
    done = python(LIBC + code + "\nprint('done')", options=(*RAM, *options))
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]


def test_protected_memory_goes_and_comes_back_protected() -> None:
    mapping(
        """
import os
start = new(16 * MIB)
fill(start, 16 * MIB)
assert libc.mprotect(start, 8 * MIB, 1) == 0
assert libc.mprotect(start + 8 * MIB, 4 * MIB, 0) == 0
squeeze()
check(start, 8 * MIB)
child = os.fork()
if child == 0:
    ctypes.memset(start, 1, 1)
    os._exit(0)
assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), 'written in spite of its protection'
assert libc.mprotect(start, 16 * MIB, 3) == 0
check(start, 16 * MIB)
fill(start, 16 * MIB)
squeeze()
check(start, 16 * MIB)
# Who gets the addresses next finds nothing of all that.
assert libc.mprotect(start, 16 * MIB, 1) == 0
assert libc.munmap(start, 16 * MIB) == 0
again = new(16 * MIB)
assert again == start and zeros(again, 16 * MIB)
fill(again, 16 * MIB)
"""
    )


def test_locked_memory_stays() -> None:
    mapping(
        """
def present(start, size):
    with open('/proc/self/pagemap', 'rb') as file:
        file.seek(start // 4096 * 8)
        entries = file.read(size // 4096 * 8)
    return sum(entry >> 7 for entry in entries[7::8])
start = new(8 * MIB)
fill(start, 8 * MIB)
squeeze()
assert present(start, 8 * MIB) < 1900
assert libc.mlock(start, 2 * MIB) == 0
for _ in range(2):
    squeeze()
    assert present(start, 2 * MIB) == 512
check(start, 8 * MIB)
assert libc.munlock(start, 2 * MIB) == 0
for at in range(0, 8, 2):
    assert libc.mlock(start + at * MIB, 2 * MIB) == 0 and libc.munlock(start + at * MIB, 2 * MIB) == 0
check(start, 8 * MIB)
large = new(40 * MIB)
assert libc.mlock(large, 40 * MIB) == -1 and ctypes.get_errno() == 12
assert libc.mlockall(3) == -1 and ctypes.get_errno() == 12
block = ctypes.create_string_buffer(2 * MIB)
assert libc.mlock(ctypes.addressof(block), 65536) == 0
assert libc.mlock(start, MIB) == 0 and libc.munmap(start, 8 * MIB) == 0
assert zeros(new(8 * MIB), 8 * MIB)
"""
    )


def test_mappings_in_place_of_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10_000)
    mapping(
        f"""
start = new(8 * MIB)
fill(start, 8 * MIB)
assert libc.mmap(start + MIB, MIB, 3, ANONYMOUS | FIXED, -1, 0) == start + MIB
assert zeros(start + MIB, MIB)
check(start, MIB); check(start + 2 * MIB, 6 * MIB, 2 * MIB)
with open({str(path)!r}, 'rb') as file:
    at = start + 4 * MIB
    assert libc.mmap(at, 10_000, 1, mmap.MAP_PRIVATE | FIXED, file.fileno(), 4096) == at
    assert ctypes.string_at(at, 12288) == b'x' * 5904 + bytes(12288 - 5904)
    assert libc.mmap(at, 4096, 1, mmap.MAP_SHARED | FIXED, file.fileno(), 0) == FAILED
# A hole, and a whole mapping that has gone, can be had again.
assert libc.munmap(start + 6 * MIB, MIB) == 0
assert new(MIB, start + 6 * MIB, FIXED) == start + 6 * MIB and zeros(start + 6 * MIB, MIB)
assert libc.munmap(start, 8 * MIB) == 0
assert new(8 * MIB, start, FIXED) == start and zeros(start, 8 * MIB)
"""
    )


def test_mappings_that_move_and_grow() -> None:
    mapping(
        """
MAYMOVE, MOVE_TO, KEEP = 1, 2, 4
start = new(256 << 10)
fill(start, 256 << 10)
# In place, where there is room.
assert libc.mremap(start, 256 << 10, 128 << 10, MAYMOVE, None) == start
assert libc.mremap(start, 128 << 10, 192 << 10, 0, None) == start
check(start, 128 << 10)
assert zeros(start + (128 << 10), 64 << 10)
large = new(4 * MIB)
fill(large, 4 * MIB)
kept = libc.mremap(large, 4 * MIB, 4 * MIB, MAYMOVE | KEEP, None)
assert kept not in (large, FAILED)
check(kept, 4 * MIB)
assert zeros(large, 4 * MIB)
# To where nothing is managed, and back.
outside = libc.mmap(None, 4 * MIB, 3, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1, 0)
assert libc.mremap(kept, 4 * MIB, 4 * MIB, MAYMOVE | MOVE_TO, outside) == outside
check(outside, 4 * MIB)
assert libc.mremap(outside, 4 * MIB, 4 * MIB, MAYMOVE | MOVE_TO, large) == large
check(large, 4 * MIB)
squeeze()
check(large, 4 * MIB)
# What the kernel refuses: flags that it does not know, no length, moves that are not allowed, odd addresses.
for old, size, flags, to in [
    (large, 4 * MIB, -1, None),
    (large, 4 * MIB, 8 | MAYMOVE, None),
    (large, 0, MAYMOVE, None),
    (large, 4 * MIB, MOVE_TO, outside),
    (large, 4 * MIB, MAYMOVE | MOVE_TO, outside + 1),
    (large, 8 * MIB, MAYMOVE | KEEP, None),
    (large + 1, 4 * MIB, MAYMOVE, None),
]:
    assert libc.mremap(old, 4 * MIB, size, flags, to) == FAILED and ctypes.get_errno() == 22, (size, flags)
check(large, 4 * MIB)
"""
    )


def test_small_mappings_share_regions_and_come_back_as_zeros() -> None:
    mapping(
        """
import random
draw = random.Random(1)
held = {}
for turn in range(3000):
    if held and (len(held) > 150 or draw.random() < 0.4):
        start = draw.choice(list(held))
        size = held.pop(start)
        check(start, size)
        assert libc.munmap(start, size) == 0
    else:
        size = draw.randrange(16, 200) * 4096
        start = new(size)
        assert not any(start < other + length and other < start + size for other, length in held.items())
        assert ctypes.string_at(start, 1) == ctypes.string_at(start + size - 1, 1) == b'\\0'
        held[start] = size
        fill(start, size)
for start, size in held.items():
    check(start, size)
"""
    )


def test_advice_that_drops_and_advice_that_is_refused() -> None:
    mapping(
        """
start = new(4 * MIB)
fill(start, 4 * MIB)
assert libc.madvise(start + MIB, MIB, mmap.MADV_DONTNEED) == 0
assert zeros(start + MIB, MIB)
check(start, MIB)
assert libc.madvise(start, MIB, mmap.MADV_REMOVE) == -1 and ctypes.get_errno() == 22
assert libc.madvise(start, MIB, mmap.MADV_DONTFORK) == 0
libc.aligned_alloc.restype = POINTER
block = libc.aligned_alloc(4096, 3 * MIB)
ctypes.memset(block, 7, 3 * MIB)
assert libc.madvise(POINTER(block), MIB, mmap.MADV_DONTNEED) == 0
assert zeros(block, MIB) and ctypes.string_at(block + MIB, 1) == b'\\7'
"""
    )


# Around a program.


def test_others_read_its_memory() -> None:
    mapping(
        """
import os, subprocess, sys
start = new(64 * MIB)
fill(start, 64 * MIB)
code = '''
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
class Range(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
process, start = map(int, sys.argv[1:])
buffer = ctypes.create_string_buffer(4096)
for page in range(0, 64 << 20, 1 << 16):
    here, there = Range(ctypes.addressof(buffer), 4096), Range(start + page, 4096)
    done = libc.process_vm_readv(process, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    assert done == 4096, ctypes.get_errno()
    assert buffer.raw == bytes([page // 4096 % 251 + 1]) * 4096, page
'''
done = subprocess.run([sys.executable, '-c', code, str(os.getpid()), str(start)])
assert done.returncode == 0
""",
        # In signal mode only a thread of the program itself can bring its pages.
        "--faults=thread",
    )


def test_a_program_that_aborts_ends_and_leaves_a_core(tmp_path: Path) -> None:
    code = (
        "import ctypes, os, resource\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, resource.getrlimit(resource.RLIMIT_CORE)[1]))\n"
        "block = bytearray(150 << 20)\n"
        "for page in range(0, len(block), 4096): block[page] = 1\n"
        "os.abort()"
    )
    done = subprocess.run(
        [ZPAGER, "run", "--ram=48MiB", "--swap=512MiB", sys.executable, "-c", code],
        cwd=tmp_path,
        timeout=60,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 128 + 6, done.stderr


def test_small_blocks_are_managed_once_they_are_much() -> None:
    done = python(
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.malloc.restype = ctypes.c_void_p\n"
        "libc.free.argtypes = (ctypes.c_void_p,)\n"
        "blocks = [libc.malloc(1500) for _ in range(70_000)]\n"
        "for number, block in enumerate(blocks): ctypes.memset(block, number % 251 + 1, 1500)\n"
        "for number, block in enumerate(blocks):\n"
        "    assert ctypes.string_at(block, 1500) == bytes([number % 251 + 1]) * 1500, number\n"
        "    libc.free(block)\n"
        "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n",
        options=("--ram=64MiB", "--swap=512MiB"),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 * MIB * 1.2, "100 MiB of small blocks"


def test_memory_that_is_not_touched_yet_hides_no_small_blocks() -> None:
    done = python(
        LIBC + "libc.malloc.restype = ctypes.c_void_p\n"
        "def small(size):\n"
        "    for _ in range(size // 1500): ctypes.memset(libc.malloc(1500), 1, 1500)\n"
        "small(56 * MIB)\n"
        "large = [new(150 * MIB)]\n"
        "small(6 * MIB)\n"  # whereupon the small blocks are counted
        "large.append(new(70 * MIB))\n"
        "for start, size in zip(large, (150 * MIB, 70 * MIB)): fill(start, size)\n"
        "for start, size in zip(large, (150 * MIB, 70 * MIB)): check(start, size)\n"
        "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n",
        options=("--ram=256MiB", "--swap=1GiB"),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 256 * MIB * RSS_OF_RAM_MOST


def test_what_fits_is_left_to_the_kernel_whole(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = python(
        "import numpy as np\narrays = [np.ones(pages << 9) for pages in range(600, 3000, 24)]\n",
        options=("--ram=1GiB", "--swap=1GiB", f"--report={report}"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(report.read_text())["total"]["faults"] < 1000
