"""The RFC's story: services that sleep keep the compressed cache, and what is busy goes to the disk.

Meant for 64 MiB of RAM. A's pages compress 2 to 1 and so would fill all of it; B's compress 13 to 1, and are
a third more than the RAM.
"""

from zpager.lab.scenario import AtRandom, InOrder, InStretches, Memory, Phase, Scenario, Sleep, Thread

SHUTDOWN_SECONDS = 120
BOOT_SECONDS = 2


def scenario(seed: int) -> Scenario:
    """Four of type A wake at boot and at shutdown; one of type B works all the time."""
    tables = Memory("tables", "85MiB", contents="table")
    return Scenario(
        "rfc",
        threads=[*(type_a(number) for number in range(4)), type_b(tables, turns=250)],
        seed=seed,
    )


def type_a(number: int) -> Thread:
    """Reads its libraries and settings at boot, sleeps until shutdown, and looks through half of them."""
    own = Memory(f"service {number}", "32MiB", contents="files")
    return Thread(
        f"A{number}",
        [
            Sleep(seconds=0.1 * number),
            InOrder(own, writes=1),
            Sleep(seconds=SHUTDOWN_SECONDS),
            InOrder(own.part(0, 0.5)),
        ],
    )


def type_b(tables: Memory, turns: int) -> Thread:
    """Fills its tables when the services have settled, then by turns looks up orders, the newest most
    often, and reads a few stretches in order; one access in eight writes."""
    lookups = AtRandom(tables, accesses=1024, skew=0.6, writes=1 / 8, think_ns=1_000)
    stretches = InStretches(tables, accesses=1024, stretch_pages=64, writes=1 / 8, think_ns=1_000)
    work: list[Phase] = [lookups, stretches]
    return Thread("B", [Sleep(seconds=BOOT_SECONDS), InOrder(tables, writes=1), *work * turns])
