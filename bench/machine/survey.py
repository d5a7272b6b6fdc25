"""What this machine allows the benchmark to change, and what is in use already."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.machine import zswap
from bench.machine.cgroup import find_parent
from bench.machine.steps import swaps_on


def why_not_swap() -> str | None:
    """Why swap is not to be touched here; None if it may."""
    reason = why_not_cgroup()
    if reason:
        return reason
    on = swaps_on()
    if on:
        return f"swap is on already ({', '.join(on)}), and what was on before is not touched"
    if zswap.parameters().get("enabled") == "Y":
        return "zswap is on already, and what was on before is not touched"
    if not shutil.which("mkswap"):
        return "mkswap is not installed (package util-linux)"
    return None


def why_not_cgroup() -> str | None:
    """Why no process can be held to a total here; None if it can."""
    if os.geteuid() != 0:
        return "it needs root"
    parent = find_parent()
    if parent is None:
        return "there is no cgroup with the memory controller"
    if not os.access(parent.path, os.W_OK):
        return f"no cgroup can be made in {parent.path}"
    return None


def swap_settings() -> dict[str, str]:
    """How the kernel swaps here, which is left as it is."""
    names = {
        "page-cluster": "/proc/sys/vm/page-cluster",
        "swappiness": "/proc/sys/vm/swappiness",
        "readahead by address": "/sys/kernel/mm/swap/vma_ra_enabled",
        "huge pages": "/sys/kernel/mm/transparent_hugepage/enabled",
    }
    return {
        name: Path(path).read_text("ascii").strip() for name, path in names.items() if Path(path).exists()
    }
