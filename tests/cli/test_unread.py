"""Whoever read the output has gone, as with `| head -1`: work goes on, and nothing fails for want of a reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dspex.cli.beginning import init
from dspex.cli.exits import UNREAD, USAGE

METRIC = """
import sys


def score(example, state):
    print("looking at", example["ticket"])
    print("and again", file=sys.stderr)
    return float(example["team"] == state["team"])
"""
OPTIMIZE = ("optimize", "--metric", "chatty.py:score", "--calls", "60", "--json", "--store")


@contextmanager
def unread() -> Generator[int]:
    """Somewhere to write that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        yield write
    finally:
        os.close(write)


def dspex(
    folder: Path, *arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "dspex", *arguments]
    done = subprocess.run(command, cwd=folder, stdout=stdout, stderr=stderr, text=True, check=False)
    return done.returncode, done.stdout or "", done.stderr or ""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    init(folder)
    (folder / "chatty.py").write_text(METRIC, encoding="utf-8")
    (folder / "dspex.toml").write_text(
        'model = "embedded/lexical"\ncache = "none"\n[project]\nprogram = "program.yaml"\ndata = "data.jsonl"\n'
    )
    return folder


def found(folder: Path, store: str) -> dict[str, object]:
    """How the only run of a store ended."""
    run = json.loads(dspex(folder, "runs", "list", "--store", store, "--json")[1])["runs"][0]["id"]
    status = json.loads(dspex(folder, "runs", "show", run, "--store", store, "--json")[1])
    names = ("state", "best_score", "seed_score", "calls", "evaluations", "rounds", "restarts")
    return {name: status[name] for name in names} | {"program": status["result"]["program"]}


@pytest.mark.parametrize("how", [(), ("--isolation", "process", "--concurrency", "2")], ids=["here", "isolated"])
def test_a_search_goes_on_to_its_end_whoever_reads(project: Path, how: tuple[str, ...]) -> None:
    heard, unheard = (f"{'-'.join(how)}{number}.db" for number in range(2))
    code, out, err = dspex(project, *OPTIMIZE, heard, *how)
    assert (code, "looking at" in out, "and again" in err) == (0, True, True)
    whole = found(project, heard)
    assert whole["state"] == "completed"
    with unread() as lost:
        assert dspex(project, *OPTIMIZE, unheard, *how, stdout=lost, stderr=lost)[0] == UNREAD
    assert found(project, unheard) == whole


@pytest.fixture(scope="module")
def run(project: Path) -> str:
    """A finished run of the project's store, made while nobody read how it went."""
    with unread() as lost:
        code, out, _ = dspex(project, *OPTIMIZE, "seen.db", stderr=lost)
    assert code == 0
    return str(json.loads(out.splitlines()[-1])["run"])


@pytest.mark.parametrize("command", ["list", "watch", "show"])
def test_a_command_ends_quietly(project: Path, run: str, command: str) -> None:
    given = ["runs", command, *([] if command == "list" else [run]), "--store", "seen.db"]
    with unread() as lost:
        code, _, err = dspex(project, *given, stdout=lost)
    assert (code, err) == (UNREAD, "")


def test_an_error_is_said_on_one_line_where_its_object_is_not_read(project: Path, run: str) -> None:
    with unread() as lost:
        code, _, err = dspex(project, "runs", "show", "nosuch", "--store", "seen.db", "--json", stdout=lost)
    assert (code, err) == (UNREAD, f"dspex: unknown run 'nosuch'; known: '{run}'\n")


def test_an_error_that_nobody_reads_has_its_exit_code(project: Path) -> None:
    with unread() as lost:
        assert dspex(project, "runs", "show", "nosuch", stderr=lost)[0] == USAGE
