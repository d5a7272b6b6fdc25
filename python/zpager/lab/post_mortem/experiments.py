"""What is replayed for each of the questions: scenarios, devices, configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

from zpager.lab import execute, results, scenario
from zpager.lab.costs import costs
from zpager.lab.execute import Task
from zpager.lab.replay import Configuration, Defect
from zpager.lab.trace import Trace
from zpager.options import Eviction, Policy

RAM_BYTES: Final = 64 << 20
"""What the scenarios are made for."""

RFC: Final = "rfc"
DEVICES: Final = ("disk", "nvme")
"""The RFC's day and ours."""

DEFECTS: Final[tuple[Defect, ...]] = get_args(Defect)
POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)
LIMIT_PER_CENT: Final = (10, 20, 30, 40, 50, 60, 70, 80, None)
RESERVE_PER_MILLE: Final = (None, 10, 20, 40, 80, 160)
MECHANISMS: Final[tuple[Eviction, ...]] = ("none", "unuse", "writeback", "intact")
MECHANISM_DEVICES: Final = ("disk", "network", "sata-ssd", "nvme")

_LEAK: Final[Defect] = "leaked-reference"
_GUARD: Final[Defect] = "inverted-guard"


@dataclass(frozen=True)
class Case:
    """A state of the patch, or a mechanism beside it."""

    name: str
    eviction: str
    defects: frozenset[Defect] = frozenset()

    @property
    def fills_ram(self) -> bool:
        """Whether it ends where RAM is full of pages that never leave, whatever the device is."""
        return _LEAK in self.defects and _GUARD not in self.defects


CASES: Final = (
    Case("no eviction", "none"),
    Case("the patch as it was: all five", "rfc", frozenset(DEFECTS)),
    *(Case(f"{defect} alone", "rfc", frozenset({defect})) for defect in DEFECTS),
    Case("all but the guard", "rfc", frozenset(DEFECTS) - {_GUARD}),
    Case("all but guard and leak", "rfc", frozenset(DEFECTS) - {_GUARD, _LEAK}),
    Case("unuse as it was meant", "unuse"),
    Case("writeback", "writeback"),
    Case("intact", "intact"),
)


@dataclass(frozen=True)
class Plan:
    """The replays of all questions, by what they are known by there."""

    defects: Mapping[tuple[str, str], Task]
    """By case and device."""
    policies: Mapping[tuple[str, str], Task]
    """By scenario and policy."""
    limits: Mapping[tuple[str, int | None], Task]
    """By scenario and per cent of RAM, None being auto."""
    reserves: Mapping[tuple[str, int | None], Task]
    """By scenario and per mille of RAM, None being the smallest."""
    mechanisms: Mapping[tuple[str, str, str], Task]
    """By device, scenario and mechanism."""

    def tasks(self) -> list[Task]:
        """All of them, those that take longest first: the others then fill the gaps."""
        parts = (self.defects, self.policies, self.limits, self.reserves, self.mechanisms)
        found = [task for part in parts for task in part.values()]
        return sorted(found, key=lambda task: _LEAK not in task.configuration.defects)


def traces(seed: int) -> dict[str, Trace]:
    """All scenarios that have names."""
    return {name: scenario.make(name, seed).trace() for name in scenario.names()}


def plan(its_traces: Mapping[str, Trace], ram_bytes: int = RAM_BYTES) -> Plan:
    """The replays of all questions on these scenarios, one of which has to be the RFC's, in that RAM."""
    base = Configuration(ram_bytes=ram_bytes)
    # The pool and the policy of the RFC.
    patch = replace(base, pool="zbud", policy="frame-lru")
    digests = {name: results.digest(trace) for name, trace in its_traces.items()}

    def task(name: str, device: str, configuration: Configuration) -> Task:
        return execute.task(
            name,
            its_traces[name],
            digests[name],
            configuration,
            costs_name=device,
            costs=costs(device),
        )

    return Plan(
        defects={
            (case.name, device): task(
                RFC,
                device,
                replace(patch, eviction=case.eviction, defects=case.defects),  # type: ignore[arg-type]
            )
            for case in CASES
            for device in (DEVICES[-1:] if case.fills_ram else DEVICES)
        },
        policies={
            (name, policy): task(
                name, "nvme", replace(base, policy=policy, pool_limit_bytes=ram_bytes * 2 // 5)
            )
            for name in its_traces
            for policy in POLICIES
        },
        limits={
            (name, share): task(
                name, "nvme", replace(base, pool_limit_bytes=share and ram_bytes * share // 100)
            )
            for name in its_traces
            for share in LIMIT_PER_CENT
        },
        reserves={
            (name, share): task(
                name,
                "nvme",
                replace(base, eviction="unuse", reserve_bytes=share and ram_bytes * share // 1000),
            )
            for name in its_traces
            for share in RESERVE_PER_MILLE
        },
        mechanisms={
            (device, name, eviction): task(name, device, replace(base, eviction=eviction))
            for device in MECHANISM_DEVICES
            for name in its_traces
            for eviction in MECHANISMS
        },
    )


def scenarios(part: Mapping[tuple[str, str], Task] | Mapping[tuple[str, int | None], Task]) -> Sequence[str]:
    """The scenarios of a part of the plan, the RFC's first."""
    return sorted({name for name, _ in part}, key=lambda name: (name != RFC, name))
