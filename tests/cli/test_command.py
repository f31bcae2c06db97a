"""The frame of the command: overview, errors, exit codes, colour, and what it imports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from dspex import errors
from dspex.cli import exits
from dspex.cli.command import COMMANDS
from dspex.cli.exits import code_of, message_of
from dspex.cli.output import coloured, emit, paint
from dspex.kernel.state import State, StepError
from tests.cli.conftest import Dspex

PAGE = Path(__file__).parents[2] / "docs" / "command.md"
HEAVY = ("pydantic", "aiohttp", "rich", "yaml", "asyncio", "sqlite3", "dspex.kernel", "dspex.evaluation")


def test_no_argument_gives_the_overview(dspex: Dspex) -> None:
    outcome = dspex()
    assert outcome.code == 0
    assert all(name in outcome.out for name in COMMANDS)
    assert outcome.err == ""


def test_version(dspex: Dspex) -> None:
    assert dspex("--version").out == f"dspex {version('dspex')}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_has_help(dspex: Dspex, name: str) -> None:
    outcome = dspex(name, "--help")
    assert outcome.code == 0
    assert f"Usage: dspex {name}" in outcome.out


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_the_overview_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom dspex.cli.command import invoke\ninvoke({arguments!r})\nprint(*sys.modules, file=sys.stderr)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(outcome.stderr.split())
    assert [name for name in HEAVY if name in loaded] == []


def test_a_misspelt_command_gets_a_suggestion(dspex: Dspex) -> None:
    outcome = dspex("evla")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "dspex: No such command 'evla'. Did you mean 'eval'?\n"


def test_a_misspelt_option_gets_a_suggestion(dspex: Dspex) -> None:
    outcome = dspex("show", "--jsn")
    assert outcome.code == 2
    assert "no option '--jsn'; did you mean '--json'?" in outcome.err
    assert outcome.err.count("\n") == 1


def test_an_error_is_one_line_and_with_json_an_object_too(dspex: Dspex) -> None:
    outcome = dspex("show", "absent.yaml", "--json")
    assert outcome.code == 2
    assert outcome.err.splitlines() == ["dspex: absent.yaml: there is no such program file"]
    assert outcome.data["error"] == {
        "kind": "ProgramError",
        "message": "absent.yaml: there is no such program file",
        "exit_code": 2,
    }


def test_debug_shows_the_traceback_wherever_it_stands(dspex: Dspex) -> None:
    for line in (["--debug", "show", "absent.yaml"], ["show", "absent.yaml", "--debug"]):
        outcome = dspex(*line)
        assert outcome.code == 2
        assert "Traceback (most recent call last)" in outcome.err
        assert outcome.err.splitlines()[-1] == "dspex: absent.yaml: there is no such program file"


def _step(cause: Exception) -> StepError:
    return StepError("route", State({}, {}), cause)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError("x"), 2),
        (errors.InputError("x"), 2),
        (FileNotFoundError(2, "No such file or directory", "x"), 2),
        (errors.AuthenticationError("x"), 3),
        (_step(errors.RateLimitError("x")), 3),
        (_step(errors.ParseError("x")), 3),
        (errors.OutageError("x"), 3),
        (_step(errors.BudgetExceededError("x")), 4),
        (_step(ValueError("raised by a user's function")), 2),
        (KeyboardInterrupt(), 130),
        (AssertionError("ours"), 70),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert code_of(error) == code


def test_messages_are_one_line() -> None:
    assert message_of(errors.DataError("a\n  b")) == "a b"
    assert message_of(PermissionError(13, "Permission denied", "/x")) == "/x: permission denied"
    assert message_of(ValueError("odd")) == "ValueError: odd"
    assert message_of(typer.BadParameter("no")).startswith("Invalid value: no")


class _Terminal:
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return _Terminal()


def test_colour_only_on_a_terminal_and_not_against_the_will(
    terminal: _Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert coloured(terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(terminal)
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert not coloured(terminal)
    assert paint("x", "red") == "x"


def test_what_json_cannot_say_becomes_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"a": float("nan"), "b": [float("inf"), 1.5], "ü": None})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "ü": None}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_lists_commands(shell: str, tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("dspex"))
    words = {"bash": {"COMP_WORDS": "dspex ev", "COMP_CWORD": "1"}}.get(
        shell, {"_TYPER_COMPLETE_ARGS": "dspex ev", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    )
    environment = {"_DSPEX_COMPLETE": f"complete_{shell}", "HOME": str(tmp_path), **words}
    outcome = subprocess.run([command], env=environment, capture_output=True, text=True, check=False)
    assert "eval" in outcome.stdout
    assert "optimize" not in outcome.stdout


def test_a_reader_that_leaves_early_is_no_fault_and_no_gate() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        command = [sys.executable, "-m", "dspex", "models"]
        outcome = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (141, "")


def test_the_page_has_every_command_and_exit_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"| `dspex {name}" not in text] == []
    codes = [value for name, value in vars(exits).items() if name.isupper()]
    assert sorted(codes) == sorted(int(code) for code in re.findall(r"^\| (\d+) \|", text, flags=re.MULTILINE))
