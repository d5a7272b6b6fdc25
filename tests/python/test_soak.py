"""A minute of threads at four times the budget in each mode: zero wrong bytes, zero hangs.

Not part of an ordinary run: `pytest -m soak`.
"""

from __future__ import annotations

import json

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
