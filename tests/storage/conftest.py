"""Every test of storage runs on both databases: SQLite in a file, and a real PostgreSQL from a wheel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from dspex.storage.database import Database
from dspex.storage.opening import open_database
from tests.servers.postgres import new_database

T = TypeVar("T")


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
    return new_database(server)


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
