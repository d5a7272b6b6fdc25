"""The rounds: in each, every programme on every contestant by turns, each run in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from bench import samples
from bench.contestants import CONTESTANTS, Surroundings, swap_bytes
from bench.machine import swap_file
from bench.machine.keeper import Keeper
from bench.machine.steps import Step
from bench.machine.watch import Watch
from bench.outcome import Outcome, Task
from bench.programmes import OVERFLOW, data_groups, kinds_of
from bench.results import Results
from bench.sizes import Sizes
from bench.split import split
from bench.table import GROUP_BYTES
from zpager import format_size

_CHECKOUT = Path(__file__).parents[1]
_RUN_SECONDS_MAX = 300
_ROUNDS_OF_REAL_DATA = 2


class RunFailed(Exception):
    """A run came to no end."""


def measure(
    results: Results, sizes: Sizes, directory: Path, progress: Callable[[str, int, int], None]
) -> None:
    """Do all rounds and put the outcomes into `results`; what is left out, and why, is there already."""
    settings = results.settings
    with (
        _surroundings(results, sizes, directory) as surroundings,
        _scratch_directory(surroundings) as scratch,
    ):
        samples.make_all(scratch, settings.seed, kinds_of(settings.programmes))
        runs = _Runs(results, surroundings, scratch)
        runs.divide(progress)
        turns = [
            (number, programme, name)
            for number in range(1, settings.rounds + 1)
            for programme in settings.programmes
            for name in _in_turn(list(settings.contestants), number)
            if (name, programme) not in results.left_out and number <= _rounds_max(name, programme)
        ]
        for done, (number, programme, name) in enumerate(turns):
            if (name, programme) in results.left_out:  # it failed in an earlier round
                continue
            progress(f"round {number}, {programme}, {name}", done, len(turns))
            try:
                results.add(name, programme, number, runs.carry_out(name, programme, number))
            except RunFailed as error:
                results.leave_out(name, programme, str(error))


class _Runs:
    """Carries out runs one by one."""

    def __init__(self, results: Results, surroundings: Surroundings, scratch: Path) -> None:
        self._results, self._surroundings, self._scratch = results, surroundings, scratch
        self._limits_bytes: dict[tuple[str, str], int] = {}

    def divide(self, progress: Callable[[str, int, int], None]) -> None:
        """Find out by a fill how the total is to be divided between cgroup and pool, where that is needed.

        Who cannot have a programme's data in the total is left out of it.
        """
        settings, sizes = self._results.settings, self._surroundings.sizes
        needed = [
            (name, programme)
            for name in settings.contestants
            if CONTESTANTS[name].has_pool
            for programme in settings.programmes
            if (name, programme) not in self._results.left_out
        ]
        for done, (name, programme) in enumerate(needed):
            progress(f"dividing RAM, {programme}, {name}", done, len(needed))
            contestant = CONTESTANTS[name]
            self._limits_bytes[name, programme] = sizes.total_bytes // 2
            try:
                filled = self.carry_out(name, programme, 0, only_fill=True)
            except RunFailed as error:
                self._results.leave_out(name, programme, str(error))
                continue
            if filled.is_pool_charged:
                self._limits_bytes[name, programme] = sizes.total_bytes
                continue
            own_limit_bytes = contestant.pool_limit_bytes(sizes) if contestant.pool_limit_bytes else None
            data_bytes = data_groups(programme, sizes) * GROUP_BYTES
            found = split(sizes.total_bytes, data_bytes, filled.compression_ratio, own_limit_bytes)
            if found is None:
                self._results.leave_out(
                    name,
                    programme,
                    f"{format_size(data_bytes)} compressed {filled.compression_ratio:.2f} to 1 do not fit",
                )
            else:
                self._limits_bytes[name, programme] = found.limit_bytes

    def carry_out(self, name: str, programme: str, number: int, only_fill: bool = False) -> Outcome:
        """Do one; once more if the kernel killed it, as it does when reclaim in a cgroup gets nowhere.

        What was measured before it was killed the last time counts. Raises RunFailed if that is nothing.
        """
        outcome = self._carry_out(name, programme, number, only_fill)
        if not outcome.is_whole and not only_fill:
            self._results.count_killed(name, programme)
            outcome = self._carry_out(name, programme, number, only_fill)
            if not outcome.is_whole:
                self._results.count_killed(name, programme)
        return outcome

    def _carry_out(self, name: str, programme: str, number: int, only_fill: bool) -> Outcome:
        contestant, sizes, settings = CONTESTANTS[name], self._surroundings.sizes, self._results.settings
        accesses = sizes.overflow_accesses if programme == OVERFLOW else sizes.accesses
        task = Task(
            contestant=name,
            store=contestant.store,
            programme=programme,
            total_bytes=sizes.total_bytes,
            accesses=min(accesses, contestant.accesses_max or accesses),
            seed=settings.seed + number,
            directory=str(self._surroundings.directory),
            only_fill=only_fill,
            scratch=str(self._scratch),
            options=dict(contestant.options) | (settings.options if contestant.store == "pager" else {}),
        )
        limit_bytes = self._limits_bytes.get((name, programme), sizes.total_bytes)
        with contestant.place(self._surroundings, limit_bytes) as place:
            if place.note:
                self._results.notes[name] = place.note
            if place.cgroup is None:
                return _run(task, sizes)
            task = replace(task, pool=place.pool, cgroup_processes=str(place.cgroup.processes_path))
            with Watch(place.cgroup, place.pool_bytes, place.is_pool_charged) as watch:
                outcome = _run(task, sizes)
        return replace(
            outcome,
            limit_bytes=limit_bytes,
            held_bytes=watch.held_bytes_peak,
            pool_bytes_peak=watch.pool_bytes_peak,
            is_pool_charged=place.is_pool_charged,
        )


def _rounds_max(name: str, programme: str) -> int:
    """How many rounds are done at most: real data has no targets either, and there is much of it."""
    of_contestant = CONTESTANTS[name].rounds_max or sys.maxsize
    return min(of_contestant, _ROUNDS_OF_REAL_DATA if programme in samples.KINDS else sys.maxsize)


def _in_turn(names: list[str], number: int) -> Sequence[str]:
    """The contestants, beginning with another one in each round: what comes after whom changes."""
    first = number % len(names)
    return names[first:] + names[:first]


@contextmanager
def _surroundings(results: Results, sizes: Sizes, directory: Path) -> Iterator[Surroundings]:
    with Keeper() as keeper:
        if any(CONTESTANTS[name].needs_swap_file for name in results.settings.contestants):
            with swap_file.made(keeper, directory, swap_bytes(sizes)) as path:
                yield Surroundings(keeper, sizes, directory, path)
        else:
            yield Surroundings(keeper, sizes, directory, None)


@contextmanager
def _scratch_directory(surroundings: Surroundings) -> Iterator[Path]:
    """For samples and for what runs leave behind that are killed."""
    path = surroundings.directory / f"zpager-bench-{os.getpid()}"
    with surroundings.keeper.undone(Step("remove directory", str(path))):
        path.mkdir()
        yield path


def _run(task: Task, sizes: Sizes) -> Outcome:
    """Do it in a new process; what it says on stderr is shown only if it fails."""
    before = _processor_seconds()
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "bench.run"],
            input=json.dumps({"task": asdict(task), "sizes": asdict(sizes)}),
            capture_output=True,
            text=True,
            cwd=_CHECKOUT,
            start_new_session=True,  # Ctrl-C is for this process, which ends the other
            timeout=_RUN_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunFailed(f"not done within {_RUN_SECONDS_MAX} s") from None
    lines = finished.stdout.splitlines()
    is_killed = finished.returncode == -signal.SIGKILL
    if is_killed and not lines:
        raise RunFailed("killed by the kernel while it filled, out of memory in its cgroup")
    if finished.returncode and not is_killed:
        last_line = finished.stderr.strip().rpartition("\n")[2]
        raise RunFailed(f"ended with exit code {finished.returncode}: {last_line}")
    elapsed, busy, own = (now - then for now, then in zip(_processor_seconds(), before, strict=True))
    share = max(0.0, (busy - own) / elapsed)
    return replace(Outcome(**json.loads(lines[-1])), others_share=share)


def _processor_seconds() -> tuple[float, float, float]:
    """Seconds now, those that processors were busy, and those that they were busy with finished runs."""
    user, nice, system, _idle, _waiting, *interrupts = (
        int(ticks) for ticks in Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]
    )
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return time.monotonic(), busy, children.ru_utime + children.ru_stime
