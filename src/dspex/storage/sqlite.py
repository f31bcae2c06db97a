"""SQLite: one file, a writer thread that groups commits, and readers beside it."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from dspex.clients.wal import enter_wal
from dspex.storage.database import Guard, Item, Location, StorageError, Work, closed, explain, known, perform, settle
from dspex.storage.statements import Prepared, driver_of

T = TypeVar("T")
_BUSY_SECONDS = 60.0
_GROUP = 1024
_PASSES = 3
"""Turns of the loop from the end of an evaluation until its place has asked for the next call."""


@dataclass(eq=False, slots=True)
class _Gathered:
    """Items of one loop that are handed over together."""

    items: list[Item] = field(default_factory=list[Item])
    waited: bool = False
    """Whether somebody waits for one of them, so that they go as soon as what is ready has run."""


class SQLiteDatabase:
    """A store in one file. WAL, synchronous FULL, `BEGIN IMMEDIATE` for every write.

    Safe for several processes at once: writers wait for one another (up to a minute), readers never wait.
    """

    def __init__(self, path: Path) -> None:
        self.location = Location("sqlite", f"sqlite:///{path}", str(path))
        self._path = path
        self._queue: queue.SimpleQueue[list[Item] | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, _Gathered] = {}
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="dspex-read")
        self._local = threading.local()
        self._engines: list[Engine] = []
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None

    async def write(self, work: Work[T], guard: Guard | None = None) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enqueue(Item(future, guard, work=work))
        return await future

    def append(
        self, statement: Prepared, row: Mapping[str, Any], guard: Guard | None = None, *, waited: bool = True
    ) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(Item(future, guard, statement=statement, row=row), waited=waited)
        return future

    async def read(self, work: Work[T]) -> T:
        with self._lock:
            if self._closed:
                raise closed(self.location)
            reading = self._readers.submit(self._read, work)
        return await asyncio.wrap_future(reading)

    async def hint(self, run: str, seconds: float) -> None:
        await asyncio.sleep(seconds)  # a file tells nobody of its changes

    async def aclose(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for loop in list(self._gathered):
            self._hand_over(loop)
        self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)
        for engine in self._engines:
            engine.dispose()

    def _enqueue(self, item: Item, *, waited: bool = True) -> None:
        """Keep the item until the loop has run what is ready now: what belongs together is not torn apart.

        What nobody waits for is kept for `_PASSES` turns of the loop, and so shares a commit with what follows from it.
        """
        loop = item.future.get_loop()
        with self._lock:
            if self._closed:
                raise closed(self.location)
            gathered = self._gathered.get(loop)
            if gathered is None:
                gathered = self._gathered[loop] = _Gathered()
                if not waited:
                    loop.call_soon(self._hold, loop, gathered, _PASSES)
            gathered.items.append(item)
            if waited and not gathered.waited:
                gathered.waited = True
                loop.call_soon(self._hand_over, loop)

    def _hold(self, loop: asyncio.AbstractEventLoop, gathered: _Gathered, passes: int) -> None:
        if gathered.waited:
            return  # it goes sooner
        if passes > 1:
            loop.call_soon(self._hold, loop, gathered, passes - 1)
        else:
            self._hand_over(loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            gathered = self._gathered.pop(loop, None)
            if gathered is None:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="dspex-write", daemon=True)
                self._thread.start()
            self._queue.put(gathered.items)

    def _read(self, work: Work[T]) -> T:
        engine: Engine | None = getattr(self._local, "engine", None)
        if engine is None:
            engine = self._local.engine = self._engine()
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                try:
                    return work(connection)
                finally:
                    _roll_back(connection)
        except (DBAPIError, sqlite3.Error) as error:  # what is worded once goes to the driver itself
            raise explain(error, self.location) from error

    def _engine(self) -> Engine:
        # One connection, opened with transactions by hand: the driver's own deferred BEGIN would fail on a later write.
        engine = create_engine("sqlite://", creator=self._connect, poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        with self._lock:
            self._engines.append(engine)
        return engine

    def _connect(self) -> sqlite3.Connection:
        self._still_there()
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            enter_wal(connection, _BUSY_SECONDS)
            for pragma in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
                connection.execute(f"PRAGMA {pragma}").close()
        except BaseException:
            connection.close()
            raise
        return connection

    def _still_there(self) -> None:
        if not self._path.exists():
            raise StorageError(f"{self._path}: the database is gone; restore it, or start anew")

    def _serve(self) -> None:
        """The writer thread: whatever waits when a commit is over goes into the next."""
        connection: Connection | None = None
        while True:
            waiting, closing = self._waiting()
            if waiting:
                try:
                    connection = connection or self._engine().connect()
                    outcomes = self._commit(connection, waiting)
                except BaseException as error:  # a thread that ended here would leave all who wait waiting
                    outcomes = [(item, known(error, self.location)) for item in waiting]
                _deliver(outcomes)
            if closing:
                if connection is not None:
                    connection.close()
                return

    def _waiting(self) -> tuple[list[Item], bool]:
        """All that waits now, at least one; and whether the store is being closed."""
        found: list[Item] = []
        items = self._queue.get()
        while items is not None:
            found += items
            if len(found) >= _GROUP:
                return found, False
            try:
                items = self._queue.get_nowait()
            except queue.Empty:
                return found, False
        return found, True

    def _commit(self, connection: Connection, items: Sequence[Item]) -> list[tuple[Item, Any]]:
        """One transaction for all; when something in it fails, each has one of its own and fails alone."""
        try:
            return list(zip(items, self._transaction(connection, items), strict=True))
        except BaseException as error:
            if len(items) == 1:
                return [(items[0], known(error, self.location))]
        return [outcome for item in items for outcome in self._commit(connection, [item])]

    def _transaction(self, connection: Connection, items: Sequence[Item]) -> list[Any]:
        self._still_there()
        driver = driver_of(connection)
        assert driver is not None
        driver.execute("BEGIN IMMEDIATE").close()
        try:
            results = perform(connection, items)
            driver.execute("COMMIT").close()
        except BaseException:
            _roll_back(connection)
            raise
        return results


def _roll_back(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except DBAPIError:
        return  # a full disk or a broken file has rolled back already


def _deliver(outcomes: list[tuple[Item, Any]]) -> None:
    """Wake each loop once for all of its items."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Item, Any]]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome[0].future.get_loop(), []).append(outcome)
    for loop, mine in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, mine)
