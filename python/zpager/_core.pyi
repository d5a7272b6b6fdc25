"""The engine of zpager, compiled from Rust. Use `zpager.Pager`; this module is what it stands on.

All methods may be called from any thread and release the GIL while they work.
"""

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Allocation",
    "Engine",
    "Replayed",
    "ReplayedThread",
    "Units",
    "misses",
    "probe",
    "replay",
    "zpage_bytes",
]

@final
class Engine:
    """One budget of RAM, one pool, one swap file, and the threads that keep them in order.

    It lives until it is closed *and* its last `Allocation` is gone. Dropping it without `close` does the
    same.
    """

    def __new__(
        cls,
        *,
        ram_bytes: int,
        swap_bytes: int,
        swap_directory: str,
        codec: str,
        pool: str,
        policy: str,
        pool_limit_bytes: int | None,
        reserve_bytes: int | None,
        eviction: str,
        faults: str,
        readahead_pages: int,
        encrypt: bool,
        io: str,
    ) -> Engine:
        """Start an engine: reserve the swap file, open userfaultfd, start the threads.

        `codec` is "lz4" or "zstd", `pool` "zsmalloc" or "zbud", `policy` "frame-lru", "second-chance",
        "sieve", "s3-fifo" or "frame-aware", `eviction` "unuse", "writeback", "intact" or
        "none", `faults` "auto", "signal" or "thread", `io` "auto", "io_uring" or "threads".

        `pool_limit_bytes` of None lets the pool take as much RAM as saves the most time, `reserve_bytes` of
        None is the smallest reserve.

        Raises UserfaultfdUnavailable if the machine does not allow it, DeviceError if the swap file cannot be
        had, and ConfigurationError for arguments out of range, or if `io` is "io_uring" and the machine does
        not allow that.
        """

    @property
    def io(self) -> str:
        """How the swap file is written and read: "io_uring" or "threads". Works after `close` too."""

    @property
    def faults(self) -> str:
        """How faults are told: "signal" or "thread". Works after `close` too."""

    def allocate(self, size_bytes: int, item_bytes: int, label: str) -> Allocation:
        """Zeroed memory of `size_bytes`, whose pages are shuffled by items of `item_bytes` (1: not at all; at
        most 64; 65: text of 4 bytes a code point).

        `label` names it in `live` and in error messages. Raises OutOfSwap beyond ram + swap, ClosedError
        after `close`.
        """

    def counters(self) -> dict[str, int]:
        """All counters and sizes now, under the names of the fields of `zpager.Stats`. Works after `close`
        too."""

    def histogram(self, name: str) -> list[tuple[int, int]]:
        """A histogram as pairs of (upper bound in microseconds, count), the bounds being powers of two.

        `name` is "unuse_to_write_us" (from a page's eviction from the pool to its write to the device),
        "eviction_us" (from the decision to evict to a page frame's being free), or "fault_us" (a fault, from
        its arrival to its end). Raises ConfigurationError for any other name.
        """

    def live(self) -> list[tuple[str, int]]:
        """The label and the size in bytes of each live allocation, oldest first."""

    def fault_in(self, address: int, size_bytes: int) -> bool:
        """Bring in, as touches would, the pages there that are out of RAM and hold anything.

        False: these addresses do not lie in one allocation of this engine. Raises PageLost for the first page
        that is lost, OutOfSwap if no RAM can be freed, ClosedError after `close`.
        """

    def fault_in_all(self) -> None:
        """The same for all live allocations, oldest first."""

    def reclaim(self, pages: int) -> int:
        """Push up to `pages` pages out of the program's sight and drain the swap cache; returns how many
        went."""

    def evict(self, units: int) -> int:
        """Evict up to `units` of the coldest units (page frames) of the pool; returns how many were
        evicted."""

    def check(self) -> None:
        """Assert the invariants of the engine's state; for tests, since it stops all work meanwhile."""

    def close(self) -> bool:
        """Refuse new allocations from now on, and give everything back.

        True: done, all is given back. False: allocations are alive, and the last of them to go does it.
        """

@final
class Allocation:
    """Zeroed, writable, C-contiguous memory that may be larger than RAM: an object with the buffer protocol.

    It starts at a page boundary. When it and all that was made from it are gone, its RAM, its room in the
    pool, and its slots on the device are free again at once.
    """

    @property
    def nbytes(self) -> int:
        """The size in bytes, as it was asked for."""

    def discard(self, offset: int, length: int) -> None:
        """Forget `length` bytes from `offset`: they read as zeros, and whole pages among them cost nothing
        any more.

        Pages that the range covers only in part are zeroed in that part. Raises ConfigurationError if the
        range is not inside the allocation.
        """

    def __buffer__(self, flags: int, /) -> memoryview:
        """The memory as writable bytes."""

def probe() -> dict[str, object]:
    """What the kernel allows this process, found by trying.

    - "userfaultfd" (bool): whether it can be opened at all;
    - "why_not" (str or None): the error of the attempt;
    - "user_mode_only" (bool): whether only faults of user code, not those inside system calls, can be
      handled;
    - "features" (list of str): what the kernel offers, by the kernel's names;
    - "missing_features" (list of str): those among zpager's needs that it does not offer;
    - "process_madvise" (bool): whether that call works;
    - "io_uring" (bool): whether it can be set up;
    - "why_no_io_uring" (str or None): the error of the attempt.
    """

@final
class Replayed:
    """What came of a replay."""

    @property
    def threads(self) -> list[ReplayedThread]:
        """What came of each thread, in their order."""

    @property
    def counters(self) -> dict[str, int]:
        """All counters at the end, as in `Engine.counters`."""

    @property
    def histograms(self) -> dict[str, list[tuple[int, int]]]:
        """Those of `Engine.histogram`, by name."""

    @property
    def samples(self) -> dict[str, bytes]:
        """Columns of unsigned 64-bit integers, as `zpager.lab.replay.Result.samples` describes them; those
        of threads have a row for each sample, one after the other."""

    @property
    def end_ns(self) -> int:
        """When the last thread was done."""

    @property
    def gave_up_ns(self) -> int | None:
        """When a thread gave up, with `defects`; None if none did."""

@final
class ReplayedThread:
    """What came of a thread of a replay: the fields of `zpager.lab.replay.ThreadResult`."""

    @property
    def accesses(self) -> int:
        """Accesses that it made."""

    @property
    def faults(self) -> int:
        """Faults that it took."""

    @property
    def found(self) -> dict[str, int]:
        """The faults by where they found their page."""

    @property
    def end_ns(self) -> int:
        """When it was done."""

    @property
    def lost_ns(self) -> int:
        """How much of that it waited for pages."""

    @property
    def latency(self) -> list[tuple[int, int]]:
        """Its faults by how long they took: pairs of an upper bound in nanoseconds and a count."""

@final
class Units:
    """Units of the pool, as `zpager.lab.policy.Units` describes them."""

    def frame_count(self, unit: int) -> int:
        """Frames that are freed with the unit."""

    def zpage_count(self, unit: int) -> int:
        """Zpages in the unit."""

    def take_referenced(self, unit: int) -> int:
        """How many of its zpages were stored or used since the last such call."""

def replay(
    threads: Sequence[NDArray[np.uint64]],
    zpage_bytes: NDArray[np.uint16],
    *,
    ram_bytes: int,
    swap_bytes: int,
    buffers_bytes: int,
    pool: str,
    policy: object,
    pool_limit_bytes: int | None,
    reserve_bytes: int | None,
    eviction: str,
    defects: Sequence[str],
    readahead_pages: int,
    costs: Mapping[str, int],
    sample_every_ns: int,
) -> Replayed:
    """Replay accesses without contents on the engine, in virtual time, to their end.

    `threads` has an item for each access of a thread: nanoseconds that it thinks before (upper 32 bits), the
    page's number (31 bits), and whether it is a write (lowest bit). `zpage_bytes` has for each page what it
    compresses to; 0 is a page of zeros, 4096 one that does not get smaller. `costs` has those of
    `zpager.lab.costs.Costs`, and `compress_ns` and `decompress_ns`. With `sample_every_ns` above 0 it is
    looked so often what is where. `policy` is a name as in `Engine`, or an object with the methods of
    `zpager.lab.policy.UnitPolicy`, whose exceptions end the replay. `eviction` is as in `Engine`, or "rfc"
    with `defects` by name.

    Raises ConfigurationError for arguments out of range, and where there is no room for a page.
    """

def misses(policy: str, accesses: NDArray[np.uint32], capacities_pages: Sequence[int]) -> list[int]:
    """How many of these accesses find that their page is not kept, for each capacity in pages.

    `policy` is "lru", "fifo", "clock", "sieve", "s3-fifo", or "optimal". Raises ConfigurationError for any
    other name, and for a capacity of 0.
    """

def zpage_bytes(pages: bytes, item_bytes: int) -> dict[str, list[int]]:
    """What whole pages come to when they are compressed as items of `item_bytes`: by the codec's name, the
    length of each page's zpage in bytes, without its header.

    0: the page is one value of 8 bytes over and over. 4096: it would not get smaller. Raises
    ConfigurationError for a part of a page.
    """
