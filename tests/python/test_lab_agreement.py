"""The lab says of accesses what comes of them on real memory: on zpager's, and on the kernel's zswap."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from accessed_memory import NOISE_BYTES, Accesses, accesses
from machine_changes import WISH

from zpager import Pager
from zpager._core import zpage_bytes
from zpager.lab.costs import PROFILES, Costs
from zpager.lab.replay import Configuration, Result, replay
from zpager.lab.trace import ThreadTrace, Trace
from zpager.options import Eviction, Pool
from zpager.sizes import PAGE_BYTES
from zpager.stats import Stats

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

from bench.machine import cgroup, survey, swap_file, vm, zswap  # noqa: E402
from bench.machine.keeper import Keeper  # noqa: E402

MIB = 1 << 20
PAGES = 24_576
ACCESSES = 120_000
SWAP_BYTES = 128 * MIB
MISSES_OFF_MOST = 0.03
TIME_OFF_MOST = 0.2
ROUNDS = 5


@dataclass(frozen=True)
class Setup:
    ram_bytes: int
    eviction: Eviction
    pool: Pool = "zsmalloc"
    pool_limit_bytes: int | None = None


@dataclass(frozen=True)
class Real:
    """What came of the accesses on real memory, the filling left out."""

    stats: Stats
    seconds: float
    buffers_bytes: int


SETUPS = [
    Setup(48 * MIB, "intact"),
    Setup(48 * MIB, "writeback", pool_limit_bytes=16 * MIB),
    Setup(48 * MIB, "unuse", "zbud", 16 * MIB),
    Setup(48 * MIB, "none", "zbud", 16 * MIB),
]


def on_real_memory(wanted: Accesses, setup: Setup) -> Real:
    with Pager(
        ram=setup.ram_bytes,
        swap=SWAP_BYTES,
        eviction=setup.eviction,
        pool=setup.pool,
        pool_limit=setup.pool_limit_bytes or "auto",
    ) as pager:
        memory = pager.empty(wanted.page_count * PAGE_BYTES, np.uint8)
        wanted.fill(memory)
        before = pager.stats
        view = memory.data
        seconds = wanted.make(view)
        stats = pager.stats - before
        view.release()
        del memory
        return Real(stats, seconds, before.buffers_bytes)


def in_the_lab(wanted: Accesses, setup: Setup, costs: Costs, buffers_bytes: int) -> tuple[Result, Result]:
    """What comes of filling the memory, and what of that and the accesses."""
    sizes = np.array(
        [size for rows in wanted.chunks() for size in zpage_bytes(rows.tobytes(), 1)["lz4"]], np.uint16
    )
    fill = np.arange(wanted.page_count, dtype=np.uint32)
    configuration = Configuration(
        ram_bytes=setup.ram_bytes,
        swap_bytes=max(SWAP_BYTES, wanted.page_count * PAGE_BYTES),
        eviction=setup.eviction,
        pool=setup.pool,
        pool_limit_bytes=setup.pool_limit_bytes,
        buffers_bytes=buffers_bytes,
    )
    results = []
    for page, is_write in (
        (fill, np.ones(len(fill), np.bool_)),
        (
            np.concatenate([fill, wanted.page]),
            np.concatenate([np.ones(len(fill), np.bool_), wanted.is_write]),
        ),
    ):
        thread = ThreadTrace("program", page, is_write, np.zeros(len(page), np.uint32))
        results.append(replay(Trace((thread,), {"lz4": sizes}), configuration, costs))
    return results[0], results[1]


def access_ns(wanted: Accesses) -> int:
    """An access of this test's to memory that is there."""
    memory = np.ones(wanted.page_count * PAGE_BYTES, np.uint8)
    return round(min(wanted.make(memory.data) for _ in range(3)) * 1e9 / len(wanted.page))


@pytest.mark.userfaultfd
@pytest.mark.parametrize("name", ["zipf", "uniform"])
@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: f"{setup.eviction}-{setup.pool}")
def test_misses_by_tier_are_those_of_real_memory(name: str, setup: Setup) -> None:
    wanted = accesses(name, PAGES, ACCESSES)
    costs = replace(PROFILES["nvme"], access_ns=access_ns(wanted))
    real = on_real_memory(wanted, setup)
    filled, done = in_the_lab(wanted, setup, costs, real.buffers_bytes)
    tiers = ("faults_swap_cache", "faults_zcache", "faults_device")
    measured = {tier: getattr(real.stats, tier) for tier in tiers}
    replayed = {tier: done.counters[tier] - filled.counters[tier] for tier in tiers}
    all_misses = sum(measured.values())
    assert all_misses > ACCESSES / 10
    for tier in tiers:
        off = abs(replayed[tier] - measured[tier])
        # What hardly ever happens is a matter of chance.
        of = max(measured[tier], all_misses / 5)
        assert off <= MISSES_OFF_MOST * of, f"{tier}: {measured} on real memory, {replayed} in the lab"


@pytest.mark.userfaultfd
@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: f"{setup.eviction}-{setup.pool}")
def test_time_is_that_of_real_memory_after_calibration(setup: Setup) -> None:
    """On a machine that does something else, too: measured and calibrated in turns."""
    from zpager.lab.calibrate import calibrate  # noqa: PLC0415  (it opens userfaultfd)

    wanted = accesses("uniform", PAGES, ACCESSES)
    ratios = []
    for _ in range(ROUNDS):
        costs = replace(calibrate(), access_ns=access_ns(wanted))
        real = on_real_memory(wanted, setup)
        filled, done = in_the_lab(wanted, setup, costs, real.buffers_bytes)
        ratios.append((done.end_ns - filled.end_ns) / 1e9 / real.seconds)
    print(setup, ratios)
    assert statistics.median(ratios) == pytest.approx(1, abs=TIME_OFF_MOST), ratios


@dataclass(frozen=True)
class Kernel:
    """Of a process: its RAM, and whether zswap stands before the disk."""

    ram_bytes: int
    has_zswap: bool


why_not = survey.why_not_swap() if os.environ.get(WISH) else f"{WISH}=1 lets tests change swap and cgroups"
why_not = why_not or zswap.why_not()
KERNEL_PAGES = 100_000
KERNEL_ACCESSES = 100_000
KERNEL_SWAP_BYTES = 1024 * MIB
POOL_PERCENT = 4
"""More than the process can fill."""


@pytest.mark.soak
@pytest.mark.skipif(why_not is not None, reason=f"zswap is not touched: {why_not}")
@pytest.mark.timeout(1200)
def test_the_order_of_configurations_is_that_of_kernel_zswap() -> None:
    kernels = [Kernel(ram * MIB, has_zswap) for ram in (100, 220, 340) for has_zswap in (True, False)]
    wanted = accesses("uniform", KERNEL_PAGES, KERNEL_ACCESSES)
    costs = replace(PROFILES["nvme"], access_ns=access_ns(wanted))
    rounds = [[under_the_kernel(kernel) for kernel in kernels] for _ in range(3)]
    # Whatever else the machine does can only make them slower.
    measured = np.min(rounds, axis=0)
    replayed = []
    for kernel in kernels:
        filled, done = in_the_lab(wanted, as_setup(kernel, wanted), costs, 0)
        replayed.append((done.end_ns - filled.end_ns) / 1e9)
    print(list(zip(kernels, measured.tolist(), replayed, strict=True)))
    assert np.argsort(measured).tolist() == np.argsort(replayed).tolist(), (measured, replayed)


def as_setup(kernel: Kernel, wanted: Accesses) -> Setup:
    """A pager that keeps as many pages resident: the kernel's pool does not count as the process's RAM."""
    if not kernel.has_zswap:
        return Setup(kernel.ram_bytes, "none", pool_limit_bytes=0)
    ratio = sum(NOISE_BYTES) / 2 / PAGE_BYTES
    all_bytes = wanted.page_count * PAGE_BYTES
    pool_bytes = round((all_bytes - kernel.ram_bytes) * ratio)
    # It keeps the zpages of pages that are back, too, and they never have to go to the disk for want of room.
    return Setup(kernel.ram_bytes + pool_bytes, "writeback", pool_limit_bytes=round(all_bytes * ratio * 1.2))


def under_the_kernel(kernel: Kernel) -> float:
    """Seconds that the accesses take a process of so much RAM."""
    parent = cgroup.find_parent()
    assert parent is not None
    with Keeper() as keeper, ExitStack() as changes:
        limit_bytes = kernel.ram_bytes
        if kernel.has_zswap:
            changes.enter_context(zswap.turned_on(keeper, POOL_PERCENT))
            if parent.charges_zswap:
                limit_bytes = as_setup(kernel, accesses("uniform", KERNEL_PAGES, 0)).ram_bytes
        changes.enter_context(vm.set_page_cluster(keeper, 0))
        path = changes.enter_context(swap_file.made(keeper, Path("/var/tmp"), KERNEL_SWAP_BYTES))
        changes.enter_context(swap_file.turned_on(keeper, path))
        group = changes.enter_context(cgroup.made(keeper, parent, limit_bytes))
        enter = f'echo $$ > {group.processes_path} && exec "$@"'
        script = Path(__file__).with_name("accessed_memory.py")
        program = [sys.executable, str(script), "uniform", str(KERNEL_PAGES), str(KERNEL_ACCESSES)]
        return float(
            subprocess.run(["sh", "-c", enter, "sh", *program], check=True, capture_output=True).stdout
        )
