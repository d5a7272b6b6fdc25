"""`zpager lab record --with pager`: the faults of a program under `zpager run`, told by its pagers.

`crates/linux/src/recorder.rs` writes what is read here.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zpager.errors import ConfigurationError
from zpager.lab.formats.page_numbers import PageNumbers
from zpager.lab.growing import Growing
from zpager.lab.record import Recorded, Running, pipe, run_recorded
from zpager.lab.think_times import ThinkTimes
from zpager.lab.trace import THREADS_MOST, UNKNOWN_BYTES, Writer
from zpager.options import CODECS
from zpager.run import preload
from zpager.run.ledger import new_ledger
from zpager.run.possible import find_possible
from zpager.run.settings import min_size_bytes, options_of, resolve
from zpager.sizes import format_size

# What an unprivileged process may have. It holds 32,768 events, a tenth of a second of faults.
_PIPE_BYTES = 1 << 20
_EVENT = np.dtype(
    [
        ("moment_us", "u8"),
        ("process", "u4"),
        ("thread", "u4"),
        ("page", "u4"),
        ("kind", "u4"),
        ("value", "u4"),
        ("dropped", "u4"),
    ]
)
_WRITE: Final = 1
_STORED: Final = 2

LACKS: Final = (
    "memory that is not managed: small blocks, the image, stacks, files",
    "writes to a page that was new, or on its way out, when it was read first",
    "that memory was freed: what is given out again at the same place counts as the same page",
)


def with_pager(
    command: Sequence[str],
    output: str | os.PathLike[str],
    *,
    ram: str,
    swap: str,
    accesses_most: int | None = None,
) -> Recorded:
    """Run a program as `zpager run` does, with that much RAM and swap, and write the faults of all its
    processes to a trace's file.

    Other settings are as `zpager config` shows them, but that nothing is read ahead, and that faults are
    served in signal mode, where it is known whose they are. With `accesses_most` the program is ended after
    so many. To be called by the main thread.

    Raises CannotStart where the program cannot be started so, ConfigurationError and DeviceError as `zpager
    run`, OSError where the file cannot be written.
    """
    values = resolve({"ram": ram, "swap": swap, "readahead_pages": 0, "faults": "signal"})
    options = options_of(values)
    path = find_possible(command[0], options)
    recorded = Recorded()
    running = Running()
    with Writer(output) as writer, pipe(_PIPE_BYTES, is_inherited=False) as (reading, writing):
        events = _Events(writer, accesses_most)

        def consume(text: bytes) -> None:
            events.take(text)
            if events.accesses == accesses_most:
                recorded.is_ended_by_limit = True
                running.end()

        with tempfile.TemporaryDirectory(prefix="zpager-record-") as reports, new_ledger() as ledger:
            environment = preload.environment(
                options,
                min_size_bytes=min_size_bytes(values),
                ledger=ledger.path,
                follow=values["follow"].value,
                report_directory=reports,
                report_every_seconds=0,
                inherited=os.environ,
                record=f"/proc/{os.getpid()}/fd/{writing}",
            )
            recorded.code = run_recorded(
                path, tuple(command), environment, running=running, reading=reading, consume=consume
            )
        recorded.accesses, recorded.pages = events.accesses, events.pages
        recorded.lacks = (
            f"accesses of pages that were in the {format_size(options.ram_bytes)} of RAM just then: what is "
            "recorded are the faults",
            *LACKS,
            *events.lacks(),
        )
        writer.close(
            events.thread_names,
            f"faults under zpager, {format_size(options.ram_bytes)} of RAM: {shlex.join(command)}",
            recorded.lacks,
            events.zpage_bytes(),
        )
    return recorded


class _Events:
    """Turns events into accesses, and sizes."""

    def __init__(self, writer: Writer, accesses_most: int | None) -> None:
        self._writer = writer
        self._accesses_most = accesses_most
        self._rest = b""
        self._numbers = PageNumbers()
        self._threads: dict[int, int] = {}
        self.thread_names: list[str] = []
        self._began_us: int | None = None
        self._ended_us: list[int] = []
        self._sizes = {codec: Growing(np.uint16, UNKNOWN_BYTES) for codec in CODECS}
        self._dropped = 0
        self._think_times = ThinkTimes()
        self.accesses = 0

    @property
    def pages(self) -> int:
        return self._numbers.count

    def take(self, text: bytes) -> None:
        text = self._rest + text
        whole = len(text) // _EVENT.itemsize * _EVENT.itemsize
        self._rest = text[whole:]
        events = np.frombuffer(text[:whole], _EVENT)
        self._dropped += int(events["dropped"].sum())
        is_stored = events["kind"] == _STORED
        faults = events[~is_stored]
        if self._accesses_most is not None:
            faults = faults[: self._accesses_most - self.accesses]
        self._add(faults)
        self._take_sizes(events[is_stored])

    def _add(self, faults: NDArray[np.void]) -> None:
        if not len(faults):
            return
        page = self._numbers.of(_keys(faults))
        thread = np.empty(len(faults), np.uint16)
        think_ns = np.empty(len(faults), np.uint32)
        if self._began_us is None:
            self._began_us = int(faults["moment_us"].min())
        for system_thread in dict.fromkeys(faults["thread"].tolist()):
            its = np.flatnonzero(faults["thread"] == system_thread)
            number = self._number(int(faults["process"][its[0]]), system_thread, self._began_us)
            thread[its] = number
            began_us = faults["moment_us"][its].astype(np.int64)
            ended_us = began_us + faults["value"][its]
            before_us = np.concatenate(([self._ended_us[number]], ended_us[:-1]))
            self._ended_us[number] = int(ended_us[-1])
            think_ns[its] = self._think_times.cut((began_us - before_us) * 1000)
        self._writer.add(thread, page, faults["kind"] == _WRITE, think_ns)
        self.accesses += len(faults)

    def _number(self, process: int, thread: int, began_us: int) -> int:
        number = self._threads.get(thread)
        if number is None:
            if len(self._threads) == THREADS_MOST:
                raise ConfigurationError(f"more than {THREADS_MOST} threads, the most of a trace")
            number = self._threads[thread] = len(self._threads)
            name = "thread"
            with suppress(OSError):
                name = Path(f"/proc/{process}/task/{thread}/comm").read_text(errors="replace").strip()
            self.thread_names.append(f"{name} {process}/{thread}")
            self._ended_us.append(began_us)
        return number

    def _take_sizes(self, stores: NDArray[np.void]) -> None:
        # Of a page whose fault was dropped there is nothing else.
        number, is_known = self._numbers.find(_keys(stores))
        number, value = number[is_known], stores["value"][is_known]
        for half, codec in enumerate(CODECS):
            # The last one of several for the same page stays.
            self._sizes[codec].upto(self.pages)[number] = value >> np.uint32(16 * half) & np.uint32(0xFFFF)

    def zpage_bytes(self) -> dict[str, NDArray[np.uint16]]:
        return {codec: sizes.upto(self.pages) for codec, sizes in self._sizes.items()}

    def lacks(self) -> tuple[str, ...]:
        sizes = self._sizes[CODECS[0]].upto(self.pages)
        unknown = int((sizes == UNKNOWN_BYTES).sum())
        lacks = ["how sizes change: a page's is that of its contents when it was compressed last"]
        if unknown:
            lacks.append(f"sizes of {unknown} of {self.pages} pages: they were never compressed")
        if self._dropped:
            lacks.append(f"{self._dropped} events that came faster than they could be written")
        return (*lacks, *self._think_times.lacks())


def _keys(events: NDArray[np.void]) -> NDArray[np.uint64]:
    """A page is a process's own."""
    keys: NDArray[np.uint64] = events["process"].astype(np.uint64) << np.uint64(32) | events["page"]
    return keys
