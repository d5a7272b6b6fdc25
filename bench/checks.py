"""What is measured of zpager alone: its start, its cost without pressure, its cheapest fault, its density."""

from __future__ import annotations

import json
import mmap
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

import zpager
from bench.results import Finding, Results
from bench.table import PAGE_BYTES, WORDS_IN_PAGE

_CHECKOUT = Path(__file__).parents[1]
_MIB = 1 << 20
_PASSES = 15
_ARRAY_BYTES = 32 * _MIB
_FAULTS_RAM_BYTES = 64 * _MIB
_FAULTS_MAX = 2000
_MakeArray: TypeAlias = Callable[[int], NDArray[np.float64]]
_MODES: tuple[Literal["signal", "thread"], ...] = ("signal", "thread")

IMPORT = "import zpager, s"
NO_PRESSURE = "no pressure, ÷ plain memory"
FIRST_TOUCH = "no pressure, first touch, ÷ plain memory"
_SMALL_PAGES, _NUMPYS = "in 4 KiB pages", "numpy's own, in huge pages where it can"
REFAULT = "fault of a page in the swap cache, ÷ bare fault"
DENSITY = "data in the same pool, ÷ the kernel's"

_LIMITS = {IMPORT: 0.15, NO_PRESSURE: 1.02, FIRST_TOUCH: 1.05, REFAULT: 1.5}
_DENSITY_LEAST = 1.5


def carry_out(results: Results, progress: Callable[[str], None]) -> None:
    """Do all checks, and put into `results` what was found, and what was left out and why."""
    quick = results.settings.quick
    found = results.findings
    progress("import")
    found.append(_finding(IMPORT, "", [_import_seconds() for _ in range(2 if quick else 5)]))
    bare: dict[str, float] | None = None
    cargo = shutil.which("cargo")
    if cargo is None:
        results.not_checked[REFAULT] = "a bare fault is measured by a Rust programme, and there is no cargo"
    else:
        progress("bare fault")
        bare = _bare_us(cargo)
    for mode in _MODES:
        if f"zpager, {mode}" not in results.settings.contestants:
            continue
        progress(f"no pressure, {mode}")
        for plain, make in ((_SMALL_PAGES, _in_small_pages), (_NUMPYS, np.empty)):
            passes, first = _no_pressure(mode, make, 2 if quick else _PASSES)
            found += [_finding(NO_PRESSURE, mode, passes, plain), _finding(FIRST_TOUCH, mode, first, plain)]
        if bare is not None:
            progress(f"fault in the swap cache, {mode}")
            fault_us = _swap_cache_fault_us(mode)
            note = f"{fault_us:.2f} ÷ {bare[mode]:.2f} µs"
            found.append(_finding(REFAULT, mode, [fault_us / bare[mode]], note))
    found += densities(results)


def densities(results: Results) -> list[Finding]:
    """How many pages a byte of pool holds, beside zswap and beside zram, whose codec is zpager's LZ4."""
    found = []
    for kind in ("integers", "floats"):
        ours = _ratios(results, "zpager, signal", kind) or _ratios(results, "zpager, thread", kind)
        for other in ("zswap", "zram"):
            theirs = _ratios(results, other, kind)
            values = [ours[number] / theirs[number] for number in sorted(ours.keys() & theirs.keys())]
            if values:
                codec = results.notes.get(other, "").partition(",")[0]
                note = f"beside {other}, {codec}"
                found.append(Finding(DENSITY, kind, values, _DENSITY_LEAST, is_at_least=True, note=note))
    return found


def _ratios(results: Results, contestant: str, programme: str) -> dict[int, float]:
    rounds = results.outcomes.get((contestant, programme), {})
    return {number: one.compression_ratio for number, one in rounds.items() if one.pool_bytes}


def _finding(check: str, of: str, values: list[float], note: str = "") -> Finding:
    return Finding(check, of, values, _LIMITS[check], note=note)


def _import_seconds() -> float:
    code = "import time; start = time.perf_counter(); import zpager; print(time.perf_counter() - start)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def _bare_us(cargo: str) -> dict[str, float]:
    command = [
        cargo,
        "run",
        "--locked",
        "--release",
        "--quiet",
        "-p",
        "zpager-linux",
        "--example",
        "bare_fault",
    ]
    runs = [
        json.loads(subprocess.run(command, capture_output=True, check=True, cwd=_CHECKOUT).stdout)
        for _ in range(3)
    ]
    return {mode: median(run[mode] for run in runs) for mode in _MODES}


def _in_small_pages(count: int) -> NDArray[np.float64]:
    memory = mmap.mmap(-1, count * 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.float64)


def _no_pressure(
    mode: Literal["signal", "thread"], make_plain: _MakeArray, passes: int
) -> tuple[list[float], list[float]]:
    """Passes over touched arrays, and first passes, each as a ratio to plain memory's of the same moment."""

    def arrays(make: _MakeArray) -> list[NDArray[np.float64]]:
        return [make(_ARRAY_BYTES // 8) for _ in range(3)]

    touched, first = [], []
    with zpager.Pager(ram=8 * 3 * _ARRAY_BYTES, swap="1MiB", faults=mode) as pager:

        def managed(count: int) -> NDArray[np.float64]:
            return pager.empty(count)

        ours, plain = arrays(managed), arrays(make_plain)
        _pass(ours)
        _pass(plain)
        for _ in range(passes):
            touched.append(_timed(lambda: _pass(ours)) / _timed(lambda: _pass(plain)))
        for _ in range(passes):
            fresh_ours = _timed(lambda: _pass(arrays(managed)))
            first.append(fresh_ours / _timed(lambda: _pass(arrays(make_plain))))
        ours.clear()
    return touched, first


def _pass(arrays: list[NDArray[np.float64]]) -> float:
    """What a program does with three columns."""
    price, amount, total = arrays
    price[:] = 1.5
    amount[:] = 2.0
    np.multiply(price, amount, out=total)
    np.sqrt(total, out=price)
    return float(price.sum()) + float(np.dot(amount, total))


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - start


def _swap_cache_fault_us(mode: Literal["signal", "thread"]) -> float:
    """The median time of accesses that found their page in the swap cache, and did nothing else."""
    times: list[int] = []
    hits: list[int] = []
    with zpager.Pager(ram=_FAULTS_RAM_BYTES, swap=4 * _FAULTS_RAM_BYTES, faults=mode) as pager:
        words = pager.empty(3 * _FAULTS_RAM_BYTES // 2 // 8, np.int64)
        words[:] = np.arange(words.size)
        random = np.random.default_rng(1)
        for page in random.integers(0, words.size // WORDS_IN_PAGE, 40 * _FAULTS_MAX).tolist():
            place = page * PAGE_BYTES // 8
            before = pager.stats
            start = time.perf_counter_ns()
            words[place]
            end = time.perf_counter_ns()
            happened = pager.stats - before
            if happened.faults == happened.faults_swap_cache == 1 and not happened.direct_reclaims:
                times.append(end - start)
            elif happened.faults == 0:
                hits.append(end - start)
            if len(times) >= _FAULTS_MAX:
                break
        del words
    # Without the clock and the interpreter, which an access that faults has, too.
    return (median(times) - median(hits)) / 1000
