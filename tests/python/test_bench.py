"""The benchmark: that it runs, that it would notice wrong bytes, and how it words its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

from bench.report import remarks, table  # noqa: E402
from bench.table import GROUP_WORDS, WORDS_IN_PAGE, Table, Words  # noqa: E402
from bench.workload import Round  # noqa: E402

MIB = 1 << 20
NOTHING_CHANGED = np.zeros(0, np.int64)


def make_round(random_read_us: float = 8.0) -> Round:
    return Round(
        fill_us=4.0,
        sequential_read_us=6.0,
        random_read_us=random_read_us,
        random_write_us=9.0,
        random_read_misses=0.8,
        resident_share=0.2,
        resident_growth_bytes=100 * MIB,
        metadata_bytes_per_page=14.0,
        compression_ratio=7.0,
        device_written_pages=0,
        wrong=[],
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
    assert expected.is_right(words, NOTHING_CHANGED)
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
    assert expected.is_right(words, changed)
    assert not expected.is_right(words, changed[:1])
    words[changed[1]] ^= 1
    assert not expected.is_right(words, changed)
    words[changed[0]] ^= 1
    words[-1] ^= 1 << 62
    assert not expected.is_right(words, NOTHING_CHANGED)
    words[-1] ^= 1 << 62


def test_groups_differ_from_one_another(
    made: tuple[Table, Words],
) -> None:
    _, words = made
    pages = {page.tobytes() for page in words.reshape(-1, WORDS_IN_PAGE)}
    assert len(pages) == words.size // WORDS_IN_PAGE


def test_report_has_medians_and_targets() -> None:
    rounds = {
        "zpager, signal": [make_round(7.0), make_round(12.0), make_round(8.0)],
        "zpager, thread": [make_round(40.0)],
    }
    lines = {line.split("  ")[0]: line for line in table(rounds, 256 * MIB).splitlines()}
    random_read = lines["random read, µs an access"]
    assert "≤ 9.00" in random_read
    assert "8.00 (7.00–12.00) ok" in random_read
    assert random_read.endswith("40.00")
    assert lines["sequential read, µs a page"].count("MISSED") == 2
    assert "≤ 261.1 MiB" in lines["peak growth of RSS"]


def test_remarks_name_wrong_bytes_and_a_device_that_was_used() -> None:
    rounds = {"zpager, signal": [make_round(), replace(make_round(), wrong=["random read"])]}
    assert remarks(rounds) == ["WRONG BYTES: zpager, signal, round 2, random read"]
    (remark,) = remarks({"zpager, thread": [replace(make_round(), device_written_pages=1)]})
    assert "did not fit" in remark


@pytest.mark.userfaultfd
def test_quick_benchmark_prints_the_table(tmp_path: Path) -> None:
    json_path = tmp_path / "rounds.json"
    finished = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(json_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "random read, µs an access" in finished.stdout
    document = json.loads(json_path.read_text())
    assert document["schema_version"] == 1
    assert document["settings"]["quick"] is True
    assert set(document["rounds"]) == {"zpager, signal", "zpager, thread"}
    for rounds in document["rounds"].values():
        assert [one["wrong"] for one in rounds] == [[]]
