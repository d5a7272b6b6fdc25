"""What this machine allows zpager to do, and what to do where it doesn't.

Each check returns a `Finding`. It takes what it judges as arguments, so that a test can show it any machine;
`examine` gathers these from the one it runs on.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from zpager import _core
from zpager.errors import ConfigurationError
from zpager.machine import CgroupLimit, cgroup_limit, file_system_type, physical_ram_bytes
from zpager.sizes import PAGE_BYTES, format_size
from zpager.swap_directory import choose_swap_directory, doubt_about, free_bytes

Status: TypeAlias = Literal["ok", "warning", "problem"]

_SYSCTL = "sysctl vm.unprivileged_userfaultfd=1 (as root; to keep it, a line in /etc/sysctl.d/)"
_UDEV_RULE = (
    'open /dev/userfaultfd to your group (Linux 6.1 and later) by a line KERNEL=="userfaultfd", '
    'GROUP="...", MODE="0660" in /etc/udev/rules.d/'
)
_DOCKER = (
    "in a container: docker run --device /dev/userfaultfd, or --security-opt seccomp=PROFILE.json with a "
    "profile that allows userfaultfd (Docker's default refuses it; seccomp=unconfined does for a try)"
)
_SMALL_FREE_BYTES = 1 << 30
_SMALL_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """What was looked at, as `"userfaultfd"`."""
    status: Status
    """`"problem"` means that zpager cannot run here."""
    found: str
    """What was found, in a sentence."""
    remedy: str | None = None
    """What to do about it, if anything."""


def examine(swap_dir: str | os.PathLike[str] | None = None) -> list[Finding]:
    """Look at everything that zpager needs here; `swap_dir` as for `Pager`."""
    probed = _core.probe()
    return [
        check_kernel(os.uname().release, os.sysconf("SC_PAGE_SIZE")),
        check_userfaultfd(probed),
        check_features(probed, os.uname().release),
        check_process_madvise(probed),
        check_io_uring(probed),
        check_swap_directory(swap_dir),
        check_ram(physical_ram_bytes()),
        check_cgroup(cgroup_limit()),
        check_cpus(len(os.sched_getaffinity(0))),
        check_huge_pages(_huge_pages_setting()),
    ]


def can_run(findings: list[Finding]) -> bool:
    """Whether zpager can run where these were found."""
    return all(finding.status != "problem" for finding in findings)


def check_kernel(release: str, page_bytes: int) -> Finding:
    """The kernel and its page size, which has to be 4 KiB."""
    found = f"Linux {release}, pages of {format_size(page_bytes)}"
    if page_bytes != PAGE_BYTES:
        return Finding(
            "kernel", "problem", found, "zpager works with pages of 4 KiB; boot a kernel that has them"
        )
    return Finding("kernel", "ok", found)


def check_userfaultfd(probed: Mapping[str, object]) -> Finding:
    """Whether page faults can be handled at all, and those inside system calls too."""
    subject = "userfaultfd"
    if not probed["userfaultfd"]:
        why_not = str(probed["why_not"] or "no reason given")
        return Finding(subject, "problem", f"not available: {why_not}", _userfaultfd_remedy(why_not))
    if probed["user_mode_only"]:
        return Finding(
            subject,
            "warning",
            "only faults of the program itself can be handled; system calls into evicted memory work by "
            "wrappers of the C library's functions (faults='signal'); what these miss fails with EFAULT",
            f"{_SYSCTL}; or {_UDEV_RULE}",
        )
    return Finding(
        subject, "ok", "available, also for faults inside system calls (faults='thread' and 'signal')"
    )


def check_features(probed: Mapping[str, object], release: str) -> Finding:
    """Whether the kernel's userfaultfd has the features that zpager needs."""
    subject = "kernel features"
    missing = _names(probed["missing_features"])
    features = _names(probed["features"])
    if not probed["userfaultfd"]:
        return Finding(subject, "warning", "unknown as long as userfaultfd is not available")
    if missing:
        remedy = f"run a newer kernel; this is Linux {release}"
        if _version(release) < (6, 8):
            remedy += ", and UFFDIO_MOVE came with 6.8"
        return Finding(subject, "problem", f"missing: {', '.join(missing)}", remedy)
    return Finding(
        subject, "ok", f"all there that zpager needs, among {len(features)}: {', '.join(features)}"
    )


def check_process_madvise(probed: Mapping[str, object]) -> Finding:
    """Whether many ranges can be dropped by one call."""
    if probed["process_madvise"]:
        return Finding("process_madvise", "ok", "available: pages are dropped many ranges to a call")
    return Finding(
        "process_madvise",
        "warning",
        "not available: dropping pages takes one call for each range, which is slower",
        "Linux 6.13 or later has it for a process itself; in a container, allow process_madvise in the "
        "seccomp profile",
    )


def check_io_uring(probed: Mapping[str, object]) -> Finding:
    """Whether the swap file can be accessed by queues, many requests to a system call."""
    subject = "io_uring"
    if probed["io_uring"]:
        return Finding(subject, "ok", "available: the swap file is accessed many requests to a call")
    return Finding(
        subject,
        "warning",
        f"not available: {probed['why_no_io_uring']}; a few threads access the swap file instead, which is "
        "slower",
        "sysctl kernel.io_uring_disabled=0 (as root); in a container, allow io_uring_setup and "
        "io_uring_enter in the seccomp profile (Docker's default refuses them)",
    )


def check_swap_directory(swap_dir: str | os.PathLike[str] | None = None) -> Finding:
    """Whether a swap file has a place: a writable directory on a disk, with room."""
    subject = "swap directory"
    try:
        directory = choose_swap_directory(swap_dir)
    except ConfigurationError as error:
        return Finding(
            subject, "problem", str(error), "set $ZPAGER_SWAP_DIR to a writable directory on a disk"
        )
    free = free_bytes(directory)
    found = f"{directory} on {file_system_type(directory)}, {format_size(free)} free"
    if free < _SMALL_FREE_BYTES:
        return Finding(
            subject, "warning", found, "that is little; make room, or name another one by $ZPAGER_SWAP_DIR"
        )
    doubt = doubt_about(directory)
    if doubt:
        return Finding(
            subject,
            "warning",
            f"{found}; it {doubt}",
            f"chmod +t {directory}, or name another one by $ZPAGER_SWAP_DIR",
        )
    return Finding(subject, "ok", found)


def check_ram(ram_bytes: int) -> Finding:
    """The RAM of the machine."""
    return Finding("RAM", "ok", format_size(ram_bytes))


def check_cgroup(limit: CgroupLimit | None) -> Finding:
    """The memory limit of the container or service."""
    subject = "cgroup limit"
    if limit is None:
        return Finding(subject, "ok", "none")
    found = f"{format_size(limit.limit_bytes)}, set in {limit.path}"
    if limit.limit_bytes < _SMALL_LIMIT_BYTES:
        return Finding(
            subject, "warning", found, "Python with numpy alone needs much of that; raise the limit"
        )
    return Finding(subject, "ok", f"{found}; keep `ram` well below it, since it counts the whole process")


def check_cpus(count: int) -> Finding:
    """On how many CPUs this process may run."""
    if count < 2:  # noqa: PLR2004
        return Finding(
            "CPUs",
            "warning",
            "1",
            "pages are compressed ahead on a second CPU; with one, faults wait for it more often",
        )
    return Finding("CPUs", "ok", str(count))


def check_huge_pages(setting: str | None) -> Finding:
    """The kernel's setting for transparent huge pages, which is harmless either way."""
    if setting is None:
        return Finding("huge pages", "ok", "this kernel has no transparent huge pages")
    use = "zpager does without" if setting == "never" else "zpager's memory is in them until RAM runs short"
    return Finding("huge pages", "ok", f"transparent huge pages: {setting}; {use}")


def _userfaultfd_remedy(why_not: str) -> str:
    """What to do about an error of the kernel, which is given as its text."""
    if os.strerror(errno.ENOSYS) in why_not:
        return f"run a kernel (6.8 or later) with CONFIG_USERFAULTFD; or, {_DOCKER}"
    return f"{_SYSCTL}; or {_UDEV_RULE}; or, {_DOCKER}"


def _version(release: str) -> tuple[int, ...]:
    """The numbers of a kernel release as "6.8.0-40-generic"; a release without any counts as new."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return tuple(map(int, match.groups())) if match else (99,)


def _names(listed: object) -> list[str]:
    return [str(name) for name in listed] if isinstance(listed, list) else []


def _huge_pages_setting() -> str | None:
    """The setting in force, which the file marks by brackets: `always [madvise] never`."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="ascii") as file:
            match = re.search(r"\[(\w+)\]", file.read())
    except OSError:
        return None
    return match[1] if match else None
