"""The command `zpager`: help, version, the doctor's three ways to show its findings, the lazy demo."""

import json
import subprocess
import sys
import types
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

import zpager
from zpager import cli
from zpager.doctor import Finding

FINE = Finding("userfaultfd", "ok", "available [all of it]")
SLOW = Finding("CPUs", "warning", "1", "get another")
BROKEN = Finding("swap directory", "problem", "none", "name one")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def show(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    monkeypatch.setattr(cli, "examine", lambda swap_dir: list(findings))


def test_help_names_the_commands() -> None:
    code, output = run("--help")
    assert code == 0
    assert "doctor" in output
    assert run("-h") == (code, output)
    assert "--json" in run("doctor", "--help")[1]


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version") == (0, f"zpager {version('zpager')}\n")


def test_the_doctor_says_what_to_do_and_exits_with_0_if_zpager_can_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    show(monkeypatch, FINE, SLOW)
    code, output = run("doctor")
    assert code == 0
    assert "ok       userfaultfd  available [all of it]" in output
    assert "what to do: get another" in output
    assert "zpager can run" in output


def test_a_problem_makes_the_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, FINE, BROKEN)
    code, output = run("doctor")
    assert code == 1
    assert "zpager cannot run" in output


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, FINE, BROKEN)
    code, output = run("doctor", "--json")
    assert code == 1
    told = json.loads(output)
    assert told["can_run"] is False
    assert told["findings"][1] == {
        "subject": "swap directory",
        "status": "problem",
        "found": "none",
        "remedy": "name one",
    }


def test_on_a_terminal_the_same_words_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(record=True, width=80, force_terminal=True)
    monkeypatch.setattr("rich.console.Console", lambda: console)
    cli._print_table([FINE, BROKEN])
    shown = console.export_text()
    assert "available [all of it]" in shown
    assert "→ name one" in shown


def test_the_doctor_looks_at_the_directory_that_is_given() -> None:
    code, output = run("doctor", "--swap-dir", "/no/such/place")
    assert code == 1
    assert "/no/such/place" in output


def test_the_demo_is_imported_only_when_it_is_asked_for() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from zpager.cli import main; "
        "CliRunner().invoke(main, ['doctor']); "
        "sys.exit('zpager.demo.command' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_demo_is_a_command_of_its_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("made_up")
    module.demo = click.Command("demo", callback=lambda: click.echo("the contest"))  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "made_up", module)
    monkeypatch.setitem(cli._LAZY_COMMANDS, "demo", "made_up")
    assert run("demo") == (0, "the contest\n")


def test_without_the_demo_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli._LAZY_COMMANDS, "demo", "zpager.no_such_package.command")
    code, output = run("demo")
    assert code == 2
    assert "No such command" in output
    assert run("--help")[0] == 0


def test_an_error_of_zpager_is_a_message_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(swap_dir: str | None) -> list[Finding]:
        raise zpager.UserfaultfdUnavailable("this machine does not allow it")

    monkeypatch.setattr(cli, "examine", fail)
    code, output = run("doctor")
    assert code == 1
    assert output == "Error: UserfaultfdUnavailable: this machine does not allow it\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str) -> None:
    result = CliRunner().invoke(cli.main, ["completion", shell])
    assert result.exit_code == 0
    assert "_ZPAGER_COMPLETE" in result.output


def test_bash_completes_commands_options_and_their_choices() -> None:
    script = f"""
        PATH={Path(sys.executable).parent}:$PATH
        eval "$(zpager completion bash)"
        complete_line() {{
            COMPREPLY=() COMP_WORDS=($1) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            _zpager_completion zpager
            echo "${{COMPREPLY[@]}}"
        }}
        complete_line "zpager ru"
        complete_line "zpager run --swap-d"
        complete_line "zpager run --codec z"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["run", "--swap-dir", "zstd", ""], done.stderr


@pytest.mark.filterwarnings("ignore:'click.utils:DeprecationWarning:click_man")
def test_the_man_pages_say_what_the_commands_say(tmp_path: Path) -> None:
    """`make man` writes them anew."""
    pages = import_module("manual.pages")
    pages.write(tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert "zpager-run.1" in written
    assert {path.name: path.read_text() for path in pages.DIRECTORY.iterdir()} == written
