"""The post-mortem: each defect does what it did, on a small scale, and the page's figures are theirs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from zpager.cli import main
from zpager.lab import execute
from zpager.lab.costs import costs
from zpager.lab.post_mortem import document, experiments, measures
from zpager.lab.post_mortem.answers import Answers
from zpager.lab.post_mortem.experiments import CASES, DEFECTS, Plan
from zpager.lab.results import Outcome, path_of
from zpager.lab.scenario import AtRandom, InOrder, Memory, Phase, Scenario, Sleep, Thread
from zpager.lab.trace import Trace

MIB = 1 << 20
RAM_BYTES = 4 * MIB
SLEEP_SECONDS = 0.5


def make_trace(title: str) -> Trace:
    idle, busy = Memory("idle", "8MiB", "files"), Memory("busy", "5.3MiB", "table")
    work: list[Phase | Sleep] = [
        Sleep(seconds=SLEEP_SECONDS),
        InOrder(busy, writes=1),
        AtRandom(busy, accesses=10_000, skew=0.6, writes=1 / 8, think_ns=1000),
    ]
    return Scenario(title, [Thread("A", [InOrder(idle, writes=1)]), Thread("B", work)], seed=1).trace()


@pytest.fixture(scope="module")
def traces() -> dict[str, Trace]:
    return {name: make_trace(name) for name in ("rfc", "shifting", "scan_and_hot")}


@pytest.fixture(scope="module")
def plan(traces: dict[str, Trace]) -> Plan:
    return experiments.plan(traces, RAM_BYTES)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rfc")


@pytest.fixture(scope="module")
def answers(traces: dict[str, Trace], plan: Plan, directory: Path) -> Answers:
    found: dict[str, Outcome] = {}
    tasks = {task.key: task for task in plan.tasks()}

    def keep(outcome: Outcome) -> None:
        found[outcome.key] = outcome

    execute.run(list(tasks.values()), traces, directory, processes=1, on_done=keep)
    return Answers(plan, found, traces)


def case(answers: Answers, name: str, device: str = "nvme") -> Outcome:
    outcome = answers.defect(name, device)
    assert outcome is not None
    return outcome


def test_every_defect_is_there_alone_and_all_together() -> None:
    sets = [one.defects for one in CASES if one.eviction == "rfc"]
    assert {frozenset({defect}) for defect in DEFECTS} < set(sets)
    assert frozenset(DEFECTS) in sets


def test_without_eviction_the_busy_one_pays_and_the_patch_as_it_was_changes_nothing(answers: Answers) -> None:
    for device in ("disk", "nvme"):
        none, all_five, meant = (
            answers.slow_down(case(answers, name, device))
            for name in ("no eviction", "the patch as it was: all five", "unuse as it was meant")
        )
        assert none > 2 * meant
        assert all_five == pytest.approx(none, rel=0.3)
    counters = case(answers, "the patch as it was: all five").require().counters
    assert counters["guard_closed"] > counters["guard_opened"]
    assert counters["freed_frames"] == 0


def test_the_inverted_guard_alone_lets_nothing_through(answers: Answers) -> None:
    assert case(answers, "inverted-guard alone").require().counters["written_back_pages"] == 0
    assert case(answers, "unuse as it was meant").require().counters["written_back_pages"] > 100


def test_pages_with_a_leaked_reference_are_stuck(answers: Answers) -> None:
    outcome = case(answers, "leaked-reference alone")
    assert outcome.require().gave_up_ns is not None
    assert outcome.require().counters["leaked_pages"] > 100
    assert "no frame for 30 s" in answers.tables()["defects"]
    # Nothing reaches the device, whichever it is.
    assert answers.defect("leaked-reference alone", "disk") is None


def test_the_head_of_the_list_delays_the_write(answers: Answers) -> None:
    def mean_us(outcome: Outcome) -> float:
        buckets = outcome.require().histograms["unuse_to_write_us"]
        return sum(below_us * count for below_us, count in buckets) / sum(count for _, count in buckets)

    head, meant = case(answers, "head-of-list alone"), case(answers, "unuse as it was meant")
    assert mean_us(head) > 1.5 * mean_us(meant)


def test_the_wrong_target_evicts_more(answers: Answers) -> None:
    sign, meant = (
        case(answers, name).require().counters["zswpwb"]
        for name in ("target-sign alone", "unuse as it was meant")
    )
    assert sign > meant


def test_a_slow_down_leaves_sleep_out(answers: Answers, traces: dict[str, Trace]) -> None:
    outcome = case(answers, "unuse as it was meant")
    busy = outcome.require().threads[1]
    own_ns = busy.end_ns - busy.lost_ns - SLEEP_SECONDS * 1e9
    assert measures.slow_down(outcome, traces["rfc"]) == pytest.approx(1 + busy.lost_ns / own_ns)
    accesses = traces["rfc"].threads[1]
    think_ns = int(accesses.think_ns[1:].sum())
    assert own_ns == pytest.approx(think_ns + costs("nvme").access_ns * len(accesses.page), rel=0.01)


def test_frames_freed_a_second_are_units_less_pages_that_wait(answers: Answers) -> None:
    outcome = case(answers, "writeback")
    seconds = outcome.require().threads[1].end_ns / 1e9
    freed = outcome.require().counters["evicted_units"]
    assert freed / seconds < measures.freed_per_second(outcome) < 4 * freed / seconds
    assert measures.freed_per_second(case(answers, "no eviction")) == 0
    # Each unit gives a frame and takes one for each of its pages, none of which ever leaves.
    assert measures.freed_per_second(case(answers, "leaked-reference alone")) < 0


def test_what_a_share_keeps_to_is_read_off_the_counts(answers: Answers) -> None:
    outcome = case(answers, "no eviction")
    result = replace(outcome.require(), histograms={"x": ((1, 0), (2, 3), (4, 0), (8, 1)), "none": ((1, 0),)})
    outcome = replace(outcome, result=result)
    assert [measures.within(outcome, "x", share) for share in (0.5, 0.75, 0.99)] == [2, 2, 8]
    assert measures.within(outcome, "none", 0.5) is None


def test_the_page_has_a_figure_wherever_it_wants_one(answers: Answers, tmp_path: Path) -> None:
    page = tmp_path / "rfc.md"
    document.write(answers, page, seed=1)
    text = page.read_text("utf-8")
    assert "$" not in text
    for table in answers.tables().values():
        assert table in text
    links = re.findall(r"\]\((rfc/[^)]*)\)", text)
    assert len(links) == len(answers.pictures())
    assert all((tmp_path / link).read_text("utf-8").count("<path") > 5 for link in links)
    # The same replays are the same page.
    again = tmp_path / "again"
    again.mkdir()
    document.write(answers, again / "rfc.md", seed=1)
    assert (again / "rfc.md").read_text("utf-8") == text
    assert all((again / link).read_bytes() == (tmp_path / link).read_bytes() for link in links)


def test_tables_are_as_wide_everywhere_as_their_head(answers: Answers) -> None:
    for table in answers.tables().values():
        for block in table.split("\n\n"):
            widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
            assert len(widths) <= 1
    assert np.isfinite([answers.slow_down(case(answers, "intact"))]).all()


def test_the_command_computes_what_is_missing_and_writes_page_and_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, directory: Path, answers: Answers
) -> None:
    monkeypatch.setattr(experiments, "traces", lambda seed: answers.traces)
    monkeypatch.setattr(experiments, "plan", lambda its_traces: answers.plan)
    page, expected = tmp_path / "rfc.md", tmp_path / "expected.md"
    path_of(directory, case(answers, "intact").key).unlink()
    done = CliRunner().invoke(main, ["lab", "rfc", "-o", str(directory), "--page", str(page), "--seed", "1"])
    assert done.exit_code == 0, done.output
    assert f"1 to replay, {len(answers.outcomes) - 1} already" in done.output
    report = directory / "report.html"
    assert report.as_uri() in done.output
    assert "The RFC, post mortem" in report.read_text("utf-8")
    document.write(answers, expected, seed=1)
    assert page.read_text("utf-8") == expected.read_text("utf-8").replace("(expected/", "(rfc/")


def test_a_page_has_to_be_markdown(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["lab", "rfc", "-o", str(tmp_path / "results"), "--page", "rfc.html"])
    assert done.exit_code == 1
    assert "has to end in .md" in done.output
    assert not (tmp_path / "results").exists()
