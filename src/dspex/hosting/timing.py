"""How long a run has been carried, by all of its processes together, those that were killed included."""

from __future__ import annotations

import time

from sqlalchemy import Connection

from dspex.kernel.ports import JSON
from dspex.storage import runs
from dspex.storage.runs import RunRow


def carried_for(run: RunRow) -> float:
    """Seconds until now; of a process that died, until its last heartbeat."""
    seconds, noted = float(run.progress.get("seconds") or 0.0), run.progress.get("noted")
    if noted is None or run.heartbeat is None:
        return seconds
    return seconds + max(0.0, run.heartbeat - float(noted))


def running(seconds: float) -> dict[str, JSON]:
    """What is kept of the time of a run that goes on."""
    return {"seconds": seconds, "noted": time.time()}


def keep(connection: Connection, run: str, seconds: float, *, going: bool) -> None:
    """Write down how long the run has been carried, and whether it is from here on."""
    progress = {**runs.find(connection, run).progress, **running(seconds)}
    runs.progressed(connection, run, progress if going else {**progress, "noted": None})
