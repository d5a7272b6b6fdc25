"""One run of the contest, in a process of its own: `python -m zpager.demo.contest`, a plan as JSON on stdin.

On stdout it reports one JSON object a line: {"sample": ...} several times a second, at last {"result": ...},
or {"error": ...}. Whoever shows them does so in another process, since a display in this one would take the
interpreter's lock, and with it time, from B.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpager import Error, Pager
from zpager.demo.data import DataChanged, Piece, read_blocks
from zpager.demo.resident import ResidentPeak
from zpager.demo.work import Digests, Orders, Work, digest
from zpager.options import Eviction, Faults, Policy

Phase: TypeAlias = Literal["A loads", "A works once", "B loads", "B works", "checking"]
Report: TypeAlias = Callable[[dict[str, Any]], None]

_SAMPLE_SECONDS = 0.25
_REHEARSAL_BYTES = 2 << 20
_REHEARSAL_OPERATIONS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to do."""

    name: str
    ram_bytes: int
    swap_bytes: int
    swap_directory: str
    eviction: Eviction
    policy: Policy
    faults: Faults
    pool_limit: str
    seconds: float
    """How long B works."""
    seed: int
    busy_bytes: int
    """The size of B's tables."""
    idle_pieces: tuple[Piece, ...]
    """A's data; without any there is no A."""

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that `to_json` wrote."""
        fields = json.loads(text)
        fields["idle_pieces"] = tuple(Piece(**piece) for piece in fields["idle_pieces"])
        return cls(**fields)

    def to_json(self) -> str:
        """This plan as text."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A look at a run; counters are those since the pager was made."""

    phase: Phase
    work_seconds: float
    """How long B has been at work."""
    operations: int
    """How many operations B has done."""
    resident_bytes: int
    swap_cache_bytes: int
    pool_bytes: int
    reserve_bytes: int
    metadata_bytes: int
    swap_used_bytes: int
    pswpin: int
    pswpout: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run came to."""

    work_seconds: float
    operations: int
    user_cpu_seconds: float
    system_cpu_seconds: float
    """CPU time of the whole process, all its threads, while B worked: in user space, and in the kernel."""
    checksum: int
    """All of B's answers in one number."""
    busy_digests: Digests
    """Hashes of B's tables as they were read from the pager at the end."""
    idle_digest: str | None
    """The hash of A's memory at the end; None if there was no A."""
    idle_digest_loaded: str | None
    """The hash of A's data as it was read from the files."""
    resident_growth_bytes: int
    """The highest growth of the process's resident memory."""
    stats_at_start: dict[str, Any]
    """The fields of `zpager.Stats` when B began to work."""
    stats: dict[str, Any]
    """The same when B ended."""
    eviction_us_p50: int | None
    eviction_us_p99: int | None
    """From the decision to evict to a free frame, while B worked."""
    unuse_to_write_us_p50: int | None
    unuse_to_write_us_p99: int | None
    """From a page's eviction to its write, while B worked."""


class _Observer:
    """Reports samples, each a while after the last, so that looking costs B next to nothing."""

    def __init__(self, pager: Pager, report: Report) -> None:
        self._pager = pager
        self._report = report
        self._next = 0.0

    def look(self, phase: Phase, work_seconds: float = 0.0, operations: int = 0, force: bool = False) -> None:
        now = time.monotonic()
        if now < self._next and not force:
            return
        self._next = now + _SAMPLE_SECONDS
        stats = self._pager.stats
        sample = Sample(
            phase=phase,
            work_seconds=work_seconds,
            operations=operations,
            resident_bytes=stats.resident_bytes,
            swap_cache_bytes=stats.swap_cache_bytes,
            pool_bytes=stats.pool_bytes,
            reserve_bytes=stats.reserve_bytes,
            metadata_bytes=stats.metadata_bytes,
            swap_used_bytes=stats.swap_used_bytes,
            pswpin=stats.pswpin,
            pswpout=stats.pswpout,
        )
        self._report({"sample": asdict(sample)})


def run(plan: Plan, report: Report) -> Result:
    """Carry out `plan`.

    No system call touches the pager's memory here, neither A's nor B's: files are read into ordinary memory
    and copied, and numpy and hashlib work in user space. So what is measured is faults.

    Raises zpager.Error, DataChanged, OSError.
    """
    _rehearse(plan.seed)
    peak = ResidentPeak()
    with Pager(
        ram=plan.ram_bytes,
        swap=plan.swap_bytes,
        eviction=plan.eviction,
        policy=plan.policy,
        faults=plan.faults,
        pool_limit=plan.pool_limit,
        swap_dir=plan.swap_directory,
    ) as pager:
        return _compete(plan, pager, peak, report)


def _rehearse(seed: int) -> None:
    """Do B's work in small, so that the libraries' own memory is not taken for the pager's."""
    orders = Orders.make(_REHEARSAL_BYTES, seed, np.empty)
    work = Work(orders, seed)
    for _ in range(_REHEARSAL_OPERATIONS):
        work.step()
    orders.digests()


def _compete(plan: Plan, pager: Pager, peak: ResidentPeak, report: Report) -> Result:
    observer = _Observer(pager, report)
    idle: NDArray[np.uint8] | None = None
    idle_digest_loaded = None
    if plan.idle_pieces:
        idle, idle_digest_loaded = _load_idle(plan.idle_pieces, pager, observer)
        # The work that A does, once, before it sleeps. Its data is read again at the end, when all is
        # checked: A is what the RFC has in mind, a service that wakes at boot and at shutdown.
        observer.look("A works once", force=True)
        digest(idle)

    observer.look("B loads", force=True)
    orders = Orders.make(plan.busy_bytes, plan.seed, pager.empty)

    work = Work(orders, plan.seed)
    stats_at_start = pager.stats
    observer.look("B works", force=True)
    usage_at_start = resource.getrusage(resource.RUSAGE_SELF)
    start = time.monotonic()
    work_seconds = 0.0
    while work_seconds < plan.seconds:
        work.step()
        work_seconds = time.monotonic() - start
        observer.look("B works", work_seconds, work.operations)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    stats = pager.stats
    of_work = stats - stats_at_start
    observer.look("B works", work_seconds, work.operations, force=True)

    observer.look("checking", work_seconds, work.operations, force=True)
    return Result(
        work_seconds=work_seconds,
        operations=work.operations,
        user_cpu_seconds=usage.ru_utime - usage_at_start.ru_utime,
        system_cpu_seconds=usage.ru_stime - usage_at_start.ru_stime,
        checksum=work.checksum,
        busy_digests=orders.digests(),
        idle_digest=None if idle is None else digest(idle),
        idle_digest_loaded=idle_digest_loaded,
        resident_growth_bytes=peak.growth_bytes(),
        stats_at_start=asdict(stats_at_start),
        stats=asdict(stats),
        eviction_us_p50=of_work.eviction_us_p50,
        eviction_us_p99=of_work.eviction_us_p99,
        unuse_to_write_us_p50=of_work.unuse_to_write_us_p50,
        unuse_to_write_us_p99=of_work.unuse_to_write_us_p99,
    )


def _load_idle(pieces: tuple[Piece, ...], pager: Pager, observer: _Observer) -> tuple[NDArray[np.uint8], str]:
    """A's memory filled with `pieces`, and the hash of what was read before it came there."""
    memory: NDArray[np.uint8] = pager.empty(sum(piece.size_bytes for piece in pieces), np.uint8)
    hasher = hashlib.blake2b(digest_size=16)
    offset = 0
    for block in read_blocks(pieces):
        hasher.update(block)
        memory[offset : offset + len(block)] = np.frombuffer(block, np.uint8)
        offset += len(block)
        observer.look("A loads")
    return memory, hasher.hexdigest()


def main() -> int:
    """Read the plan, run it, report; the exit code is 0 if it came to a result."""
    plan = Plan.from_json(sys.stdin.read())

    def report(message: dict[str, Any]) -> None:
        print(json.dumps(message), flush=True)

    try:
        result = run(plan, report)
    except (Error, DataChanged, OSError) as error:
        report({"error": f"{type(error).__name__}: {error}"})
        return 1
    report({"result": asdict(result)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
