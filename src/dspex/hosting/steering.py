"""What a command does to a run's rows, whether a process carries it or not."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection

from dspex.errors import ConfigurationError
from dspex.hosting.liveness import Owner, alive, lock_of
from dspex.hosting.waiting import rested, waits
from dspex.storage import runs
from dspex.storage.database import Database, Location
from dspex.storage.runs import CommandKind, RunState


def ask(connection: Connection, location: Location, id: str, kind: CommandKind, rest: RunState) -> None:
    """Have a run paused or stopped: whoever carries it is told, and where nobody does, it rests at once."""
    runs.hold(connection, id)  # nobody takes it between the look and the move
    row = runs.find(connection, id)
    done = row.state == rest and not waits(row)
    if row.state in runs.FINISHED or done or (row.state == "stopping" and rest == "paused"):
        return
    if not alive(location, row, time.time()):
        _rest(connection, id, rest)
        return
    moving: RunState = "pausing" if rest == "paused" else "stopping"
    if row.state == "running" or (row.state == "pausing" and moving == "stopping"):
        runs.move(connection, id, moving, "on request")
    runs.tell(connection, id, kind)


async def seize(database: Database, id: str) -> None:
    """Take the run from a process that does not react; fenced, nothing that it still does has an effect.

    It is killed only where the lock that it holds is signed by the very owner in the run's row, on this machine.
    """
    row = await database.read(lambda c: runs.find(c, id))
    lock = lock_of(database.location, id)
    signed = None if lock is None else lock.signature()
    if signed is not None and signed == Owner.read(row.owner) and signed.host == Owner.here().host:
        with suppress(ProcessLookupError):
            os.kill(signed.pid, signal.SIGKILL)
    await database.write(partial(_seized, id=id))


def _seized(connection: Connection, id: str) -> None:
    """End the run and fence whoever carries it."""
    runs.hold(connection, id)
    row = runs.find(connection, id)
    if row.state not in runs.FINISHED:
        runs.claim(connection, id, row.owner, None)
        runs.move(connection, id, "stopped", "at once, on request; its process did not react")


def _rest(connection: Connection, id: str, rest: RunState) -> None:
    """Nobody carries the run: it is at rest already, and only its row has to say so."""
    state = runs.find(connection, id).state
    if state == rest == "paused":
        rested(connection, id, "on request, while nothing carried it")
    elif rest in runs.MOVES[state]:
        runs.move(connection, id, rest, "on request, while nothing carried it")
    elif state in ("crashed", "failed") and rest == "paused":
        return
    else:
        raise ConfigurationError(f"run {id} is {state}; it cannot become {rest}")
