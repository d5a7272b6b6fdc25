"""All that was measured, and the file that keeps it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.contestants import CONTESTANTS
from bench.machine.survey import swap_settings
from bench.outcome import Outcome
from bench.sizes import Sizes
from zpager import format_size
from zpager.machine import physical_ram_bytes

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is the same for all runs."""

    sizes: dict[str, Any]
    rounds: int
    seed: int
    quick: bool
    contestants: tuple[str, ...]
    """Those that take part."""
    programmes: tuple[str, ...]
    options: dict[str, str]
    """Of the pagers, where they are not the defaults."""
    machine: str
    swap: dict[str, str]
    """How the kernel swaps."""

    @classmethod
    def here(
        cls,
        *,
        sizes: Sizes,
        rounds: int,
        seed: int,
        quick: bool,
        contestants: tuple[str, ...],
        programmes: tuple[str, ...],
        options: dict[str, str],
    ) -> Settings:
        """On this machine."""
        machine = (
            f"{os.cpu_count()} CPUs, {format_size(physical_ram_bytes())} of RAM, "
            f"Linux {platform.release().split('-')[0]}"
        )
        return cls(
            sizes=asdict(sizes) | {"idle_groups": list(sizes.idle_groups)},  # as JSON has it
            rounds=rounds,
            seed=seed,
            quick=quick,
            contestants=contestants,
            programmes=programmes,
            options=options,
            machine=machine,
            swap=swap_settings(),
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured of zpager alone."""

    check: str
    of: str
    """The mode, or the kind of data."""
    values: list[float]
    limit: float
    """What the median should be at most, or at least."""
    is_at_least: bool = False
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether it is as it should be."""
        value = median(self.values)
        return value >= self.limit if self.is_at_least else value <= self.limit


@dataclass(slots=True)
class Results:
    """Outcomes by contestant, programme and round, and what was left out."""

    settings: Settings
    outcomes: dict[tuple[str, str], dict[int, Outcome]] = field(default_factory=dict)
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)
    """A contestant's programmes that were not done, or not to the end, and why."""
    killed: dict[tuple[str, str], int] = field(default_factory=dict)
    """How many runs the kernel killed for want of memory; each was tried once more."""
    absent: dict[str, str] = field(default_factory=dict)
    """Contestants that do not take part at all, and why."""
    notes: dict[str, str] = field(default_factory=dict)
    """How contestants were set."""

    findings: list[Finding] = field(default_factory=list)
    not_checked: dict[str, str] = field(default_factory=dict)
    """Checks that were left out, and why."""

    def add(self, contestant: str, programme: str, number: int, outcome: Outcome) -> None:
        """Keep the outcome of a round."""
        self.outcomes.setdefault((contestant, programme), {})[number] = outcome

    def leave_out(self, contestant: str, programme: str, reason: str) -> None:
        """Do no more rounds of it, and count none."""
        self.left_out[contestant, programme] = reason
        self.outcomes.pop((contestant, programme), None)

    def count_killed(self, contestant: str, programme: str) -> None:
        """One more run was killed."""
        self.killed[contestant, programme] = self.killed.get((contestant, programme), 0) + 1

    def workloads(self) -> list[str]:
        """All that were measured, in the order in which they were done."""
        found: dict[str, None] = {}
        for programme in self.settings.programmes:
            for contestant in self.settings.contestants:
                for outcome in self.outcomes.get((contestant, programme), {}).values():
                    found.update(dict.fromkeys(outcome.us))
        return list(found)

    def by_round(
        self, contestant: str, workload: str, value: Callable[[Outcome, str], float] | None = None
    ) -> dict[int, float]:
        """A value of a workload in each round, its time if nothing else is asked for."""
        return {
            number: value(outcome, workload) if value else outcome.us[workload]
            for (name, _), rounds in self.outcomes.items()
            if name == contestant
            for number, outcome in sorted(rounds.items())
            if workload in outcome.us
        }

    def median(
        self, contestant: str, workload: str, value: Callable[[Outcome, str], float] | None = None
    ) -> float | None:
        """Over the rounds; None if it was not measured."""
        values = self.by_round(contestant, workload, value)
        return median(values.values()) if values else None

    def best_of_the_kernel(self, workload: str) -> str | None:
        """The kernel's contestant with the lowest median."""
        medians = [
            (time_us, name)
            for name in self.settings.contestants
            if CONTESTANTS[name].is_kernel and (time_us := self.median(name, workload)) is not None
        ]
        return min(medians)[1] if medians else None

    def ratios(self, contestant: str, other: str, workload: str) -> list[float]:
        """Of times, round by round: how the one compares with the other in the same round."""
        ours, theirs = self.by_round(contestant, workload), self.by_round(other, workload)
        return [ours[number] / theirs[number] for number in sorted(ours.keys() & theirs.keys())]

    def wrong(self) -> list[str]:
        """Everything that was read and was not what it must be."""
        return [
            f"WRONG BYTES: {contestant}, {programme}, round {number}: {what}"
            for (contestant, programme), rounds in self.outcomes.items()
            for number, outcome in rounds.items()
            for what in outcome.wrong
        ]

    def as_json(self) -> str:
        """A run a line; `schema_version` grows when a name changes or goes."""
        runs = [
            json.dumps({"contestant": name, "programme": programme, "round": number, "outcome": asdict(one)})
            for (name, programme), rounds in self.outcomes.items()
            for number, one in sorted(rounds.items())
        ]
        left_out = [
            {"contestant": name, "programme": programme, "why": why}
            for (name, programme), why in self.left_out.items()
        ]
        head = {
            "schema_version": SCHEMA_VERSION,
            "settings": asdict(self.settings),
            "absent": self.absent,
            "left_out": left_out,
            "killed": [
                {"contestant": name, "programme": programme, "times": times}
                for (name, programme), times in self.killed.items()
            ],
            "notes": self.notes,
            "not_checked": self.not_checked,
            "findings": [asdict(one) for one in self.findings],
        }
        lines = ",\n    ".join(runs)
        return f'{json.dumps(head, indent=2)[:-2]},\n  "runs": [\n    {lines}\n  ]\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> Results:
        """What `as_json` made."""
        document = json.loads(text)
        settings = document["settings"]
        for name in ("contestants", "programmes"):
            settings[name] = tuple(settings[name])
        results = cls(Settings(**settings), absent=document["absent"], notes=document["notes"])
        results.not_checked = document["not_checked"]
        results.findings = [Finding(**one) for one in document["findings"]]
        for one in document["left_out"]:
            results.left_out[one["contestant"], one["programme"]] = one["why"]
        for one in document["killed"]:
            results.killed[one["contestant"], one["programme"]] = one["times"]
        for run in document["runs"]:
            key = run["contestant"], run["programme"]
            results.outcomes.setdefault(key, {})[run["round"]] = Outcome(**run["outcome"])
        return results
