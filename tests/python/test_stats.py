"""The picture of all counters: derived figures, differences, tables."""

import dataclasses
import math
from typing import Any

import pytest

import zpager


def make(**given: Any) -> zpager.Stats:
    """Stats that are zero but for what is given."""
    values: dict[str, Any] = dict.fromkeys((field.name for field in dataclasses.fields(zpager.Stats)), 0)
    values |= {"eviction_us": (), "fault_us": (), "unuse_to_write_us": ()}
    return zpager.Stats(**(values | given))


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().faults = 1  # type: ignore[misc]


def test_free_is_what_the_parts_leave_of_the_budget() -> None:
    stats = make(
        ram_bytes=1000,
        resident_bytes=1,
        swap_cache_bytes=20,
        pool_bytes=300,
        reserve_bytes=4,
        metadata_bytes=5,
    )
    assert stats.used_bytes == 330
    assert stats.free_bytes == 670


def test_the_ratio_has_a_value_for_an_empty_pool_too() -> None:
    assert make(stored_pages=3, zpage_bytes=4096).compression_ratio == 3
    assert math.isnan(make().compression_ratio)
    assert make(stored_pages=3, same_filled_pages=3).compression_ratio == math.inf


def test_quantiles_are_upper_bounds_of_buckets() -> None:
    stats = make(fault_us=((1, 0), (2, 50), (4, 49), (8, 0), (16, 1)))
    assert stats.fault_us_p50 == 2
    assert stats.fault_us_p99 == 4
    assert stats.unuse_to_write_us_p50 is None
    assert make(unuse_to_write_us=((1, 0), (8, 1))).unuse_to_write_us_p99 == 8


def test_a_difference_counts_events_and_keeps_the_state() -> None:
    earlier = make(faults=10, resident_bytes=500, pswpout=1, fault_us=((1, 5), (2, 5)))
    later = make(faults=25, resident_bytes=300, pswpout=1, fault_us=((1, 6), (2, 9), (4, 10)))
    between = later - earlier
    assert (between.faults, between.pswpout, between.resident_bytes) == (15, 0, 300)
    assert between.fault_us == ((1, 1), (2, 4), (4, 10))


def test_only_stats_can_be_subtracted() -> None:
    with pytest.raises(TypeError):
        make() - 1  # type: ignore[operator]


def test_the_table_says_where_the_pages_are() -> None:
    table = repr(
        make(ram_bytes=1 << 28, resident_bytes=1 << 26, faults=1234567, swap_bytes=4 << 30, lost_pages=3)
    )
    for line in ("resident", "64 MiB", "25.0%", "256 MiB", "1,234,567", "of 4 GiB", "pages lost"):
        assert line in table
    assert str(make()) == repr(make())
    assert max(map(len, table.splitlines())) <= 100
    assert all(line == line.rstrip() for line in table.splitlines())


def test_every_counter_of_events_is_in_the_table() -> None:
    for number, field in enumerate(dataclasses.fields(zpager.Stats)):
        if not field.name.endswith(("_bytes", "_us")) and field.name not in (
            "pers_zpages",
            "zswpin",
            "zswpout",
            "zswpwb",
        ):
            assert f"{7_000_000 + number:,}" in repr(make(**{field.name: 7_000_000 + number})), field.name


def test_the_html_table_has_the_same_rows_and_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = make(ram_bytes=1 << 20)
    page = stats._repr_html_()
    assert page.startswith("<table>")
    assert page.endswith("</table>")
    assert page.count("<tr>") == len(repr(stats).splitlines())
    monkeypatch.setattr(zpager.Stats, "_groups", lambda self: [("<title>", [("a&b", "<1", '"')])])
    assert "&lt;title&gt;" in stats._repr_html_()
    assert "a&amp;b" in stats._repr_html_()
    assert "&lt;1" in stats._repr_html_()
