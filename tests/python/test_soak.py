"""A minute of threads at four times the budget in each mode: zero wrong bytes, zero hangs. And how fast.

Not part of an ordinary run: `pytest -m soak`.
"""

from __future__ import annotations

import json
from statistics import median

import pytest
from programs import run_program

pytestmark = [pytest.mark.userfaultfd, pytest.mark.soak]

SECONDS = 60


@pytest.mark.parametrize(("faults", "pool"), [("thread", "zsmalloc"), ("signal", "zbud")])
def test_a_minute_of_four_threads_at_four_times_the_budget(faults: str, pool: str) -> None:
    done = run_program("turmoil", faults, pool, "ctypes", SECONDS, seconds=SECONDS)
    assert done.returncode == 0, done.stderr
    counters = json.loads(done.stdout)
    assert counters["lost_pages"] == 0
    assert counters["operations"] > 100_000


def test_by_default_random_reads_are_as_fast_as_in_signal_mode() -> None:
    seconds: dict[str, list[float]] = {"auto": [], "signal": []}
    for _ in range(7):
        for faults, taken in seconds.items():
            done = run_program("read_at_random", faults)
            assert done.returncode == 0, done.stderr
            taken.append(float(done.stdout))
    ratio = median(seconds["auto"]) / median(seconds["signal"])
    print(f"{ratio:.2f} times the time; {seconds}")
    assert ratio <= 1.2
