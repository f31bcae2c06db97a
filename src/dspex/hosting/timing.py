"""What only a run's processes know, kept in its row: how long it has been carried, and what was sent unheard of."""

from __future__ import annotations

import time
from collections.abc import Mapping

from sqlalchemy import Connection

from dspex.kernel.ports import JSON, Usage
from dspex.storage import runs
from dspex.storage.runs import RunRow

_NOTHING: Mapping[str, JSON] = {}


def carried_for(run: RunRow) -> float:
    """Seconds until now; of a process that died, until its last heartbeat."""
    seconds, noted = float(run.progress.get("seconds") or 0.0), run.progress.get("noted")
    if noted is None or run.heartbeat is None:
        return seconds
    return seconds + max(0.0, run.heartbeat - float(noted))


def unheard_of(progress: Mapping[str, JSON]) -> Usage:
    """What may have been billed without an answer, up to the last round that ended: no call's row says it."""
    calls, tokens, usd = progress.get("unheard") or (0, 0, 0.0)
    return Usage(calls, tokens, usd=usd)


def running(seconds: float) -> dict[str, JSON]:
    """What is kept of the time of a run that goes on."""
    return {"seconds": seconds, "noted": time.time()}


def keep(connection: Connection, run: str, seconds: float, more: Mapping[str, JSON] = _NOTHING, *, going: bool) -> None:
    """Write down how long the run has been carried, and whether it is from here on."""
    progress = {**runs.find(connection, run).progress, **running(seconds), **more}
    runs.progressed(connection, run, progress if going else {**progress, "noted": None})
