"""Writes a store with a run that was killed in its middle, to be kept: `python -m tests.hosting.keeping`.

One such file is made for every schema and kept for ever: whoever has such a store must be able to carry its run on.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from dspex.clients.budget import Budget
from dspex.configuration.runtimes import runtime
from dspex.evaluation.metrics import ExactMatch
from dspex.hosting import searching
from dspex.kernel.ports import Event
from dspex.kernel.variables import Demos, Float, Text
from dspex.storage.tables import SCHEMA_VERSION
from tests.optimization.simulators import program, rows

FOLDER = Path(__file__).parent / "kept"
KILLED_AFTER = "3"
"""The round after which the process that carries the run is killed."""


def main() -> None:
    """Make the store of this schema, or make it again."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "dspex.db"
        command = [sys.executable, "-m", "tests.hosting.keeping", str(store)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        small = Path(folder) / "small.db"
        with sqlite3.connect(store) as connection:
            connection.execute("VACUUM INTO ?", (str(small),))
        target = FOLDER / f"schema-{SCHEMA_VERSION}.db.gz"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(gzip.compress(small.read_bytes(), mtime=0))
    print(f"wrote {target}, {target.stat().st_size} bytes")


async def search(store: str) -> None:
    """A search that kills its own process."""

    def watch(event: Event) -> None:
        if event.kind == "round.finished" and event.where == KILLED_AFTER:
            os.kill(os.getpid(), signal.SIGKILL)

    await searching.optimize(
        program(instructions=Text(), demos=Demos(3), temperature=Float(0, 1)), rows(24), rows(24, 1000),
        ExactMatch("label"), runtime("embedded/lexical", file="none"), confirm=rows(16, 2000),
        budget=Budget(calls=400), seed=5, store=store, on_event=watch,
    )  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(search(sys.argv[1]))
    else:
        main()
