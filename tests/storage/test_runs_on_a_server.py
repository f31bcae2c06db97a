"""A run in a process of its own on PostgreSQL: the same commands, told by the environment alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dspex.cli.beginning import init


@pytest.fixture
def dspex(server_url: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs a command line in a project whose store is a server; returns its JSON, fails where it fails."""
    init(tmp_path)
    environment = {**os.environ, "DSPEX_STORE": server_url}

    def run(*arguments: str) -> dict[str, Any]:
        line = [sys.executable, "-m", "dspex", *arguments, "--json"]
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def test_a_detached_search_completes_and_is_forked_on_a_server(dspex: Callable[..., dict[str, Any]]) -> None:
    assert dspex("programs", "create", "program.yaml")["number"] == 1
    run = dspex("optimize", "tickets", "--detach", "--calls", "300")["run"]
    watched = dspex("runs", "watch", run)
    assert (watched["state"], watched["repeated_calls"]) == ("completed", 0)
    assert watched["calls"] <= 300
    made = dspex("runs", "fork", run, "--calls", "400", "--no-start")
    assert made["evaluations"] > 0
    forked = dspex("runs", "resume", made["id"], "--here")
    assert forked["state"] == "completed"
    assert forked["calls"] <= 400 - 100
    versions = dspex("programs", "history", "tickets")["versions"]
    assert len(versions) == 1 + (watched["result"]["promotion"]["promoted"] is True)
    assert dspex("db", "check")["problems"] == []
