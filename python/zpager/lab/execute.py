"""Carries out a sweep: one configuration after another, on all cores, or on a Dask cluster; the results are
the same."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from zpager.errors import ConfigurationError
from zpager.lab import bounds, results, trace
from zpager.lab.costs import Costs
from zpager.lab.replay import Configuration, replay
from zpager.lab.results import Bounds, Outcome
from zpager.lab.trace import ASLEEP_NS, Trace
from zpager.sizes import PAGE_BYTES

_SAMPLES_LEAST: Final = 128


@dataclass(frozen=True, kw_only=True)
class Task:
    """One replay that is to be made."""

    key: str
    trace: str
    """The trace's name."""
    configuration: Configuration
    costs_name: str
    costs: Costs
    sample_every_ns: int


def tasks(
    name: str,
    its_trace: Trace,
    configurations: Sequence[Configuration],
    costs: Mapping[str, Costs],
) -> list[Task]:
    """One for each configuration under each of the costs, which are given by name."""
    digest = results.digest(its_trace)
    return [
        task(name, its_trace, digest, configuration, costs_name=costs_name, costs=its_costs)
        for costs_name, its_costs in costs.items()
        for configuration in configurations
    ]


def task(
    name: str,
    its_trace: Trace,
    digest: str,
    configuration: Configuration,
    *,
    costs_name: str,
    costs: Costs,
) -> Task:
    """One replay of a trace that has this digest."""
    every_ns = sample_every_ns(its_trace, costs)
    return Task(
        key=results.key(digest, configuration, costs, every_ns),
        trace=name,
        configuration=configuration,
        costs_name=costs_name,
        costs=costs,
        sample_every_ns=every_ns,
    )


def sample_every_ns(its_trace: Trace, costs: Costs) -> int:
    """So that there are samples enough of the fastest replay that can be, without any wait or sleep."""
    awake_ns = max(
        (
            int(np.minimum(thread.think_ns, ASLEEP_NS).sum(dtype=np.uint64))
            + costs.access_ns * len(thread.page)
            for thread in its_trace.threads
        ),
        default=0,
    )
    return max(awake_ns // _SAMPLES_LEAST, 1)


def carry_out(task: Task, its_trace: Trace) -> Outcome:
    """Make the replay of a task."""
    configuration = task.configuration
    common: dict[str, Any] = {
        "key": task.key,
        "trace": task.trace,
        "page_count": its_trace.page_count,
        "lacks": its_trace.lacks,
        "configuration": configuration,
        "costs": task.costs_name,
        "bounds": _bounds(its_trace, configuration),
    }
    try:
        result = replay(its_trace, configuration, task.costs, task.sample_every_ns)
    except ConfigurationError as error:
        return Outcome(**common, result=None, impossible=str(error))
    return Outcome(**common, result=result)


def missing(all_tasks: Sequence[Task], directory: Path) -> list[Task]:
    """The tasks without a result, each key once."""
    unique = {task.key: task for task in all_tasks}
    return [task for task in unique.values() if not results.path_of(directory, task.key).exists()]


def run(
    wanted: Sequence[Task],
    traces: Mapping[str, Trace],
    directory: Path,
    *,
    processes: int,
    on_done: Callable[[Outcome], None],
) -> None:
    """Carry out tasks by so many processes, and write each result as it comes.

    Raises OSError where results cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not wanted:
        return
    if processes == 1 or len(wanted) == 1:
        for task in wanted:
            outcome = carry_out(task, traces[task.trace])
            results.write(outcome, directory)
            on_done(outcome)
        return
    with (
        _written(traces, {task.trace for task in wanted}) as paths,
        # Not forked: this process may have threads by now.
        ProcessPoolExecutor(min(processes, len(wanted)), mp_context=get_context("spawn")) as executor,
    ):
        futures = [executor.submit(_carry_out_path, task, paths[task.trace]) for task in wanted]
        _collect(as_completed(futures), futures, directory, on_done)


def run_on_dask(
    wanted: Sequence[Task],
    traces: Mapping[str, Trace],
    directory: Path,
    *,
    address: str,
    on_done: Callable[[Outcome], None],
) -> None:
    """Carry out tasks on the workers of a Dask cluster, which get the traces from here, where the results are
    written.

    Raises ConfigurationError where `distributed` is not installed or the cluster is not to be reached.
    """
    try:
        import distributed  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigurationError("--dask needs distributed: pip install 'zpager[dask]'") from None
    directory.mkdir(parents=True, exist_ok=True)
    try:
        client = distributed.Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"no Dask scheduler is to be reached at {address}: {error}") from None
    with client:
        scattered = {
            name: client.scatter(traces[name], broadcast=True) for name in {task.trace for task in wanted}
        }
        # The key is the task's, and a result of the same key is the same.
        futures = [
            client.submit(carry_out, task, scattered[task.trace], key=f"zpager-lab-{task.key}")
            for task in wanted
        ]
        _collect(distributed.as_completed(futures, loop=client.loop), futures, directory, on_done)


def _collect(
    done: Iterator[Any], futures: Sequence[Any], directory: Path, on_done: Callable[[Outcome], None]
) -> None:
    try:
        for future in done:
            outcome = future.result()
            results.write(outcome, directory)
            on_done(outcome)
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def _carry_out_path(task: Task, path: str) -> Outcome:
    return carry_out(task, _read(path))


@lru_cache(maxsize=1)
def _read(path: str) -> Trace:
    """Tasks come trace by trace."""
    return trace.read(path)


@contextmanager
def _written(traces: Mapping[str, Trace], names: set[str]) -> Iterator[dict[str, str]]:
    """The traces as files, from which worker processes read them."""
    with tempfile.TemporaryDirectory(prefix="zpager-lab-") as directory:
        paths = {}
        for number, name in enumerate(sorted(names)):
            paths[name] = os.path.join(directory, f"{number}.parquet")
            trace.write(traces[name], paths[name])
        yield paths


_OPTIMAL_MISSES: WeakKeyDictionary[Trace, dict[int, int]] = WeakKeyDictionary()
"""Of a trace by capacity, since many configurations have the same RAM."""


def _optimal(its_trace: Trace, capacities_pages: Sequence[int]) -> list[int]:
    known = _OPTIMAL_MISSES.setdefault(its_trace, {})
    unknown = [capacity for capacity in capacities_pages if capacity not in known]
    if unknown:
        known.update(zip(unknown, bounds.misses(its_trace, unknown, ["optimal"])["optimal"], strict=True))
    return [known[capacity] for capacity in capacities_pages]


def _bounds(its_trace: Trace, configuration: Configuration) -> Bounds:
    ram_pages = configuration.ram_bytes // PAGE_BYTES
    sizes = its_trace.zpages(configuration.codec, configuration.default_ratio)
    mean_bytes = max(float(sizes.mean()), 1.0) if len(sizes) else 1.0
    compressed_pages = max(round(configuration.ram_bytes / mean_bytes), 1)
    misses, compressed_misses = _optimal(its_trace, (ram_pages, compressed_pages))
    return Bounds(
        ram_pages=ram_pages,
        misses=misses,
        compressed_pages=compressed_pages,
        compressed_misses=compressed_misses,
    )
