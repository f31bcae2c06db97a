"""The measuring harness, which lives beside this repository: finding it, and one measurement with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.environments import ROOT, SetupError

VARIABLE = "BENCH_HARNESS"
Row = Mapping[str, Any]
"""The harness's figures of one measurement by name; one that failed has `failed`, with the reason."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing to measure: a peer module in an environment, and arguments of the harness."""

    peer: str
    environment: str
    what: str
    arguments: tuple[str, ...] = ()
    """As on the harness's command line."""


@dataclass(frozen=True, slots=True)
class Harness:
    """The harness's program, the environments, and where raw rows are kept (one JSON line a measurement)."""

    program: Path
    pythons: Mapping[str, Path]
    rows: Path
    timeout: int = 400
    """Seconds one measurement may take."""

    def measure(self, trial: Trial) -> Row:
        """One measurement, in a process of its own, with a server of its own where it needs one."""
        with TemporaryDirectory(prefix="dspex-bench") as folder:
            out = Path(folder) / "rows.jsonl"
            argv = [
                sys.executable, str(self.program), "--peer", trial.peer, "--what", trial.what, "--repeat", "1",
                "--python", str(self.pythons[trial.environment]), "--server-python", str(self.pythons["server"]),
                "--out", str(out), "--timeout", str(self.timeout), *trial.arguments,
            ]  # fmt: skip
            env = {**os.environ, "BENCH_PEERS": str(ROOT / "benchmarks")}
            done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
            if done.returncode or not out.exists():
                return {"failed": (done.stdout + done.stderr)[-1500:]}
            text = out.read_text(encoding="utf-8")
        with self.rows.open("a", encoding="utf-8") as kept:
            kept.write(text)
        row: Row = json.loads(text)
        if row.get("rc"):
            return {"failed": f"the measured process ended with {row['rc']}"}
        return {"failed": f"not supported: {row['unsupported']}"} if "unsupported" in row else row


def find_harness() -> Path:
    """The harness's `run.py`. Raises SetupError naming the variable that says where it is."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else ROOT.parent / "shared" / "bench"
    program = folder.resolve() / "run.py"
    if not program.is_file():
        raise SetupError(
            f"no measuring harness: {program} does not exist; set {VARIABLE} to the folder that holds its run.py"
        )
    return program
