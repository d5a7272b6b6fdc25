"""The report: what it compares, and that it opens in a browser, with its pictures, and needs nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from zpager.cli import main
from zpager.lab import execute, results
from zpager.lab.costs import costs
from zpager.lab.report import figures, group, page, tables
from zpager.lab.report.group import Group
from zpager.lab.results import Outcome
from zpager.lab.scenario import AtRandom, InOrder, Memory, Scenario, Sleep, Thread
from zpager.lab.sweep import Sweep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KINDS = ("fastest", "misses", "latency", "traffic", "1-lost", "1-places", "1-uses", "1-device")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six configurations that can be and three that cannot, of a scenario whose name HTML has to escape."""
    idle, busy = Memory("idle", "6MiB", "files"), Memory("busy", "5MiB", "table")
    trace = Scenario(
        "small",
        [
            Thread("A", [InOrder(idle, writes=1), Sleep(seconds=10), InOrder(idle)]),
            Thread("B", [InOrder(busy, writes=1), AtRandom(busy, accesses=20_000, writes=0.2)]),
        ],
        seed=1,
    ).trace()
    found = tmp_path_factory.mktemp("results")
    wanted = Sweep(ram=("3MiB", "4MiB", "64KiB"), eviction=("none", "unuse", "intact"))
    tasks = execute.tasks(
        "<small> & odd", trace, wanted.configurations(trace.page_count, 3.0), {"nvme": costs("nvme")}
    )
    execute.run(tasks, {"<small> & odd": trace}, found, processes=1, on_done=lambda outcome: None)
    return found


@pytest.fixture(scope="module")
def report(directory: Path) -> Path:
    path = directory.with_name("report.html")
    done = CliRunner().invoke(main, ["lab", "report", str(directory), "-o", str(path), "--title", "<Which?>"])
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture(scope="module")
def only(directory: Path) -> Group:
    (found,) = group.groups(results.read(directory))
    return found


def test_the_fastest_comes_first_and_is_the_one_for_its_ram(only: Group) -> None:
    lost = [outcome.lost_ns for outcome in only.outcomes]
    assert lost == sorted(lost)
    assert len(lost) == 6
    assert len(only.impossible) == 3
    for outcome in only.fastest_by_ram():
        same_ram = [
            one for one in only.outcomes if one.configuration.ram_bytes == outcome.configuration.ram_bytes
        ]
        assert outcome.lost_ns == min(one.lost_ns for one in same_ram)


def test_a_configuration_is_called_by_what_differs(only: Group) -> None:
    assert only.varying == ["ram_bytes", "eviction"]
    assert {only.label(outcome) for outcome in only.outcomes} == {
        f"{ram} MiB, {eviction}" for ram in (3, 4) for eviction in ("none", "unuse", "intact")
    }


def test_a_table_has_the_figures_of_the_results(only: Group) -> None:
    rows = tables.comparison(only)
    first = dict(zip(rows[0], rows[1], strict=True))
    outcome = only.outcomes[0]
    assert first["waited, s"] == f"{outcome.lost_ns / 1e9:,.3f}"
    assert int(first["device"].replace(",", "")) == outcome.require().misses()["device"]
    assert len(rows) == 1 + 6
    assert [row[0] for row in tables.fastest(only)[1:]] == ["3 MiB", "4 MiB"]
    assert [row[0] for row in tables.tasks(only, outcome)[1:]] == ["A", "B"]


def test_a_sleep_is_cut_out_of_the_pictures(only: Group) -> None:
    samples = only.outcomes[0].require().samples
    assert samples["now_ns"][-1] > 10e9
    seconds, pauses = figures._awake_seconds(samples)
    assert len(pauses) == 1
    assert seconds[-1] < 1
    assert (np.diff(seconds) > 0).all()


def test_lines_fall_and_the_share_that_takes_longer_is_right(only: Group) -> None:
    result = only.outcomes[0].require()
    below_us, longer = figures._longer_than(result)
    assert (np.diff(longer) < 0).all()
    faults = sum(count for thread in result.threads for _, count in thread.latency)
    at = len(below_us) // 2
    expected = sum(
        count
        for thread in result.threads
        for below_ns, count in thread.latency
        if below_ns > below_us[at] * 1000
    )
    assert longer[at] == pytest.approx(expected / faults)


class _Page(HTMLParser):
    """Identifiers, references to them, and what would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.identifiers: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in ((name, value or "") for name, value in attrs):
            if name == "id":
                self.identifiers.append(value)
            if name in ("href", "xlink:href", "src"):
                self.references.append(value)
            self.references += [f"#{one}" for one in re.findall(r"url\(#([^)]*)\)", value)]


def test_the_page_refers_to_nothing_but_itself(report: Path) -> None:
    found = _Page(report.read_text("utf-8"))
    assert len(found.identifiers) == len(set(found.identifiers))
    inside = {f"#{identifier}" for identifier in found.identifiers} | {"data:,"}
    assert set(found.references) <= inside
    assert not {"script", "img", "iframe", "object"} & set(found.tags)


def test_the_page_says_everything_and_escapes_names(report: Path, only: Group) -> None:
    text = report.read_text("utf-8")
    assert "<h1>&lt;Which?&gt;</h1>" in text
    assert "&lt;small&gt; &amp; odd, on nvme" in text
    assert "<small>" not in text
    assert all(only.label(outcome) in text for outcome in only.outcomes)
    assert "ram_bytes=65536" in text
    for kind in KINDS:
        assert f'<figure id="g1-{kind}">' in text
    # Text of pictures is as light or dark as the page's.
    assert text.count("currentColor") > 50
    assert "#010203" not in text


def test_what_a_trace_does_not_show_is_said(only: Group) -> None:
    first = replace(only.outcomes[0], lacks=("writes < reads",))
    text = page.html([replace(only, outcomes=[first])], [[]], "x")
    assert "<li>writes &lt; reads</li>" in text


def test_who_found_no_frame_is_not_among_the_fastest(only: Group) -> None:
    stuck = replace(only.outcomes[0], result=replace(only.outcomes[0].require(), gave_up_ns=31_000_000_000))
    (found,) = group.groups([stuck, *only.outcomes[1:]])
    assert stuck not in found.outcomes
    assert "after 31.0 s no frame" in page.html([found], [[]], "x")


def test_pictures_are_files_as_well(report: Path) -> None:
    files = {path.stem: path.read_bytes() for path in report.with_suffix("").iterdir()}
    assert {f"g1-{kind}" for kind in KINDS} <= set(files)
    assert all(content.startswith(PNG) and len(content) > 5000 for content in files.values())


def test_the_same_results_are_the_same_report(report: Path, directory: Path, tmp_path: Path) -> None:
    again = tmp_path / "report.html"
    CliRunner().invoke(
        main, ["lab", "report", str(directory), "-o", str(again), "--title", "<Which?>", "--no-png"]
    )
    assert again.read_bytes() == report.read_bytes()
    assert not again.with_suffix("").exists()


def test_where_nothing_was_possible_the_page_says_so(only: Group) -> None:
    nothing = replace(only, outcomes=[])
    assert page.pictures_of([nothing]) == [[]]
    assert "What did not come to its end" in page.html([nothing], [[]], "none")


def test_a_replay_without_samples_has_no_pictures_over_time(only: Group) -> None:
    outcome: Outcome = replace(only.outcomes[0], result=replace(only.outcomes[0].require(), samples={}))
    assert figures.over_time(only, outcome, "g1-1") == []


@pytest.mark.parametrize("output", ["report.pdf", "/proc/report.html"])
def test_a_page_that_cannot_be_written_is_refused(directory: Path, output: str) -> None:
    done = CliRunner().invoke(main, ["lab", "report", str(directory), "-o", output, "--no-png"])
    assert done.exit_code == 1
    assert output in done.output


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_it_is_all_there_and_asks_for_nothing(report: Path, tmp_path: Path, width: int) -> None:
    """A copy of the page tells what a script finds in it, which the page itself has none of."""
    probe = """<script>addEventListener("load", () => {
      document.querySelectorAll("details").forEach(one => one.open = true);
      document.documentElement.dataset.found = JSON.stringify({
        wide: document.documentElement.scrollWidth, window: innerWidth,
        pictures: [...document.querySelectorAll("figure svg")].map(one => {
          const box = one.getBoundingClientRect();
          return [one.closest("figure").id, box.width, box.height]; }),
        loaded: performance.getEntriesByType("resource").map(one => one.name)});
    });</script>"""
    probed = tmp_path / "probed.html"
    text = report.read_text("utf-8").replace("style-src", "script-src 'unsafe-inline'; style-src")
    probed.write_text(text.replace("</body>", probe + "</body>"), "utf-8")
    found = json.loads(_opened(probed, tmp_path, width))
    names = [name for name, _, _ in found["pictures"]]
    assert {f"g1-{kind}" for kind in KINDS} <= set(names)
    assert all(wide > 250 and high > 100 for _, wide, high in found["pictures"])
    # Nothing but tables is to be scrolled sideways.
    assert found["wide"] <= found["window"]
    assert found["loaded"] == []
    # The page itself, without the script: nothing to complain of, either.
    _opened(report, tmp_path, width)


def _opened(path: Path, tmp_path: Path, width: int) -> str:
    """What the page's script found, if there is one. No request may leave, and no error be told."""
    assert CHROMIUM is not None
    net_log = tmp_path / f"{path.stem}.json"
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--log-net-log={net_log}",
            f"--window-size={width},900",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    log = json.loads(net_log.read_text("utf-8"))
    asked = {event["params"]["url"] for event in log["events"] if "url" in event.get("params", {})}
    # The browser's own, which it makes whatever is opened, are not the page's.
    own = {url for url in asked if not url.startswith(("file:", "data:", "chrome:", "devtools:"))}
    initiated = {
        event["params"].get("initiator")
        for event in log["events"]
        if event.get("params", {}).get("url") in own
    }
    assert not initiated - {None, "not an origin"}, own
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    return found[1].replace("&quot;", '"') if found else ""
