"""`zpager lab record`: what programs touch, told by valgrind and by the pager itself."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from zpager import ConfigurationError, _core
from zpager.lab import record_lackey, record_pager
from zpager.lab.contents import Contents
from zpager.lab.formats import lackey
from zpager.lab.growing import Growing
from zpager.lab.record import Running
from zpager.lab.record_command import record
from zpager.lab.trace import UNKNOWN_BYTES, Trace, Writer, read
from zpager.run.program import CannotStart

C_SOURCES = Path(__file__).parent.parent / "c"
RECORD = [sys.executable, "-c", "from zpager.lab.record_command import record; record()"]
SECONDS = 120

needs_valgrind = pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
needs_compiler = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


def run(
    *command: str, output: Path, options: tuple[str, ...] = (), text: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RECORD, "-o", str(output), *options, "--", *command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        input=text,
    )


@pytest.fixture(scope="session")
def touches(tmp_path_factory: pytest.TempPathFactory) -> str:
    program = tmp_path_factory.mktemp("c") / "touches"
    subprocess.run(["gcc", "-O2", "-o", program, C_SOURCES / "touches.c"], check=True)
    return str(program)


def first_of(pattern: np.ndarray, trace: Trace) -> tuple[int, int]:
    """Where the steps from page to page occur in the only thread, and the page there."""
    steps = np.diff(trace.threads[0].page.astype(np.int64)).astype(np.int8, casting="unsafe")
    at = steps.tobytes().find(pattern.astype(np.int8).tobytes())
    assert at >= 0, "the program's accesses are not in the trace"
    return at, int(trace.threads[0].page[at])


# By valgrind.


@needs_valgrind
@needs_compiler
def test_lackey_tells_of_every_page_in_order_and_what_it_comes_to(tmp_path: Path, touches: str) -> None:
    pages = 60
    done = run(touches, str(pages), output=tmp_path / "t")
    assert done.returncode == 0
    trace = read(tmp_path / "t")
    assert done.stderr.startswith(
        f"zpager: {trace.access_count:,} accesses of {trace.page_count:,} pages, in"
    )
    round_trip = np.array([*[1] * (pages - 1), *[-1] * (pages - 1)])
    at, first = first_of(round_trip, trace)
    thread = trace.threads[0]
    # The last page that is written is the first that is read: one access, a write.
    assert thread.is_write[at : at + pages].all()
    assert not thread.is_write[at + pages : at + 2 * pages - 1].any()
    # A loop over 512 words takes at least an instruction each.
    assert (thread.think_ns[at + 1 : at + pages] > 512).all()

    lz4, zstd = (trace.zpage_bytes[codec][first : first + pages] for codec in ("lz4", "zstd"))
    for sizes in (lz4, zstd):
        assert (sizes[0::4] == 0).all(), "one value over and over"
        assert (sizes[1::4] == 4096).all(), "noise"
        assert ((sizes[2::4] > 100) & (sizes[2::4] < 1200)).all(), "numbers below 100"
    assert trace.source.startswith(f"valgrind's lackey: {touches}")
    assert set(record_lackey.LACKS) < set(trace.lacks)
    assert lackey.NO_INSTRUCTIONS in trace.lacks
    assert record_lackey.BECAME_ANOTHER not in trace.lacks


@needs_valgrind
def test_under_lackey_input_output_and_code_are_the_programs_own(tmp_path: Path) -> None:
    done = run("sh", "-c", "read line; echo $line; exit 7", output=tmp_path / "t", text="in\n")
    assert (done.returncode, done.stdout) == (7, "in\n")
    assert read(tmp_path / "t").access_count > 1000
    done = run("sh", "-c", "kill -TERM $$", output=tmp_path / "t")
    assert done.returncode == 128 + signal.SIGTERM
    assert read(tmp_path / "t").access_count > 1000


@needs_valgrind
def test_a_program_that_becomes_another_one_is_said_to(tmp_path: Path) -> None:
    assert run("sh", "-c", "exec true", output=tmp_path / "t").returncode == 0
    assert record_lackey.BECAME_ANOTHER in read(tmp_path / "t").lacks


@needs_valgrind
def test_fetches_of_instructions_are_accesses_if_wanted(tmp_path: Path) -> None:
    counts = []
    for options in ((), ("--instructions",)):
        assert run("true", output=tmp_path / "t", options=options).returncode == 0
        trace = read(tmp_path / "t")
        counts.append((trace.access_count, trace.page_count))
    assert counts[1][0] > counts[0][0]
    assert counts[1][1] > counts[0][1]
    assert lackey.NO_INSTRUCTIONS not in trace.lacks


@needs_valgrind
@needs_compiler
def test_a_limit_of_accesses_ends_the_program(tmp_path: Path, touches: str) -> None:
    began = time.monotonic()
    # Without the limit it would take minutes.
    done = run(touches, "1000000", output=tmp_path / "t", options=("--accesses", "5000"))
    assert done.returncode == 0
    assert read(tmp_path / "t").access_count == 5000
    assert time.monotonic() - began < 60


@needs_valgrind
@pytest.mark.parametrize("way", ["lackey", pytest.param("pager", marks=pytest.mark.userfaultfd)])
def test_an_interrupt_ends_it_with_what_there_is(tmp_path: Path, way: str) -> None:
    with subprocess.Popen(
        # What a shell runs in the background ignores it.
        ["env", "--default-signal=INT", *RECORD, "-o", tmp_path / "t", "--with", way, "--", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin and process.stdout
        print("it runs", file=process.stdin, flush=True)
        assert process.stdout.readline() == "it runs\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, error = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGINT
    assert "accesses of" in error
    trace = read(tmp_path / "t")
    assert trace.access_count > 1000 or way == "pager"


def test_what_cannot_be_recorded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()
    output = str(tmp_path / "t")
    for way in ("lackey", "pager"):
        if way == "lackey" and not shutil.which("valgrind"):
            continue
        result = runner.invoke(record, ["-o", output, "--with", way, "no-such-program"])
        assert (result.exit_code, "no such program" in result.output) == (127, True)
        result = runner.invoke(record, ["-o", "/no/such/place", "--with", way, "true"])
        assert (result.exit_code, "/no/such" in result.output) == (125, True), result.output
    result = runner.invoke(record, ["-o", output, "--with", "pager", "--ram", "much", "true"])
    assert (result.exit_code, "'much' is not a size" in result.output) == (125, True)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="valgrind is not installed"):
        record_lackey.with_lackey(["true"], output)
    assert list(tmp_path.iterdir()) == []


@needs_valgrind
def test_a_failure_while_it_records_ends_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "add", fail)
    began = time.monotonic()
    with pytest.raises(OSError, match="No space left"):
        record_lackey.with_lackey(["sleep", "100"], tmp_path / "t")
    assert time.monotonic() - began < 60
    assert list(tmp_path.iterdir()) == []


def test_pages_are_looked_at_ever_more_rarely() -> None:
    memory = np.full(2 * 512, 5, np.uint64)
    aligned = (memory.ctypes.data + 4095) // 4096
    running = Running(process=os.getpid())
    contents = Contents(running)
    address, page = np.array([aligned, 0], np.uint64), np.array([0, 1], np.uint32)
    looks = []
    for batch in range(100):
        memory[:] = batch if batch % 2 else np.arange(len(memory)) * (batch + 10**9)
        before = contents.zpage_bytes(2)["lz4"][0]
        contents._sizes["lz4"].upto(2)[0] = UNKNOWN_BYTES - 1
        contents.look(address, page)
        if contents.zpage_bytes(2)["lz4"][0] != UNKNOWN_BYTES - 1:
            looks.append(batch)
        else:
            contents._sizes["lz4"].upto(2)[0] = before
    assert looks == [0, 2, 6, 14, 30, 62]
    assert contents.zpage_bytes(2)["lz4"].tolist()[1] == UNKNOWN_BYTES
    assert contents.lacks(2)[1] == "sizes of 1 of 2 pages: they were gone before anybody could look"


def test_growing_arrays_keep_what_they_had() -> None:
    growing = Growing(np.uint16, 7)
    growing.upto(3)[:] = [1, 2, 3]
    assert growing.upto(5).tolist() == [1, 2, 3, 7, 7]
    growing.upto(5)[4] = 9
    assert growing.upto(6).tolist() == [1, 2, 3, 7, 9, 7]


def test_lengths_of_zpages() -> None:
    page = (b"some words, and some more; " * 152)[:4096]
    found = _core.zpage_bytes(bytes(4096) + page + b"\x01" * 4096, 8)
    assert list(found) == ["lz4", "zstd"]
    for first, second, third in found.values():
        assert (first, third) == (0, 0)
        assert 20 < second < 1000
    with pytest.raises(ConfigurationError, match="5 bytes beyond the last whole page"):
        _core.zpage_bytes(b"12345", 8)


# By the pager.


def event(moment_us: int, *words: int, dropped: int = 0) -> bytes:
    """`words`: thread, page, kind, value."""
    return struct.pack("=QIIIIII", moment_us, 9, *words, dropped)


@pytest.mark.parametrize("piece_bytes", [1, 40, 10_000])
def test_events_become_accesses_and_sizes(tmp_path: Path, piece_bytes: int) -> None:
    text = b"".join(
        [
            event(1000, 1, 70, 1, 10),
            event(1005, 2, 71, 0, 1, dropped=4),
            event(1100, 1, 70, 2, 100 | 50 << 16),
            event(1100, 1, 99, 2, 7),  # its fault was dropped
            event(1200, 1, 71, 0, 5_000_000),
            event(1100, 1, 70, 2, 110 | 60 << 16, dropped=1),
            event(10_000_000, 1, 70, 0, 1),
        ]
    )
    with Writer(tmp_path / "t") as writer:
        events = record_pager._Events(writer, None)
        for start in range(0, len(text), piece_bytes):
            events.take(text[start : start + piece_bytes])
        assert (events.accesses, events.pages) == (4, 2)
        lacks = events.lacks()
        writer.close(events.thread_names, "", lacks, events.zpage_bytes())
    trace = read(tmp_path / "t")
    one, two = trace.threads
    assert (one.page.tolist(), two.page.tolist()) == ([0, 1, 0], [1])
    assert one.is_write.tolist() == [True, False, False]
    # 1200 - 1010, and 10 s less 5 s of fault, which is too long.
    assert (one.think_ns.tolist(), two.think_ns.tolist()) == ([0, 190_000, 2**32 - 1], [5000])
    assert trace.zpage_bytes["lz4"].tolist() == [110, UNKNOWN_BYTES]
    assert trace.zpage_bytes["zstd"].tolist() == [60, UNKNOWN_BYTES]
    assert "5 events that came faster than they could be written" in lacks
    assert "sizes of 1 of 2 pages: they were never compressed" in lacks


@pytest.mark.userfaultfd
@needs_compiler
def test_the_pager_tells_of_faults_and_refaults_in_order(tmp_path: Path, touches: str) -> None:
    pages = 16_384
    done = run(
        touches, str(pages), output=tmp_path / "t", options=("--with=pager", "--ram=24M", "--swap=256M")
    )
    assert done.returncode == 0, done.stderr
    trace = read(tmp_path / "t")
    assert trace.page_count == pages
    (thread,) = trace.threads
    assert thread.name.startswith("touches ")
    # Nothing is read ahead, so every page is told of: first as it is written, in order.
    _, first = np.unique(thread.page, return_index=True)
    assert (np.diff(thread.page[first].astype(np.int64)) == 1).all()
    assert thread.is_write[first].all()
    # Two thirds at least are not in RAM when they are read again, from the last to the first, three times.
    later = thread.page[np.setdiff1d(np.arange(len(thread.page)), first)].astype(np.int64)
    assert len(later) > 3 * pages * 2 // 3
    assert (np.diff(later) < 0).mean() > 0.9
    for sizes in trace.zpage_bytes.values():
        known = sizes != UNKNOWN_BYTES
        assert known.mean() > 0.9
        assert (sizes[0::4][known[0::4]] == 0).all()
        assert (sizes[1::4][known[1::4]] == 4096).all()
        assert ((sizes[2::4] < 1200) | ~known[2::4]).all()
    assert "accesses of pages that were in the 24 MiB of RAM just then" in trace.lacks[0]


@pytest.mark.userfaultfd
def test_forked_children_and_threads_have_pages_and_names_of_their_own(tmp_path: Path) -> None:
    code = (
        "import os, threading\n"
        "import numpy as np\n"
        "memory = np.ones(1 << 20)\n"
        "thread = threading.Thread(target=lambda: np.ones(1 << 20))\n"
        "thread.start(); thread.join()\n"
        "if os.fork() == 0:\n"
        "    memory[:] = np.full(1 << 20, 2.0)\n"
        "    os._exit(int(memory.sum() != 2 << 20))\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))"
    )
    options = ("--with=pager", "--ram=64M", "--swap=256M")
    done = run(sys.executable, "-c", code, output=tmp_path / "t", options=options)
    assert done.returncode == 0, done.stderr
    trace = read(tmp_path / "t")
    processes = {thread.name.split()[-1].partition("/")[0] for thread in trace.threads}
    assert (len(processes), len(trace.threads)) == (2, 3)
    assert all(len(np.unique(thread.page)) > 1500 for thread in trace.threads)


@pytest.mark.userfaultfd
def test_the_pager_stops_at_a_limit(tmp_path: Path) -> None:
    code = "import numpy as np\nwhile True: np.ones(1 << 22)"
    options = ("--with=pager", "--ram=32M", "--swap=256M", "--accesses=2000")
    done = run(sys.executable, "-c", code, output=tmp_path / "t", options=options)
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "t").access_count == 2000


@pytest.mark.userfaultfd
def test_a_static_program_is_refused_by_the_pager(tmp_path: Path) -> None:
    with pytest.raises(CannotStart):
        record_pager.with_pager(["no-such-program"], tmp_path / "t", ram="32M", swap="64M")
    assert list(tmp_path.iterdir()) == []
