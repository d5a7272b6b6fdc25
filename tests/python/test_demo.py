"""The demonstration: A's data, B's work, what is refused, what is shown, and that wrong bytes are found."""

from __future__ import annotations

import inspect
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import DTypeLike, NDArray
from rich.console import Console

from zpager import Pager, Stats
from zpager.demo import command, contest, plot
from zpager.demo.contest import Plan, Result, Sample
from zpager.demo.data import (
    DataChanged,
    Piece,
    TooLittleData,
    read_blocks,
    select_directory,
    select_interpreter_files,
)
from zpager.demo.display import LiveDisplay, rich_table
from zpager.demo.report import Run, as_json, plain_table, result_rows
from zpager.demo.resident import ResidentPeak
from zpager.demo.runner import RunFailed, carry_out
from zpager.demo.verify import mismatches, replay
from zpager.demo.work import Orders, Work, digest
from zpager.options import DEFAULT_EVICTION, DEFAULT_POLICY, Eviction, Policy
from zpager.sizes import PAGE_BYTES

MIB = 1 << 20
BUSY_BYTES = MIB
SEED = 7


def make_plan(name: str = "unuse", **changes: Any) -> Plan:
    plan = Plan(
        name=name,
        ram_bytes=16 * MIB,
        swap_bytes=96 * MIB,
        swap_directory="/var/tmp",
        eviction="unuse",
        policy="frame-lru",
        faults="signal",
        pool_limit="50%",
        seconds=1,
        seed=SEED,
        busy_bytes=BUSY_BYTES,
        idle_pieces=(Piece("/some/file", 10),),
    )
    return replace(plan, **changes)


def make_sample(work_seconds: float, operations: int, **changes: Any) -> Sample:
    sample = Sample(
        phase="B works",
        work_seconds=work_seconds,
        operations=operations,
        resident_bytes=4 * MIB,
        swap_cache_bytes=MIB,
        pool_bytes=8 * MIB,
        reserve_bytes=4096,
        metadata_bytes=4096,
        swap_used_bytes=2 * MIB,
        pswpin=operations * 2,
        pswpout=operations,
    )
    return replace(sample, **changes)


def result_of(orders: Orders, work: Work) -> Result:
    counters = {"pswpin": 0, "pswpout": 0, "pool_bytes": 8 * MIB}
    return Result(
        work_seconds=2.0,
        operations=work.operations,
        user_cpu_seconds=1.5,
        system_cpu_seconds=0.5,
        checksum=work.checksum,
        busy_digests=orders.digests(),
        idle_digest="a",
        idle_digest_loaded="a",
        resident_growth_bytes=16 * MIB,
        stats_at_start=counters,
        stats={**counters, "pswpin": 256},
        eviction_us_p50=64,
        eviction_us_p99=2048,
        unuse_to_write_us_p50=None,
        unuse_to_write_us_p99=20_000,
    )


def work_in_ordinary_memory(
    busy_bytes: int = BUSY_BYTES, operations: int = 30, seed: int = SEED
) -> tuple[Orders, Work]:
    orders = Orders.make(busy_bytes, seed, np.empty)
    work = Work(orders, seed)
    for _ in range(operations):
        work.step()
    return orders, work


# A's data.


def write_files(directory: Path) -> None:
    for number, name in enumerate(["b.txt", "a.txt", "sub/c.bin"]):
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes([number]) * 1000)


def test_selection_has_a_fixed_order_and_takes_no_more_than_asked(tmp_path: Path) -> None:
    write_files(tmp_path)
    selection = select_directory(str(tmp_path), most_bytes=2500, least_bytes=1)
    assert [(os.path.basename(piece.path), piece.size_bytes) for piece in selection.pieces] == [
        ("a.txt", 1000),
        ("b.txt", 1000),
        ("c.bin", 500),
    ]
    assert b"".join(read_blocks(selection.pieces)) == b"\x01" * 1000 + b"\x00" * 1000 + b"\x02" * 500
    assert "2.4 KiB from 3 files" in str(selection)
    assert str(tmp_path) in str(selection)


def test_selection_takes_no_file_twice_and_no_special_file(tmp_path: Path) -> None:
    write_files(tmp_path)
    os.link(tmp_path / "a.txt", tmp_path / "z.txt")
    (tmp_path / "link").symlink_to(tmp_path / "a.txt")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "fifo")
    assert select_directory(str(tmp_path), 1 << 30, 1).size_bytes == 3000


def test_too_little_data_says_how_much_there_is(tmp_path: Path) -> None:
    write_files(tmp_path)
    with pytest.raises(TooLittleData, match=r"2\.9 KiB .* at least 4\.9 KiB.*--data"):
        select_directory(str(tmp_path), most_bytes=10_000, least_bytes=5_000)


def test_interpreter_has_files_of_both_kinds() -> None:
    selection = select_interpreter_files(16 * MIB, 8 * MIB)
    assert 8 * MIB <= selection.size_bytes <= 16 * MIB
    assert selection == select_interpreter_files(16 * MIB, 8 * MIB)
    assert any(piece.path.endswith(".py") for piece in selection.pieces)


def test_file_that_shrank_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12")
    with pytest.raises(DataChanged, match="shorter"):
        list(read_blocks([Piece(str(path), 3)]))


# B's work and its check.


def test_tables_have_the_size_asked_for() -> None:
    orders = Orders.make(BUSY_BYTES, SEED, np.empty)
    size_bytes = sum(
        column.nbytes
        for column in (orders.customer, orders.placed_at_ms, orders.quantity, orders.price, orders.total)
    )
    assert BUSY_BYTES - 32 < size_bytes <= BUSY_BYTES
    assert (np.diff(orders.placed_at_ms) >= 0).all()


def test_replay_agrees_with_work_at_every_number_of_operations() -> None:
    expected = replay(BUSY_BYTES, SEED, [12, 30, 12])
    assert set(expected) == {12, 30}
    for operations in expected:
        result = result_of(*work_in_ordinary_memory(operations=operations))
        assert mismatches(result, expected[operations]) == []


@pytest.mark.parametrize("column", ["customer", "placed_at_ms", "quantity", "price", "total"])
def test_one_flipped_bit_is_found(column: str) -> None:
    orders, work = work_in_ordinary_memory()
    getattr(orders, column).view(np.uint8)[-1] ^= 1
    found = mismatches(result_of(orders, work), replay(BUSY_BYTES, SEED, [30])[30])
    assert found == [f"B's column {column!r} has other bytes"]


def test_wrong_answer_is_found_even_if_the_bytes_are_right_in_the_end() -> None:
    orders, work = work_in_ordinary_memory()
    result = replace(result_of(orders, work), checksum=work.checksum + 1)
    assert mismatches(result, replay(BUSY_BYTES, SEED, [30])[30]) == ["B got a wrong answer while it worked"]


def test_changed_byte_of_idle_data_is_found() -> None:
    memory = np.arange(5000, dtype=np.uint8)
    loaded = digest(memory)
    memory[4096] ^= 1
    result = replace(
        result_of(*work_in_ordinary_memory()), idle_digest=digest(memory), idle_digest_loaded=loaded
    )
    assert mismatches(result, replay(BUSY_BYTES, SEED, [30])[30]) == [
        "A's data has other bytes than its files"
    ]


# The table.


def make_run(name: str, operations: int) -> Run:
    samples = [make_sample(step / 2, operations * step // 4) for step in range(5)]
    result = replace(result_of(*work_in_ordinary_memory(operations=1)), operations=operations)
    return Run(make_plan(name), result, samples)


def test_table_compares_with_the_baseline() -> None:
    rows = result_rows([make_run("none", 40), make_run("unuse", 160)], {"none": [], "unuse": ["a byte"]})
    assert rows == [
        ("", "none", "unuse"),
        ("B's operations per second", "20.0", "80.0"),
        ("  in the last half", "20.0", "80.0"),
        ("  against none", "1.0 times", "4.0 times"),
        ("CPU time of B's work", "2.0 s", "2.0 s"),
        ("  per operation", "50.00 ms", "12.50 ms"),
        ("RAM allowed", "16 MiB", "16 MiB"),
        ("  peak growth of RSS", "16 MiB", "16 MiB"),
        ("  of RAM allowed", "100%", "100%"),
        ("  pool in the end", "8 MiB", "8 MiB"),
        ("device, read by B's work", "1 MiB", "1 MiB"),
        ("  written", "0 B", "0 B"),
        ("time to evict a frame, half", "64 µs", "64 µs"),
        ("  99%", "2048 µs", "2048 µs"),
        ("from unuse to write, half", "–", "–"),
        ("  99%", "20 ms", "20 ms"),
        ("every byte right", "yes", "NO"),
    ]


def test_table_without_the_baseline_compares_with_nothing() -> None:
    rows = result_rows([make_run("intact", 40), make_run("alone", 160)])
    assert ("  against none", "–", "–") in rows


def test_table_of_all_mechanisms_fits_a_terminal() -> None:
    runs = [make_run(name, 4_000_000) for name in ["none", "unuse", "writeback", "intact", "alone"]]
    rows = result_rows(runs, {run.plan.name: [] for run in runs})
    assert all(len(line) <= 100 for line in plain_table(rows).splitlines())
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(rich_table(rows))
    lines = capture.get().splitlines()
    assert len(lines) == len(rows)
    assert not any("…" in line for line in lines)


def test_figures_tell_all_that_the_table_does() -> None:
    runs = [make_run("none", 40), make_run("unuse", 160)]
    document = json.loads(as_json(runs, {"none": [], "unuse": []}, "files"))
    assert document["schema_version"] == 2
    figures = document["runs"][1]
    assert figures["operations_per_second_last_half"] == 80
    assert figures["against_none"] == 4
    assert figures["cpu_seconds"] == 2
    assert figures["cpu_seconds_per_operation"] == 2 / 160
    assert figures["device_read_bytes"] == 256 * PAGE_BYTES
    assert figures["device_written_bytes"] == 0
    assert figures["plan"]["eviction"] == "unuse"
    assert figures["plan"]["policy"] == "frame-lru"
    result = figures["result"]
    assert (result["user_cpu_seconds"], result["system_cpu_seconds"]) == (1.5, 0.5)
    assert (result["eviction_us_p50"], result["eviction_us_p99"]) == (64, 2048)


def test_rate_of_a_run_whose_last_operation_took_half_of_it() -> None:
    run = replace(make_run("none", 40), samples=[make_sample(0, 0), make_sample(0.5, 39), make_sample(2, 40)])
    assert run.steady_rate_per_second == run.rate_per_second == 20


def test_live_display_shows_the_run_and_those_before() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=50)
    with LiveDisplay(console) as display:
        display.end(make_run("none", 40))
        display.begin(make_plan())
        display.sample(make_sample(0, 0, phase="B loads"))
        display.sample(make_sample(1, 1234))
        with console.capture() as capture:
            console.print(display._live.get_renderable())
    picture = capture.get()
    for part in ("eviction='unuse'", "1,234.0 operations/s", "swap cache 1 MiB", "9.6 MiB/s", "against none"):
        assert part in picture


# The command, its runs being done in ordinary memory.


def work_instead_of_run(plan: Plan, observe: Callable[[Sample], None]) -> tuple[Result, list[Sample]]:
    samples = [make_sample(step / 2, step * 3) for step in range(5)]
    for sample in samples:
        observe(sample)
    orders, work = work_in_ordinary_memory(plan.busy_bytes, 12, plan.seed)
    return result_of(orders, work), samples


@pytest.fixture
def ordinary_runs(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Replaces the runs by some that need no engine; returns the plans that were carried out."""
    carried_out: list[Plan] = []

    def carry_out(plan: Plan, observe: Callable[[Sample], None]) -> tuple[Result, list[Sample]]:
        carried_out.append(plan)
        return work_instead_of_run(plan, observe)

    monkeypatch.setattr(command, "carry_out", carry_out)
    return carried_out


def test_output_without_a_terminal_is_plain(ordinary_runs: list[Plan], tmp_path: Path) -> None:
    json_path = tmp_path / "figures.json"
    outcome = CliRunner().invoke(command.demo, ["--ram", "16MiB", "--seed", "3", "--json", str(json_path)])
    assert outcome.exit_code == 0, outcome.output
    assert [plan.name for plan in ordinary_runs] == ["none", DEFAULT_EVICTION, "alone"]
    assert "\x1b" not in outcome.output
    assert "A: 32 MiB from" in outcome.output
    assert "alone     B works" in outcome.output
    assert "every byte right" in outcome.output
    figures = json.loads(json_path.read_text())
    assert figures["all_bytes_right"] is True
    assert [run["name"] for run in figures["runs"]] == ["none", DEFAULT_EVICTION, "alone"]
    assert figures["runs"][0]["plan"]["seed"] == 3
    assert len(figures["runs"][0]["samples"]) == 5


@pytest.mark.parametrize(
    ("chosen", "carried_out"),
    [
        (["all"], ["none", "unuse", "writeback", "intact"]),
        (["intact"], ["intact"]),
        (["writeback", "none", "writeback"], ["none", "writeback"]),
        (["intact", "all"], ["none", "unuse", "writeback", "intact"]),
    ],
)
def test_chosen_mechanisms_run_once_each_and_none_comes_first(
    ordinary_runs: list[Plan], chosen: list[str], carried_out: list[str]
) -> None:
    options = [option for name in chosen for option in ("--eviction", name)]
    outcome = CliRunner().invoke(command.demo, ["--ram", "16MiB", *options])
    assert outcome.exit_code == 0, outcome.output
    assert [plan.name for plan in ordinary_runs] == [*carried_out, "alone"]
    assert [plan.eviction for plan in ordinary_runs[:-1]] == carried_out
    assert [bool(plan.idle_pieces) for plan in ordinary_runs] == [True] * len(carried_out) + [False]


def test_without_a_choice_the_default_eviction_runs_against_none(
    ordinary_runs: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "DEFAULT_EVICTION", "writeback")
    assert CliRunner().invoke(command.demo, ["--ram", "16MiB"]).exit_code == 0
    assert [plan.eviction for plan in ordinary_runs] == ["none", "writeback", "writeback"]


def test_defaults_are_the_pagers() -> None:
    parameters = inspect.signature(Pager).parameters
    assert parameters["eviction"].default == DEFAULT_EVICTION
    assert parameters["policy"].default == DEFAULT_POLICY


def test_every_run_gets_the_policy_and_the_pool_limit(ordinary_runs: list[Plan]) -> None:
    arguments = ["--ram", "16MiB", "--policy", "sieve", "--pool-limit", "25%"]
    outcome = CliRunner().invoke(command.demo, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert {(plan.policy, plan.pool_limit) for plan in ordinary_runs} == {("sieve", "25%")}
    assert "at most 25% of it pool" in outcome.output
    assert "policy='sieve'" in outcome.output


def test_policy_and_pool_limit_are_the_pagers_if_not_given(ordinary_runs: list[Plan]) -> None:
    assert CliRunner().invoke(command.demo, ["--ram", "16MiB"]).exit_code == 0
    assert {(plan.policy, plan.pool_limit) for plan in ordinary_runs} == {(DEFAULT_POLICY, "50%")}


def test_wrong_byte_ends_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def corrupt(plan: Plan, observe: Callable[[Sample], None]) -> tuple[Result, list[Sample]]:
        result, samples = work_instead_of_run(plan, observe)
        if plan.name == "intact":
            result = replace(result, busy_digests={**result.busy_digests, "price": "0"})
        return result, samples

    monkeypatch.setattr(command, "carry_out", corrupt)
    outcome = CliRunner().invoke(command.demo, ["--ram", "16MiB", "--eviction", "all"])
    assert outcome.exit_code == 1
    assert "intact: B's column 'price' has other bytes" in outcome.output
    assert outcome.output.count("has other bytes") == 1


def test_plot_is_drawn(ordinary_runs: list[Plan], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "runs.png"
    arguments = ["--ram", "16MiB", "--eviction", "all", "--plot", str(path)]
    outcome = CliRunner().invoke(command.demo, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert path.read_bytes().startswith(b"\x89PNG")


def test_plot_has_a_column_for_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    drawn: list[Any] = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    names = ["none", "unuse", "writeback", "intact", "alone"]
    plot.save_plot([make_run(name, 40) for name in names], "nowhere.png")
    titles = [axes.get_title().partition("\n")[0] for axes in drawn[0].axes if axes.get_title()]
    assert titles == names


def test_interrupt_ends_with_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "carry_out", interrupted)
    assert CliRunner().invoke(command.demo, ["--ram", "16MiB"]).exit_code == 130


def test_failed_run_is_an_error_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(*_: object) -> None:
        raise RunFailed("UserfaultfdUnavailable: see zpager doctor")

    monkeypatch.setattr(command, "carry_out", failed)
    outcome = CliRunner().invoke(command.demo, ["--ram", "16MiB"])
    assert outcome.exit_code == 1
    assert "see zpager doctor" in outcome.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ram", "many"], "not a size"),
        (["--ram", "1MiB"], "at least 16 MiB"),
        (["--ram", "1TiB"], "more than"),
        (["--seconds", "0"], "--seconds"),
        (["--seed", "-1"], "--seed"),
        (["--faults", "polite"], "--faults"),
        (["--data", "/nowhere"], "does not exist"),
        (["--eviction", "lru"], "'intact'"),
        (["--policy", "clock"], "'sieve'"),
        (["--pool-limit", "some"], "not a size"),
        (["--pool-limit", "97MiB"], "more than the 96 MiB of --ram"),
        (["--swap-dir", "/nowhere"], "does not exist"),
        (["--plot", "runs.bmp"], ".png"),
        (["--plot", "/nowhere/runs.png"], "No such file"),
        (["--json", "/nowhere/figures.json"], "No such file"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    ordinary_runs: list[Plan], arguments: list[str], message: str
) -> None:
    outcome = CliRunner().invoke(command.demo, arguments)
    assert outcome.exit_code == 2
    assert message in " ".join(outcome.output.split())
    assert ordinary_runs == []


def test_directory_with_too_little_is_refused_before_anything_runs(
    ordinary_runs: list[Plan], tmp_path: Path
) -> None:
    write_files(tmp_path)
    outcome = CliRunner().invoke(command.demo, ["--data", str(tmp_path)])
    assert outcome.exit_code == 1
    assert "2.9 KiB" in outcome.output
    assert ordinary_runs == []


def test_plot_without_matplotlib_says_what_to_install(
    ordinary_runs: list[Plan], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    outcome = CliRunner().invoke(command.demo, ["--plot", str(tmp_path / "runs.png")])
    assert outcome.exit_code == 1
    assert "zpager[demo]" in outcome.output
    assert ordinary_runs == []


# The runs themselves.


def test_plan_survives_its_journey() -> None:
    plan = make_plan()
    assert Plan.from_json(plan.to_json()) == plan


def test_run_that_cannot_begin_tells_why() -> None:
    with pytest.raises(RunFailed, match="ConfigurationError.*/nowhere"):
        carry_out(make_plan(swap_directory="/nowhere"), lambda sample: None)


def test_pager_is_made_as_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    def make(**arguments: Any) -> Pager:
        made.append(arguments)
        raise RunFailed

    monkeypatch.setattr(contest, "Pager", make)
    with pytest.raises(RunFailed):
        contest.run(make_plan(eviction="intact", policy="sieve", pool_limit="25%"), lambda message: None)
    assert made == [
        {
            "ram": 16 * MIB,
            "swap": 96 * MIB,
            "eviction": "intact",
            "policy": "sieve",
            "faults": "signal",
            "pool_limit": "25%",
            "swap_dir": "/var/tmp",
        }
    ]


class OrdinaryPager:
    """Stands in for a pager: ordinary memory, and evictions that were slow before B began to work."""

    def __init__(self) -> None:
        self.evictions = 0
        nothing: dict[str, Any] = {
            field.name: () if field.type == "Histogram" else 0 for field in fields(Stats)
        }
        self._stats = Stats(**nothing)

    def empty(self, length: int, dtype: DTypeLike) -> NDArray[Any]:
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        return np.empty(length, dtype)

    @property
    def stats(self) -> Stats:
        """Each look finds one more eviction that was fast."""
        self.evictions += 1
        histogram = ((16, self.evictions), (8192, 1000))
        return replace(self._stats, eviction_us=histogram, unuse_to_write_us=histogram)


def test_result_tells_of_nothing_but_the_work_of_b() -> None:
    plan = make_plan(seconds=0.1, idle_pieces=())
    reports: list[dict[str, Any]] = []
    result = contest._compete(plan, OrdinaryPager(), ResidentPeak(), reports.append)  # type: ignore[arg-type]
    assert (result.eviction_us_p50, result.eviction_us_p99) == (16, 16)
    assert (result.unuse_to_write_us_p50, result.unuse_to_write_us_p99) == (16, 16)
    # To make B's five columns took half a second of CPU time.
    assert 0 < result.user_cpu_seconds + result.system_cpu_seconds < result.work_seconds + 0.1
    assert result.work_seconds < 0.3


@pytest.mark.userfaultfd
@pytest.mark.parametrize(("faults", "policy"), [("signal", "frame-lru"), ("thread", "sieve")])
def test_contest_on_real_memory(faults: str, policy: Policy, tmp_path: Path) -> None:
    json_path = tmp_path / "figures.json"
    arguments = ["--ram", "16MiB", "--seconds", "1", "--eviction", "all", "--pool-limit", "40%"]
    arguments += ["--faults", faults, "--policy", policy, "--json", str(json_path)]
    outcome = CliRunner().invoke(command.demo, arguments)
    assert outcome.exit_code == 0, outcome.output
    runs = {run["name"]: run for run in json.loads(json_path.read_text())["runs"]}
    assert set(runs) == {*get_args(Eviction), "alone"}
    for name, run in runs.items():
        stats = run["result"]["stats"]
        assert (stats["evicted_units"] > 0) == (name not in {"none", "alone"})
        # Where nothing else can be done, another mechanism may fall back on unuse.
        assert (stats["unuses"] > stats["evicted_units"] / 2) == (name == "unuse")
        assert stats["pool_bytes"] <= run["plan"]["ram_bytes"] * 0.4
        assert 0 < run["cpu_seconds"] < (os.cpu_count() or 1) * run["result"]["work_seconds"] + 0.1
        assert run["result"]["operations"] > 0
        assert run["mismatches"] == []
        for sample in run["samples"]:
            parts = ("resident", "swap_cache", "pool", "reserve", "metadata")
            assert sum(sample[f"{part}_bytes"] for part in parts) <= run["plan"]["ram_bytes"]


@pytest.mark.userfaultfd
def test_interrupt_leaves_no_process_behind() -> None:
    # What a shell runs in the background ignores SIGINT, and so would all that it starts.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{heed}; from zpager.cli import main; main()", "demo", "--ram", "16MiB"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "B works" in line:
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not Path(f"/proc/{children[0]}").exists()
