"""A scan over much that is cold beside a small hot set: a policy should not let the one push out the other.

Meant for 64 MiB of RAM.
"""

from zpager.lab.scenario import AtRandom, InOrder, Memory, Scenario, Thread


def scenario(seed: int) -> Scenario:
    """One looks up at random all the time, the other reads through everything again and again."""
    hot = Memory("hot", "60MiB", contents="numbers")
    cold = Memory("cold", "320MiB", contents="numbers")
    return Scenario(
        "scan and hot",
        threads=[
            Thread(
                "lookups", [InOrder(hot, writes=1), AtRandom(hot, accesses=250_000, skew=0.8, think_ns=1_000)]
            ),
            Thread("scan", [InOrder(cold, writes=1), *[InOrder(cold, think_ns=1_000)] * 3]),
        ],
        seed=seed,
    )
