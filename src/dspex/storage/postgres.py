"""PostgreSQL by URL: the same works, over asyncpg, grouped into commits like SQLite's."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.elements import CompilerElement

from dspex.errors import ConfigurationError
from dspex.storage.database import (
    CHANNEL,
    Guard,
    Item,
    Location,
    StorageError,
    Work,
    closed,
    explain,
    known,
    perform,
    settle,
)
from dspex.storage.statements import Prepared
from dspex.storage.tables import commits

T = TypeVar("T")
_GROUP = 1024
IDLE_SECONDS = 10.0
"""A process that is stopped within a transaction loses it after this time, and with it the rows that it holds."""
PATIENCE_SECONDS = 60.0
"""A server that goes away is waited for so long."""
KEPT_SECONDS = 86400.0
"""What a writer that ended without a word has left behind is swept away after so long."""
CONFLICT_SECONDS = 2.0
"""One that was not there from the beginning, or a transaction that others are in the way of, so long."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_CONFLICTS = ("40001", "40P01")
"""Serialization failures and deadlocks: the transaction did not happen."""
_LOST = ("25P03", "57P01", "57P02", "57P03", "08000", "08001", "08003", "08006")
"""The connection was closed by the server, which ends, starts, or had waited too long."""


class PostgresDatabase:
    """A store on a server. Writes that wait together share a commit; a serialization conflict is tried again."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
        shown = parsed.set(drivername="postgresql").render_as_string(hide_password=True)
        self.location = Location("postgresql", shown)
        try:
            settings = {
                "idle_in_transaction_session_timeout": str(int(IDLE_SECONDS * 1000)),
                # A server may be set to report commits before they are written; a crash would lose them.
                "synchronous_commit": "on",
            }
            self._engine: AsyncEngine = create_async_engine(
                parsed,
                pool_size=4,
                max_overflow=4,
                pool_pre_ping=True,
                connect_args={"server_settings": settings},
            )
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{shown}: PostgreSQL needs the extra `postgres`: pip install 'dspex[postgres]'"
            ) from error
        self._waiting: list[Item] = []
        self._writer: asyncio.Task[None] | None = None
        self._name, self._number = secrets.token_hex(16), 0
        """As what this writer is known to the server, and its last transaction."""
        self._closed, self._met = False, False
        self._ear: AsyncConnection | None = None
        self._deaf: Callable[[], bool] = lambda: True
        self._heard: dict[str, asyncio.Event] = {}
        self._pricking = asyncio.Lock()

    async def write(self, work: Work[T], guard: Guard | None = None) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enqueue(Item(future, guard, work=work))
        return await future

    def append(
        self, statement: Prepared, row: Mapping[str, Any], guard: Guard | None = None, *, waited: bool = True
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(Item(future, guard, statement=statement, row=row))
        return future

    async def read(self, work: Work[T]) -> T:
        if self._closed:
            raise closed(self.location)

        async def once() -> T:
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)

        return await self._tried(once)

    async def bring_up(self, work: Work[object]) -> None:
        """Do, in a transaction, what makes the tables that `write` needs, and what may be done again."""

        async def once() -> None:
            async with self._engine.begin() as connection:
                await connection.run_sync(work)

        await self._tried(once)

    async def aclose(self) -> None:
        self._closed = True
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])
        if self._number:
            with suppress(DBAPIError, OSError, TimeoutError):  # it is swept away by others
                async with asyncio.timeout(CONFLICT_SECONDS), self._engine.begin() as connection:
                    old = commits.c.at < time.time() - KEPT_SECONDS
                    await connection.execute(commits.delete().where(old | (commits.c.writer == self._name)))
        if self._ear is not None:
            with suppress(DBAPIError, OSError):
                await self._ear.close()
        await self._engine.dispose()

    def _enqueue(self, item: Item) -> None:
        if self._closed:
            raise closed(self.location)
        self._waiting.append(item)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while self._waiting:
            items, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
            settle(await self._commit(items))

    async def _commit(self, items: Sequence[Item]) -> list[tuple[Item, Any]]:
        """One transaction for all; when something in it fails, each has one of its own and fails alone."""
        self._number += 1
        try:
            once = _Transaction(self._engine, items, self._name, self._number)
            return list(zip(items, await self._tried(once), strict=True))
        except AwayError as error:
            return [(item, error) for item in items]
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a task that ended here would leave all who wait waiting
            if len(items) == 1:
                return [(items[0], known(error, self.location))]
        return [outcome for item in items for outcome in await self._commit([item])]

    async def _tried(self, once: Callable[[], Awaitable[T]]) -> T:
        """What `once` returns. A server that was there is waited for when it goes away."""
        began, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            try:
                found = await once()
                self._met = True
                return found
            except (DBAPIError, OSError) as error:
                gone = _gone(error)
                patience = PATIENCE_SECONDS if gone and self._met else CONFLICT_SECONDS
                if not (gone or _state(error) in _CONFLICTS) or time.monotonic() - began + pause > patience:
                    said = explain(error, self.location)
                    waited = f"{said}; it was waited for {patience:g} s: start it, and resume what it ended"
                    raise (AwayError(waited) if gone and self._met else said) from error
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    async def hint(self, run: str, seconds: float) -> None:
        heard = self._heard.setdefault(run, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                async with self._pricking:
                    await self._listen()
                await heard.wait()
        except TimeoutError:
            return
        heard.clear()

    async def _listen(self) -> None:
        """Have notifications come; where they cannot, nobody is told, and whoever waits looks when its time is over."""
        if self._ear is not None and not self._ear.closed and not self._deaf():
            return
        with suppress(DBAPIError, OSError):
            if self._ear is not None:
                await self._ear.invalidate()
                await self._ear.close()
            self._ear = await self._engine.connect()
            raw = await self._ear.get_raw_connection()
            driver: Any = raw.driver_connection
            await driver.add_listener(CHANNEL, self._told)
            self._deaf = driver.is_closed

    def _told(self, _connection: object, _process: int, _channel: str, run: str) -> None:
        if run in self._heard:
            self._heard[run].set()


class AwayError(StorageError):
    """The server was there, and is not any more. Nothing was half written."""


class _Transaction:
    """Works in one transaction, once, however often it is begun: a commit may happen without being heard of.

    Its first statement writes the number of the transaction behind the name of its writer, unless it is there: then an
    earlier attempt was committed. Where that attempt is still being committed, the statement waits for it. The server's
    own numbers of transactions would not do: those that a crash kept from the disk it gives out again, to others.
    """

    def __init__(self, engine: AsyncEngine, items: Sequence[Item], writer: str, number: int) -> None:
        self._engine, self._items = engine, items
        self._mark = {"writer": writer, "number": number, "at": time.time()}
        self._found: list[Any] = []

    async def __call__(self) -> list[Any]:
        async with self._engine.connect() as connection:
            if await connection.run_sync(self._performed):
                await connection.commit()
            return self._found

    def _performed(self, connection: Connection) -> bool:
        """Whether there is something to commit."""
        if not _MARK.found(connection, self._mark):
            return False
        self._found = perform(connection, self._items)
        return True


def _marking(_dialect: str) -> CompilerElement:
    new = insert(commits)
    later = commits.c.number < new.excluded.number
    return new.on_conflict_do_update(
        index_elements=[commits.c.writer], set_={"number": new.excluded.number, "at": new.excluded.at}, where=later
    ).returning(commits.c.number)


_MARK = Prepared(_marking)


def _state(error: Exception) -> str:
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def _gone(error: Exception) -> bool:
    """Whether the server, or the connection to it, went away or is not there yet."""
    if isinstance(error, OSError):
        return True
    lost = isinstance(error, DBAPIError) and (error.connection_invalidated or "connection is closed" in str(error))
    return lost or _state(error) in _LOST
