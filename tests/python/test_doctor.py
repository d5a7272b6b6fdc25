"""The doctor's judgement of machines of many kinds; and that it can look at this one."""

from pathlib import Path
from typing import Any

import pytest

import zpager
from zpager import doctor
from zpager.machine import CgroupLimit, Mount
from zpager.swap_directory import choose_swap_directory


def probed(**given: Any) -> dict[str, object]:
    """The probe of a machine that allows everything, but for what is given."""
    return {
        "userfaultfd": True,
        "why_not": None,
        "user_mode_only": False,
        "features": ["MISSING_SHMEM", "MOVE"],
        "missing_features": [],
        "process_madvise": True,
        "io_uring": True,
        "why_no_io_uring": None,
    } | given


def test_a_machine_that_allows_everything() -> None:
    findings = [
        doctor.check_kernel("6.18.0", 4096),
        doctor.check_userfaultfd(probed()),
        doctor.check_features(probed(), "6.18.0"),
        doctor.check_process_madvise(probed()),
        doctor.check_io_uring(probed()),
        doctor.check_ram(8 << 30),
        doctor.check_cgroup(None),
        doctor.check_cpus(4),
        doctor.check_huge_pages("madvise"),
    ]
    assert {finding.status for finding in findings} == {"ok"}
    assert all(finding.remedy is None for finding in findings)
    assert doctor.can_run(findings)


def test_userfaultfd_that_is_forbidden_comes_with_every_remedy() -> None:
    finding = doctor.check_userfaultfd(
        probed(userfaultfd=False, why_not="Operation not permitted (os error 1)")
    )
    assert finding.status == "problem"
    assert "Operation not permitted" in finding.found
    assert finding.remedy is not None
    for words in ("sysctl vm.unprivileged_userfaultfd=1", "/dev/userfaultfd", "udev", "seccomp", "docker"):
        assert words in finding.remedy
    assert not doctor.can_run([finding])


def test_userfaultfd_that_the_kernel_does_not_have() -> None:
    finding = doctor.check_userfaultfd(
        probed(userfaultfd=False, why_not="Function not implemented (os error 38)")
    )
    assert finding.status == "problem"
    assert finding.remedy is not None
    assert "CONFIG_USERFAULTFD" in finding.remedy


def test_user_mode_only_is_a_warning_about_system_calls() -> None:
    finding = doctor.check_userfaultfd(probed(user_mode_only=True))
    assert finding.status == "warning"
    assert "EFAULT" in finding.found
    assert finding.remedy is not None
    assert "vm.unprivileged_userfaultfd=1" in finding.remedy
    assert doctor.can_run([finding])


def test_an_old_kernel_lacks_move() -> None:
    finding = doctor.check_features(probed(missing_features=["MOVE"]), "6.1.0-18-amd64")
    assert finding.status == "problem"
    assert "MOVE" in finding.found
    assert finding.remedy is not None
    assert "6.8" in finding.remedy


def test_features_of_a_userfaultfd_that_cannot_be_opened_are_unknown() -> None:
    assert doctor.check_features(probed(userfaultfd=False, features=[]), "6.18.0").status == "warning"


def test_large_pages_are_a_problem() -> None:
    assert doctor.check_kernel("6.18.0", 65536).status == "problem"


@pytest.mark.parametrize(
    "finding",
    [
        doctor.check_process_madvise(probed(process_madvise=False)),
        doctor.check_io_uring(probed(io_uring=False, why_no_io_uring="Operation not permitted (os error 1)")),
        doctor.check_cpus(1),
        doctor.check_cgroup(CgroupLimit(32 << 20, "/sys/fs/cgroup/memory.max")),
    ],
)
def test_what_is_slow_or_tight_is_a_warning_with_words(finding: doctor.Finding) -> None:
    assert finding.status == "warning"
    assert finding.remedy
    assert doctor.can_run([finding])


def test_a_cgroup_limit_is_named_with_its_file() -> None:
    finding = doctor.check_cgroup(CgroupLimit(2 << 30, "/sys/fs/cgroup/job/memory.max"))
    assert finding.status == "ok"
    assert "2 GiB" in finding.found
    assert "/sys/fs/cgroup/job/memory.max" in finding.found


def test_a_swap_directory_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    finding = doctor.check_swap_directory(tmp_path / "nowhere")
    assert finding.status == "problem"
    assert "does not exist" in finding.found
    assert finding.remedy is not None


def test_a_swap_directory_with_little_room_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "choose_swap_directory", lambda requested: str(tmp_path))
    monkeypatch.setattr(doctor, "free_bytes", lambda directory: 1 << 20)
    finding = doctor.check_swap_directory()
    assert finding.status == "warning"
    assert "1 MiB free" in finding.found


def test_it_looks_at_this_machine() -> None:
    findings = doctor.examine()
    subjects = [finding.subject for finding in findings]
    assert len(subjects) == len(set(subjects))
    assert {
        "userfaultfd",
        "kernel features",
        "process_madvise",
        "io_uring",
        "swap directory",
        "RAM",
        "CPUs",
    } <= set(subjects)
    assert all(finding.remedy for finding in findings if finding.status == "problem")


# The swap directory, which the doctor and the pager choose in the same way.

DISK = Mount("/", "/", "ext4", frozenset({"rw"}))


def test_the_directory_is_the_argument_else_the_variable_else_var_tmp(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    environment = {"ZPAGER_SWAP_DIR": str(there)}
    assert choose_swap_directory(here, environment=environment, mounts=[DISK]) == str(here)
    assert choose_swap_directory(environment=environment, mounts=[DISK]) == str(there)
    assert choose_swap_directory(environment={}, mounts=[DISK]) == "/var/tmp"


def test_a_directory_in_ram_is_passed_over_unless_asked_for(tmp_path: Path) -> None:
    mounts = [DISK, Mount("/", "/var/tmp", "tmpfs", frozenset())]
    environment = {"TMPDIR": str(tmp_path)}
    assert choose_swap_directory(environment=environment, mounts=mounts) == str(tmp_path)
    with pytest.raises(zpager.ConfigurationError, match=r"swap_dir='/var/tmp' is on tmpfs.*disk"):
        choose_swap_directory("/var/tmp", environment=environment, mounts=mounts)
    with pytest.raises(zpager.ConfigurationError, match=r"\$ZPAGER_SWAP_DIR='/var/tmp' is on tmpfs"):
        choose_swap_directory(environment={"ZPAGER_SWAP_DIR": "/var/tmp"}, mounts=mounts)


def test_without_any_disk_it_says_what_was_tried() -> None:
    everything = [Mount("/", "/", "tmpfs", frozenset())]
    with pytest.raises(zpager.ConfigurationError, match=r"/var/tmp is on tmpfs.*ZPAGER_SWAP_DIR"):
        choose_swap_directory(environment={}, mounts=everything)


def test_a_file_is_no_directory_and_one_without_rights_will_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(zpager.ConfigurationError, match="is not a directory"):
        choose_swap_directory(file, mounts=[DISK])
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(zpager.ConfigurationError, match="not writable"):
        choose_swap_directory(tmp_path, mounts=[DISK])
