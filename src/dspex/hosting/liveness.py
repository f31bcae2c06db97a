"""Who carries a run: a kernel file lock on one machine, a lease in the database across machines."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from weakref import WeakSet

from dspex.storage.database import Location, explain
from dspex.storage.runs import RunRow

LEASE_SECONDS = 15.0
"""How long an owner that is not heard of keeps a run on a server."""
BEAT_SECONDS = 2.0
MISTAKEN_SECONDS = 0.5
"""Seconds in which a lock may seem taken because somebody looks whether it is."""
STALLED_SECONDS = 10.0
"""An owner whose lock is held but whose heartbeat is older is alive and stuck."""


class RunLock:
    """An exclusive lock on a file of the run's own. The kernel lets go of it when its process dies, however it dies.

    It is that process's alone: what the process forks, as pools of processes do, does not hold it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        _locks.add(self)

    def acquire(self, *, wait: bool = False) -> bool:
        """Take the lock; False when another process has it. With `wait`, until it is free."""
        if self._handle is not None:
            return True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise explain(error, Location("sqlite", str(self.path), str(self.path))) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(handle)
            return False
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return True

    async def acquired(self, seconds: float = MISTAKEN_SECONDS) -> bool:
        """Take the lock within `seconds`: whoever looks whether it is held holds it for an instant."""
        deadline = time.monotonic() + seconds
        while not self.acquire():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def sign(self, owner: Owner | None) -> None:
        """Write into the held lock whose process may be ended when it does not react any more; None: nobody's."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, str(owner or "").encode(), 0)

    def signature(self) -> Owner | None:
        """Who signed the lock, while somebody holds it."""
        return Owner.read(self.path.read_text()) if self.held() else None

    def release(self) -> None:
        """Let go of the lock; the file stays, since another process may be waiting on it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def held(self) -> bool:
        """Whether some process has the lock now."""
        if self._handle is not None:
            return True
        if not self.path.exists():
            return False
        probe = RunLock(self.path)
        if probe.acquire():
            probe.release()
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


_locks = WeakSet[RunLock]()


def _forked() -> None:
    for lock in list(_locks):
        lock.release()  # closed here, which leaves it to the process that took it


os.register_at_fork(after_in_child=_forked)


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that carries a run, as written in its row."""

    host: str
    pid: int

    @classmethod
    def here(cls) -> Owner:
        return cls(socket.gethostname(), os.getpid())

    @classmethod
    def read(cls, text: str) -> Owner | None:
        """The owner of a row; None where it has none."""
        host, _, pid = text.rpartition(":")
        return cls(host, int(pid)) if host and pid.isdigit() else None

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


def folder_of(location: Location) -> Path | None:
    """Where an embedded store keeps locks, logs and flight records of its runs; None for a server."""
    if location.path is None:
        return None
    path = Path(location.path).absolute()
    return path.with_name(path.name + ".runs")


def local_folder(location: Location) -> Path:
    """Where what belongs to runs on this machine is kept: beside an embedded store, else in the working directory."""
    return folder_of(location) or Path(".dspex") / "runs"


def lock_of(location: Location, run: str) -> RunLock | None:
    """The lock of a run on one machine; None for a server, where the lease counts."""
    folder = folder_of(location)
    return None if folder is None else RunLock(folder / f"{run}.lock")


def alive(location: Location, run: RunRow, now: float) -> bool:
    """Whether some process carries the run now."""
    lock = lock_of(location, run.id)
    if lock is not None:
        return lock.held()
    return run.lease_until is not None and run.lease_until > now


def stalled(location: Location, run: RunRow, now: float) -> bool:
    """Whether the run's process is there and does not move (stopped, or stuck)."""
    late = run.heartbeat is not None and now - run.heartbeat > STALLED_SECONDS
    return late and run.state in ("running", "pausing", "stopping") and alive(location, run, now)


def unsupervised(location: Location, run: RunRow) -> bool:
    """Whether no supervisor on this machine watches over the run. Of a run on a server that cannot be seen: False."""
    folder = folder_of(location)
    return folder is not None and not RunLock(folder / f"{run.id}.supervisor").held()


def orphaned(location: Location, run: RunRow, now: float) -> bool:
    """Whether the run should be carried, and nothing does: neither a process nor, on this machine, a supervisor.

    On a server only the lease can be seen, so a run counts as left alone some time after it ended.
    """
    if run.state not in ("queued", "running", "pausing", "stopping") or alive(location, run, now):
        return False
    if folder_of(location) is not None:
        return unsupervised(location, run)
    return now - max(run.created, run.lease_until or 0.0) > LEASE_SECONDS
