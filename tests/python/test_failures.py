"""What goes wrong outside of zpager: disks that are full, fail or lie; kills and forks; senseless arguments.

No wrong byte is ever handed out, nothing hangs, and whatever is refused or lost comes with the reason. What
ends in a signal runs in a process of its own (`programs.py`).
"""

from __future__ import annotations

import errno
import gc
import json
import math
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import MIB, eventually, make_engine
from programs import (
    COPIED_BYTES,
    PAGE_BYTES,
    SECRET,
    command,
    damage,
    noise_pages,
    run_program,
    swap_path,
)

import zpager
from zpager import doctor, swap_directory

pytestmark = pytest.mark.userfaultfd

both_modes = pytest.mark.parametrize("faults", ["thread", "signal"])

RAM, SWAP = "16MiB", "64MiB"
SMALL_DISK_BYTES = 24 * MIB

UNREADABLE = f"the swap file cannot be read there (error {errno.EIO})"
CORRUPT = "what the swap file holds there is not what was written"


def output_of(name: str, *arguments: object) -> str:
    done = run_program(name, *arguments)
    assert done.returncode == 0, f"{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


# The swap file is full, or does not fit.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 24 MiB large."""
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(SMALL_DISK_BYTES)
    try:
        subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, mounted], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be made and mounted here: {error}")
    try:
        yield mounted
    finally:
        gc.collect()
        subprocess.run(["umount", mounted], check=True)


def test_a_disk_that_is_too_small_is_told_at_once_with_both_figures(small_disk: Path) -> None:
    with pytest.raises(zpager.DeviceError) as caught:
        zpager.Pager(ram=RAM, swap=SWAP, swap_dir=small_disk)
    for words in (str(small_disk), "swap is 64 MiB", r"are free there", "swap=", "swap_dir="):
        assert words in str(caught.value)
    free = swap_directory.free_bytes(str(small_disk))
    assert 0 < free < SMALL_DISK_BYTES
    assert f"({free} bytes) are free" in str(caught.value)


def test_a_disk_that_fills_up_while_the_swap_file_is_made_is_told_at_once(small_disk: Path) -> None:
    with pytest.raises(zpager.DeviceError, match=rf"{small_disk}.*{os.strerror(errno.ENOSPC)}"):
        make_engine(swap_bytes=64 * MIB, swap_directory=str(small_disk))
    # Nothing of it is left.
    assert zpager.Pager(ram=RAM, swap="16MiB", swap_dir=small_disk).zeros(10).sum() == 0


def test_a_limit_on_files_is_told_at_once(tmp_path: Path) -> None:
    assert os.strerror(errno.EFBIG) in output_of("swap_file_beyond_the_limit", tmp_path)


@both_modes
def test_when_all_is_full_new_memory_is_refused_and_nothing_is_dropped(faults: Any) -> None:
    part = noise_pages(4 * MIB // PAGE_BYTES, 0)
    pager = zpager.Pager(ram=RAM, swap="32MiB", faults=faults)
    arrays = []
    with pytest.raises(zpager.OutOfSwap, match="could be had now; free something"):  # noqa: PT012
        for number in range(100):
            array = pager.empty(part.shape, "u1")
            np.add(part, np.uint8(number), out=array)
            arrays.append(array)
    assert len(arrays) >= 8
    del array
    for number, kept in enumerate(arrays):
        assert (kept == part + np.uint8(number)).all()
    del arrays[3], kept
    again = pager.empty(part.shape, "u1")
    again[:] = part
    assert (again == part).all()
    for number, kept in zip([0, 1, 2, *range(4, 100)], arrays, strict=False):
        assert (kept == part + np.uint8(number)).all()
    pager._engine.check()


# Writes fail.


@pytest.mark.parametrize("beyond", [0, 4 * MIB, 4 * MIB + 1000])
@both_modes
def test_pages_whose_write_fails_or_is_cut_short_stay_in_ram(faults: str, beyond: int) -> None:
    limited, free = map(json.loads, output_of("writes_fail", faults, beyond).splitlines())
    assert limited["device_write_errors"] > 0
    assert (limited["pswpout"] > 0) == (beyond > 0)
    assert limited["swap_used_bytes"] <= beyond
    assert free["swap_used_bytes"] >= 20 * MIB
    assert free["lost_pages"] == limited["lost_pages"] == 0


# Reads fail, or what is read is wrong.

DAMAGES = ("truncated", "truncated inside of a page", "overwritten", "exchanged", "zeros")
any_damage = pytest.mark.parametrize("kind", DAMAGES)


def loss_by(kind: str) -> str:
    return UNREADABLE if kind.startswith("truncated") else CORRUPT


@any_damage
@both_modes
def test_of_a_damaged_swap_file_only_the_damage_is_lost(tmp_path: Path, faults: Any, kind: str) -> None:
    data = noise_pages(24 * MIB // PAGE_BYTES, 4)
    pager = zpager.Pager(ram=RAM, swap=SWAP, swap_dir=tmp_path, faults=faults)
    pages = pager.array(data)
    bystander = pager.full(MIB, 5, "u1")
    pager.reclaim()
    pager.verify()  # so far all is well
    pager.reclaim()
    damage(swap_path(str(tmp_path)), kind)
    is_good = np.ones(len(pages), bool)
    for number, page in enumerate(pages):
        try:
            pager.verify(page)
        except zpager.PageLost as error:
            is_good[number] = False
            assert f"array {data.shape} uint8" in str(error)
            assert f"byte offset {number * PAGE_BYTES} is lost: {loss_by(kind)}" in str(error)
    lost_pages = int((~is_good).sum())
    assert 0 < lost_pages <= len(pages) * 0.6
    assert pager.stats.lost_pages == lost_pages
    counts = (pager.stats.device_read_errors, pager.stats.corrupt_slots)
    assert counts == ((lost_pages, 0) if loss_by(kind) == UNREADABLE else (0, lost_pages))
    # Whatever is not lost is right, and it goes on.
    assert (pages[is_good] == data[is_good]).all()
    assert (bystander == 5).all()
    pages[is_good] = data[is_good] + np.uint8(1)
    pager.reclaim()
    assert (pages[is_good] == data[is_good] + np.uint8(1)).all()
    pager._engine.check()
    # The memory can be used again, by another.
    del pages, page
    fresh = pager.zeros(24 * MIB, "u1")
    assert not fresh.any()


@both_modes
def test_calls_raise_what_a_touch_would_die_of(tmp_path: Path, faults: Any) -> None:
    data = noise_pages(24 * MIB // PAGE_BYTES, 5)
    pager = zpager.Pager(ram=RAM, swap="128MiB", swap_dir=tmp_path, faults=faults)
    pages = pager.array(data)
    buffer = pager.allocate(MIB)
    pager.reclaim()
    damage(swap_path(str(tmp_path)), "zeros")
    with pytest.raises(zpager.PageLost) as caught:
        pager.verify()
    (offset,) = re.findall(r"byte offset (\d+)", str(caught.value))
    first = int(offset) // PAGE_BYTES
    message = f"byte offset {offset} is lost: {CORRUPT}"
    transposed = pages.T[::-1, first : first + 2]
    calls = [
        lambda: pager.verify(pages),
        lambda: pager.verify(pages[first]),
        lambda: pager.verify(memoryview(pages)),
        lambda: pager.verify(transposed),
        lambda: pager.populate(pages[first:]),
        lambda: pager.array(pages),
        lambda: pager.array(pages[first, 10:20]),
        lambda: pager.array(transposed),
    ]
    for call in calls:
        with pytest.raises(zpager.PageLost, match=re.escape(message)):
            call()
    pager.verify(pages[:first])
    pager.verify(buffer)
    assert (pager.array(pages[:first]) == data[:first]).all()


@pytest.mark.parametrize("is_verified", ["yes", "no"])
@pytest.mark.parametrize("kind", ["truncated", "overwritten"])
@both_modes
def test_a_touch_of_what_is_lost_is_a_bus_error_with_the_reason(
    tmp_path: Path, faults: str, kind: str, is_verified: str
) -> None:
    """Also where `verify` has found the loss before: the kernel must not end the process without a word."""
    done = run_program("touch_what_is_lost", faults, kind, tmp_path, is_verified)
    assert done.returncode == -signal.SIGBUS, done
    message = re.search(
        r"zpager: access to 0x[0-9a-f]+, byte (\d+) of its array: the contents of this page are lost: (.*)\n",
        done.stderr,
    )
    assert message, done.stderr
    assert message[2] == loss_by(kind)
    if is_verified == "yes":
        assert done.stdout == f"lost {message[1]}\n"
    else:
        assert int(message[1]) % PAGE_BYTES == 0


# Pages brought in.


@both_modes
def test_populate_brings_in_half_of_ram_at_most(faults: Any) -> None:
    pager = zpager.Pager(ram=RAM, swap=SWAP, faults=faults)
    array = pager.array(noise_pages(32 * MIB // PAGE_BYTES, 6)).reshape(-1)
    pager.reclaim()
    before = pager.stats
    assert before.resident_bytes < MIB
    pager.populate(array[MIB : 2 * MIB])
    assert MIB <= pager.stats.resident_bytes <= 2 * MIB
    pager.populate(array)
    after = pager.stats
    assert 8 * MIB <= after.resident_bytes <= 9 * MIB
    array[: 8 * MIB].sum()  # waits for nothing
    assert pager.stats.faults_device == after.faults_device


def test_memory_that_was_never_written_is_verified_without_being_made() -> None:
    pager = zpager.Pager(ram=RAM, swap=SWAP)
    array = pager.zeros((5000, 1000), "f8")  # more than is left unwatched
    pager.verify()
    pager.populate(array)
    assert pager.stats.resident_bytes == 0
    pager.verify(array[:0])
    pager.verify(pager.zeros(0))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(10), "this ndarray does not lie in the memory of this pager"),
        (bytearray(10), "this bytearray does not lie in the memory of this pager"),
        ([1, 2, 3], "a list is no memory; give an array"),
        (3, "a int is no memory; give an array"),
        ("text", "a str is no memory; give an array"),
    ],
)
def test_only_a_pagers_own_memory_can_be_brought_in(array: Any, words: str) -> None:
    with zpager.Pager(ram=RAM, swap=SWAP) as pager, zpager.Pager(ram=RAM, swap=SWAP) as other:
        for call in (pager.populate, pager.verify):
            with pytest.raises(zpager.ConfigurationError, match=words):
                call(array)
            with pytest.raises(zpager.ConfigurationError, match="of this pager"):
                call(other.zeros(10))
    for call in (pager.populate, pager.verify):
        with pytest.raises(zpager.ClosedError):
            call(array)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(7 * MIB,), (70, 100_003), (100_003, 1, 70), (3, 2 * MIB)])
def test_a_large_copy_is_made_of_parts_that_fit_together(shape: tuple[int, ...], order: Any) -> None:
    pager = zpager.Pager(ram=RAM, swap=SWAP)
    source = pager.empty(shape, "u1", order)
    source[...] = np.random.default_rng(7).integers(0, 256, shape, "u1")
    for existing in (source, source[::-1], source[1:, ...].T):
        assert (pager.array(existing) == existing).all()


# Killed.


@pytest.mark.parametrize("encrypt", ["encrypted", "plain"])
@both_modes
def test_a_killed_process_leaves_no_file_and_nothing_that_can_be_read(
    tmp_path: Path, faults: str, encrypt: str
) -> None:
    with killed_process(faults, tmp_path, encrypt) as process:
        assert list(tmp_path.iterdir()) == []
        # What is on the disk afterwards is what is there now.
        (path,) = [
            path
            for path in Path(f"/proc/{process.pid}/fd").iterdir()
            if Path(os.readlink(path)).parent == tmp_path
        ]
        with path.open("rb") as file:
            assert (SECRET in file.read()) == (encrypt == "plain")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_gives_the_room_on_the_disk_back(small_disk: Path) -> None:
    before = swap_directory.free_bytes(str(small_disk))
    with killed_process("thread", small_disk):
        assert swap_directory.free_bytes(str(small_disk)) <= before - 16 * MIB
    eventually(lambda: swap_directory.free_bytes(str(small_disk)) == before)


@contextmanager
def killed_process(
    faults: str, directory: Path, encrypt: str = "encrypted"
) -> Iterator[subprocess.Popen[str]]:
    """A process with a secret on the device in that directory, which is killed at the end of the block."""
    with subprocess.Popen(
        command("wait_to_be_killed", faults, directory, encrypt), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        try:
            yield process
        finally:
            process.kill()
        assert process.wait() == -signal.SIGKILL


# The swap directory.


def test_a_link_is_followed_unless_another_user_made_it(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir()
    link.symlink_to(target)
    with zpager.Pager(ram=RAM, swap=SWAP, swap_dir=link) as pager:
        assert pager.swap_directory == str(target)
    if os.geteuid() != 0:
        pytest.skip("only root can give a link to another user")
    os.chown(link, 12345, 12345, follow_symlinks=False)
    for path in (link, f"{link}/"):
        with pytest.raises(zpager.ConfigurationError, match=r"link of another user's \(user id 12345\)"):
            zpager.Pager(ram=RAM, swap=SWAP, swap_dir=path)
    finding = doctor.check_swap_directory(link)
    assert finding.status == "problem"
    assert "link of another user's" in finding.found


def test_a_directory_where_all_may_write_is_warned_of_unless_it_is_sticky(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.warns(zpager.SwapDirectoryWarning, match="writable by every user") as caught:
        zpager.Pager(ram=RAM, swap=SWAP, swap_dir=tmp_path)
    assert [warning.filename for warning in caught] == [__file__]
    finding = doctor.check_swap_directory(tmp_path)
    assert finding.status == "warning"
    assert "writable by every user" in finding.found
    assert finding.remedy is not None
    assert f"chmod +t {tmp_path}" in finding.remedy
    tmp_path.chmod(0o1777)
    zpager.Pager(ram=RAM, swap=SWAP, swap_dir=tmp_path)
    assert "writable" not in doctor.check_swap_directory(tmp_path).found


def test_a_directory_where_all_may_write_is_refused_if_the_file_needs_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    opened = os.open

    def without_unnamed_files(path: Any, flags: int, *arguments: Any, **keywords: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return opened(path, flags, *arguments, **keywords)

    monkeypatch.setattr(os, "open", without_unnamed_files)
    with pytest.raises(zpager.ConfigurationError, match="every user without the sticky bit.*O_TMPFILE"):
        zpager.Pager(ram=RAM, swap=SWAP, swap_dir=tmp_path)
    assert doctor.check_swap_directory(tmp_path).status == "problem"
    tmp_path.chmod(0o700)
    zpager.Pager(ram=RAM, swap=SWAP, swap_dir=tmp_path)


# Forks.

FORKED = "zpager: this is a forked child; the memory of the parent's pager is not here"


@both_modes
@pytest.mark.parametrize("has_faulthandler", ["yes", "no"])
def test_a_forked_worker_that_touches_its_parents_memory_dies_and_says_why(
    faults: str, has_faulthandler: str
) -> None:
    done = run_program("worker_processes", "fork", faults, has_faulthandler)
    assert done.returncode == 0, done
    own_sum = sum(range(3 * MIB))
    assert done.stdout.splitlines() == [
        f"leave_it 0 ('bytes', {7 * COPIED_BYTES})",
        f"use_own_pager 0 {own_sum}",
        f"touch_inherited {-signal.SIGSEGV} -",
        f"touch_inherited_beside_own {-signal.SIGSEGV} -",
    ]
    assert done.stderr.count(FORKED) == 2
    assert done.stderr.count("'spawn'") == 2
    assert done.stderr.count("Fatal Python error: Segmentation fault") == 2 * (has_faulthandler == "yes")


@both_modes
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_spawned_worker_gets_copies_and_may_have_a_pager(faults: str, method: str) -> None:
    own_sum = sum(range(3 * MIB))
    assert output_of("worker_processes", method, faults, "no").splitlines() == [
        f"leave_it 0 ('bytes', {7 * COPIED_BYTES})",
        f"use_own_pager 0 {own_sum}",
        "touch_inherited 0 []",
        "touch_inherited_beside_own 0 []",
    ]


@pytest.mark.parametrize("has_faulthandler", ["yes", "no"])
def test_segmentation_faults_of_a_child_that_are_not_zpagers_are_what_they_were(
    has_faulthandler: str,
) -> None:
    done = run_program("segfault_elsewhere", has_faulthandler)
    assert done.stdout == f"{-signal.SIGSEGV}\n" * 2
    assert "zpager: " not in done.stderr
    assert done.stderr.count("Segmentation fault") == 2 * (has_faulthandler == "yes")


# The handler thread dies.


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ("thread", "zpager cannot read its userfaultfd: Bad file descriptor"),
        ("signal", "zpager: the program has closed zpager's userfaultfd (Bad file descriptor"),
    ],
)
def test_a_descriptor_that_is_closed_ends_the_process_with_words_and_no_hang(faults: str, words: str) -> None:
    done = run_program("close_userfaultfd", faults)
    assert done.returncode == -signal.SIGABRT, done
    assert done.stdout == "closed\n"
    assert words in done.stderr
    assert "its memory cannot be served any more. Aborting." in done.stderr


def test_no_thread_of_the_pager_holds_a_pipe_of_the_program_open() -> None:
    done = run_program("close_a_pipe", "signal")
    assert done.returncode == 0, done


# Arguments without sense.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(
            ({name: value}, rf"{name}: .* (is not a size|is -?\d+ bytes)")
            for name in ("ram", "swap", "pool_limit")
            for value in (0, -1, 1 << 63, 1 << 200, math.nan, math.inf, -math.inf, 1j, "", b"16MiB", [], True)
        ),
        *(({name: None}, rf"{name}: None is not a size") for name in ("ram", "pool_limit")),
        *(
            ({name: value}, rf"{name}=.*: choose one of")
            for name in ("codec", "pool", "eviction", "faults")
            for value in (None, 1, "", b"lz4", [], {}, "LZ4")
        ),
        *(
            ({"readahead_pages": value}, r"readahead_pages=.*from 0 \(off\) to 32")
            for value in (None, "8", math.nan, 33, -1, True, 1 << 200, 8.0)
        ),
        *(({"shuffle": value}, r"shuffle=.*: give True or False") for value in (None, 1, "no", [])),
        *(
            ({"swap_dir": value}, r"swap_dir=.*: give the path of a directory")
            for value in (3, [], 1.5, b"\xff")
        ),
        ({"swap_dir": ""}, "swap_dir='': give the path of a directory"),
        ({"swap_dir": "/var/tmp/\0"}, "swap_dir=.*does not exist"),
        ({"ram": 4096}, "a pager works with .* bytes at least"),
        ({"ram": "1MiB"}, "a pager works with .* bytes at least"),
        ({"ram": (1 << 63) - 1}, "a pager works with .* bytes at most"),
    ],
)
def test_an_argument_of_pager_without_sense_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(zpager.ConfigurationError, match=words):
        zpager.Pager(**({"ram": RAM, "swap": SWAP} | options))


@pytest.mark.parametrize("swap", [(1 << 63) - 1, "1000000TiB", 1 << 50])
def test_a_swap_file_beyond_every_disk_is_refused_with_both_figures(swap: Any) -> None:
    with pytest.raises(zpager.DeviceError, match=r"swap is .* bytes\), and .* bytes\) are free"):
        zpager.Pager(ram=RAM, swap=swap)


def test_unknown_and_positional_arguments_are_pythons_own_errors() -> None:
    for call in (
        lambda: zpager.Pager(RAM),  # type: ignore[misc]
        zpager.Pager,
        lambda: zpager.Pager(ram=RAM, size=3),  # type: ignore[call-arg]
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize(
    "size", [0, -1, 1 << 63, 1 << 200, math.nan, math.inf, -math.inf, None, b"1MiB", [], 1j, "", "-1MiB"]
)
def test_a_buffer_without_sense_is_refused(size: Any) -> None:
    with zpager.Pager(ram=RAM, swap=SWAP) as pager:
        with pytest.raises(zpager.ConfigurationError, match=r"size: .* (is not a size|is -?\d+ bytes)"):
            pager.allocate(size)
        assert pager.live == ()


@pytest.mark.parametrize("item_bytes", [0, 65, -1, 1 << 200, True, None, "8", 8.0, math.nan])
def test_an_item_size_without_sense_is_refused(item_bytes: Any) -> None:
    with (
        zpager.Pager(ram=RAM, swap=SWAP) as pager,
        pytest.raises(zpager.ConfigurationError, match="item_bytes=.*from 1 to 64"),
    ):
        pager.allocate(4096, item_bytes=item_bytes)


@pytest.mark.parametrize("size", [81 * MIB, 1 << 40, (1 << 63) - 1, "100TiB"])
def test_a_buffer_beyond_ram_and_swap_is_refused_at_once(size: Any) -> None:
    with zpager.Pager(ram=RAM, swap=SWAP) as pager:
        with pytest.raises(zpager.OutOfSwap, match="bytes could be had now"):
            pager.allocate(size)
        assert pager.allocate("40MiB").nbytes == 40 * MIB


@pytest.mark.parametrize(
    ("offset", "length"),
    [(-1, 10), (0, -1), (0, 4097), (4097, 0), (4096, 1), ((1 << 63) - 1, 1), (1 << 62, 1 << 62)],
)
def test_a_range_to_discard_must_lie_inside(offset: int, length: int) -> None:
    pager = zpager.Pager(ram=RAM, swap=SWAP)
    buffer = pager.allocate(4096)
    with pytest.raises(zpager.ConfigurationError, match="must lie inside the 4096 bytes"):
        buffer.discard(offset, length)


@pytest.mark.parametrize("size", [0, -1, math.nan, None, "much"])
def test_an_amount_to_reclaim_without_sense_is_refused(size: Any) -> None:
    with (
        zpager.Pager(ram=RAM, swap=SWAP) as pager,
        pytest.raises(zpager.ConfigurationError, match=r"size: .* (is not a size|is -?\d+ bytes)"),
    ):
        pager.reclaim(size)
