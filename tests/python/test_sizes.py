"""Sizes: what people write, what is understood, and what the machine's files say of its RAM."""

import contextlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zpager
from zpager.machine import cgroup_limit, file_system_type, memory_limit_bytes, physical_ram_bytes, read_mounts


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0004", 4),
        ("12B", 12),
        ("1k", 1024),
        ("1K", 1024),
        ("1 KiB", 1024),
        ("1kb", 1000),
        ("256MiB", 256 << 20),
        ("256 m", 256 << 20),
        ("4GiB", 4 << 30),
        ("1.5GiB", 3 << 29),
        ("1.5 GB", 1_500_000_000),
        ("2T", 2 << 40),
        ("1TB", 10**12),
        ("  7 MB ", 7_000_000),
        ("0.3KB", 300),
        (4096, 4096),
        (np.int64(77), 77),
        (2e9, 2_000_000_000),
    ],
)
def test_what_is_understood(text: zpager.sizes.Size, size_bytes: int) -> None:
    assert zpager.parse_size(text) == size_bytes


def test_a_per_cent_is_a_share_of_the_whole() -> None:
    assert zpager.parse_size("50%", whole=1000) == 500
    assert zpager.parse_size("12.5 %", whole=1000) == 125
    assert zpager.parse_size("200%", whole=1000) == 2000
    assert zpager.parse_size("100%") == memory_limit_bytes()


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "lots",
        "-1",
        "-5MiB",
        "1..5M",
        "1,5M",
        "nan",
        "inf",
        "5 XB",
        "M",
        "%",
        "0",
        "0.1",
        "0%",
        "1e9",
        "٣",
        "9999999T",
    ]
    + [0, -1, True, False, math.nan, math.inf, -2.0, None, [4096], b"4K", 1 << 63],
)
def test_what_is_no_size_is_refused_and_the_message_shows_what_is(bad: zpager.sizes.Size) -> None:
    with pytest.raises(zpager.ConfigurationError, match="256MiB") as caught:
        zpager.parse_size(bad, whole=10)
    assert isinstance(caught.value, ValueError)
    assert repr(bad) in str(caught.value)


@given(st.integers(1, 1 << 62))
def test_bytes_stay_what_they_are(size_bytes: int) -> None:
    assert zpager.parse_size(size_bytes) == size_bytes
    assert zpager.parse_size(str(size_bytes)) == size_bytes
    assert zpager.parse_size(f"{size_bytes} B") == size_bytes


@given(st.integers(1, 1 << 62))
def test_what_is_formatted_is_parsed_again_to_a_decimal(size_bytes: int) -> None:
    text = zpager.format_size(size_bytes)
    again = zpager.parse_size(text)
    unit_bytes = zpager.parse_size(f"1{text.split()[1]}")
    # Half of the last decimal shown, and what rounding down to bytes may take.
    assert abs(again - size_bytes) <= unit_bytes / 20 + 1 + size_bytes * 2**-50
    assert unit_bytes == 1 << 40 or float(text.split()[0]) < 1024


@given(
    st.integers(0, 10**9), st.integers(0, 3), st.sampled_from(["", "b", "k", "kib", "kb", "g", "gib", "gb"])
)
def test_the_case_of_letters_and_blanks_do_not_matter(digits: int, decimals: int, unit: str) -> None:
    number = f"{digits / 10**decimals:.{decimals}f}"

    def understood(text: str) -> int | None:
        try:
            return zpager.parse_size(text)
        except zpager.ConfigurationError:
            return None

    assert understood(number + unit) == understood(f" {number} {unit.upper()} ")


@given(st.text() | st.floats() | st.integers())
def test_anything_else_is_refused_by_one_error(value: str | float) -> None:
    with contextlib.suppress(zpager.ConfigurationError):
        assert zpager.parse_size(value) >= 1


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1 MiB"),
        (256 << 20, "256 MiB"),
        (800_000_000, "762.9 MiB"),
        (5000 << 40, "5000 TiB"),
        (-4096, "-4 KiB"),
    ],
)
def test_how_sizes_are_shown(size_bytes: int, text: str) -> None:
    assert zpager.format_size(size_bytes) == text


# What the machine has: trees that look like /proc and /sys of some machine.


def write(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


CGROUP2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
CGROUP1 = "31 24 0:27 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"


def test_the_tightest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/job.scope\n",
            "proc/self/mountinfo": CGROUP2,
            "sys/fs/cgroup/user.slice/memory.max": "1073741824\n",
            "sys/fs/cgroup/user.slice/job.scope/memory.max": "2147483648\n",
        },
    )
    limit = cgroup_limit(root)
    assert limit is not None
    assert limit.limit_bytes == 1 << 30
    assert limit.path.endswith("user.slice/memory.max")


def test_max_is_no_limit(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/job\n",
        "proc/self/mountinfo": CGROUP2,
        "sys/fs/cgroup/job/memory.max": "max\n",
    }
    assert cgroup_limit(write(tmp_path, files)) is None


def test_version_1_with_and_without_a_limit(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:cpu,memory:/job\n1:name=systemd:/\n",
        "proc/self/mountinfo": CGROUP1,
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "9223372036854771712\n",
    }
    root = write(tmp_path, files)
    assert cgroup_limit(root) is None
    write(tmp_path, {"sys/fs/cgroup/memory/job/memory.limit_in_bytes": "536870912\n"})
    limit = cgroup_limit(root)
    assert limit is not None
    assert limit.limit_bytes == 512 << 20


def test_in_a_container_the_mount_shows_only_the_part_below_its_root(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/docker/abc\n",
        "proc/self/mountinfo": CGROUP2.replace(" / /sys", " /docker/abc /sys"),
        "sys/fs/cgroup/memory.max": "104857600\n",
    }
    limit = cgroup_limit(write(tmp_path, files))
    assert limit is not None
    assert limit.limit_bytes == 100 << 20


def test_without_cgroups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_limit(str(tmp_path)) is None


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
            "2 1 0:5 / /no/such\\040place rw - tmpfs tmpfs rw\n"
            "3 1 0:6 / /no/xfs rw - ext4 /dev/sdb rw\n"
            "4 3 0:7 / /no/xfs rw - xfs /dev/sdc rw\n"
        },
    )
    mounts = read_mounts(root)
    assert file_system_type("/no/such place/inside", mounts) == "tmpfs"
    assert file_system_type("/no/such place", mounts) == "tmpfs"
    assert file_system_type("/no/such place's neighbour", mounts) == "ext4"
    assert file_system_type("/no/xfs/deep/inside", mounts) == "xfs"
    assert file_system_type("/nowhere", []) == "unknown"


def test_this_machine_has_ram() -> None:
    assert 1 << 24 < memory_limit_bytes() <= physical_ram_bytes()
