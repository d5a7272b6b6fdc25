"""What holds for `zpager run`, and where it comes from; which programs it refuses."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import zpager
from zpager.cli import main
from zpager.run import program
from zpager.run.settings import SETTINGS, min_size_bytes, options_of, resolve

NOTHING: dict[str, str] = {}


def write_toml(directory: Path, text: str) -> None:
    (directory / "pyproject.toml").write_text(text)


def test_flags_win_over_the_environment_over_the_file_over_defaults(tmp_path: Path) -> None:
    write_toml(tmp_path, '[tool.zpager]\nram = "3GiB"\nswap = "4GiB"\ncodec = "zstd"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    values = resolve(
        {"ram": "1GiB", "io": None},
        environment={"ZPAGER_RAM": "2GiB", "ZPAGER_SWAP": "5GiB"},
        directory=inner,
    )
    found = {name: (one.value, one.origin) for name, one in values.items()}
    assert found["ram"] == ("1GiB", "--ram")
    assert found["swap"] == ("5GiB", "$ZPAGER_SWAP")
    assert found["codec"] == ("zstd", f"[tool.zpager] of {tmp_path / 'pyproject.toml'}")
    assert found["io"] == ("auto", "default")


def test_values_have_the_types_of_their_settings(tmp_path: Path) -> None:
    write_toml(tmp_path, "[tool.zpager]\nencrypt = false\nreadahead_pages = 8\nmin_size = 131072\n")
    environment = {"ZPAGER_QUIET": "yes", "ZPAGER_STATS_EVERY": "2.5"}
    values = resolve({}, environment=environment, directory=tmp_path)
    assert values["encrypt"].value is False
    assert values["quiet"].value is True
    assert values["stats_every"].value == 2.5
    assert options_of(values).readahead_pages == 8
    assert min_size_bytes(values) == 131072


@pytest.mark.parametrize(
    ("toml", "environment", "complaint"),
    [
        ("[tool.zpager]\nrum = 1\n", {}, "rum, which is not known"),
        ("[tool.zpager\n", {}, "is no TOML"),
        ("[tool.zpager]\nram = []\n", {}, r"ram=\[\].*pyproject.toml"),
        ("", {"ZPAGER_ENCRYPT": "perhaps"}, r"encrypt='perhaps'.*\$ZPAGER_ENCRYPT"),
        ("", {"ZPAGER_READAHEAD_PAGES": "x"}, "readahead_pages='x'"),
        ("", {"ZPAGER_STATS_EVERY": "-1"}, "stats_every='-1'"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(
    tmp_path: Path, toml: str, environment: dict[str, str], complaint: str
) -> None:
    write_toml(tmp_path, toml)
    with pytest.raises(zpager.ConfigurationError, match=complaint):
        resolve({}, environment=environment, directory=tmp_path)


def test_the_nearest_file_without_our_table_does_not_hide_one_above(tmp_path: Path) -> None:
    write_toml(tmp_path, '[tool.zpager]\nram = "3GiB"\n')
    inner = tmp_path / "inner"
    inner.mkdir()
    write_toml(inner, "[project]\nname = 'other'\n")
    assert resolve({}, environment=NOTHING, directory=inner)["ram"].value == "3GiB"


def test_config_shows_every_setting_and_its_origin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZPAGER_SWAP", "64MiB")
    shown = CliRunner().invoke(main, ["config", "--ram", "32MiB"])
    assert shown.exit_code == 0, shown.output
    lines = {line.split()[0]: line for line in shown.output.splitlines()}
    assert lines.keys() == {setting.name for setting in SETTINGS}
    assert lines["ram"].split()[1:] == ["32MiB", "--ram"]
    assert lines["swap"].split()[1:] == ["64MiB", "$ZPAGER_SWAP"]
    as_json = json.loads(CliRunner().invoke(main, ["config", "--json", "--ram", "32MiB"]).output)
    assert as_json["ram"] == {"value": "32MiB", "from": "--ram"}
    wrong = CliRunner().invoke(main, ["config", "--ram", "much"])
    assert wrong.exit_code == 1
    assert "ram: 'much' is not a size" in wrong.output


# Programs.


def elf(kind: int = 2, segment: int = 1, text: bytes = b"") -> bytes:
    """The start of a program, with one segment."""
    header = b"\x7fELF" + bytes([kind, 1, 1]) + bytes(25) + struct.pack("<Q", 64) + bytes(14)
    header += struct.pack("<HH", 56, 1) + bytes(6)
    return header + struct.pack("<I", segment) + bytes(52) + text


def program_of(directory: Path, content: bytes, mode: int = 0o755) -> str:
    path = directory / "program"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_ordinary_programs_and_scripts_are_accepted(tmp_path: Path) -> None:
    for name in ("sh", sys.executable):
        program.require_preloadable(program.find(name))
    for content in (
        b"#!/bin/sh\n",
        b"#!/usr/bin/env python3\n",
        b"#!/nowhere\n",
        b"",
        b"#!\n",
        elf(segment=3),
    ):
        program.require_preloadable(program_of(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (elf(), "linked statically"),
        (elf(kind=1), "32 bits"),
        (elf(segment=3, text=b"\xff Go buildinf:"), "Go program"),
    ],
)
def test_what_cannot_be_preloaded_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = program_of(tmp_path, content)
    with pytest.raises(program.CannotStart, match=why) as caught:
        program.require_preloadable(path)
    assert caught.value.code == 125
    script = tmp_path / "script"
    script.write_text(f"#!{path}\n")
    with pytest.raises(program.CannotStart, match=why):
        program.require_preloadable(str(script))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_setuid_programs_are_refused(tmp_path: Path) -> None:
    path = program_of(tmp_path, elf(segment=3))
    os.chown(path, 65534, 65534)
    os.chmod(path, 0o4755)
    with pytest.raises(program.CannotStart, match="setuid"):
        program.require_preloadable(path)


def test_what_is_not_found_or_no_program_has_the_codes_of_env(tmp_path: Path) -> None:
    for name, code in (("no-such-program-here", 127), (str(tmp_path), 126), ("/etc/passwd", 126)):
        with pytest.raises(program.CannotStart) as caught:
            program.find(name)
        assert caught.value.code == code, name
    assert program.find("sh") == shutil.which("sh")
