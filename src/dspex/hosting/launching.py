"""Starting the supervisor of a run: a process that outlives this one and its terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from dspex.hosting.liveness import local_folder
from dspex.storage.database import Database


def log_of(database: Database, run: str) -> Path:
    """The file that a run's processes write to."""
    return local_folder(database.location) / f"{run}.log"


def tell(text: str) -> None:
    """A line for the log, from a run's process.

    The log is a file beside the store: on the full disk that is to be told of it cannot be written either. The line is
    then left out, since who ends for it carries no run on when there is space.
    """
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())


def launch(store: str, run: str, database: Database) -> int:
    """Start the supervisor of a run; returns its process id. It outlives this process and its terminal."""
    path = log_of(database, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DSPEX_STORE": store}  # a URL may hold a password: not on the command line
    with path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dspex.hosting.supervisor", run],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    # Reaped when it ends, should this process still be there; it does not wait for it.
    threading.Thread(target=process.wait, name=f"dspex-reap-{run}", daemon=True).start()
    return process.pid
