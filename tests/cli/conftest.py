"""A command line as a function, and a working directory of one's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dspex.cli.command import invoke


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The one JSON object on stdout; fails where stdout holds anything else."""
        found: dict[str, Any] = json.loads(self.out)
        assert self.out.count("\n") == 1, self.out
        return found


Dspex = Callable[..., Outcome]


@pytest.fixture
def dspex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dspex:
    """Runs `dspex` with these arguments in `tmp_path`, with no setting and no key in the environment."""
    for name in [*os.environ]:
        if name.startswith("DSPEX_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = invoke(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
