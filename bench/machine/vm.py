"""Settings of the kernel's memory management."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine.keeper import Keeper
from bench.machine.steps import Step

_PAGE_CLUSTER = Path("/proc/sys/vm/page-cluster")


@contextmanager
def set_page_cluster(keeper: Keeper, exponent: int) -> Iterator[None]:
    """Swap brings 2 to that power pages at once; in the end, as many as before."""
    with keeper.undone(Step("write", str(_PAGE_CLUSTER), _PAGE_CLUSTER.read_text("ascii").strip())):
        _PAGE_CLUSTER.write_text(str(exponent), "ascii")
        yield
