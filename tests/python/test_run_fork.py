"""Programs under `zpager run` that fork: each process has the memory of that moment, then its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_run import python

pytestmark = pytest.mark.userfaultfd

PRELUDE = """
import os, random, sys
sys.path.insert(0, DIRECTORY)
from paged_memory import PagedMemory

class Memory(PagedMemory):
    def __init__(self, pages):
        super().__init__(pages, noise_one_in=3)

    def churn(self, seed, count=4000):
        draw = random.Random(seed)
        for _ in range(count):
            page = draw.randrange(len(self.versions))
            if draw.random() < 0.5:
                self.write(page)
            else:
                assert self.is_right(page), (os.getpid(), page)

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child

def wait(*children):
    for child in children:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, code
"""


def forking(code: str, *options: str) -> None:
    directory = f"DIRECTORY = {str(Path(__file__).parent)!r}"
    done = python(directory + PRELUDE + code, options=("--ram=48MiB", "--swap=512MiB", *options))
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("eviction", ["intact", "unuse"])
def test_parent_and_child_have_the_memory_and_then_each_its_own(eviction: str) -> None:
    forking(
        """
memory = Memory(30_000)
def work():
    memory.check()
    memory.churn(1)
    memory.check()
child = in_child(work)
memory.churn(2)
memory.check()
wait(child)
memory.check()
""",
        f"--eviction={eviction}",
    )


def test_children_of_children_and_brothers() -> None:
    forking(
        """
memory = Memory(20_000)
def grandchild():
    memory.churn(1)
    memory.check()
def child():
    memory.churn(2, 1000)
    other = in_child(grandchild)
    memory.churn(3, 1000)
    memory.check()
    wait(other)
children = []
for number in range(3):
    children.append(in_child(child))
    memory.churn(10 + number, 1000)
wait(*children)
memory.check()
"""
    )


def test_many_short_children_leave_no_slot_behind() -> None:
    # Each fork freezes what is on the device; all slots are needed again and again.
    forking(
        """
memory = Memory(30_000)
for number in range(25):
    wait(in_child(lambda: memory.churn(number, 200)))
    memory.churn(100 + number, 1500)
memory.check()
""",
        "--swap=128MiB",
    )


def test_a_fork_beside_threads_that_use_the_memory() -> None:
    forking(
        """
import threading
memories = [Memory(7_000) for _ in range(3)]
stop = threading.Event()
def work(memory, seed):
    while not stop.is_set():
        memory.churn(seed, 300)
        seed += 10
threads = [threading.Thread(target=work, args=(memory, seed)) for seed, memory in enumerate(memories[1:])]
[thread.start() for thread in threads]
for number in range(6):
    def child():
        memories[0].churn(number, 1000)
        memories[0].check()
    memories[0].churn(50 + number, 300)
    wait(in_child(child))
stop.set()
[thread.join() for thread in threads]
[memory.check() for memory in memories]
"""
    )


def test_multiprocessing_by_fork(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import multiprocessing
import numpy as np

table = np.arange(12 << 20, dtype=np.int64)  # 96 MiB

def total(part):
    return int(table[part::8].sum())

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert sum(pool.map(total, range(8))) == int(table.sum())
    print("done")
"""
    )
    done = python(f"import runpy; runpy.run_path({str(program)!r}, run_name='__main__')")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-3000:]


@pytest.mark.parametrize("faults", ["thread", "signal"])
def test_a_child_that_another_thread_has_forked_ends_with_that_thread(faults: str) -> None:
    forking(
        """
import threading
memory = Memory(2_000)
def work():
    child = os.fork()
    if child:
        wait(child)
    else:
        memory.check()
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
        f"--faults={faults}",
    )
