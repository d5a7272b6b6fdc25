"""A working set that moves: what was busy becomes idle without anybody saying so.

Meant for 64 MiB of RAM.
"""

from zpager.lab.scenario import AtRandom, InOrder, Memory, Scenario, Thread

POSITIONS = 4


def scenario(seed: int) -> Scenario:
    """Two of type B work on a third of their numbers each, and then on the next part."""
    return Scenario("shifting", threads=[worker(0), worker(1)], seed=seed)


def worker(number: int) -> Thread:
    """Moves on by half of what it works on, three times."""
    numbers = Memory(f"numbers {number}", "160MiB", contents="numbers")
    hot_parts = [numbers.part(at / 6, at / 6 + 1 / 3) for at in range(POSITIONS)]
    return Thread(
        f"B{number}",
        [
            InOrder(numbers, writes=1),
            *(AtRandom(hot, accesses=60_000, writes=0.1, think_ns=1_000) for hot in hot_parts),
        ],
    )
