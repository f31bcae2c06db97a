"""A run whose model is gone: at rest, with a process that asks the model again now and then, where that is wanted."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from sqlalchemy import Connection

from dspex.hosting.liveness import RunLock, alive, folder_of
from dspex.optimization.options import SearchOptions
from dspex.storage import runs
from dspex.storage.database import Location
from dspex.storage.runs import RunRow

OUTAGE = "outage: "
"""What the reason of such a run begins with."""
_LONGEST = 10
"""Times the first wait."""
Woken = Literal["time", "resume", "pause", "stop", "stop-now", "raise"]


def waits(row: RunRow) -> bool:
    """Whether the run is at rest for an outage alone, and is to go on by itself."""
    wanted = row.spec.get("options", {}).get("on_outage") == "wait"
    return wanted and row.state == "paused" and row.reason.startswith(OUTAGE)


def attended(location: Location, row: RunRow) -> bool:
    """Whether the run waits, and a process is there that will go on with it, or will be again in a moment."""
    if not waits(row):
        return False
    folder = folder_of(location)
    supervised = folder is not None and RunLock(folder / f"{row.id}.supervisor").held()
    return supervised or alive(location, row, time.time())


def reason(said: str, seconds: float) -> str:
    """Why the run is at rest, and when it asks again."""
    return f"{OUTAGE}{said}; it asks again in {seconds:g} s, and goes on by itself when it is answered"


def rested(connection: Connection, id: str, said: str) -> None:
    """Write why a run is at rest; of one that was already, too."""
    if runs.move(connection, id, "paused", said) == "paused":
        runs.explained(connection, id, said)


def back(connection: Connection, id: str) -> None:
    """The model answers again."""
    if runs.find(connection, id).state == "paused":
        runs.overtaken(connection, id)
        runs.move(connection, id, "queued", "the model answers again")
        runs.move(connection, id, "running", finished=None)


class Patience:
    """When to ask again: each time after twice as long, or at once when somebody says so."""

    def __init__(self, options: SearchOptions) -> None:
        self._first = self.seconds = options.probe_seconds
        self._woken = asyncio.Event()
        self._why: Woken = "time"
        self.asleep = False

    async def sleep(self) -> Woken:
        """Until it is time, or until `wake`; returns which, or what was asked."""
        self._why, self.asleep = "time", True
        self._woken.clear()
        try:
            async with asyncio.timeout(self.seconds):
                await self._woken.wait()
        except TimeoutError:
            pass
        finally:
            self.asleep = False
        self.seconds = min(2 * self.seconds, _LONGEST * self._first)
        return self._why

    def wake(self, why: Woken) -> None:
        self._why = why
        self._woken.set()

    def reset(self) -> None:
        """It was answered: the next outage begins anew."""
        self.seconds = self._first
