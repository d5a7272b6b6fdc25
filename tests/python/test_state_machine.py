"""The engine beside `bytearray`s: whatever is done to both, in any order, both read the same.

The engine has a few MiB of RAM and holds more than that from the first step on, so that every step runs into
reclaim, the pool, unuse and the swap file. After each step the engine's own invariants are checked, its
budget, and the size of what it manages.

A failure prints the steps that hypothesis has boiled it down to. A broken invariant may end the process
before that, because zpager's own threads run into it too: the steps taken until then are in the file
`steps.txt` in the test's directory under pytest's `--basetemp`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest
from engines import eventually, make_engine, used_bytes
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

import zpager
from zpager._core import Allocation
from zpager.sizes import PAGE_BYTES

pytestmark = pytest.mark.userfaultfd

MIB = 1 << 20
RAM_BYTES = 5 * MIB
POOL_LIMIT_BYTES = MIB
SWAP_BYTES = 16 * MIB
# What allocations take together. More than RAM, less than the swap file, which may have to hold all of it.
MANAGED_BYTES_MAX = 12 * MIB
STANDING_BYTES = 5 * MIB

WORDS = b"a compressed page frame is unused when the pool is full and its pages go to the device "
NOISE = np.random.default_rng(0).bytes(2 * MIB)

KINDS = ("constant", "text", "noise", "counting")


def made_data(kind: str, length: int, seed: int) -> bytes:
    """`length` bytes that compress to nothing, well, not at all, or well only after a shuffle."""
    if kind == "constant":
        return bytes([seed % 256]) * length
    if kind == "text":
        start = seed % len(WORDS)
        text = b"%d " % seed + WORDS[start:] + WORDS[:start]
        return (text * (length // len(text) + 1))[:length]
    if kind == "noise":
        start = seed % MIB
        return (NOISE[start:] * (length // MIB + 1))[:length]
    return np.arange(seed, seed + length // 8 + 1, dtype="u8").tobytes()[:length]


def rounded(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES


@dataclass(eq=False)
class Memory:
    """An allocation, and what should be in it.

    Its bytes are touched by numpy's copies and comparisons and by slices of memoryviews alone: these are
    plain accesses to memory, as signal mode demands, and never system calls.
    """

    allocation: Allocation
    expected: bytearray

    @property
    def size(self) -> int:
        return len(self.expected)

    def free(self) -> None:
        """Give the allocation back now: hypothesis keeps what a step has returned for a while."""
        del self.allocation

    def require(self, start: int, end: int) -> None:
        """Compare a range. A mismatch names the first byte, as 5 MiB of bytes in a message help nobody."""
        found = np.frombuffer(memoryview(self.allocation)[start:end], "u1")
        expected = np.frombuffer(self.expected, "u1")[start:end]
        if np.array_equal(found, expected):
            return
        wrong = np.flatnonzero(found != expected)
        assert len(wrong) > 0, "bytes differed, and a moment later did not: the memory changes by itself"
        first = int(wrong[0])
        raise AssertionError(
            f"{len(wrong)} of {end - start} bytes are wrong, from {start + first} on (page "
            f"{(start + first) // PAGE_BYTES} of {rounded(self.size) // PAGE_BYTES}): "
            f"{found[first : first + 16].tobytes().hex()} and not "
            f"{expected[first : first + 16].tobytes().hex()}"
        )


# Places are drawn as shares of the allocation, so that a smaller allocation shrinks them with it.
SHARES = st.integers(0, 1 << 16)
SEEDS = st.integers(0, 1 << 20)
SIZES = st.one_of(
    st.integers(1, 3 * PAGE_BYTES),
    st.sampled_from([1, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 64 * PAGE_BYTES]),
    st.integers(PAGE_BYTES, 3 * MIB),
)
LENGTHS = st.one_of(
    st.integers(0, 100),
    st.integers(0, 4 * PAGE_BYTES),
    st.integers(0, MIB),
)


def place(memory: Memory, share: int, length: int) -> tuple[int, int]:
    start = memory.size * share >> 16
    return start, min(start + length, memory.size)


class EngineBesideBytearrays(RuleBasedStateMachine):
    """The steps, and what must hold after each."""

    memories = Bundle("memories")

    def __init__(self, options: dict[str, Any], steps: TextIO) -> None:
        super().__init__()
        self.engine = make_engine(RAM_BYTES, SWAP_BYTES, **options)
        self.live: list[Memory] = []
        # Steps of this example only.
        self.steps = steps
        self.steps.seek(0)
        self.steps.truncate()

    def step(self, words: str) -> None:
        self.steps.write(words + "\n")
        self.steps.flush()

    def managed_bytes(self) -> int:
        return sum(rounded(memory.size) for memory in self.live)

    @initialize(target=memories, item_bytes=st.sampled_from([1, 4, 8]), seed=SEEDS)
    def fill_more_than_ram(self, item_bytes: int, seed: int) -> Memory:
        self.step(f"fill_more_than_ram({item_bytes}, {seed})")
        memory = Memory(self.engine.allocate(STANDING_BYTES, item_bytes, "standing"), bytearray())
        # A quarter of each kind, but in pieces, so that neighbours in the pool are of all sizes.
        piece = 10 * PAGE_BYTES + 77
        for number in range(STANDING_BYTES // piece + 1):
            memory.expected += made_data(KINDS[number % len(KINDS)], piece, seed + number)
        del memory.expected[STANDING_BYTES:]
        memoryview(memory.allocation)[:] = memory.expected
        self.live.append(memory)
        return memory

    @rule(target=memories, size=SIZES, item_bytes=st.integers(1, 64) | st.sampled_from([1, 2, 4, 8]))
    def allocate(self, size: int, item_bytes: int) -> Memory | MultipleResults[Memory]:
        self.step(f"allocate({size}, {item_bytes})")
        if self.managed_bytes() + rounded(size) > MANAGED_BYTES_MAX:
            return multiple()
        # It is zero, although others may have had these pages before: reads will find out.
        memory = Memory(self.engine.allocate(size, item_bytes, "made by a step"), bytearray(size))
        self.live.append(memory)
        return memory

    @rule(excess=st.integers(1, 64 * MIB))
    def allocate_too_much(self, excess: int) -> None:
        self.step(f"allocate_too_much({excess})")
        size = RAM_BYTES + SWAP_BYTES - self.managed_bytes() + excess
        with pytest.raises(zpager.OutOfSwap):
            self.engine.allocate(size, 1, "too much")

    @rule(memory=consumes(memories))
    def free(self, memory: Memory) -> None:
        self.step(f"free(#{self.live.index(memory)})")
        self.live.remove(memory)
        memory.free()

    @rule(
        memory=memories,
        share=SHARES,
        length=LENGTHS,
        kind=st.sampled_from(KINDS),
        seed=SEEDS,
    )
    def write(self, memory: Memory, share: int, length: int, kind: str, seed: int) -> None:
        start, end = place(memory, share, length)
        self.step(f"write(#{self.live.index(memory)}, {start}, {end}, {kind!r}, {seed})")
        data = made_data(kind, end - start, seed)
        memoryview(memory.allocation)[start:end] = data
        memory.expected[start:end] = data

    @rule(memory=memories, seed=SEEDS, stride=st.integers(PAGE_BYTES // 2, 20 * PAGE_BYTES))
    def write_a_byte_here_and_there(self, memory: Memory, seed: int, stride: int) -> None:
        self.step(f"write_a_byte_here_and_there(#{self.live.index(memory)}, {seed}, {stride})")
        # A page that is clean becomes dirty by one byte: its stored copy must not come back.
        np.frombuffer(memoryview(memory.allocation), "u1")[seed % stride :: stride] = seed % 251
        np.frombuffer(memory.expected, "u1")[seed % stride :: stride] = seed % 251

    @rule(memory=memories, share=SHARES, length=LENGTHS)
    def read(self, memory: Memory, share: int, length: int) -> None:
        start, end = place(memory, share, length)
        self.step(f"read(#{self.live.index(memory)}, {start}, {end})")
        memory.require(start, end)

    @rule(memory=memories)
    def read_all_of_it(self, memory: Memory) -> None:
        self.step(f"read_all_of_it(#{self.live.index(memory)})")
        memory.require(0, memory.size)

    @rule(
        source=memories,
        destination=memories,
        source_share=SHARES,
        destination_share=SHARES,
        length=LENGTHS,
    )
    def copy(
        self, source: Memory, destination: Memory, source_share: int, destination_share: int, length: int
    ) -> None:
        start, end = place(source, source_share, length)
        to_start, to_end = place(destination, destination_share, length)
        length = min(end - start, to_end - to_start)
        end, to_end = start + length, to_start + length
        numbers = f"#{self.live.index(source)}, {start}, #{self.live.index(destination)}, {to_start}"
        self.step(f"copy({numbers}, {length})")
        # Both may be one, and overlap: memoryview and bytearray copy with care then.
        memoryview(destination.allocation)[to_start:to_end] = memoryview(source.allocation)[start:end]
        destination.expected[to_start:to_end] = source.expected[start:end]

    @rule(memory=memories, share=SHARES, length=LENGTHS | st.just(STANDING_BYTES))
    def discard(self, memory: Memory, share: int, length: int) -> None:
        start, end = place(memory, share, length)
        self.step(f"discard(#{self.live.index(memory)}, {start}, {end})")
        memory.allocation.discard(start, end - start)
        memory.expected[start:end] = bytes(end - start)

    @rule(pages=st.integers(0, 3) | st.integers(0, 2 * RAM_BYTES // PAGE_BYTES))
    def reclaim(self, pages: int) -> None:
        self.step(f"reclaim({pages})")
        assert self.engine.reclaim(pages) <= pages

    @rule(units=st.integers(0, 3) | st.integers(0, 2 * POOL_LIMIT_BYTES // PAGE_BYTES))
    def unuse(self, units: int) -> None:
        self.step(f"unuse({units})")
        assert self.engine.evict(units) <= units

    @precondition(lambda self: self.live)
    @invariant()
    def the_engine_agrees_with_itself_and_with_its_budget(self) -> None:
        self.engine.check()
        counters = self.engine.counters()
        assert used_bytes(counters) <= RAM_BYTES, counters
        assert counters["pool_bytes"] <= POOL_LIMIT_BYTES
        assert counters["managed_bytes"] == self.managed_bytes()
        assert counters["lost_pages"] == 0

    def teardown(self) -> None:
        self.step("teardown")
        for memory in self.live:
            memory.require(0, memory.size)
            memory.free()
        self.live.clear()
        counters = self.engine.counters()
        for name in ("managed_bytes", "resident_bytes", "stored_pages"):
            assert counters[name] == 0, name
        # To the end of its write a page keeps its slot, and a frame that is written as it is its place in
        # the pool.
        for name in ("pool_bytes", "swap_used_bytes"):
            eventually(lambda name=name: self.engine.counters()[name] == 0)
        self.engine.check()
        assert self.engine.close()


Machine = Callable[[], EngineBesideBytearrays]


@pytest.mark.parametrize(
    ("faults", "pool", "eviction", "codec"),
    [
        # Codecs have nothing to do with the rest: they take turns.
        pytest.param(*choice, codec, id="-".join((*choice, codec)))
        for choice, codec in zip(
            product(("thread", "signal"), ("zbud", "zsmalloc"), ("unuse", "writeback", "intact", "none")),
            cycle(("lz4", "zstd", "lz4")),
            strict=False,
        )
    ],
)
def test_the_engine_reads_as_bytearrays_do(
    tmp_path: Path, faults: str, pool: str, eviction: str, codec: str
) -> None:
    options = {
        "faults": faults,
        "pool": pool,
        "codec": codec,
        "eviction": eviction,
        "pool_limit_bytes": POOL_LIMIT_BYTES,
    }
    with (tmp_path / "steps.txt").open("w") as steps:

        def machine() -> EngineBesideBytearrays:
            return EngineBesideBytearrays(options, steps)

        run_state_machine_as_test(
            machine,  # type: ignore[arg-type]  # by its documentation a function will do
            settings=settings(
                max_examples=16,
                stateful_step_count=40,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
