"""Scenarios: phases become accesses, a seed the same ones every time, and what cannot be is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zpager import ConfigurationError
from zpager.lab import scenario as lab
from zpager.lab.costs import costs
from zpager.lab.drawn_pages import Contents, named
from zpager.lab.replay import Configuration, replay
from zpager.lab.scenario import AtRandom, InOrder, InStretches, Memory, Scenario, Sleep, Thread
from zpager.lab.trace import Trace

PAGE_BYTES = 4096
SECOND_NS = 1_000_000_000


def trace_of(*phases: lab.Phase | Sleep, seed: int = 7) -> Trace:
    return Scenario("test", [Thread("A", phases)], seed).trace()


def memory(pages: int, contents: str | Contents = "numbers") -> Memory:
    return Memory("memory", pages * PAGE_BYTES, contents)


def same(one: Trace, other: Trace) -> bool:
    steps = zip(one.threads, other.threads, strict=True)
    return all(np.array_equal(a.steps(), b.steps()) for a, b in steps) and all(
        np.array_equal(one.zpage_bytes[codec], other.zpage_bytes[codec]) for codec in one.zpage_bytes
    )


def test_phases_follow_one_another_and_a_sleep_is_time_to_think() -> None:
    all_of_it = memory(4)
    thread = trace_of(
        InOrder(all_of_it, writes=1, think_ns=5), Sleep(seconds=2), InOrder(all_of_it.part(0.5, 1))
    ).threads[0]
    assert thread.page.tolist() == [0, 1, 2, 3, 2, 3]
    assert thread.is_write.tolist() == [True] * 4 + [False] * 2
    assert thread.think_ns.tolist() == [5] * 4 + [2 * SECOND_NS, 0]


def test_a_sleep_beyond_what_a_trace_can_say_is_all_there() -> None:
    thread = trace_of(Sleep(seconds=60), InOrder(memory(2))).threads[0]
    assert int(thread.think_ns.astype(np.uint64).sum()) == 60 * SECOND_NS
    assert thread.page.tolist()[-2:] == [0, 1]


def test_stretches_are_neighbours_and_zipfs_law_prefers_few_pages() -> None:
    stretches = trace_of(InStretches(memory(1000), accesses=640, stretch_pages=64)).threads[0].page
    assert len(stretches) == 640
    assert (np.diff(stretches.astype(int)).reshape(-1)[:63] == 1).all()
    _, uniform = np.unique(trace_of(AtRandom(memory(100), accesses=5000)).threads[0].page, return_counts=True)
    _, skewed = np.unique(
        trace_of(AtRandom(memory(100), accesses=5000, skew=1)).threads[0].page, return_counts=True
    )
    assert uniform.max() < 100
    # 1 / H(100) of all is 19%.
    assert 800 < skewed.max() < 1100


def test_pages_that_nobody_touches_are_left_out() -> None:
    trace = trace_of(InOrder(memory(100).part(0.9, 1)))
    assert trace.page_count == 10
    assert {codec: len(sizes) for codec, sizes in trace.zpage_bytes.items()} == {"lz4": 10, "zstd": 10}


def test_threads_share_a_memory_and_have_numbers_of_their_own() -> None:
    shared = memory(50)
    work = AtRandom(shared, accesses=1000)
    one, other = Scenario("test", [Thread("A", [work]), Thread("B", [work])], seed=1).trace().threads
    assert not np.array_equal(one.page, other.page)
    assert Scenario("test", [Thread("A", [work]), Thread("B", [work])], seed=1).trace().page_count == 50


def test_contents_decide_what_pages_compress_to() -> None:
    own = Contents.of(np.arange(512 * 4).tobytes(), item_bytes=8)
    assert own.zpage_bytes["lz4"].max() < 100
    sizes = trace_of(InOrder(memory(20, own))).zpage_bytes["lz4"]
    assert set(sizes.tolist()) <= set(own.zpage_bytes["lz4"].tolist())
    assert (trace_of(InOrder(memory(20, "noise"))).zpage_bytes["zstd"] == PAGE_BYTES).all()
    # Libraries and sources: about 2 to 1, as in the documentation.
    assert 1.8 < PAGE_BYTES / named("files").zpage_bytes["lz4"].mean() < 2.3


@pytest.mark.parametrize("name", lab.names())
def test_a_named_scenario_is_the_same_for_the_same_seed_and_can_be_replayed(name: str) -> None:
    trace = lab.make(name, 1).trace()
    assert same(trace, lab.make(name, 1).trace())
    assert not same(trace, lab.make(name, 2).trace())
    result = replay(trace, Configuration(ram_bytes=64 << 20), costs("nvme"))
    assert sum(thread.accesses for thread in result.threads) == trace.access_count


def test_in_the_rfcs_scenario_what_is_busy_pays_where_nothing_is_evicted() -> None:
    trace = lab.make("rfc", 2012).trace()
    lost_ns = {}
    for eviction in ("none", "unuse"):
        result = replay(trace, Configuration(ram_bytes=64 << 20, eviction=eviction), costs("nvme"))  # type: ignore[arg-type]
        lost_ns[eviction] = result.threads[-1].lost_ns
    assert lost_ns["none"] > 5 * lost_ns["unuse"]


def test_a_users_file_has_a_function_scenario(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    # The module's own example.
    example = (lab.__doc__ or "").split("calls:\n")[1].split("`zpager/lab")[0]
    file.write_text("\n".join(line[4:] for line in example.splitlines()))
    assert [thread.name for thread in lab.make(str(file), 3).threads] == ["A", "B"]
    assert lab.make(str(file), 3).trace().page_count == 112 * 256


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no function scenario"),
        ("def scenario(seed): return 1", "which is no Scenario"),
        (None, "no scenario"),
    ],
)
def test_a_file_without_a_scenario_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        lab.make(str(file), 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Memory("m", 100),
        lambda: Memory("m", "1 xB"),
        lambda: Memory("m", "1MiB", contents="gold"),
        lambda: memory(10).part(0.5, 0.5),
        lambda: Sleep(seconds=-1),
        lambda: trace_of(Sleep(seconds=1)),
        lambda: trace_of(InOrder(memory(1), writes=2)),
        lambda: trace_of(InOrder(memory(1), think_ns=-1)),
        lambda: trace_of(AtRandom(memory(1), accesses=0)),
        lambda: trace_of(InStretches(memory(1), accesses=1, stretch_pages=0)),
        lambda: Contents.of(b"abc"),
        lambda: Contents.of(b""),
    ],
)
def test_what_cannot_be_is_refused(make: object) -> None:
    with pytest.raises(ConfigurationError):
        make()  # type: ignore[operator]
