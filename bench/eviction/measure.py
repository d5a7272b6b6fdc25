"""The rounds: every cell once in each, each run in a process of its own; and the file that keeps them all."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.eviction.questions import Cell
from bench.eviction.run import Outcome, Task
from bench.eviction.workloads import WORKLOADS
from zpager import format_size
from zpager.machine import memory_limit_bytes

SCHEMA_VERSION = 1
_CHECKOUT = Path(__file__).parents[2]
_RUN_SECONDS_MAX = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is the same for all runs."""

    ram_bytes: int
    faults: str
    rounds: int
    seed: int
    machine: str

    @classmethod
    def here(cls, ram_bytes: int, faults: str, rounds: int, seed: int) -> Settings:
        """On this machine."""
        machine = (
            f"{os.cpu_count()} CPUs, {format_size(memory_limit_bytes())} of RAM, "
            f"Linux {platform.release().split('-')[0]}"
        )
        return cls(ram_bytes=ram_bytes, faults=faults, rounds=rounds, seed=seed, machine=machine)


@dataclass(slots=True)
class Results:
    """All that was measured."""

    settings: Settings
    outcomes: dict[Cell, list[Outcome]] = field(default_factory=dict)
    refused: dict[Cell, str] = field(default_factory=dict)
    """Settings that this zpager does not know, and what it said."""
    failed: dict[Cell, str] = field(default_factory=dict)
    """Runs that came to no end, and how they ended."""

    def has(self, cell: Cell) -> bool:
        """Whether there is at least one round of it."""
        return bool(self.outcomes.get(cell))

    def median(self, cell: Cell, value: Callable[[Outcome], float]) -> float:
        """Over the rounds of a cell that there are."""
        return median(value(outcome) for outcome in self.outcomes[cell])

    def spread(self, cell: Cell, value: Callable[[Outcome], float]) -> float:
        """The highest less the lowest of the rounds, as a share of the median."""
        values = [value(outcome) for outcome in self.outcomes[cell]]
        return (max(values) - min(values)) / median(values)

    def keep_others(self, earlier: Results, cells: Sequence[Cell]) -> None:
        """Take over from `earlier` what is not about `cells`."""
        mine = set(cells)
        self.outcomes.update({cell: what for cell, what in earlier.outcomes.items() if cell not in mine})
        self.refused.update({cell: what for cell, what in earlier.refused.items() if cell not in mine})
        self.failed.update({cell: what for cell, what in earlier.failed.items() if cell not in mine})

    def as_json(self) -> str:
        """All runs, a line each; `schema_version` grows when a name changes or goes."""
        runs = [
            {**_as_fields(cell), "outcome": asdict(outcome)}
            for cell, outcomes in self.outcomes.items()
            for outcome in outcomes
        ]
        for name, remarks in (("refused", self.refused), ("failed", self.failed)):
            runs += [{**_as_fields(cell), name: remark} for cell, remark in remarks.items()]
        settings = json.dumps(asdict(self.settings), ensure_ascii=False)
        lines = ",\n".join(f"    {json.dumps(_rounded(run), ensure_ascii=False)}" for run in runs)
        return (
            f'{{\n  "schema_version": {SCHEMA_VERSION},\n  "settings": {settings},\n'
            f'  "runs": [\n{lines}\n  ]\n}}\n'
        )

    @classmethod
    def from_json(cls, text: str) -> Results:
        """The results that `as_json` wrote."""
        document = json.loads(text)
        if document["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {document['schema_version']}, not {SCHEMA_VERSION}")
        results = cls(Settings(**document["settings"]))
        for run in document["runs"]:
            cell = Cell(run["workload"], tuple(sorted(run["options"].items())))
            if "outcome" in run:
                results.outcomes.setdefault(cell, []).append(Outcome(**run["outcome"]))
            elif "refused" in run:
                results.refused[cell] = run["refused"]
            else:
                results.failed[cell] = run["failed"]
        return results


def measure(
    results: Results, cells: Sequence[Cell], say: Callable[[str], None], save: Callable[[], None]
) -> None:
    """Add the rounds of all `cells` to `results`; `save` is called after each."""
    settings = results.settings
    refused_options: set[tuple[tuple[str, Any], ...]] = set()
    for number in range(1, settings.rounds + 1):
        of_round = [cell for cell in cells if number <= WORKLOADS[cell.workload].rounds_max]
        for count, cell in enumerate(of_round, start=1):
            if cell.options in refused_options or cell in results.failed:
                continue
            ram_bytes = settings.ram_bytes * WORKLOADS[cell.workload].ram_multiple
            task = Task(
                workload=cell.workload,
                ram_bytes=ram_bytes,
                options={**dict(cell.options), "faults": settings.faults},
                seed=settings.seed + number,
            )
            name = f"{cell.workload}, {_named(cell)}"
            answer = _carry_out(task)
            if "refused" in answer:
                refused_options.add(cell.options)
                results.refused[cell] = answer["refused"]
                say(f"skipped: {_named(cell)}: {answer['refused']}")
            elif "failed" in answer:
                results.failed[cell] = answer["failed"]
                say(f"FAILED: {name}: {answer['failed']}")
            else:
                outcome = Outcome(**answer["outcome"])
                results.outcomes.setdefault(cell, []).append(outcome)
                wrong = f" WRONG WORDS: {outcome.wrong_words}" if outcome.wrong_words else ""
                say(
                    f"round {number}, {count} of {len(of_round)}, {name}: "
                    f"{outcome.operation_us:.2f} µs an operation{wrong}"
                )
        save()


def _carry_out(task: Task) -> dict[str, Any]:
    """Do a run in a new process; what it says on stderr is shown as it is."""
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "bench.eviction.run"],
            input=json.dumps(asdict(task)),
            stdout=subprocess.PIPE,
            text=True,
            cwd=_CHECKOUT,
            start_new_session=True,  # Ctrl-C is for this process, which ends the other
            timeout=_RUN_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no end within {_RUN_SECONDS_MAX} s"}
    if finished.returncode:
        return {"failed": f"exit code {finished.returncode}"}
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def _named(cell: Cell) -> str:
    return ", ".join(f"{name}={value}" for name, value in cell.options)


def _as_fields(cell: Cell) -> dict[str, Any]:
    return {"workload": cell.workload, "options": dict(cell.options)}


def _rounded(value: Any) -> Any:
    """Without digits that mean nothing, which would be most of the file."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return value
