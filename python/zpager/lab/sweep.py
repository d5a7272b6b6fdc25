"""Sweeps: from lists of what is to be tried, every configuration that comes of them."""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

from zpager.errors import ConfigurationError
from zpager.lab.policy_file import MARK, PolicyFile
from zpager.lab.replay import Configuration
from zpager.options import (
    DEFAULT_CODEC,
    DEFAULT_EVICTION,
    DEFAULT_POLICY,
    DEFAULT_POOL,
    LARGEST_READAHEAD_PAGES,
    size_argument,
)
from zpager.sizes import PAGE_BYTES

AUTO: Final = "auto"
_LARGEST_SWEEP: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is to be tried, as text; every one with every other. `docs/lab.md` explains each."""

    ram: tuple[str, ...] = ("50%",)
    """Sizes, or shares of the trace's pages."""
    swap: tuple[str, ...] = (AUTO,)
    """Sizes, or shares of the trace's pages; `auto` holds all of them."""
    pool: tuple[str, ...] = (DEFAULT_POOL,)
    pool_limit: tuple[str, ...] = (AUTO,)
    """`auto`, sizes, or shares of RAM."""
    codec: tuple[str, ...] = (DEFAULT_CODEC,)
    eviction: tuple[str, ...] = (DEFAULT_EVICTION,)
    policy: tuple[str, ...] = (DEFAULT_POLICY,)
    reserve: tuple[str, ...] = (AUTO,)
    """`auto`, which is the smallest, sizes, or shares of RAM."""
    readahead_pages: tuple[str, ...] = (str(LARGEST_READAHEAD_PAGES),)

    def with_values(self, changes: Mapping[str, Sequence[str]]) -> Self:
        """The same but for these; an empty one changes nothing."""
        return replace(self, **{name: tuple(values) for name, values in changes.items() if values})

    def configurations(self, page_count: int, default_ratio: float) -> list[Configuration]:
        """All of them for a trace of so many pages, each once, in order; unknown pages compress as
        well as `default_ratio`.

        Raises ConfigurationError for a value that cannot be, and for a million and more.
        """
        whole_bytes = max(page_count, 1) * PAGE_BYTES
        axes = [getattr(self, axis) for axis in AXES]
        count = 1
        for axis, values in zip(AXES, axes, strict=True):
            count *= len(values)
            if not values:
                raise ConfigurationError(f"{axis}: give one value at least")
        if count >= _LARGEST_SWEEP:
            raise ConfigurationError(f"{count} configurations are more than anybody waits for")
        found: dict[Configuration, None] = {}
        for values in itertools.product(*axes):
            given = dict(zip(AXES, values, strict=True))
            ram_bytes = size_argument("ram", given["ram"], whole=whole_bytes)
            configuration = Configuration(
                # Whole frames: a share of a trace seldom is any.
                ram_bytes=ram_bytes // PAGE_BYTES * PAGE_BYTES,
                swap_bytes=_size("swap", given["swap"], whole_bytes),
                pool=given["pool"],
                codec=given["codec"],
                eviction=given["eviction"],
                policy=_policy(given["policy"]),
                pool_limit_bytes=_size("pool_limit", given["pool_limit"], ram_bytes),
                reserve_bytes=_size("reserve", given["reserve"], ram_bytes),
                readahead_pages=_number("readahead_pages", given["readahead_pages"]),
                default_ratio=default_ratio,
            )
            found[configuration] = None
        return list(found)


AXES: Final = tuple(item.name for item in fields(Sweep))
"""What can be tried, in the order in which a sweep goes through it: the last one changes first."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a TOML file says; None where it says nothing."""

    sweep: Mapping[str, tuple[str, ...]]
    traces: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    seed: int | None = None
    default_ratio: float | None = None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file whose keys are the flags of `zpager lab run`, each with a value or a list of them.

        Raises ConfigurationError for a file that is no such one, OSError where it cannot be read.
        """
        with open(path, "rb") as file:
            try:
                given = tomllib.load(file)
            except tomllib.TOMLDecodeError as error:
                raise ConfigurationError(f"{path}: {error}") from None
        known = {"traces", "costs", "seed", "default_ratio", *AXES}
        named = {name.replace("-", "_"): value for name, value in given.items()}
        if unknown := sorted(named.keys() - known):
            raise ConfigurationError(
                f"{path}: {unknown[0]!r} is nothing that can be tried; known are {', '.join(sorted(known))}"
            )
        seed, ratio = named.pop("seed", None), named.pop("default_ratio", None)
        if seed is not None and not (type(seed) is int and seed >= 0):
            raise ConfigurationError(f"{path}: seed={seed!r}: give a whole number from 0 on")
        if ratio is not None and type(ratio) not in (int, float):
            raise ConfigurationError(f"{path}: default_ratio={ratio!r}: give a number")
        lists = {name: _texts(f"{path}: {name}", value) for name, value in named.items()}
        return cls(
            traces=lists.pop("traces", ()),
            costs=lists.pop("costs", ()),
            seed=seed,
            default_ratio=ratio,
            sweep=lists,
        )


def split(values: Sequence[str]) -> tuple[str, ...]:
    """A flag's values: given several times, or with commas between them."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _texts(name: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    for one in values:
        if not isinstance(one, (str, int)) or isinstance(one, bool):
            raise ConfigurationError(f"{name}={one!r}: give text, or a whole number of bytes or pages")
    return tuple(map(str, values))


def _policy(name: str) -> Any:
    return PolicyFile.read(name) if MARK in name else name


def _size(name: str, value: str, whole_bytes: int) -> int | None:
    if value == AUTO:
        return None
    return size_argument(name, int(value) if value.isdecimal() else value, whole=whole_bytes)


def _number(name: str, value: str) -> int:
    if not value.isdecimal():
        raise ConfigurationError(f"{name}={value!r}: give a whole number")
    return int(value)
