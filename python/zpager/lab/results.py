"""Results of a sweep: a directory with a Parquet file for each configuration, one row each, which together
are one table (`docs/lab.md` has its columns).

A file's name is the key of all that its row follows from, and it appears when it is whole: what a sweep
lacks is what has no file, whatever ended it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zpager import _core
from zpager.errors import ConfigurationError
from zpager.lab.costs import Costs
from zpager.lab.policy_file import MARK, PolicyFile
from zpager.lab.replay import Configuration, Result, ThreadResult
from zpager.lab.trace import Trace
from zpager.lab.whole_file import whole_file

SCHEMA_VERSION: Final = 1
SUFFIX: Final = ".parquet"
_METADATA: Final = b"zpager.lab"
_OF_THREADS: Final = ("lost_ns", "accesses")
_COUNT: Final = pa.uint64()
_COUNTS: Final = pa.map_(pa.string(), _COUNT)
_BUCKETS: Final = pa.list_(pa.struct([("below", _COUNT), ("count", _COUNT)]))
_THREAD: Final = pa.struct(
    [
        ("name", pa.string()),
        ("accesses", _COUNT),
        ("faults", _COUNT),
        ("found", _COUNTS),
        ("end_ns", _COUNT),
        ("lost_ns", _COUNT),
        ("latency", _BUCKETS),
    ]
)
SCHEMA: Final = pa.schema(
    [
        ("key", pa.string()),
        ("trace", pa.string()),
        ("page_count", _COUNT),
        ("lacks", pa.list_(pa.string())),
        ("costs", pa.string()),
        ("ram_bytes", _COUNT),
        ("swap_bytes", _COUNT),
        ("codec", pa.string()),
        ("pool", pa.string()),
        ("policy", pa.string()),
        ("pool_limit_bytes", _COUNT),
        ("reserve_bytes", _COUNT),
        ("eviction", pa.string()),
        ("defects", pa.list_(pa.string())),
        ("readahead_pages", _COUNT),
        ("buffers_bytes", _COUNT),
        ("default_ratio", pa.float64()),
        ("impossible", pa.string()),
        ("optimal_ram_pages", _COUNT),
        ("optimal_misses", _COUNT),
        ("optimal_compressed_pages", _COUNT),
        ("optimal_compressed_misses", _COUNT),
        # Null from here on where there is no result.
        ("end_ns", _COUNT),
        ("gave_up_ns", _COUNT),
        ("lost_ns", _COUNT),
        ("misses_swap_cache", _COUNT),
        ("misses_zcache", _COUNT),
        ("misses_device", _COUNT),
        ("counters", _COUNTS),
        ("threads", pa.list_(_THREAD)),
        ("histograms", pa.map_(pa.string(), _BUCKETS)),
        ("samples", pa.map_(pa.string(), pa.list_(_COUNT))),
        ("thread_samples", pa.map_(pa.string(), pa.list_(pa.list_(_COUNT)))),
    ],
    metadata={_METADATA: json.dumps({"schema_version": SCHEMA_VERSION})},
)
"""The columns; `docs/lab.md` explains them."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What the best possible policy would miss of the same accesses (Bélády), first touches included."""

    ram_pages: int
    """Pages that RAM holds uncompressed,"""
    misses: int
    """and misses of whoever keeps so many;"""
    compressed_pages: int
    """pages that RAM would hold if it held nothing but zpages, packed without waste,"""
    compressed_misses: int
    """and misses of whoever keeps so many: no pager with this RAM and codec reads from a device less often,
    but for what it reads ahead."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """A configuration, and what came of it."""

    key: str
    trace: str
    """The trace's name."""
    page_count: int
    """Pages that it touches."""
    lacks: tuple[str, ...]
    """What of a program's page accesses it does not show."""
    configuration: Configuration
    costs: str
    """The name of the costs."""
    bounds: Bounds
    result: Result | None
    impossible: str = ""
    """Why there is no result: RAM and swap are too small."""

    @property
    def lost_ns(self) -> int:
        """What all threads together waited for pages."""
        return sum(thread.lost_ns for thread in self.require().threads)

    @property
    def end_ns(self) -> int:
        """When the last thread was done."""
        return self.require().end_ns

    def require(self) -> Result:
        """The result, of an outcome that has one."""
        if self.result is None:
            raise ConfigurationError(f"{self.key} has no result: {self.impossible}")
        return self.result


def digest(trace: Trace) -> str:
    """What tells a trace from others: accesses, sizes, and names."""
    found = hashlib.sha256()
    for thread in trace.threads:
        found.update(json.dumps([thread.name, len(thread.page)]).encode())
        found.update(thread.steps().data)
    for codec, sizes in sorted(trace.zpage_bytes.items()):
        found.update(codec.encode())
        found.update(np.ascontiguousarray(sizes).data)
    return found.hexdigest()


def key(trace_digest: str, configuration: Configuration, costs: Costs, sample_every_ns: int) -> str:
    """The name of a result: a hash of all that it follows from, the engine that computes it included."""
    follows_from = {
        "schema": SCHEMA_VERSION,
        "engine": _engine_digest(),
        "trace": trace_digest,
        "configuration": _as_json(configuration),
        "costs": json.loads(json.dumps(_costs(costs))),
        "sample_every_ns": sample_every_ns,
    }
    return hashlib.sha256(json.dumps(follows_from, sort_keys=True).encode()).hexdigest()[:32]


def path_of(directory: str | os.PathLike[str], its_key: str) -> Path:
    """Where the result of that key is, or will be."""
    return Path(directory) / (its_key + SUFFIX)


def write(outcome: Outcome, directory: str | os.PathLike[str]) -> None:
    """Write one outcome's file, which appears when it is whole.

    Raises OSError where it cannot be written.
    """
    with whole_file(path_of(directory, outcome.key)) as being_written:
        pq.write_table(_table(outcome), being_written, compression="zstd")


def read(directory: str | os.PathLike[str]) -> list[Outcome]:
    """Read all outcomes of a directory, or that of one file, in the order of their configurations.

    Raises ConfigurationError where there are none, or a file holds something else.
    """
    path = Path(directory)
    files = sorted(path.glob("*" + SUFFIX)) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise ConfigurationError(f"{path} holds no results; `zpager lab run TRACE -o {path}` makes some")
    outcomes = [_read_file(file) for file in files]
    return sorted(outcomes, key=_order)


def read_keys(directory: str | os.PathLike[str], keys: Iterable[str]) -> list[Outcome]:
    """The outcomes of these keys, in that order."""
    return [_read_file(path_of(directory, its_key)) for its_key in keys]


def _order(outcome: Outcome) -> tuple[object, ...]:
    values = vars(outcome.configuration) | {
        "policy": str(outcome.configuration.policy),
        "defects": sorted(outcome.configuration.defects),
    }
    # What is left to the engine comes first.
    return outcome.trace, outcome.costs, *((value is not None, value or 0) for value in values.values())


def _as_json(configuration: Configuration) -> str:
    values = asdict(configuration)
    return json.dumps({**values, "defects": sorted(values["defects"])}, sort_keys=True)


def _costs(costs: Costs) -> dict[str, Any]:
    values = {name: value for name, value in vars(costs).items() if name != "codecs"}
    return values | {"codecs": {name: asdict(codec) for name, codec in costs.codecs.items()}}


@cache
def _engine_digest() -> str:
    """Of the compiled engine: another one may well come to other figures."""
    return hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()


def _table(outcome: Outcome) -> pa.Table:
    configuration = asdict(outcome.configuration)
    row: dict[str, Any] = {
        "key": outcome.key,
        "trace": outcome.trace,
        "page_count": outcome.page_count,
        "lacks": outcome.lacks,
        "costs": outcome.costs,
        **configuration,
        "policy": str(outcome.configuration.policy),
        "defects": sorted(configuration["defects"]),
        "impossible": outcome.impossible,
        **{f"optimal_{name}": value for name, value in asdict(outcome.bounds).items()},
    }
    result = outcome.result
    if result is not None:
        row |= {
            "end_ns": result.end_ns,
            "gave_up_ns": result.gave_up_ns,
            "lost_ns": outcome.lost_ns,
            **{f"misses_{tier}": count for tier, count in result.misses().items()},
            "counters": dict(result.counters),
            "threads": [
                vars(thread) | {"found": dict(thread.found), "latency": _buckets(thread.latency)}
                for thread in result.threads
            ],
            "histograms": {name: _buckets(buckets) for name, buckets in result.histograms.items()},
            "samples": _columns(result, of_threads=False),
            "thread_samples": _columns(result, of_threads=True),
        }
    assert row.keys() <= set(SCHEMA.names), row.keys() - set(SCHEMA.names)
    return pa.Table.from_pylist([row], schema=SCHEMA)


def _columns(result: Result, *, of_threads: bool) -> dict[str, list[Any]]:
    return {
        name: column.tolist()
        for name, column in result.samples.items()
        if (name in _OF_THREADS) == of_threads
    }


def _buckets(buckets: Iterable[tuple[int, int]]) -> list[dict[str, int]]:
    return [{"below": below, "count": count} for below, count in buckets]


def _from_buckets(buckets: Iterable[Mapping[str, int]]) -> tuple[tuple[int, int], ...]:
    return tuple((bucket["below"], bucket["count"]) for bucket in buckets)


def _read_file(path: Path) -> Outcome:
    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {})[_METADATA])
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise ConfigurationError(f"{path} holds no result of zpager's lab: {error!r}") from None
    if about["schema_version"] != SCHEMA_VERSION:
        raise ConfigurationError(
            f"{path} is of version {about['schema_version']}, and this zpager reads version {SCHEMA_VERSION}"
        )
    row = table.to_pylist(maps_as_pydicts="strict")[0]
    configuration = {name: row[name] for name in Configuration.__dataclass_fields__}
    return Outcome(
        key=row["key"],
        trace=row["trace"],
        page_count=row["page_count"],
        lacks=tuple(row["lacks"]),
        configuration=Configuration(
            **configuration | {"policy": _policy(row["policy"]), "defects": frozenset(row["defects"])}
        ),
        costs=row["costs"],
        bounds=Bounds(**{name: row[f"optimal_{name}"] for name in Bounds.__dataclass_fields__}),
        result=_result(row) if row["threads"] is not None else None,
        impossible=row["impossible"],
    )


def _policy(name: str) -> Any:
    return PolicyFile(name, None) if MARK in name else name


def _result(row: Mapping[str, Any]) -> Result:
    samples = row["samples"] | row["thread_samples"]
    return Result(
        threads=tuple(
            ThreadResult(**{**thread, "latency": _from_buckets(thread["latency"])})
            for thread in row["threads"]
        ),
        counters=row["counters"],
        histograms={name: _from_buckets(buckets) for name, buckets in row["histograms"].items()},
        samples={name: np.array(column, np.uint64) for name, column in samples.items()},
        end_ns=row["end_ns"],
        gave_up_ns=row["gave_up_ns"],
    )
