"""What a pager is made with: the choices there are, their defaults, and how they are checked.

`zpager.Pager` takes them as arguments, `zpager run` from flags, the environment and `pyproject.toml`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeAlias, get_args

from zpager.errors import ConfigurationError, DeviceError
from zpager.sizes import PAGE_BYTES, Size, format_size, parse_size
from zpager.swap_directory import choose_swap_directory, free_bytes

Codec: TypeAlias = Literal["lz4", "zstd"]
Pool: TypeAlias = Literal["zsmalloc", "zbud"]
Eviction: TypeAlias = Literal["unuse", "writeback", "intact", "none"]
Policy: TypeAlias = Literal["frame-lru", "second-chance", "sieve", "s3-fifo", "frame-aware"]
Faults: TypeAlias = Literal["auto", "signal", "thread"]
Io: TypeAlias = Literal["auto", "io_uring", "threads"]

CODECS: Final[tuple[Codec, ...]] = get_args(Codec)
DEFAULT_CODEC: Final[Codec] = "lz4"
DEFAULT_EVICTION: Final[Eviction] = "intact"
DEFAULT_FAULTS: Final[Faults] = "auto"
DEFAULT_IO: Final[Io] = "auto"
DEFAULT_POLICY: Final[Policy] = "frame-lru"
DEFAULT_POOL: Final[Pool] = "zsmalloc"
LARGEST_READAHEAD_PAGES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All of it, checked and in bytes; the names are the engine's."""

    ram_bytes: int
    swap_bytes: int
    swap_directory: str
    codec: Codec
    pool: Pool
    policy: Policy
    pool_limit_bytes: int | None
    reserve_bytes: int | None
    eviction: Eviction
    faults: Faults
    readahead_pages: int
    encrypt: bool
    io: Io

    @classmethod
    def checked(
        cls,
        *,
        ram: Size,
        swap: Size | None,
        codec: Codec,
        pool: Pool,
        policy: Policy,
        eviction: Eviction,
        faults: Faults,
        pool_limit: Size | Literal["auto"],
        reserve: Size | None,
        swap_dir: str | os.PathLike[str] | None,
        readahead_pages: int,
        encrypt: bool,
        io: Io,
    ) -> Self:
        """Check the arguments of `zpager.Pager`.

        Raises ConfigurationError for what cannot be, DeviceError where the disk has no room for `swap`.
        """
        ram_bytes = size_argument("ram", ram)
        pool_limit_bytes = (
            None if pool_limit == "auto" else size_argument("pool_limit", pool_limit, whole=ram_bytes)
        )
        if pool_limit_bytes is not None and pool_limit_bytes > ram_bytes:
            raise ConfigurationError(
                f"pool_limit={pool_limit!r} is {format_size(pool_limit_bytes)}, more than "
                f"ram={format_size(ram_bytes)}, of which the pool is a part; give a share such as '50%'"
            )
        _choose("codec", codec, CODECS)
        _choose("pool", pool, get_args(Pool))
        _choose("policy", policy, get_args(Policy))
        _choose("eviction", eviction, get_args(Eviction))
        _choose("faults", faults, get_args(Faults))
        _choose("io", io, get_args(Io))
        require_switch("encrypt", encrypt)
        if not is_whole(readahead_pages, 0, LARGEST_READAHEAD_PAGES):
            raise ConfigurationError(
                f"readahead_pages={readahead_pages!r}: give a whole number of pages from 0 (off) to "
                f"{LARGEST_READAHEAD_PAGES}"
            )
        swap_directory = choose_swap_directory(swap_dir)
        swap_bytes = (
            _default_swap_bytes(ram_bytes, swap_directory) if swap is None else size_argument("swap", swap)
        )
        _require_room(swap_bytes, swap_directory)
        return cls(
            ram_bytes=ram_bytes,
            swap_bytes=swap_bytes,
            swap_directory=swap_directory,
            codec=codec,
            pool=pool,
            policy=policy,
            pool_limit_bytes=pool_limit_bytes,
            reserve_bytes=None if reserve is None else size_argument("reserve", reserve, whole=ram_bytes),
            eviction=eviction,
            faults=faults,
            readahead_pages=readahead_pages,
            encrypt=encrypt,
            io=io,
        )


def size_argument(name: str, value: Size, whole: int | None = None) -> int:
    """Parse a size that is the argument `name`, so that an error names the argument."""
    try:
        return parse_size(value, whole=whole)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def is_whole(value: object, smallest: int, largest: int) -> bool:
    """Whether it is a whole number in that range."""
    return isinstance(value, int) and not isinstance(value, bool) and smallest <= value <= largest


def require_switch(name: str, value: object) -> None:
    """Raise ConfigurationError unless it is True or False."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name}={value!r}: give True or False")


def with_bytes(size_bytes: int) -> str:
    """A size as a person reads it, and to the byte."""
    return f"{format_size(size_bytes)} ({size_bytes} bytes)"


def _choose(name: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise ConfigurationError(f"{name}={value!r}: choose one of {', '.join(map(repr, accepted))}")


def _default_swap_bytes(ram_bytes: int, directory: str) -> int:
    half_of_free = free_bytes(directory) // 2
    if half_of_free < PAGE_BYTES:
        raise ConfigurationError(
            f"{directory} has no free space for a swap file; name another directory by swap_dir="
        )
    return min(4 * ram_bytes, half_of_free)


def _require_room(swap_bytes: int, directory: str) -> None:
    free = free_bytes(directory)
    if swap_bytes > free:
        raise DeviceError(
            f"no room for the swap file in {directory}: swap is {with_bytes(swap_bytes)}, and "
            f"{with_bytes(free)} are free there; ask for less by swap=, free some, or name another directory "
            "by swap_dir="
        )
