"""Who takes part: what provides the memory, what each needs of the machine, and what it cannot do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.machine import cgroup, swap_file, vm, zram, zswap
from bench.machine.keeper import Keeper
from bench.machine.survey import why_not_cgroup, why_not_swap
from bench.sizes import Sizes
from bench.stores.kernel import pool_reader
from bench.table import GROUP_BYTES
from zpager import _core, format_size

# A little more than the data, for what the kernel rounds up; half of it used is not yet full to the kernel.
_SWAP_PER_DATA = 1.25
_POOL_SHARE = 0.5
_ROUNDS_OF_OTHERS = 2


@dataclass(frozen=True, slots=True)
class Place:
    """What a run gets of the machine."""

    cgroup: cgroup.Cgroup | None = None
    pool: str = ""
    """As in `bench.stores.kernel.pool_reader`."""
    is_pool_charged: bool = False
    """Whether the pool counts in the cgroup."""
    note: str = ""
    """How it is set, for the report."""

    def pool_bytes(self) -> int:
        """The RAM that the kernel's compressed pool takes now."""
        return pool_reader(self.pool)()[1]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is there for all runs."""

    keeper: Keeper
    sizes: Sizes
    directory: Path
    swap_path: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One of them."""

    name: str
    store: str
    """As in `bench.run.STORES`."""
    place: Callable[[Surroundings, int], AbstractContextManager[Place]]
    """Makes the place for a run whose cgroup is limited to so many bytes."""
    why_not: Callable[[], str | None]
    """Why it cannot take part here; None if it can."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the pager."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """The programmes that it cannot do, and why."""
    accesses_max: int | None = None
    """So many of the random accesses are enough, since they take long."""
    has_pool: bool = False
    """Whether it compresses into a pool that its cgroup may not count."""
    pool_limit_bytes: Callable[[Sizes], int] | None = None
    """What the pool is limited to, by itself; None: it is not."""
    rounds_max: int | None = None
    """So many rounds are enough, for one that zpager's targets do not speak of."""
    is_kernel: bool = False
    """Whether it is one of those that zpager is compared with."""
    needs_swap_file: bool = False


@contextmanager
def _watched(surroundings: Surroundings, _limit_bytes: int) -> Iterator[Place]:
    """A cgroup without a limit, where there can be one: only to see what is used."""
    if why_not_cgroup():
        yield Place()
        return
    with _cgroup(surroundings, None) as group:
        yield Place(cgroup=group)


@contextmanager
def _limited(surroundings: Surroundings, limit_bytes: int) -> Iterator[Place]:
    """A cgroup with a limit, and nothing to swap to."""
    with _cgroup(surroundings, limit_bytes) as group:
        yield Place(cgroup=group)


@contextmanager
def _with_swap(surroundings: Surroundings, limit_bytes: int) -> Iterator[Place]:
    assert surroundings.swap_path is not None
    with (
        swap_file.turned_on(surroundings.keeper, surroundings.swap_path),
        _cgroup(surroundings, limit_bytes) as group,
    ):
        yield Place(cgroup=group)


@contextmanager
def _with_zswap(surroundings: Surroundings, limit_bytes: int) -> Iterator[Place]:
    assert surroundings.swap_path is not None
    percent = _zswap_percent(surroundings.sizes)
    with (
        zswap.turned_on(surroundings.keeper, percent) as compressor,
        swap_file.turned_on(surroundings.keeper, surroundings.swap_path),
        _cgroup(surroundings, limit_bytes) as group,
    ):
        limit = format_size(zswap.pool_limit_bytes(percent))
        yield Place(
            cgroup=group,
            pool="zswap",
            is_pool_charged=_is_zswap_charged(),
            note=f"{compressor}, pool up to {limit} (max_pool_percent={percent})",
        )


@contextmanager
def _with_zswap_by_single_pages(surroundings: Surroundings, limit_bytes: int) -> Iterator[Place]:
    """As many set it who use zswap: without readahead, which is meant for disks."""
    with (
        vm.set_page_cluster(surroundings.keeper, 0),
        _with_zswap(surroundings, limit_bytes) as place,
    ):
        yield replace(place, note=f"{place.note}, page-cluster=0")


@contextmanager
def _with_zram(surroundings: Surroundings, limit_bytes: int) -> Iterator[Place]:
    with (
        zram.made(surroundings.keeper, swap_bytes(surroundings.sizes)) as device,
        swap_file.turned_on(surroundings.keeper, device.path),
        _cgroup(surroundings, limit_bytes) as group,
    ):
        yield Place(cgroup=group, pool=str(device.sysfs / "mm_stat"), note=device.algorithm)


def _zswap_percent(sizes: Sizes) -> int:
    return zswap.percent_for(round(sizes.total_bytes * _POOL_SHARE))


def _zswap_pool_limit_bytes(sizes: Sizes) -> int:
    return zswap.pool_limit_bytes(_zswap_percent(sizes))


def _is_zswap_charged() -> bool:
    parent = cgroup.find_parent()
    return parent is not None and parent.charges_zswap


def _cgroup(surroundings: Surroundings, limit_bytes: int | None) -> AbstractContextManager[cgroup.Cgroup]:
    parent = cgroup.find_parent()
    assert parent is not None
    return cgroup.made(surroundings.keeper, parent, limit_bytes)


def swap_bytes(sizes: Sizes) -> int:
    """The size of the kernel's swap."""
    return round(sizes.groups_max * GROUP_BYTES * _SWAP_PER_DATA)


def _why_not_pager() -> str | None:
    probed = _core.probe()
    return None if probed["userfaultfd"] else f"userfaultfd is not available: {probed['why_not']}"


def _why_not_zswap() -> str | None:
    return why_not_swap() or zswap.why_not()


def _why_not_zram() -> str | None:
    return why_not_swap() or zram.why_not()


def _why_not_package(name: str) -> Callable[[], str | None]:
    def why_not() -> str | None:
        if find_spec(name) is None:
            return f"the package {name} is not installed (pip install --group bench)"
        return why_not_cgroup()

    return why_not


CONTESTANTS: dict[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        *(
            Contestant(
                name=f"zpager, {faults}",
                store="pager",
                place=_watched,
                why_not=_why_not_pager,
                options={"faults": faults},
            )
            for faults in ("signal", "thread")
        ),
        *(
            Contestant(
                name=name,
                store="kernel",
                place=place,
                why_not=_why_not_zswap,
                has_pool=True,
                pool_limit_bytes=_zswap_pool_limit_bytes,
                is_kernel=True,
                needs_swap_file=True,
            )
            for name, place in (
                ("zswap", _with_zswap),
                ("zswap, no readahead", _with_zswap_by_single_pages),
            )
        ),
        Contestant(
            name="zram",
            store="kernel",
            place=_with_zram,
            why_not=_why_not_zram,
            has_pool=True,
            is_kernel=True,
        ),
        Contestant(
            name="swap",
            store="kernel",
            accesses_max=50_000,
            place=_with_swap,
            why_not=why_not_swap,
            is_kernel=True,
            needs_swap_file=True,
        ),
        Contestant(
            name="memmap",
            store="mapped file",
            place=_limited,
            why_not=why_not_cgroup,
            accesses_max=2_000,
            rounds_max=_ROUNDS_OF_OTHERS,
        ),
        Contestant(
            name="blosc2",
            store="blosc2",
            place=_limited,
            why_not=_why_not_package("blosc2"),
            cannot={
                "overflow": "blosc2's arrays in memory have no disk behind them",
                "matrix": "blosc2's arrays in memory have no disk behind them",
            },
            accesses_max=5_000,
            rounds_max=_ROUNDS_OF_OTHERS,
        ),
        Contestant(
            name="zict",
            store="spill buffer",
            place=_limited,
            why_not=_why_not_package("zict"),
            cannot={"idle": "two sets of data would be two buffers, each with a limit of its own"},
            accesses_max=500,
            rounds_max=_ROUNDS_OF_OTHERS,
        ),
    )
}
