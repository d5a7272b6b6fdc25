"""Traces that others write.

`open_trace` finds out which format a file has, or is told: `oracle_general` and `csv` are libCacheSim's,
`lackey` is valgrind's, `perf_script` perf's, `damo` DAMON's; `source` decompresses, `collector`,
`page_numbers` and `requests` make a trace of what is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from zpager.errors import ConfigurationError
from zpager.lab import trace as own
from zpager.lab.formats import csv, damo, lackey, oracle_general, perf_script
from zpager.lab.formats.requests import require_block_bytes
from zpager.lab.formats.source import head
from zpager.lab.trace import Trace

Format: TypeAlias = Literal["zpager", "oracleGeneral", "csv", "lackey", "perf-script", "damo"]

_HEAD_BYTES = 1 << 16
_OF_TEXT: dict[Format, Callable[[bytes], bool]] = {
    "lackey": lackey.is_like,
    "damo": damo.is_like,
    "perf-script": perf_script.is_like,
}


def open_trace(
    path: str | os.PathLike[str],
    format: Format | None = None,  # noqa: A002
    *,
    columns: str = "",
    block_bytes: int | None = None,
) -> Trace:
    """Read a trace of any format; None: of the one that its name and its first bytes tell.

    `columns` is for csv (`zpager.lab.formats.csv.Columns`). With `block_bytes` the objects of oracleGeneral
    and csv are places on a disk, in blocks of so many bytes, and a request touches all pages of 4 KiB that it
    reaches; without it each object is one page, whatever its size. A csv file whose column is called lbn or
    lba is one of blocks of 512 bytes.

    `Trace.lacks` says what the format does not tell. Raises ConfigurationError for what cannot be read so,
    OSError where the file cannot be read.
    """
    if format is not None and format not in get_args(Format):
        raise ConfigurationError(f"format={format!r}: choose one of {', '.join(get_args(Format))}")
    require_block_bytes(block_bytes)
    chosen = format or guess_format(path)
    if columns and chosen != "csv":
        raise ConfigurationError(f"{path}: columns= is for csv, and the file is read as {chosen}")
    if block_bytes and chosen not in {"csv", "oracleGeneral"}:
        raise ConfigurationError(
            f"{path}: block_bytes= is for csv and oracleGeneral, and the file is read as {chosen}"
        )
    match chosen:
        case "zpager":
            return own.read(path)
        case "oracleGeneral":
            return oracle_general.read(path, block_bytes)
        case "csv":
            return csv.read(path, columns, block_bytes)
        case "lackey":
            return lackey.read(path)
        case "perf-script":
            return perf_script.read(path)
        case "damo":
            return damo.read(path)


def guess_format(path: str | os.PathLike[str]) -> Format:
    """The format of a file, by its first bytes, or by its name.

    Raises ConfigurationError if neither tells.
    """
    start = head(path, _HEAD_BYTES)
    if start.startswith(b"PAR1"):
        return "zpager"
    for name, is_like in _OF_TEXT.items():
        if is_like(start):
            return name
    file_name = Path(path).name.lower()
    if "oraclegeneral" in file_name:
        return "oracleGeneral"
    if re.search(r"\.(csv|tsv)(\.|$)", file_name):
        return "csv"
    raise ConfigurationError(
        f"{path}: neither its name nor its first bytes tell what it is; say so by format=, one of "
        f"{', '.join(get_args(Format))}"
    )
