"""What came of a run: the reports of its processes put together, as text and as JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from zpager.options import Options
from zpager.run.ledger import Shared
from zpager.run.supervise import Ended
from zpager.sizes import PAGE_BYTES, format_size

SCHEMA_VERSION: Final = 1
"""Of the JSON; a field that goes or changes its meaning is a new version, one that is added is not."""

_PROCESS = "process"
# What tells a state and no event: of several processes, the largest.
_GAUGES = frozenset(
    {
        "used_most_bytes",
        "managed_bytes",
        "unmanaged_bytes",
        "swap_used_bytes",
        "zpage_bytes",
        "stored_pages",
    }
)


@dataclass(frozen=True)
class Reports:
    """What the processes have told."""

    processes: list[dict[str, int]] = field(default_factory=list)
    shared: Shared = Shared()

    @classmethod
    def read(cls, directory: str, shared: Shared) -> Reports:
        """All reports in a directory. One that is just being replaced is there in its older form."""
        found = []
        for path in sorted(Path(directory).glob("*.json")):
            try:
                found.append(json.loads(path.read_text()))
            except (OSError, ValueError):  # its process was killed while it wrote the first one
                continue
        return cls(found, shared)

    def total(self, name: str) -> int:
        """A counter's sum over all processes, or the largest of what tells a state."""
        values = [process.get(name, 0) for process in self.processes]
        return max(values, default=0) if name in _GAUGES else sum(values)

    def totals(self) -> dict[str, int]:
        """Every counter."""
        names = dict.fromkeys(name for process in self.processes for name in process if name != _PROCESS)
        return {name: self.total(name) for name in names}


def lines(reports: Reports, ended: Ended | None, options: Options) -> list[str]:
    """A summary in a few lines; `ended` is None while the program still runs."""
    total = reports.total
    if not reports.processes and not reports.shared.processes:
        managed = ["no memory of the program was managed: it asked for no block or mapping of that size"]
        return managed if ended else []
    waited = total("fault_time_us") / 1e6
    share = f" of {ended.wall_seconds:.1f} s" if ended else ""
    processes = f" in {reports.shared.processes} processes" if reports.shared.processes > 1 else ""
    in_all = f", {format_size(ended.max_rss_bytes)} in all" if ended and not processes else ""
    text = [
        f"managed memory took at most {format_size(reports.shared.most_bytes)} of "
        f"{format_size(options.ram_bytes)} RAM{processes}{in_all}",
        f"{total('faults'):,} faults, in which the program waited {waited:.1f} s{share}: "
        f"{total('faults_zcache'):,} from compressed memory, {total('faults_device'):,} from the swap file",
        f"{format_size(total('zswpout') * PAGE_BYTES)} compressed, "
        f"{format_size(total('pswpout') * PAGE_BYTES)} written to the swap file, "
        f"{format_size(total('pswpin') * PAGE_BYTES)} read",
    ]
    if total("lost_pages"):
        text.append(f"{total('lost_pages'):,} PAGES WERE LOST")
    return text


def as_json(command: Sequence[str], reports: Reports, ended: Ended, options: Options) -> dict[str, Any]:
    """The report of `--report`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "command": shlex.join(command),
        **asdict(ended),
        "options": asdict(options),
        "tree_most_bytes": reports.shared.most_bytes,
        "tree_processes": reports.shared.processes,
        "processes": reports.processes,
        "total": reports.totals(),
    }
