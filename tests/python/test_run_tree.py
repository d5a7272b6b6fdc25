"""One budget for all processes under `zpager run`: what they have together, and who gives way to whom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from engines import MIB
from test_run import SECONDS, ZPAGER

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.programs.tree import processes_of  # noqa: E402

pytestmark = pytest.mark.userfaultfd

RAM_MIB = 96
RAM = f"--ram={RAM_MIB}MiB", "--swap=512MiB"

WORKER = """
import random
from paged_memory import PagedMemory

class Memory(PagedMemory):
    def __init__(self, mib):
        self.pages = mib << 8
        super().__init__(self.pages, noise_one_in=4)

    def churn(self, seed, count):
        draw = random.Random(seed)
        for _ in range(count if self.pages else 0):
            self.write(draw.randrange(self.pages))

def work(mib, seed):
    memory = Memory(mib)
    memory.churn(seed, 4000)
    memory.check()
    memory.churn(seed + 1, 4000)
    memory.check()
    return sum(memory.versions)
"""


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    return path


class Run:
    """A program under `zpager run`, whose whole tree is looked at every 20 ms."""

    def __init__(self, directory: Path, code: str, *arguments: str, options: tuple[str, ...] = RAM) -> None:
        self.report_path = directory / "report.json"
        environment = {**os.environ, "PYTHONPATH": f"{directory}:{Path(__file__).parent}"}
        self.process = subprocess.Popen(
            [
                *(ZPAGER, "run", *options, f"--report={self.report_path}"),
                *("--", sys.executable, "-c", code, *arguments),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.samples: list[int] = []
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def _watch(self) -> None:
        while self.process.poll() is None:
            self.samples.append(sum(map(pss_bytes, processes_of(self.process.pid)[1:])))
            time.sleep(0.02)

    @property
    def most_bytes(self) -> int:
        return max(self.samples)

    def say(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, code: int = 0) -> dict[str, Any]:
        """Its report, once it has ended so."""
        try:
            self.output, self.errors = self.process.communicate(timeout=SECONDS)
        finally:
            self.process.kill()
            self._watcher.join()
        assert self.process.returncode == code, self.errors[-3000:]
        return json.loads(self.report_path.read_text())


def field_bytes(path: str, name: str) -> int:
    try:
        lines = Path(path).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line for line in lines if line.startswith(f"{name}:")]
    return int(found[0].split()[1]) << 10 if found else 0


def pss_bytes(process: int) -> int:
    """The RAM of a process; what it shares with others, by parts."""
    return field_bytes(f"/proc/{process}/smaps_rollup", "Pss")


def rss_bytes(process: int) -> int:
    return field_bytes(f"/proc/{process}/status", "VmRSS")


SUBPROCESSES = """
import subprocess, sys
code = 'import sys, worker; print(worker.work(*map(int, sys.argv[1:])))'
start = lambda seed: subprocess.Popen(
    [sys.executable, '-c', code, sys.argv[1], str(seed)], stdout=subprocess.PIPE, text=True)
children = [start(seed) for seed in range(3)]
for child in children:
    print(child.communicate()[0].strip())
    assert child.returncode == 0
"""
# The main process keeps a table, too.
SPAWN = """
import multiprocessing, sys, worker
if __name__ == '__main__':
    mib = int(sys.argv[1])
    memory = worker.Memory(mib)
    with multiprocessing.get_context('spawn').Pool(3) as pool:
        for total in pool.starmap(worker.work, [(mib, seed) for seed in range(3)]):
            print(total)
    memory.check()
"""


@pytest.mark.parametrize("code", [SUBPROCESSES, SPAWN], ids=["subprocess", "spawn"])
def test_all_together_stay_within_ram(code: str, worker: Path) -> None:
    run = Run(worker.parent, code, "70")
    report = run.end()
    assert run.output.split() == [str((70 << 8) + 8000)] * 3
    # What a new process takes before it can be counted comes on top.
    assert run.most_bytes <= RAM_MIB * MIB * 1.1
    assert run.most_bytes > RAM_MIB * MIB * 0.8, "the measure sees it"
    assert RAM_MIB * MIB * 0.9 < report["tree_most_bytes"] <= RAM_MIB * MIB
    assert report["total"]["ram_refusals"] > 0
    assert report["total"]["lost_pages"] == 0
    assert report["tree_processes"] >= 4
    assert f"of {RAM_MIB} MiB RAM in {report['tree_processes']} processes" in run.errors


SLEEPER = """
import os, subprocess, sys, worker
memory = worker.Memory(48)
print(os.getpid(), flush=True)
sys.stdin.readline()
code = 'import worker; memory = worker.Memory(120); memory.churn(1, 20000); memory.check()'
assert subprocess.run([sys.executable, '-c', code], stdin=subprocess.DEVNULL).returncode == 0
print('done', flush=True)
sys.stdin.readline()
memory.check()
"""


def test_who_sleeps_gives_way_to_who_works(worker: Path) -> None:
    run = Run(worker.parent, SLEEPER)
    sleeper = int(run.line())
    before = rss_bytes(sleeper)
    run.say()
    assert run.line() == "done"
    after = rss_bytes(sleeper)
    run.say()
    report = run.end()
    assert before - after > 35 * MIB, (before / MIB, after / MIB)
    [told] = [process for process in report["processes"] if process["process"] == sleeper]
    assert told["ram_given_bytes"] > 35 * MIB
    # Awake again it has all that the other one had.
    assert max(process["used_most_bytes"] for process in report["processes"]) > 50 * MIB


GIVES_UP_ITS_SHARE = """
import os, signal, subprocess, sys, worker
code = '''
import os, sys, time, worker
memory = worker.Memory(40)
print('ready', flush=True)
sys.stdin.readline()
if sys.argv[1] == 'exec':
    os.execvp('sleep', ['sleep', '100'])
'''
child = subprocess.Popen(
    [sys.executable, '-c', code, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
if sys.argv[1] == 'kill':
    # It cannot answer in between.
    child.send_signal(signal.SIGSTOP)
    child.kill()
    child.wait()
elif sys.argv[1] == 'stop':
    child.send_signal(signal.SIGSTOP)
else:
    child.stdin.write('\\n')
    child.stdin.flush()
    while open(f'/proc/{child.pid}/comm').read() != 'sleep\\n':
        pass
code = 'import os, worker; print(os.getpid()); worker.Memory(100).check()'
other = subprocess.run([sys.executable, '-c', code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
child.kill()
assert other.returncode == 0
print(other.stdout.decode())
"""


@pytest.mark.parametrize("how", ["kill", "exec", "stop"])
def test_the_share_of_a_process_that_is_gone_is_free(how: str, worker: Path) -> None:
    run = Run(worker.parent, GIVES_UP_ITS_SHARE, how)
    report = run.end()
    other = int(run.output)
    [used_most] = [one["used_most_bytes"] for one in report["processes"] if one["process"] == other]
    if how == "stop":
        assert used_most < 55 * MIB, "nobody can take what a stopped process has, and nobody waits for it"
    else:
        assert used_most > 70 * MIB


def test_too_little_ram_for_so_many_processes_is_told(worker: Path) -> None:
    code = """
import subprocess, sys
code = 'import sys; block = bytearray(1 << 20); print(flush=True); sys.stdin.readline()'
pipes = dict.fromkeys(('stdin', 'stdout', 'stderr'), subprocess.PIPE)
start = lambda: subprocess.Popen([sys.executable, '-c', code], text=True, **pipes)
children = []
while len(children) < 20:
    child = start()
    children.append(child)
    if not child.stdout.readline():
        print(len(children), child.wait(), child.stderr.read())
        break
for child in children:
    child.communicate('\\n')
"""
    run = Run(worker.parent, code, options=("--ram=32MiB", "--swap=128MiB"))
    run.end()
    count, child_code, words = run.output.split(maxsplit=2)
    assert 4 <= int(count) < 20
    assert child_code == "125"
    assert "are too little for so many processes" in words


def test_what_a_fork_overdraws_is_paid_back(worker: Path) -> None:
    # The children's memory is their parent's until somebody writes, and nobody can refuse a fork.
    code = """
import os, sys, time, worker
memory = worker.Memory(int(sys.argv[1]))
until = time.monotonic() + 6
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            while time.monotonic() < until:
                memory.churn(number, 1000)
            memory.check()
            code = 0
        finally:
            os._exit(code)
    children.append(child)
while time.monotonic() < until:
    memory.churn(7, 1000)
memory.check()
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""
    run = Run(worker.parent, code, "60")
    report = run.end()
    assert report["tree_most_bytes"] > RAM_MIB * MIB
    later = max(run.samples[len(run.samples) * 2 // 3 :])
    assert later <= RAM_MIB * MIB * 1.05
