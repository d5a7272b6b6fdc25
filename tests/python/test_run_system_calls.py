"""Programs under `zpager run` that hand managed memory to the kernel, handle signals and have stacks there,
in signal mode: the program is `tests/c/system_calls.c`, which keeps its memory on the move."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_run import SECONDS, ZPAGER, python, run

pytestmark = pytest.mark.userfaultfd

SOURCE = Path(__file__).parents[1] / "c" / "system_calls.c"
PARTS = ("files", "streams", "sockets", "waits", "programs", "signals", "stacks", "locks")
RAM = "--ram=16MiB", "--swap=256MiB"
WITHOUT_PRIVILEGE = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount --bind /dev/null /dev/userfaultfd && exec setpriv --bounding-set=-all --inh-caps=-all "$@"',
    "sh",
)
"""As an ordinary user is to the kernel: without capabilities and without the device node."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    directory = tmp_path_factory.mktemp("program")
    path = directory / "system_calls"
    subprocess.run([compiler, "-O1", "-pthread", "-o", path, SOURCE], check=True)
    return path


def require_ok(program: Path, part: str, directory: Path, *options: str) -> None:
    done = run(str(program), part, options=(*RAM, *options), cwd=directory)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-3000:]


def require_privilege_to_drop() -> None:
    if os.geteuid() != 0 or not all(map(shutil.which, ("setpriv", "unshare"))):
        pytest.skip("only root can drop privileges, with setpriv and unshare")
    if Path("/proc/sys/vm/unprivileged_userfaultfd").read_text().strip() != "0":
        pytest.skip("here everybody may have all of userfaultfd")


def run_without_privilege(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    require_privilege_to_drop()
    return subprocess.run(
        [*WITHOUT_PRIVILEGE, ZPAGER, "run", *RAM, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=directory,
    )


@pytest.mark.parametrize("part", PARTS)
def test_system_calls_into_memory_on_the_move(part: str, program: Path, tmp_path: Path) -> None:
    require_ok(program, part, tmp_path, "--faults=signal")


def test_in_thread_mode_the_same_program_has_no_wrappers_to_thank(program: Path, tmp_path: Path) -> None:
    """So the program itself is right."""
    require_ok(program, "files", tmp_path, "--faults=thread")


@pytest.mark.parametrize("part", PARTS)
def test_without_privilege(part: str, program: Path, tmp_path: Path) -> None:
    done = run_without_privilege("--", str(program), part, directory=tmp_path)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-3000:]


def test_thread_mode_without_privilege_says_what_to_do(program: Path, tmp_path: Path) -> None:
    done = run_without_privilege("--faults=thread", "--", str(program), "files", directory=tmp_path)
    assert done.returncode == 125
    assert 'use faults="signal"' in done.stderr


def test_an_interpreter_reads_writes_and_starts_programs() -> None:
    done = python(
        "import os, socket, subprocess, sys, tempfile, threading, zlib\n"
        "size = 80 << 20\n"
        "block = bytearray(size)\n"
        "for at in range(0, size, 4096): block[at:at + 8] = at.to_bytes(8, 'little')\n"
        "with tempfile.TemporaryFile() as file:\n"
        "    file.write(block); file.seek(0)\n"
        "    other = bytearray(size)\n"
        "    assert file.readinto(other) == size and other == block\n"
        "    file.seek(0); assert file.read() == block\n"
        "done = subprocess.run(['cat'], input=block, stdout=subprocess.PIPE)\n"
        "assert done.returncode == 0 and done.stdout == block\n"
        "ours, theirs = socket.socketpair()\n"
        "thread = threading.Thread(target=lambda: (ours.sendall(block), ours.close()))\n"
        "thread.start()\n"
        "sum = 0\n"
        "while part := theirs.recv_into(other): sum = zlib.crc32(memoryview(other)[:part], sum)\n"
        "assert sum == zlib.crc32(block)\n"
        "names = [tempfile.mkdtemp() for _ in range(200)]\n"
        "assert all(os.path.isdir(name) for name in names); [os.rmdir(name) for name in names]\n"
        "print('done')",
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]
