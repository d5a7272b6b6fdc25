"""Files as streams of bytes, compressed or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

import pyarrow as pa

from zpager.errors import ConfigurationError

_COMPRESSIONS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}
BATCH_BYTES = 4 << 20


class Stream(Protocol):
    """What a file is read from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Stream]:
    """The bytes of a file, decompressed if it is one of zstd's or gzip's.

    Raises OSError where it cannot be read, ConfigurationError where it is damaged.
    """
    with Path(path).open("rb") as file:
        magic = file.peek(4)[:4]
        compression = next((name for start, name in _COMPRESSIONS.items() if magic.startswith(start)), None)
        if compression is None:
            yield file
            return
        try:
            with pa.CompressedInputStream(pa.PythonFile(file, "r"), compression) as stream:
                yield cast(Stream, stream)
        except OSError as error:
            # Arrow's, of the compression, have no number of the system's.
            if error.errno is not None:
                raise
            raise ConfigurationError(f"{path} is damaged: {error}") from None


def head(path: str | os.PathLike[str], size_bytes: int) -> bytes:
    """The first bytes of a file, decompressed."""
    with opened(path) as stream:
        return _fill(stream, size_bytes)


def batches(stream: Stream, item_bytes: int) -> Iterator[bytes]:
    """The stream in parts of whole items; only the last part may end in a piece of one."""
    size_bytes = BATCH_BYTES // item_bytes * item_bytes
    while batch := _fill(stream, size_bytes):
        yield batch


def line_batches(stream: Stream) -> Iterator[bytes]:
    """The stream in parts of whole lines, each with its end, which the last line of the file may lack.

    Raises ConfigurationError for a line that is longer than a batch.
    """
    rest = b""
    while batch := stream.read(BATCH_BYTES):
        cut = batch.rfind(b"\n") + 1
        if not cut:
            rest += batch
            if len(rest) > BATCH_BYTES:
                raise ConfigurationError(f"a line of more than {BATCH_BYTES} bytes; this is no text")
            continue
        yield rest + batch[:cut]
        rest = batch[cut:]
    if rest:
        yield rest


def read_all(stream: Stream) -> bytes:
    """All that is left."""
    return b"".join(iter(lambda: stream.read(BATCH_BYTES), b""))


def _fill(stream: Stream, size_bytes: int) -> bytes:
    """So many bytes, or as many as are left: a stream may give less at a time."""
    parts = []
    while size_bytes and (part := stream.read(size_bytes)):
        parts.append(part)
        size_bytes -= len(part)
    return b"".join(parts)
