"""Sweeps: what comes of lists of values, the same results on one core, on many and on Dask, and only once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from zpager import ConfigurationError
from zpager.cli import main
from zpager.lab import bounds, command, execute, results, sweep
from zpager.lab.costs import costs
from zpager.lab.replay import Configuration, replay
from zpager.lab.results import Outcome
from zpager.lab.scenario import AtRandom, InOrder, Memory, Scenario, Sleep, Thread
from zpager.lab.sweep import Plan, Sweep
from zpager.lab.trace import Trace

MIB = 1 << 20
SCENARIO = """
from zpager.lab.scenario import InOrder, Memory, Scenario, Thread

def scenario(seed):
    memory = Memory("m", "4MiB")
    return Scenario("mine", [Thread("t", [InOrder(memory, writes=1), InOrder(memory)])], seed)
"""


def make_trace(seed: int = 1) -> Trace:
    idle, busy = Memory("idle", "6MiB", "files"), Memory("busy", "5MiB", "table")
    return Scenario(
        "small",
        [
            Thread("A", [InOrder(idle, writes=1), Sleep(seconds=1), InOrder(idle)]),
            Thread("B", [InOrder(busy, writes=1), AtRandom(busy, accesses=5000, writes=0.2)]),
        ],
        seed,
    ).trace()


def make_tasks(trace: Trace) -> list[execute.Task]:
    """Four that can be, and two that cannot."""
    wanted = Sweep(ram=("3MiB", "4MiB", "64KiB"), eviction=("none", "intact"))
    return execute.tasks(
        "small", trace, wanted.configurations(trace.page_count, 3.0), {"nvme": costs("nvme")}
    )


def run(trace: Trace, tasks: list[execute.Task], directory: Path, processes: int = 1) -> list[Outcome]:
    done: list[Outcome] = []
    execute.run(tasks, {"small": trace}, directory, processes=processes, on_done=done.append)
    return done


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def trace() -> Trace:
    return make_trace()


@pytest.fixture(scope="module")
def on_one_core(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("results")
    run(trace, make_tasks(trace), directory)
    return directory


def test_every_value_is_tried_with_every_other_and_shares_are_of_what_they_say() -> None:
    wanted = Sweep().with_values({"ram": ["25%", "8MiB"], "pool_limit": ["auto", "50%"], "swap": ["200%"]})
    found = wanted.configurations(page_count=4096, default_ratio=2.5)
    assert [(one.ram_bytes, one.pool_limit_bytes) for one in found] == [
        (4 * MIB, None),
        (4 * MIB, 2 * MIB),
        (8 * MIB, None),
        (8 * MIB, 4 * MIB),
    ]
    assert {(one.swap_bytes, one.default_ratio) for one in found} == {(32 * MIB, 2.5)}
    # The same twice is one.
    assert len(Sweep(ram=("1MiB", "1048576")).configurations(1, 3.0)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"ram": ["much"]},
        {"ram": ["-1"]},
        {"eviction": ["drop"]},
        {"policy": ["random"]},
        {"codec": ["gzip"]},
        {"pool": ["z3fold"]},
        {"readahead_pages": ["many"]},
        {"readahead_pages": ["33"]},
        {"pool_limit": ["x"]},
        {"reserve": ["x%"]},
        {"ram": [str(size) for size in range(1, 1001)], "swap": [str(size) for size in range(1, 1001)]},
    ],
)
def test_values_that_cannot_be_are_refused_before_anything_runs(changes: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigurationError):
        Sweep().with_values(changes).configurations(100, 3.0)


def test_a_toml_file_has_the_names_of_the_flags(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('traces = "rfc"\nram = ["50%", 1048576]\npool-limit = "auto"\ncosts = ["disk"]\nseed = 3')
    plan = Plan.read(file)
    assert plan.traces == ("rfc",)
    assert plan.costs == ("disk",)
    assert plan.seed == 3
    assert plan.sweep == {"ram": ("50%", "1048576"), "pool_limit": ("auto",)}


@pytest.mark.parametrize(
    "text", ["ram", "rum = 1", "ram = true", "seed = -1", "default_ratio = 'x'", "ram = [1.5]"]
)
def test_a_toml_file_that_says_something_else_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError):
        Plan.read(file)


def test_many_cores_come_to_the_same_bytes_as_one(trace: Trace, on_one_core: Path, tmp_path: Path) -> None:
    run(trace, make_tasks(trace), tmp_path, processes=2)
    assert contents(tmp_path) == contents(on_one_core)
    assert len(contents(tmp_path)) == 6


@pytest.mark.filterwarnings("ignore")  # of distributed's own doing
def test_a_dask_cluster_comes_to_the_same_bytes(trace: Trace, on_one_core: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    done: list[Outcome] = []
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as cluster:
        execute.run_on_dask(
            make_tasks(trace),
            {"small": trace},
            tmp_path,
            address=cluster.scheduler_address,
            on_done=done.append,
        )
    assert len(done) == 6
    assert contents(tmp_path) == contents(on_one_core)


@pytest.mark.filterwarnings("ignore")
def test_without_a_dask_scheduler_there_is_a_message(trace: Trace, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ConfigurationError, match="no Dask scheduler"):
        execute.run_on_dask(
            make_tasks(trace), {}, tmp_path, address="not an address", on_done=lambda outcome: None
        )


def test_a_second_run_computes_what_is_missing_and_nothing_else(
    trace: Trace, on_one_core: Path, tmp_path: Path
) -> None:
    tasks = make_tasks(trace)
    assert not execute.missing(tasks, on_one_core)
    for name, text in contents(on_one_core).items():
        (tmp_path / name).write_bytes(text)
    lost = results.path_of(tmp_path, tasks[2].key)
    lost.unlink()
    missing = execute.missing(tasks, tmp_path)
    assert [task.key for task in missing] == [tasks[2].key]
    assert [outcome.key for outcome in run(trace, missing, tmp_path)] == [tasks[2].key]
    assert contents(tmp_path) == contents(on_one_core)


def test_a_result_is_read_as_it_was_written(trace: Trace, tmp_path: Path) -> None:
    for outcome in run(trace, make_tasks(trace)[:2], tmp_path):
        found = next(one for one in results.read(tmp_path) if one.key == outcome.key)
        simple = (
            "trace",
            "lacks",
            "page_count",
            "configuration",
            "costs",
            "bounds",
            "impossible",
            "lost_ns",
            "end_ns",
        )
        assert all(getattr(found, name) == getattr(outcome, name) for name in simple)
        one, other = found.require(), outcome.require()
        assert one.threads == other.threads
        assert one.counters == other.counters
        assert one.histograms == other.histograms
        assert one.samples.keys() == other.samples.keys()
        assert all(np.array_equal(one.samples[name], other.samples[name]) for name in one.samples)
        assert len(one.samples["now_ns"]) > 10


def test_what_has_no_room_is_a_row_that_says_why(on_one_core: Path) -> None:
    impossible = [outcome for outcome in results.read(on_one_core) if outcome.result is None]
    assert {outcome.configuration.ram_bytes for outcome in impossible} == {64 << 10}
    assert all("ram_bytes=65536" in outcome.impossible for outcome in impossible)
    with pytest.raises(ConfigurationError, match="has no result"):
        _ = impossible[0].lost_ns


def test_the_directory_is_one_table(on_one_core: Path) -> None:
    table = pq.read_table(on_one_core, columns=["ram_bytes", "eviction", "lost_ns", "optimal_misses"])
    assert table.num_rows == 6
    assert table["lost_ns"].null_count == 2


def test_the_optimum_is_that_of_the_same_accesses(trace: Trace, on_one_core: Path) -> None:
    for outcome in results.read(on_one_core):
        pages = outcome.configuration.ram_bytes // 4096
        assert outcome.bounds.ram_pages == pages
        assert [outcome.bounds.misses] == bounds.misses(trace, [pages], ["optimal"])["optimal"]
        assert outcome.bounds.misses >= outcome.bounds.compressed_misses >= trace.page_count


OLDEST = """
class Oldest:
    def __init__(self):
        self.units = {}
    def insert(self, unit):
        self.units[unit] = None
    def stored(self, unit, page): pass
    def used(self, unit): pass
    def left(self, unit, page, is_isolated): pass
    def remove(self, unit):
        self.units.pop(unit, None)
    def take_coldest(self, units):
        oldest = next(iter(self.units), None)
        return None if oldest is None else self.remove(oldest) or oldest
    def put_back(self, unit):
        self.units = {unit: None} | self.units
"""


def test_a_policy_of_a_users_file_is_tried_like_the_others(trace: Trace, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OLDEST)
    wanted = Sweep(ram=("3MiB",), policy=(f"{file}:Oldest", "frame-lru"), eviction=("writeback",))

    def make() -> list[execute.Task]:
        return execute.tasks(
            "small", trace, wanted.configurations(trace.page_count, 3.0), {"a": costs("nvme")}
        )

    tasks = make()
    run(trace, tasks, tmp_path / "results", processes=2)
    found = results.read(tmp_path / "results")
    assert [str(outcome.configuration.policy) for outcome in found] == ["frame-lru", "mine.py:Oldest"]
    assert len({outcome.lost_ns for outcome in found}) == 2
    # Another text is another policy.
    file.write_text(OLDEST + "# changed")
    assert [task.key for task in make()][0] != tasks[0].key


@pytest.mark.parametrize("name", ["nowhere.py:Oldest", "mine.py:Newest"])
def test_a_policy_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.py").write_text(OLDEST)
    with pytest.raises(ConfigurationError, match=name.split(":", maxsplit=1)[0]):
        Sweep(policy=(f"{tmp_path}/{name}",)).configurations(1, 3.0)


def test_a_key_is_of_all_that_a_result_follows_from(trace: Trace) -> None:
    configuration, nvme = Configuration(ram_bytes=4 * MIB), costs("nvme")
    digest = results.digest(trace)
    keys = {
        results.key(digest, configuration, nvme, 1),
        results.key(digest, configuration, nvme, 2),
        results.key(digest, replace(configuration, eviction="none"), nvme, 1),
        results.key(digest, configuration, replace(nvme, read_ns=1), 1),
        results.key(results.digest(make_trace(seed=2)), configuration, nvme, 1),
    }
    assert len(keys) == 5
    assert results.digest(make_trace()) == digest


def test_files_that_are_no_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no results"):
        results.read(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(ConfigurationError, match="holds no result of zpager"):
        results.read(tmp_path)


def lab_run(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["lab", "run", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_runs_a_users_scenario_and_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SCENARIO)
    (tmp_path / "plan.toml").write_text(f'traces = "{tmp_path}/mine.py"\nram = "75%"\neviction = "none"')
    output = tmp_path / "results"
    common = "--config", tmp_path / "plan.toml", "-o", output, "--processes", 1
    assert "1 to replay, 0 already" in lab_run(*common)
    # Flags win.
    told = lab_run(*common, "--eviction", "none,unuse", "--costs", "nvme")
    assert "1 to replay, 1 already" in told
    assert "mine: 2,048 accesses of 1 threads to 4 MiB" in told
    found = results.read(output)
    assert [outcome.configuration.eviction for outcome in found] == ["none", "unuse"]
    assert {outcome.configuration.ram_bytes for outcome in found} == {3 * MIB}


def test_the_command_reads_a_trace_of_others_as_it_is_told(tmp_path: Path) -> None:
    lines = [f"{number},{number % 300},4096" for number in range(3000)]
    (tmp_path / "requests.txt").write_text("\n".join(["when,what,size", *lines]))
    output = tmp_path / "results"
    columns = "time-col=1, obj-id-col=2, obj-size-col=3, has-header=true"
    told = lab_run(
        tmp_path / "requests.txt", "--format", "csv", "--columns", columns, "--ram", "2MiB", "-o", output
    )
    assert "requests.txt: 3,000 accesses of 1 threads to 1.2 MiB" in told
    (outcome,) = results.read(output)
    assert outcome.lacks
    assert all(f"it lacks: {lack}" in told for lack in outcome.lacks)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name a trace or a scenario"),
        (("nothing-here",), "scenarios with names are"),
        (("rfc", "--costs", "gold"), "costs='gold'"),
        (("rfc", "--ram", "1xB"), "is not a size"),
    ],
)
def test_the_command_refuses_with_words(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(main, ["lab", "run", *arguments, "-o", str(tmp_path / "results")])
    assert result.exit_code != 0
    assert told in result.output
    assert not (tmp_path / "results").exists()


def test_a_replay_keeps_so_many_samples_and_no_more(trace: Trace) -> None:
    samples = replay(trace, Configuration(ram_bytes=4 * MIB), costs("nvme"), sample_every_ns=1000).samples
    assert 512 <= len(samples["now_ns"]) <= 1025
    assert (np.diff(samples["now_ns"].astype(np.int64)) > 0).all()


def test_without_the_extra_the_group_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_NEEDED", ("no_such_package", "pyarrow"))
    done = CliRunner().invoke(main, ["lab", "run", "rfc"])
    assert done.exit_code == 1
    assert "needs no_such_package, not installed here: pip install 'zpager[lab]'" in done.output
    assert CliRunner().invoke(main, ["lab", "--help"]).exit_code == 0


def test_a_flags_values_have_commas_or_come_several_times() -> None:
    assert sweep.split(["a,b", " c "]) == ("a", "b", "c")
