"""A place that may be read and not written: one clear error, and nothing half written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspex.cli.beginning import init
from dspex.hosting.carrier import BROKEN
from tests.hosting.durability import Bench, Prepared, Uninterrupted
from tests.hosting.oracle import ROOT
from tests.hosting.project import KEY


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """The folder of the test, which `lock` makes read-only, with all that is in it."""
    yield tmp_path
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def lock(folder: Path) -> dict[str, bytes]:
    """Take the right to write away; returns all that is there."""
    found = content(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def powerless(folder: Path, module: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit status of a module and what it said on stderr."""
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.hosting.powerless", module, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": paths, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_run_in_a_store_that_cannot_be_written_ends_and_is_carried_on_when_it_can(
    bench: Bench, copy: Prepared, locked: Path, uninterrupted: Uninterrupted
) -> None:
    before = lock(locked)
    key = {KEY: f"{copy.tag}:first"}
    code, said = powerless(locked, "dspex.hosting.carrier", copy.run, DSPEX_STORE=copy.store, **key)
    assert (code, len(said.strip().splitlines())) == (BROKEN, 1), said
    assert copy.store in said
    assert "--store" in said
    assert content(locked) == before
    assert bench.oracle.asked(copy.tag) == []
    for path in (locked, *locked.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    bench.carried_on(copy, uninterrupted)


@pytest.mark.parametrize("stored", [False, True], ids=["no store yet", "a store"])
@pytest.mark.parametrize("command", ["optimize program.yaml --calls 60", "programs create program.yaml"])
def test_a_command_says_in_one_line_what_cannot_be_written(locked: Path, command: str, stored: bool) -> None:
    init(locked)
    if stored:
        assert powerless(locked, "dspex", "programs", "create", "program.yaml")[0] == 0
    before = lock(locked)
    code, said = powerless(locked, "dspex", *command.split())
    assert code not in (0, 1), said
    *_, last = said.strip().splitlines()
    assert (said.count("dspex: "), last.startswith("dspex: "), "Traceback" in said) == (1, True, False), said
    assert str(locked / ".dspex") in last
    assert content(locked) == before
