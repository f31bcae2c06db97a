"""The process that watches over one run: starts its carrier, waits, starts it again when it died.

`python -m dspex.hosting.supervisor RUN`, with the store in DSPEX_STORE. When the supervisor itself dies, the carrier
goes on; the next supervisor waits for it and takes over from there.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from dspex.hosting.carrier import BROKEN, RESTS, TAKEN
from dspex.hosting.flight import flight_of, saw_end
from dspex.hosting.launching import tell
from dspex.hosting.liveness import Owner, RunLock, alive, folder_of, lock_of
from dspex.hosting.waiting import waits
from dspex.optimization.rows import QUARANTINED
from dspex.storage import runs
from dspex.storage.database import Database, Location, StorageError
from dspex.storage.ledgers import deaths_of
from dspex.storage.opening import open_database
from dspex.storage.runs import RESTING, RunRow

STORE_SECONDS = 3600.0
_LONGEST_PAUSE = 30.0
_PATIENCE = 10.0
"""Seconds for which a second supervisor waits for the first to end."""
_OTHERS = "its process died, which another supervisor had started"
_NO_STORE = "its process could not use the store"
_LOOK = 0.5
"""Seconds between looks at the lease of a carrier that another supervisor started."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often a carrier that dies is started again, and how patiently."""

    most: int = 5
    """Deaths within `window` seconds that are too many: the run is then crashed."""
    window: float = 60.0
    base: float = 0.2
    longest: float = 10.0

    def wait(self, deaths: list[float], now: float) -> float | None:
        """Seconds before the next start; None: give up."""
        recent = [at for at in deaths if now - at < self.window]
        if len(recent) > self.most:
            return None
        return min(self.longest, self.base * 2.0 ** max(0, len(recent) - 1))


@dataclass(slots=True)
class Supervisor:
    """Watches over one run until it rests."""

    database: Database
    run: str
    start: Callable[[], subprocess.Popen[bytes]]
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    pause: float = 1.0
    """Seconds before the store is tried again; twice as many each time."""
    _uncounted: str = _OTHERS
    """Why the process of before ended, where that is not counted as a restart yet."""

    async def watch(self) -> int:
        """Until the run rests or is given up; returns an exit status.

        A store that cannot be used, as on a full disk or a server that is gone, is waited for, and the run carried on
        when it can. Raises StorageError where it stays so for an hour, and at once where its file was deleted.
        """
        pause, told, waited = self.pause, "", 0.0
        while True:
            began = time.monotonic()
            try:
                return await self._watch()
            except StorageError as error:
                if time.monotonic() - began > self.policy.window:
                    pause, told, waited = self.pause, "", 0.0  # it could be used meanwhile
                path = self.database.location.path
                if (path is not None and not Path(path).exists()) or waited > STORE_SECONDS:
                    raise
                if str(error) != told:
                    told = str(error)
                    tell(f"{told}; the run is carried on when the store can be used again")
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE)

    async def _watch(self) -> int:
        deaths: list[float] = []
        known = 0
        while True:
            await self._adopted()
            row = await self._row()
            if row.state in RESTING and not waits(row):
                return 0
            process = await self._started(row)
            status = await self._ended(process)
            # Code of an evaluation may leave with any status: one that was in the air says that this was no end.
            fell = saw_end(flight_of(self.database.location, self.run), process.pid, status)
            if status == RESTS and not fell:
                if (await self._row()).state != "queued":  # it may have been resumed meanwhile
                    return 0
                continue
            if status == TAKEN and not fell:
                await asyncio.sleep(self.policy.base)
                continue
            if status == BROKEN and not fell:
                # What cannot be written is no fault of the run, and as no death it does not count against it.
                await self._count(_NO_STORE)
                raise StorageError(f"run {self.run}: {_NO_STORE}")
            if (quarantined := await self._quarantined()) > known:
                known = quarantined
                deaths.clear()  # the deaths before this one had an end: what caused them is let be
            deaths.append(time.monotonic())
            seconds = self.policy.wait(deaths, time.monotonic())
            died = f"its process died {_how(status)}"
            if seconds is None:
                advice = "; isolation='process' lets what kills its process die alone" if fell else ""
                reason = f"{died}, {len(deaths)} times; see its log{advice}"
                if await self.database.write(partial(_crashed, self.database.location, self.run, reason)):
                    return 1
                continue
            await self._count(died)
            await asyncio.sleep(seconds)

    async def _started(self, row: RunRow) -> subprocess.Popen[bytes]:
        if row.state != "queued" and self._uncounted:
            await self._count(self._uncounted)
        self._uncounted = _OTHERS
        return self.start()

    async def _count(self, reason: str) -> None:
        self._uncounted = reason
        await self.database.write(partial(runs.restarted, id=self.run, reason=reason))
        self._uncounted = ""

    async def _row(self) -> RunRow:
        return await self.database.read(lambda c: runs.find(c, self.run))

    async def _quarantined(self) -> int:
        return len(await self.database.read(partial(deaths_of, run=self.run, kills=QUARANTINED)))

    async def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of a carrier; returns how it ended. The dead hold no lease."""
        status = await asyncio.to_thread(process.wait)
        if folder_of(self.database.location) is None:
            owner = Owner(Owner.here().host, process.pid)
            await self.database.write(partial(runs.outlive, id=self.run, owner=str(owner)))
        return status

    async def _adopted(self) -> None:
        """Wait while a process that an earlier supervisor started still carries the run."""
        lock = lock_of(self.database.location, self.run)
        if lock is not None:
            await asyncio.to_thread(lock.acquire, wait=True)
            lock.release()
            return
        while alive(self.database.location, await self._row(), time.time()):
            await asyncio.sleep(_LOOK)


def _crashed(location: Location, run: str, reason: str, connection: Connection) -> bool:
    """Give the run up. Where somebody else carries it by now, it is left alone: False."""
    runs.hold(connection, run)
    row = runs.find(connection, run)
    if alive(location, row, time.time()):
        return False
    if "crashed" in runs.MOVES[row.state]:
        runs.move(connection, run, "crashed", reason)
    return True


def _how(status: int) -> str:
    return f"of signal {-status}" if status < 0 else f"with status {status}"


async def main(run: str, store: str) -> int:
    """Supervise `run` of `store`; at most one supervisor a run."""
    try:
        database = await open_database(store, create=False)
    except StorageError as error:
        tell(f"{error}; once it is mended: dspex runs resume {run}")
        return BROKEN
    folder = folder_of(database.location)
    only = None if folder is None else RunLock(folder / f"{run}.supervisor")
    try:
        if only is not None and not await only.acquired(_PATIENCE):  # the one of before may be about to end
            return 0
        carrier = [sys.executable, "-m", "dspex.hosting.carrier", run]
        return await Supervisor(database, run, lambda: subprocess.Popen(carrier, env=dict(os.environ))).watch()
    except StorageError as error:
        tell(f"{error}; once it is mended: dspex runs resume {run}")
        return BROKEN
    finally:
        await database.aclose()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], os.environ["DSPEX_STORE"])))
