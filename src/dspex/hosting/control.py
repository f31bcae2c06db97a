"""Heartbeat and commands of a run, on a thread with a loop and a connection of its own.

User code that holds up the run's loop cannot hold up this one, so an owner that is busy is not taken for dead.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from dspex.hosting.liveness import BEAT_SECONDS, LEASE_SECONDS
from dspex.storage import runs
from dspex.storage.database import Database, StorageError
from dspex.storage.opening import open_database
from dspex.storage.runs import Command

POLL_SECONDS = 0.25
SERVER_POLL_SECONDS = 1.0
"""On a server, which tells of commands by itself: this is for what it does not tell."""


class Control:
    """Beats and listens for one run until closed. `on_command` and `on_lost` are called on the run's own loop."""

    def __init__(
        self,
        store: str,
        run: str,
        epoch: int,
        *,
        on_command: Callable[[Command], str],
        on_lost: Callable[[StorageError], None],
    ) -> None:
        self._store, self._run, self._epoch = store, run, epoch
        self._on_command, self._on_lost = on_command, on_lost
        self._loop = asyncio.get_running_loop()
        self._closing = threading.Event()
        self._ends: Callable[[], object] = lambda: None
        """Wakes the thread."""
        self._thread = threading.Thread(target=self._main, name=f"dspex-control-{run}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def close(self) -> None:
        """Stop beating; returns when the thread has ended."""
        self._closing.set()
        self._ends()
        await asyncio.to_thread(self._thread.join)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except StorageError as error:
            if not self._closing.is_set():
                self._loop.call_soon_threadsafe(self._on_lost, error)

    async def _serve(self) -> None:
        database = await open_database(self._store, create=False)
        lease = LEASE_SECONDS if database.location.dialect == "postgresql" else None
        poll = POLL_SECONDS if lease is None else SERVER_POLL_SECONDS
        loop, due = asyncio.get_running_loop(), 0.0
        try:
            while not self._closing.is_set():
                if loop.time() >= due:
                    await database.write(lambda c: runs.beat(c, self._run, self._epoch, lease))
                    due = loop.time() + BEAT_SECONDS
                for command in await database.read(lambda c: runs.pending(c, self._run)):
                    outcome = await self._handed_over(command)
                    done = partial(runs.handled, command=command.id, outcome=outcome)
                    await database.write(done, runs.fence(self._run, self._epoch))
                await self._moment(database, min(poll, max(0.0, due - loop.time())))
        finally:
            await database.aclose()

    async def _moment(self, database: Database, seconds: float) -> None:
        """Until there may be a command, for so long at most; or until this is to end."""
        loop, hint = asyncio.get_running_loop(), asyncio.ensure_future(database.hint(self._run, seconds))

        def end() -> None:
            with suppress(RuntimeError):  # the thread has ended by itself
                loop.call_soon_threadsafe(hint.cancel)

        self._ends = end
        if self._closing.is_set():
            hint.cancel()
        await asyncio.wait([hint])

    async def _handed_over(self, command: Command) -> str:
        async def handle() -> str:
            return self._on_command(command)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(handle(), self._loop))
