"""That the benchmark leaves the machine as it was, however it ends, and lets alone what was on before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from machine_changes import WISH

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

from bench.machine import survey, swap_file, zswap  # noqa: E402
from bench.machine.cgroup import find_parent  # noqa: E402
from bench.machine.keeper import Keeper  # noqa: E402
from bench.machine.steps import Step, swaps_on  # noqa: E402

MIB = 1 << 20
PATIENCE_SECONDS = 30

why_not = survey.why_not_swap() if os.environ.get(WISH) else f"{WISH}=1 lets tests change swap and cgroups"
needs_swap = pytest.mark.skipif(why_not is not None, reason=f"swap is not touched: {why_not}")


@pytest.fixture
def disk_directory() -> Path:
    """A directory that takes swap files: a temporary one of pytest's may be in RAM."""
    return Path("/var/tmp")


def machine(directory: Path) -> dict[str, object]:
    """Everything that the benchmark may have changed."""
    parent = find_parent()
    assert parent is not None
    return {
        "swap": swaps_on(),
        "page-cluster": Path("/proc/sys/vm/page-cluster").read_text(),
        "zswap": zswap.parameters(),
        "zram": sorted(path.name for path in Path("/sys/block").glob("zram*")),
        "cgroups": sorted(path.name for path in parent.path.glob("zpager-bench-*")),
        "files": sorted(path.name for path in directory.glob("zpager-bench-*")),
    }


def wait_until_as(before: dict[str, object], directory: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while machine(directory) != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert machine(directory) == before


@needs_swap
@pytest.mark.parametrize(
    ("end", "number"),
    [("raise", None), ("wait", signal.SIGINT), ("wait", signal.SIGTERM), ("wait", signal.SIGKILL)],
)
def test_everything_is_undone(end: str, number: signal.Signals | None, disk_directory: Path) -> None:
    before = machine(disk_directory)
    process = subprocess.Popen(
        [sys.executable, str(CHECKOUT / "tests/python/machine_changes.py"), str(disk_directory), end],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "changed\n", process.communicate()[1]
    if number is not None:
        now = machine(disk_directory)
        assert all(now[name] != before[name] for name in ("swap", "page-cluster", "cgroups", "files"))
        process.send_signal(number)
    errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
    if number is signal.SIGKILL:
        wait_until_as(before, disk_directory)  # the keeper is a process of its own
        assert process.returncode == -signal.SIGKILL
    else:
        assert machine(disk_directory) == before
        assert process.returncode == (1 if number is None else 128 + number)
    assert ("on purpose" in errors) == (end == "raise")


@needs_swap
def test_swap_that_is_on_already_is_not_touched(disk_directory: Path) -> None:
    with Keeper() as keeper, swap_file.made(keeper, disk_directory, 16 * MIB) as path:
        with swap_file.turned_on(keeper, path):
            reason = survey.why_not_swap()
            assert reason is not None
            assert str(path) in reason
            finished = subprocess.run(
                [sys.executable, "-m", "bench", "--quick", "--contestants", "zswap;zram;swap"],
                cwd=CHECKOUT,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_SECONDS,
            )
            assert finished.returncode == 1
            for name in ("zswap", "zram", "swap"):
                assert f"left out: {name}: swap is on already" in finished.stdout.replace("\n", " ")
            assert swaps_on() == [str(path)]
        assert survey.why_not_swap() is None


def test_who_is_not_root_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert survey.why_not_swap() == survey.why_not_cgroup() == "it needs root"


def test_zswap_that_is_on_already_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "why_not_cgroup", lambda: None)
    monkeypatch.setattr(survey, "swaps_on", list)
    monkeypatch.setattr(zswap, "parameters", lambda: {"enabled": "Y"})
    assert "zswap is on already" in str(survey.why_not_swap())


def test_the_keeper_goes_what_is_left_the_latest_first(tmp_path: Path) -> None:
    file = tmp_path / "setting"
    file.write_text("new")
    with Keeper() as keeper:
        # As if this process died between the changes and their ways back.
        for value in ("oldest", "old"):
            keeper.note(Step("write", str(file), value))
        assert file.read_text() == "new"
    assert file.read_text() == "oldest"


def test_a_way_back_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="could not be restored"), Keeper() as keeper:
        keeper.note(Step("write", str(tmp_path / "no such directory" / "setting"), "old"))


@pytest.mark.parametrize(
    ("cgroup_line", "mount_line", "directory", "version"),
    [
        (
            "4:memory:/jobs/one",
            "30 1 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            "sys/fs/cgroup/memory/jobs/one",
            1,
        ),
        (
            "0::/jobs/one",
            "30 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
            "sys/fs/cgroup/jobs",
            2,
        ),
    ],
)
def test_where_cgroups_are_made(
    tmp_path: Path, cgroup_line: str, mount_line: str, directory: str, version: int
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(cgroup_line + "\n")
    (tmp_path / "proc/self/mountinfo").write_text(mount_line + "\n")
    own = tmp_path / "sys/fs/cgroup" / ("memory/jobs/one" if version == 1 else "jobs/one")
    own.mkdir(parents=True)
    if version == 2:
        (own / "cgroup.subtree_control").write_text("\n")
        (own.parent / "cgroup.subtree_control").write_text("cpu memory\n")
    parent = find_parent(str(tmp_path))
    assert parent is not None
    assert parent.path == tmp_path / directory
    assert parent.version == version
    assert parent.charges_zswap == (version == 2)
