"""`zpager lab calibrate` measures, and writes what the lab reads."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from zpager.errors import DeviceError
from zpager.lab.calibrate_command import calibrate, write
from zpager.lab.costs import PROFILES, costs
from zpager.options import Codec


@pytest.mark.userfaultfd
def test_the_file_has_costs_that_can_be(tmp_path: Path) -> None:
    path = tmp_path / "here.toml"
    result = CliRunner().invoke(calibrate, ["-o", str(path)], catch_exceptions=False)
    assert result.exit_code == 0
    found = costs(str(path))
    assert path.read_text().startswith("# Costs of ")
    assert [item.name for item in tmp_path.iterdir()] == ["here.toml"]
    assert found.cpus >= 1
    assert 1_000 < found.fault_ns + found.map_ns + found.codecs["lz4"].decompress_ns < 1_000_000
    assert found.read_ns + found.transfer_ns > 1_000
    assert set(found.codecs) == set(get_args(Codec))
    assert found.codecs["zstd"].compress_ns > 1_000


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="nowhere.*cannot be written"):
        write(PROFILES["nvme"], tmp_path / "nowhere" / "here.toml")
