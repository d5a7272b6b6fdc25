"""The benchmark: that it runs, that it would notice wrong bytes, and how it words its figures."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from machine_changes import WISH

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

from bench import samples  # noqa: E402
from bench.accesses import by_zipf, evenly  # noqa: E402
from bench.data import Check, Data  # noqa: E402
from bench.outcome import Outcome  # noqa: E402
from bench.plots import save as save_plot  # noqa: E402
from bench.report import remarks, spread, verdict  # noqa: E402
from bench.results import Finding, Results, Settings  # noqa: E402
from bench.sizes import QUICK  # noqa: E402
from bench.split import split  # noqa: E402
from bench.table import GROUP_WORDS, WORDS_IN_PAGE, Table, Words  # noqa: E402

MIB = 1 << 20
NOTHING_CHANGED = np.zeros(0, np.int64)
PAGER, ZSWAP, ZRAM = "zpager, signal", "zswap", "zram"


def make_outcome(fill_us: float, **others: Any) -> Outcome:
    values: dict[str, Any] = {
        "us": {"fill": fill_us},
        "misses": {"fill": 0.0},
        "cpu_us": {"fill": fill_us},
        "stored_bytes": 4 * MIB,
        "pool_bytes": MIB,
        "device_read_pages": 0,
        "device_written_pages": 0,
        "resident_growth_bytes": MIB,
        "wrong": [],
    }
    return Outcome(**values | others)


def make_results(times_us: dict[str, list[float]]) -> Results:
    settings = Settings.here(
        sizes=QUICK,
        rounds=3,
        seed=1,
        quick=True,
        contestants=tuple(times_us),
        programmes=("table",),
        options={},
    )
    results = Results(settings)
    for name, its_times in times_us.items():
        for number, fill_us in enumerate(its_times, start=1):
            results.add(name, "table", number, make_outcome(fill_us))
    return results


def is_right(data: Data, words: Words, changed: Words, version: int = 0) -> bool:
    check = Check(data, changed, version)
    return all(
        check.is_right(group, words[group * GROUP_WORDS : (group + 1) * GROUP_WORDS])
        for group in range(data.groups)
    )


@pytest.fixture(scope="module")
def made() -> tuple[Table, Words]:
    expected = Table(groups=6, seed=1)
    words = np.empty(expected.words, np.int64)
    for group in range(6):
        expected.write_group(group, words[group * GROUP_WORDS : (group + 1) * GROUP_WORDS])
    return expected, words


def test_table_knows_its_own_words(
    made: tuple[Table, Words],
) -> None:
    expected, words = made
    assert is_right(expected, words, NOTHING_CHANGED)
    indices = np.array([0, 1, GROUP_WORDS - 1, GROUP_WORDS, 5 * GROUP_WORDS + 77])
    np.testing.assert_array_equal(expected.at(indices), words[indices])
    for group in range(6):
        first_words = words.reshape(6, -1)[group, ::WORDS_IN_PAGE]
        assert expected.first_words_sum(group) == first_words.sum()


def test_one_flipped_bit_and_a_lost_write_are_found(
    made: tuple[Table, Words],
) -> None:
    expected, words = made
    changed = np.array([3, 2 * GROUP_WORDS + 5])
    words[changed] ^= 1
    assert is_right(expected, words, changed)
    assert not is_right(expected, words, changed[:1])
    words[changed[1]] ^= 1
    assert not is_right(expected, words, changed)
    words[changed[0]] ^= 1
    words[-1] ^= 1 << 62
    assert not is_right(expected, words, NOTHING_CHANGED)
    words[-1] ^= 1 << 62


def test_groups_differ_from_one_another(
    made: tuple[Table, Words],
) -> None:
    _, words = made
    pages = {page.tobytes() for page in words.reshape(-1, WORDS_IN_PAGE)}
    assert len(pages) == words.size // WORDS_IN_PAGE


def test_a_version_is_added_to_every_word(made: tuple[Table, Words]) -> None:
    expected, words = made
    assert is_right(expected, words + 2, NOTHING_CHANGED, version=2)
    assert not is_right(expected, words + 1, NOTHING_CHANGED, version=2)
    indices = np.array([7, 3 * GROUP_WORDS])
    np.testing.assert_array_equal(expected.at(indices, 2), words[indices] + 2)


def test_sample_is_repeated_with_stamps() -> None:
    words = np.random.default_rng(0).integers(0, 1 << 60, 2 * GROUP_WORDS)
    sample = samples.Sample(words, groups=3)
    made = np.empty(3 * GROUP_WORDS, np.int64)
    for group in range(3):
        sample.write_group(group, made[group * GROUP_WORDS : (group + 1) * GROUP_WORDS])
        first_words = made.reshape(3, -1)[group, ::WORDS_IN_PAGE]
        assert sample.first_words_sum(group) == first_words.sum()
    np.testing.assert_array_equal(made[::WORDS_IN_PAGE], np.arange(3 * GROUP_WORDS // WORDS_IN_PAGE))
    indices = np.array([0, 5, GROUP_WORDS, 2 * GROUP_WORDS + 1])
    np.testing.assert_array_equal(sample.at(indices), made[indices])
    assert made[2 * GROUP_WORDS + 1] == words[1]


def test_samples_are_what_they_say(tmp_path: Path) -> None:
    samples.make_all(tmp_path, 1, list(samples.KINDS))
    sizes = {}
    for name in samples.KINDS:
        content = samples.load(str(tmp_path), name, 1)
        group = np.empty(GROUP_WORDS, np.int64)
        content.write_group(0, group)
        sizes[name] = len(zlib.compress(group.tobytes(), 1)) / group.nbytes
    assert sizes["matrix"] > 0.99
    assert all(share < 0.9 for name, share in sizes.items() if name != "matrix")


def test_accesses_go_where_they_are_meant_to() -> None:
    random = np.random.default_rng(0)
    indices = evenly(random, pages=100, count=10_000, first_page=50)
    assert set(indices // WORDS_IN_PAGE) == set(range(50, 150))
    pages, counts = np.unique(by_zipf(random, 1000, 10_000) // WORDS_IN_PAGE, return_counts=True)
    assert pages.min() >= 0
    assert pages.max() < 1000
    assert counts.max() > 1000 > 20 * np.median(counts)


def test_limit_and_pool_are_the_total() -> None:
    found = split(512 * MIB, 1024 * MIB, 4.0, None)
    assert found is not None
    assert found.limit_bytes + found.pool_bytes == 512 * MIB
    # What is not within the limit, compressed, fills the pool.
    assert (1024 * MIB - found.limit_bytes) / 4 == pytest.approx(found.pool_bytes, rel=1e-6)
    # A pool that is limited itself leaves more to the limit; the rest of the data goes to the disk.
    assert split(512 * MIB, 4096 * MIB, 4.0, 200 * MIB) == split(512 * MIB, 8192 * MIB, 2.0, 200 * MIB)
    assert split(512 * MIB, 4096 * MIB, 4.0, None) is None
    assert split(512 * MIB, 1024 * MIB, 1.0, None) is None
    fits = split(512 * MIB, 100 * MIB, 4.0, None)
    assert fits is not None
    assert fits.limit_bytes == 512 * MIB


def test_ratios_are_of_pairs_and_the_best_is_by_median() -> None:
    results = make_results({PAGER: [2.0, 8.0, 3.0], ZSWAP: [4.0, 10.0, 30.0], ZRAM: [11.0, 9.0, 12.0]})
    assert results.best_of_the_kernel("fill") == ZSWAP
    assert results.ratios(PAGER, ZSWAP, "fill") == [0.5, 0.8, 0.1]
    results.outcomes[ZSWAP, "table"].pop(2)
    assert results.ratios(PAGER, ZSWAP, "fill") == [0.5, 0.1]


def test_the_better_mode_is_named_and_judged() -> None:
    found = {"zpager, signal": [0.5, 0.7, 0.6], "zpager, thread": [0.9]}
    assert verdict(found, 0.6) == "ok (signal)"
    assert verdict(found, 0.59) == "MISSED (signal)"
    assert verdict(found, None) == ""
    assert verdict({"zpager, signal": []}, 0.5) == ""
    assert spread([3.0, 1.0, 2.0], lambda value: f"{value:.0f}") == "2 (1–3)"


def test_results_survive_their_file() -> None:
    results = make_results({PAGER: [2.0, 3.0], ZSWAP: [4.0]})
    results.absent[ZRAM] = "it needs root"
    results.leave_out(ZSWAP, "table", "does not fit")
    results.count_killed(ZSWAP, "table")
    results.findings.append(Finding("density", "integers", [1.4, 1.7], 1.5, is_at_least=True))
    again = Results.from_json(results.as_json())
    assert again == results
    assert again.as_json() == results.as_json()


def test_findings_are_judged() -> None:
    assert Finding("import", "", [0.1, 0.2, 0.14], 0.15).is_met
    assert not Finding("import", "", [0.1, 0.2, 0.16], 0.15).is_met
    assert Finding("density", "", [1.6], 1.5, is_at_least=True).is_met
    assert not Finding("density", "", [1.4], 1.5, is_at_least=True).is_met


def test_plot_is_the_same_from_the_same_results(tmp_path: Path) -> None:
    results = make_results({PAGER: [2.0, 3.0], ZSWAP: [4.0, 5.0], ZRAM: [9.0, 8.0]})
    paths = tmp_path / "one.svg", tmp_path / "two.svg"
    for path in paths:
        save_plot(results, path)
    assert paths[0].read_text() == paths[1].read_text()
    assert "fill" in paths[0].read_text()


def test_remarks_name_wrong_bytes_and_a_disturbance() -> None:
    results = make_results({PAGER: [2.0]})
    assert not any("WRONG" in remark or "DISTURBED" in remark for remark in remarks(results))
    results.add(PAGER, "table", 2, make_outcome(3.0, wrong=["random read"], others_share=0.9))
    assert f"WRONG BYTES: {PAGER}, table, round 2: random read" in remarks(results)
    assert any("DISTURBED" in remark for remark in remarks(results))


@pytest.mark.userfaultfd
def test_quick_benchmark_prints_the_tables(tmp_path: Path) -> None:
    json_path = tmp_path / "rounds.json"
    kernels = ["zswap", "zram"] if os.environ.get(WISH) else []
    finished = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(json_path), "--only", "table"]
        + ["--only", "integers", "--no-checks", "--contestants", ";".join(["zpager", *kernels])],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "random read" in finished.stdout
    results = Results.from_json(json_path.read_text())
    assert results.settings.quick
    assert not results.wrong()
    for name in ("zpager, signal", "zpager, thread"):
        (table,) = results.outcomes[name, "table"].values()
        assert {"fill", "random read", "random write", "read-modify-write"} <= table.us.keys()
        assert (name, "integers") in results.outcomes
    # Whoever did not take part, it is said why.
    for name in kernels:
        took_part = any(key[0] == name for key in results.outcomes)
        assert took_part or name in results.absent or any(key[0] == name for key in results.left_out)
