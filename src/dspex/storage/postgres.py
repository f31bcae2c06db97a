"""PostgreSQL by URL: the same works, over asyncpg, grouped into commits like SQLite's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dspex.errors import ConfigurationError
from dspex.storage.database import Guard, Item, Location, StorageError, Work, explain, known, perform, settle

if TYPE_CHECKING:
    from dspex.storage.statements import Prepared

T = TypeVar("T")
_GROUP = 1024
_ATTEMPTS = 6
IDLE_SECONDS = 10.0
"""A process that is stopped within a transaction loses it after this time, and with it the rows that it holds."""
_AGAIN = ("25P03", "40001", "40P01", "57P01", "57P03", "08006", "08001", "08003")
"""Serialization failures, deadlocks and lost connections: the transaction did not happen and may be tried again."""


class PostgresDatabase:
    """A store on a server. Writes that wait together share a commit; a serialization conflict is tried again."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
        shown = parsed.set(drivername="postgresql").render_as_string(hide_password=True)
        self.location = Location("postgresql", shown)
        try:
            settings = {"idle_in_transaction_session_timeout": str(int(IDLE_SECONDS * 1000))}
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
        self._closed = False

    async def write(self, work: Work[T], guard: Guard | None = None) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enqueue(Item(future, guard, work=work))
        return await future

    def append(self, statement: Prepared, row: Mapping[str, Any], guard: Guard | None = None) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(Item(future, guard, statement=statement, row=row))
        return future

    async def read(self, work: Work[T]) -> T:
        async def once() -> T:
            async with self._engine.connect() as connection:
                return await connection.run_sync(work)

        return await self._tried(once)

    async def aclose(self) -> None:
        self._closed = True
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])
        await self._engine.dispose()

    def _enqueue(self, item: Item) -> None:
        if self._closed:
            raise StorageError(f"{self.location.url}: the store is closed")
        self._waiting.append(item)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while self._waiting:
            items, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
            settle(await self._commit(items))

    async def _commit(self, items: Sequence[Item]) -> list[tuple[Item, Any]]:
        """One transaction for all; when something in it fails, each has one of its own and fails alone."""

        async def once() -> list[Any]:
            async with self._engine.begin() as connection:
                return await connection.run_sync(partial(perform, items=items))

        try:
            return list(zip(items, await self._tried(once), strict=True))
        except Exception as error:
            if len(items) == 1:
                return [(items[0], known(error, self.location))]
        return [outcome for item in items for outcome in await self._commit([item])]

    async def _tried(self, once: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(_ATTEMPTS):
            last = attempt + 1 == _ATTEMPTS
            try:
                return await once()
            except DBAPIError as error:
                again = error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _AGAIN
                if last or not again:
                    raise explain(error, self.location) from error
            except OSError as error:
                if last:
                    raise explain(error, self.location) from error
            await asyncio.sleep(0.05 * 2**attempt)
        raise StorageError(f"{self.location.url}: gave up after {_ATTEMPTS} attempts")
