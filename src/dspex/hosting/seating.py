"""Taking a run over: its lock or its lease, and a new epoch, so that one process carries it at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection

from dspex.errors import ConfigurationError
from dspex.hosting.liveness import LEASE_SECONDS, MISTAKEN_SECONDS, Owner, RunLock, alive, lock_of
from dspex.hosting.timing import carried_for, keep
from dspex.hosting.waiting import waits
from dspex.storage import runs
from dspex.storage.database import Database
from dspex.storage.runs import RunRow

LEAVING_SECONDS = 10.0
"""What a process whose run is at rest has to be gone."""


class TakenError(ConfigurationError):
    """Another live process carries the run."""


class RestingError(ConfigurationError):
    """The run has been paused or ended, and nobody has asked for it to go on."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A process's hold on a run: its lock and its epoch."""

    run: RunRow
    epoch: int
    lock: RunLock | None
    waiting: bool = False
    """It is at rest for an outage, and this process is to ask the model again."""

    def release(self) -> None:
        if self.lock is not None:
            self.lock.release()


async def _patience(database: Database, run_id: str) -> float:
    """Seconds to wait for a run's lock: who has just paused it is about to leave."""
    row = await database.read(lambda c: runs.find(c, run_id))
    return LEAVING_SECONDS if row.state in runs.RESTING and not waits(row) else MISTAKEN_SECONDS


async def take(database: Database, run_id: str, *, servant: bool = False) -> Seat:
    """Make this process the run's owner.

    A `servant` process is there for the run alone: it may be killed with it, and leaves a run that was paused alone.
    Raises TakenError while another process is alive, RestingError.
    """
    lock = lock_of(database.location, run_id)
    if lock is not None and not await lock.acquired(await _patience(database, run_id)):
        raise TakenError(f"run {run_id} is being carried by another process; `dspex runs watch {run_id}` shows it")

    def claim(connection: Connection) -> tuple[RunRow, int]:
        runs.hold(connection, run_id)
        row = runs.find(connection, run_id)
        if lock is None and alive(database.location, row, time.time()):
            raise TakenError(f"run {run_id} is carried by {row.owner}, whose lease still holds")
        if row.state in runs.FINISHED:
            raise ConfigurationError(f"run {run_id} is {row.state}; fork it to go on from there")
        if servant and row.state in ("paused", "failed", "crashed") and not waits(row):
            raise RestingError(f"run {run_id} is {row.state}")
        epoch = runs.claim(connection, run_id, str(Owner.here()), LEASE_SECONDS if lock is None else None)
        keep(connection, run_id, carried_for(row), going=not waits(row))
        return row, epoch

    try:
        row, epoch = await database.write(claim)
        if lock is not None:
            lock.sign(Owner.here() if servant else None)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return Seat(row, epoch, lock, servant and waits(row))
