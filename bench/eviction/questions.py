"""Which settings compete in which workloads, for each of the questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BASE: Mapping[str, Any] = {
    "policy": "frame-lru",
    "eviction": "intact",
    "pool_limit": "40%",
    "encrypt": True,
}
"""What holds where a setting says nothing else."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Arguments of the pager, and a short name for them."""

    name: str
    options: tuple[tuple[str, Any], ...]
    """All of them but `faults`, sorted: equal settings of two questions are measured once."""

    @classmethod
    def make(cls, name: str, **changes: Any) -> Setting:
        """The base with `changes`."""
        return cls(name, tuple(sorted({**BASE, **changes}.items())))


@dataclass(frozen=True, slots=True)
class Cell:
    """What is measured: a workload in a setting."""

    workload: str
    options: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Every one of some settings in every one of some workloads."""

    workloads: Sequence[str]
    settings: Sequence[Setting]

    def cells(self) -> list[Cell]:
        """All of them."""
        return [Cell(workload, setting.options) for workload in self.workloads for setting in self.settings]


_ALL = (
    "fill and scan",
    "contest",
    "skewed reads",
    "skewed writes",
    "shifting",
    "scan and hot",
    "incompressible",
)
_MECHANISMS = ("none", "unuse", "writeback", "intact")

POLICIES = Matrix(
    _ALL[1:],
    [
        Setting.make(policy, policy=policy)
        for policy in ("frame-lru", "second-chance", "sieve", "s3-fifo", "frame-aware")
    ],
)
FIXED_SHARES = Matrix(
    _ALL, [Setting.make(f"{share}%", pool_limit=f"{share}%") for share in range(10, 90, 10)]
)
AUTOMATIC_SHARE = Matrix(_ALL, [Setting.make("auto", pool_limit="auto")])
# By unuse: it is the mechanism that needs frames to make room.
RESERVES = Matrix(
    ("fill and scan", "skewed writes"),
    [
        Setting.make("default", eviction="unuse"),
        *(
            Setting.make(reserve, eviction="unuse", reserve=reserve)
            for reserve in ("0.5%", "1%", "2%", "4%", "8%")
        ),
    ],
)
MECHANISMS = Matrix(_ALL, [Setting.make(name, eviction=name) for name in _MECHANISMS])
BIG = Matrix(("big, table", "big, files"), MECHANISMS.settings)
PLAIN = Matrix(
    ("fill and scan", "skewed writes", "big, files"),
    [Setting.make(name, eviction=name, encrypt=False) for name in _MECHANISMS[1:]],
)
ENCRYPTED = Matrix(
    PLAIN.workloads, [setting for setting in MECHANISMS.settings if setting.name in _MECHANISMS[1:]]
)

QUESTIONS: Mapping[int, Sequence[Matrix]] = {
    1: (POLICIES,),
    2: (FIXED_SHARES, AUTOMATIC_SHARE),
    3: (RESERVES,),
    5: (MECHANISMS, BIG, PLAIN, ENCRYPTED),
}
"""By their numbers in docs/eviction.md."""


def cells_of(questions: Sequence[int]) -> list[Cell]:
    """What is to be measured for `questions`, each cell once, workload by workload."""
    unique = dict.fromkeys(
        cell for question in questions for matrix in QUESTIONS[question] for cell in matrix.cells()
    )
    workloads = list(dict.fromkeys((*_ALL, *BIG.workloads)))
    return sorted(unique, key=lambda cell: workloads.index(cell.workload))
