"""What a pager did and where its pages are: `Stats`, a frozen picture of all counters at one moment.

Counters bear the Linux kernel's names where the kernel has the same thing (`/sys/kernel/debug/zswap`,
`/proc/vmstat`, frontswap's and zcache's debugfs files of 2012), so that what one knows about these can be
used here.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from zpager.sizes import PAGE_BYTES, format_size

Histogram: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of (upper bound, count), the bounds being powers of two."""

# Marks a field that tells the state now, and not how often something happened since the start.
_GAUGE = {"gauge": True}

_Rows: TypeAlias = list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Stats:
    """All counters of a pager at one moment.

    Names ending in `_bytes` are bytes, in `_us` microseconds; the others count pages or events.
    `print(stats)` shows a table, a notebook an HTML one. `later - earlier` has what happened in between:
    counters and histograms are differences there, and what tells a state (sizes, pages stored) stays as it
    was later.
    """

    # The budget. From resident to buffers it adds up to `used_bytes`, which never exceeds `ram_bytes`.
    ram_bytes: int = field(metadata=_GAUGE)
    """The budget, `ram`."""
    used_most_bytes: int = field(metadata=_GAUGE)
    """The most of it that was in use at any time."""
    resident_bytes: int = field(metadata=_GAUGE)
    """Pages that the program has mapped, and all of those that it may map unwatched."""
    swap_cache_bytes: int = field(metadata=_GAUGE)
    """Pages out of the program's sight, but still uncompressed in RAM."""
    pool_bytes: int = field(metadata=_GAUGE)
    """Page frames of zcache's pool."""
    pool_limit_bytes: int = field(metadata=_GAUGE)
    """How large the pool may grow now; with pool_limit="auto" it changes."""
    reserve_bytes: int = field(metadata=_GAUGE)
    """Frames kept back, so that eviction can always take its next step."""
    metadata_bytes: int = field(metadata=_GAUGE)
    """The tables that tell where each page is."""
    buffers_bytes: int = field(metadata=_GAUGE)
    """Batches, codec contexts and stacks: fixed, whatever the number of pages."""
    managed_bytes: int = field(metadata=_GAUGE)
    """The sum of the live allocations' sizes."""
    unwatched_bytes: int = field(metadata=_GAUGE)
    """Those of them that are left to the kernel, since there is room for all their pages."""
    swap_bytes: int = field(metadata=_GAUGE)
    """The size of the swap file."""

    # What is stored.
    swap_used_bytes: int = field(metadata=_GAUGE)
    """Slots of the swap file in use."""
    zpage_bytes: int = field(metadata=_GAUGE)
    """The compressed pages in the pool: `pool_bytes` without the gaps."""
    stored_pages: int = field(metadata=_GAUGE)
    """Pages in zcache now, same-filled ones included."""
    same_filled_pages: int = field(metadata=_GAUGE)
    """Those among them that are one repeated word, kept as that word."""
    pers_pageframes: int = field(metadata=_GAUGE)
    """Frames of the pool with pages that must not be lost."""
    pers_zpages: int = field(metadata=_GAUGE)
    """Compressed pages in these frames."""

    # Faults: how many, and where the page was found.
    faults: int
    """Faults handled, write-protect faults included."""
    fault_time_us: int
    """Microseconds that all of them took, which is time that the program has waited."""
    faults_zero: int
    """First touches: a fresh page of zeros."""
    faults_swap_cache: int
    """Pages found in the swap cache."""
    faults_zcache: int
    """Pages decompressed from zcache."""
    faults_device: int
    """Pages read from the swap file."""
    faults_write_protect: int
    """First writes to a page that was clean."""
    faults_given_up: int
    """Faults that ended in SIGBUS, because for half a minute no RAM could be freed."""
    readahead_pages: int
    """Pages brought along with a sequential fault."""

    # Reclaim.
    refaults: int
    """Pages that came back after they had been reclaimed."""
    activations: int
    """Pages moved to the active list, because they came back soon."""
    direct_reclaims: int
    """Faults that had to make room by themselves, RAM being below the watermark `min`."""
    kswapd_wakes: int
    """Times that the background reclaimer was woken."""
    watched_regions: int
    """Allocations that were left to the kernel until RAM ran short."""
    unmapped: int
    """Pages taken out of the program's sight."""
    unmap_busy: int
    """Pages that could not be, because the kernel had them pinned."""
    clean_drops: int
    """Reclaimed pages that needed no compression, their copy being up to date."""

    # The door to zcache (frontswap).
    loads: int
    """Pages loaded from zcache."""
    succ_stores: int
    """Pages that zcache took."""
    failed_stores: int
    """Pages that it refused, for whatever cause."""
    invalidates: int
    """Copies made void, since the page was freed or written anew."""
    denials: int
    """Stores refused by a denial bit, so that the page goes to the device: one for each page unused."""

    # zcache.
    unuses: int
    """Units of the pool (a frame or a few) that unuse has evicted."""
    evicted_units: int
    """Units of the pool that were evicted, by whatever mechanism."""
    repacked_zpages: int
    """Compressed pages taken back from the swap file, because what they were written with is mostly gone."""
    written_back_pages: int
    """Pages from evicted frames that reached the device."""
    reject_compress_poor: int
    """Stores refused because the page hardly compresses."""
    reject_alloc_fail: int
    """Stores refused because there was no frame for the pool."""
    pool_limit_hit: int
    """Times that the pool was found at its limit."""
    compaction_moves: int
    """Compressed pages moved within the pool, to empty a frame."""

    # Traffic, as in /proc/vmstat, in pages.
    pswpin: int
    """Pages read from the swap file."""
    pswpout: int
    """Slots of the swap file written: a page each, or with eviction="intact" a frame of compressed pages."""
    zswpin: int
    """Pages that came out of zcache for a fault or readahead."""
    zswpout: int
    """Pages that went into zcache."""
    zswpwb: int
    """Pages that went from zcache to the swap file."""

    # Trouble.
    device_full: int
    """Pages that had to stay in RAM because the swap file had no free slot."""
    device_read_errors: int
    """Pages lost because the swap file could not be read, tried several times."""
    corrupt_slots: int
    """Pages lost because the swap file held something else than was written."""
    corrupt_zpages: int
    """Pages lost because their compressed form was damaged in RAM."""
    device_write_errors: int
    """Writes to it that failed."""
    lost_pages: int
    """Pages whose only copy could not be read, or failed its checksum."""

    vanished_pages: int
    """Pages that should have been in RAM and were not: zeros since. The program's own `madvise` does that."""

    unuse_to_write_us: Histogram
    """Microseconds from a page's eviction from the pool to its write to the device."""
    eviction_us: Histogram
    """Microseconds from the decision to evict to a page frame's being free."""
    fault_us: Histogram
    """Microseconds that a fault took, from its arrival to its end."""

    @property
    def used_bytes(self) -> int:
        """What of the budget is in use, in bytes: the sum of the sizes above."""
        return (
            self.resident_bytes
            + self.swap_cache_bytes
            + self.pool_bytes
            + self.reserve_bytes
            + self.metadata_bytes
            + self.buffers_bytes
        )

    @property
    def free_bytes(self) -> int:
        """What of the budget is left, in bytes."""
        return self.ram_bytes - self.used_bytes

    @property
    def compression_ratio(self) -> float:
        """The size of the stored pages over that of their compressed form; same-filled pages count as
        nothing.

        NaN while zcache is empty, infinite while it holds same-filled pages only.
        """
        if self.zpage_bytes:
            return self.stored_pages * PAGE_BYTES / self.zpage_bytes
        return math.inf if self.stored_pages else math.nan

    @property
    def fault_us_p50(self) -> int | None:
        """Microseconds within which half of the faults ended, rounded up to a power of two; None without
        faults."""
        return quantile(self.fault_us, 0.5)

    @property
    def fault_us_p99(self) -> int | None:
        """Microseconds within which 99% of the faults ended, rounded up to a power of two; None without
        faults."""
        return quantile(self.fault_us, 0.99)

    @property
    def unuse_to_write_us_p50(self) -> int | None:
        """Microseconds in which half of the evicted pages were on the device, rounded up; None without
        any."""
        return quantile(self.unuse_to_write_us, 0.5)

    @property
    def unuse_to_write_us_p99(self) -> int | None:
        """Microseconds in which 99% of the evicted pages were on the device, rounded up; None without any."""
        return quantile(self.unuse_to_write_us, 0.99)

    @property
    def eviction_us_p50(self) -> int | None:
        """Microseconds within which half of the evicted frames were free, rounded up; None without any."""
        return quantile(self.eviction_us, 0.5)

    @property
    def eviction_us_p99(self) -> int | None:
        """Microseconds within which 99% of the evicted frames were free, rounded up; None without any."""
        return quantile(self.eviction_us, 0.99)

    def __sub__(self, earlier: Stats) -> Stats:
        """What happened between `earlier` and this."""
        if not isinstance(earlier, Stats):
            return NotImplemented
        difference: dict[str, Any] = {}
        for item in fields(self):
            now, before = getattr(self, item.name), getattr(earlier, item.name)
            if item.metadata.get("gauge"):
                difference[item.name] = now
            elif isinstance(now, int):
                difference[item.name] = now - before
            else:
                counts = dict(before)
                difference[item.name] = tuple((bound, count - counts.get(bound, 0)) for bound, count in now)
        return Stats(**difference)

    def __repr__(self) -> str:
        """A table in plain text."""
        groups = self._groups()
        names = max(len(name) for _, rows in groups for name, _, _ in rows)
        values = max(len(value) for _, rows in groups for _, value, _ in rows)
        lines = []
        for title, rows in groups:
            lines.append(title)
            lines += [f"  {name:<{names}}  {value:>{values}}  {note}".rstrip() for name, value, note in rows]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The same table for a notebook."""
        parts = ["<table>"]
        for title, rows in self._groups():
            parts.append(f'<tr><th colspan="3" style="text-align: left">{html.escape(title)}</th></tr>')
            parts += [
                f'<tr><td style="text-align: left">{html.escape(name)}</td>'
                f'<td style="text-align: right">{html.escape(value)}</td>'
                f'<td style="text-align: left">{html.escape(note)}</td></tr>'
                for name, value, note in rows
            ]
        parts.append("</table>")
        return "".join(parts)

    def _groups(self) -> list[tuple[str, _Rows]]:
        """The table's groups: a title, and rows of name, value, note."""
        ratio = self.compression_ratio
        return [
            (
                f"zpager: {format_size(self.managed_bytes)} of memory in {format_size(self.ram_bytes)} RAM",
                [
                    self._share(
                        "resident",
                        self.resident_bytes,
                        f"mapped by the program, {format_size(self.unwatched_bytes)} unwatched",
                    ),
                    self._share("swap cache", self.swap_cache_bytes, "on its way, uncompressed"),
                    self._share(
                        "zcache pool",
                        self.pool_bytes,
                        f"{self.pers_pageframes:,} frames, at most {format_size(self.pool_limit_bytes)}",
                    ),
                    self._share("reserve", self.reserve_bytes, "kept for eviction"),
                    self._share("metadata", self.metadata_bytes, "page tables of the pager"),
                    self._share("buffers", self.buffers_bytes, "batches, codec contexts, stacks"),
                    self._share("free", self.free_bytes, ""),
                    (
                        "on the device",
                        format_size(self.swap_used_bytes),
                        f"of {format_size(self.swap_bytes)}",
                    ),
                ],
            ),
            (
                "faults",
                [
                    ("all", f"{self.faults:,}", _times(self.fault_us_p50, self.fault_us_p99)),
                    ("first touch", f"{self.faults_zero:,}", ""),
                    ("from swap cache", f"{self.faults_swap_cache:,}", ""),
                    ("from zcache", f"{self.faults_zcache:,}", ""),
                    ("from device", f"{self.faults_device:,}", ""),
                    ("write-protect", f"{self.faults_write_protect:,}", ""),
                    ("given up", f"{self.faults_given_up:,}", ""),
                    ("readahead", f"{self.readahead_pages:,}", "pages brought along"),
                    ("refaults", f"{self.refaults:,}", f"{self.activations:,} made active"),
                    (
                        "direct reclaims",
                        f"{self.direct_reclaims:,}",
                        f"kswapd woken {self.kswapd_wakes:,} times",
                    ),
                    ("taken over", f"{self.watched_regions:,}", "allocations that the kernel looked after"),
                    ("unmapped", f"{self.unmapped:,}", f"{self.unmap_busy:,} pinned by the kernel and left"),
                    ("clean drops", f"{self.clean_drops:,}", "unmapped without compression"),
                ],
            ),
            (
                "zcache",
                [
                    ("pages stored now", f"{self.stored_pages:,}", f"{self.same_filled_pages:,} same-filled"),
                    (
                        "compressed to",
                        format_size(self.zpage_bytes),
                        f"ratio {ratio:.2f}" if math.isfinite(ratio) else "",
                    ),
                    ("stores", f"{self.succ_stores:,}", f"{self.failed_stores:,} refused"),
                    ("refused: denied", f"{self.denials:,}", "evicted pages on their way to the device"),
                    ("refused: poor", f"{self.reject_compress_poor:,}", "hardly compressible"),
                    (
                        "refused: no frame",
                        f"{self.reject_alloc_fail:,}",
                        f"limit hit {self.pool_limit_hit:,} times",
                    ),
                    ("loads", f"{self.loads:,}", f"{self.invalidates:,} invalidated"),
                    (
                        "units evicted",
                        f"{self.evicted_units:,}",
                        _times(self.eviction_us_p50, self.eviction_us_p99),
                    ),
                    ("unuses", f"{self.unuses:,}", f"{self.compaction_moves:,} zpages moved by compaction"),
                    (
                        "written back",
                        f"{self.written_back_pages:,}",
                        _times(self.unuse_to_write_us_p50, self.unuse_to_write_us_p99),
                    ),
                    ("repacked", f"{self.repacked_zpages:,}", "zpages taken back from the device"),
                ],
            ),
            (
                "device",
                [
                    ("pages read", f"{self.pswpin:,}", _errors(self.device_read_errors)),
                    ("pages written", f"{self.pswpout:,}", _errors(self.device_write_errors)),
                    ("kept, device full", f"{self.device_full:,}", ""),
                    (
                        "pages lost",
                        f"{self.lost_pages:,}",
                        f"{self.corrupt_slots:,} corrupt on the device, {self.corrupt_zpages:,} in RAM",
                    ),
                    ("pages vanished", f"{self.vanished_pages:,}", "discarded by the program itself"),
                ],
            ),
        ]

    def _share(self, name: str, size_bytes: int, note: str) -> tuple[str, str, str]:
        """A row for a part of the budget."""
        share = f"{size_bytes / self.ram_bytes:>6.1%}" if self.ram_bytes else ""
        return name, format_size(size_bytes), f"{share}  {note}".rstrip()


def quantile(histogram: Histogram, share: float) -> int | None:
    """The upper bound of the bucket in which `share` of all counts is reached; None for an empty
    histogram."""
    wanted = share * sum(count for _, count in histogram)
    reached = 0
    for bound, count in sorted(histogram):
        reached += count
        if reached and reached >= wanted:
            return bound
    return None


def _times(us_p50: int | None, us_p99: int | None) -> str:
    return "" if us_p50 is None else f"half within {us_p50:,} µs, 99% within {us_p99:,} µs"


def _errors(count: int) -> str:
    return f"{count:,} errors" if count else ""
