"""The measurements of eviction: that they run, would notice wrong bytes, and reach the document."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

from bench.eviction import document, measure, questions, tables  # noqa: E402
from bench.eviction.contents import CHUNK_PAGES, CONTENTS, Pages, make_prototypes  # noqa: E402
from bench.eviction.measure import Results, Settings  # noqa: E402
from bench.eviction.questions import QUESTIONS, Cell, Setting, cells_of  # noqa: E402
from bench.eviction.run import Outcome  # noqa: E402
from bench.eviction.workloads import WORKLOADS, Access  # noqa: E402
from bench.table import PAGE_BYTES, WORDS_IN_PAGE, Words  # noqa: E402

MIB = 1 << 20
SETTINGS = Settings(ram_bytes=5 * MIB, faults="signal", rounds=1, seed=1, machine="a machine")


def make_outcome(operation_us: float = 10.0) -> Outcome:
    return Outcome(
        operations=1000,
        operation_us=operation_us,
        chunk_us_p50=9.0,
        chunk_us_p99=30.0,
        cpu_us=8.0,
        phase_us={"fill": 5.0, "read": operation_us},
        pswpin=2000,
        pswpout=1000,
        refaults=10,
        faults_zcache=20,
        faults_device=30,
        direct_reclaims=0,
        evicted_units=40,
        eviction_us_p99=128,
        compression_ratio=3.0,
        pool_bytes=MIB,
        reserve_bytes=4096,
        wrong_words=0,
    )


def make_results(operation_us: float = 10.0) -> Results:
    cells = cells_of(list(QUESTIONS))
    return Results(SETTINGS, {cell: [make_outcome(operation_us)] for cell in cells})


@pytest.fixture
def filled() -> tuple[Pages, Words]:
    words = np.zeros(2 * CHUNK_PAGES * WORDS_IN_PAGE, np.int64)
    pages = Pages(words, make_prototypes("mixed", seed=1), seed=1)
    for first in (0, CHUNK_PAGES):
        assert pages.fill(first) == CHUNK_PAGES
    return pages, words


def test_right_words_are_right_before_and_after_writes(filled: tuple[Pages, Words]) -> None:
    pages, _ = filled
    some = np.array([0, 5, 5, CHUNK_PAGES, 2 * CHUNK_PAGES - 1])
    pages.read(some)
    pages.write(some)
    pages.read(some)
    pages.read(np.arange(CHUNK_PAGES))
    assert not pages.wrong_words


def test_a_lost_write_is_noticed(filled: tuple[Pages, Words]) -> None:
    pages, words = filled
    before = words.copy()
    pages.write(np.array([7]))
    words[:] = before
    pages.read(np.array([7, 8]))
    assert pages.wrong_words == 1


def test_pages_that_were_mixed_up_are_noticed(filled: tuple[Pages, Words]) -> None:
    pages, words = filled
    words[: 2 * WORDS_IN_PAGE] = np.roll(words[: 2 * WORDS_IN_PAGE], WORDS_IN_PAGE)
    pages.read(np.array([0, 1]))
    assert pages.wrong_words >= 2


def test_foreign_words_are_noticed(filled: tuple[Pages, Words]) -> None:
    pages, words = filled
    words.reshape(-1, WORDS_IN_PAGE)[3, 1:] ^= 1
    pages.read(np.array([2, 3, 4]))
    assert pages.wrong_words == 1


@pytest.mark.parametrize("contents", CONTENTS)
def test_contents_are_whole_pages_and_follow_from_the_seed(contents: str) -> None:
    words = make_prototypes(contents, seed=3)
    assert words.size
    assert words.size % WORDS_IN_PAGE == 0
    np.testing.assert_array_equal(words, make_prototypes(contents, seed=3))


@pytest.mark.parametrize("workload", WORKLOADS)
def test_steps_stay_in_their_arrays_and_follow_from_the_seed(workload: str) -> None:
    script, again = (
        WORKLOADS[workload].script(4 * MIB // PAGE_BYTES, np.random.default_rng(5)) for _ in range(2)
    )
    assert script.counts <= {step.phase for step in script.steps}
    for step, same in zip(script.steps, again.steps, strict=True):
        if isinstance(step, Access):
            assert isinstance(same, Access)
            assert 0 <= step.pages.min() <= step.pages.max() < script.arrays[step.array].pages
            np.testing.assert_array_equal(step.pages, same.pages)


def test_every_cell_is_measured_once() -> None:
    cells = cells_of([1, 2])
    assert len(set(cells)) == len(cells) < len(cells_of([1])) + len(cells_of([2]))


@pytest.mark.userfaultfd
def test_a_round_has_all_figures_and_a_setting_that_is_not_known_is_skipped() -> None:
    known = Setting.make("known")
    # Whatever zpager learns, it will not learn these.
    unknown = [Setting.make("argument", not_there=1), Setting.make("value", policy="not there")]
    cells = [Cell("skewed writes", setting.options) for setting in (known, *unknown)]
    results = Results(SETTINGS)
    said: list[str] = []
    saved: list[str] = []
    measure.measure(results, cells, said.append, lambda: saved.append(results.as_json()))

    assert not results.failed
    assert "not_there" in results.refused[cells[1]]
    assert "not there" in results.refused[cells[2]]
    assert [line for line in said if line.startswith("skipped: ")] == said[1:]
    (outcome,) = results.outcomes[cells[0]]
    assert outcome.operations == 8 * SETTINGS.ram_bytes // PAGE_BYTES
    assert outcome.wrong_words == 0
    assert 0 < outcome.chunk_us_p50 <= outcome.chunk_us_p99
    assert outcome.cpu_us > 0
    assert outcome.pswpin > 0
    assert set(outcome.phase_us) == {"fill", "work"}

    read_back = Results.from_json(saved[-1])
    assert read_back.settings == SETTINGS
    assert read_back.refused == results.refused
    assert set(read_back.outcomes) == {cells[0]}


@pytest.mark.userfaultfd
@pytest.mark.parametrize("workload", ["fill and scan", "contest", "scan and hot"])
def test_workloads_read_what_they_wrote(workload: str) -> None:
    cell = Cell(workload, Setting.make("base").options)
    results = Results(SETTINGS)
    measure.measure(results, [cell], lambda _: None, lambda: None)
    (outcome,) = results.outcomes[cell]
    assert outcome.wrong_words == 0


def test_results_of_other_questions_are_kept() -> None:
    earlier, results = make_results(1.0), Results(SETTINGS)
    mine = cells_of([3])
    results.outcomes = {mine[0]: [make_outcome(2.0)]}
    results.keep_others(earlier, mine)
    assert results.outcomes[mine[0]] == [make_outcome(2.0)]
    assert mine[1] not in results.outcomes
    assert set(results.outcomes) >= set(cells_of([1]))


def test_tables_compare_by_medians_and_judge_auto() -> None:
    results = make_results()
    auto = Cell("contest", questions.AUTOMATIC_SHARE.settings[0].options)
    results.outcomes[auto] = [make_outcome(10.9), make_outcome(1.0), make_outcome(50.0)]
    assert "| 1.09 | 10%: 10.0 µs | 450% | yes |" in tables.markdown(2, results)
    results.outcomes[auto] = [make_outcome(11.1)]
    assert "| 1.11 | 10%: 10.0 µs | – | **no** |" in tables.markdown(2, results)


def test_tables_remark_what_was_refused_failed_or_wrong() -> None:
    results = make_results()
    refused, failed, wrong = [
        Cell("skewed writes", setting.options) for setting in questions.RESERVES.settings[:3]
    ]
    del results.outcomes[refused], results.outcomes[failed]
    results.refused[refused] = "no such thing"
    results.failed[failed] = "exit code 1"
    results.outcomes[wrong] = [replace(make_outcome(), wrong_words=3)]
    text = tables.markdown(3, results)
    assert "Skipped: default, since this zpager refuses it: no such thing" in text
    assert "FAILED: skewed writes, 0.5%: exit code 1" in text
    assert "WRONG BYTES: skewed writes, 1%: 3 words" in text


def test_nothing_measured_is_a_table_without_rows() -> None:
    for question in QUESTIONS:
        assert "| workload" in tables.markdown(question, Results(SETTINGS))


def test_document_has_a_place_for_all_and_writing_twice_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "eviction.md"
    path.write_text((CHECKOUT / "docs" / "eviction.md").read_text("utf-8"), "utf-8")
    (tmp_path / "eviction").mkdir()
    results = make_results()

    def everything() -> dict[str, bytes]:
        document.update(path, list(QUESTIONS), results)
        return {file.name: file.read_bytes() for file in tmp_path.rglob("*.*")}

    first = everything()
    assert set(first) == {"eviction.md", *(f"question-{number}.svg" for number in QUESTIONS)}
    assert first["eviction.md"].decode().count("| contest |") == 9
    assert all(len(picture) < 100_000 for name, picture in first.items() if name.endswith(".svg"))
    assert everything() == first


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = "before\n<!-- figures: a -->\nold\n<!-- end of figures: a -->\nafter\n"
    replaced = document.replace_part(text, "a", "new\nand more")
    assert replaced == text.replace("old", "new\nand more")
    assert document.replace_part(replaced, "a", "old") == text
    with pytest.raises(document.MarkerMissing, match="figures: b"):
        document.replace_part(text, "b", "new")
