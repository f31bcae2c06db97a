"""Opening a store: one row is read; a new store gets its tables as they are declared, an older one is migrated."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, func, inspect, select, text

from dspex.errors import ConfigurationError
from dspex.storage.database import Database, Location, NewerSchemaError, StorageError, explain
from dspex.storage.tables import SCHEMA_VERSION, metadata, runs, store

if TYPE_CHECKING:
    from dspex.storage.postgres import PostgresDatabase
    from dspex.storage.sqlite import SQLiteDatabase

DEFAULT_PATH = Path(".dspex") / "dspex.db"
_MIGRATION_LOCK = 7_233_041
"""Key of PostgreSQL's advisory lock around migrations."""
_REVISION = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Where the migrations keep which of them was the last."""


def locate(given: str | Path | None) -> Location:
    """Where a store lives: a PostgreSQL URL, an SQLite URL, or the path of a file. No secrets in what it shows."""
    value = str(given) if given is not None else str(DEFAULT_PATH)
    scheme, mark, rest = value.partition("://")
    if not mark:
        return Location("sqlite", f"sqlite:///{value}", value)
    if scheme == "sqlite":
        return Location("sqlite", value, rest.removeprefix("/"))
    if scheme.split("+", 1)[0] in ("postgresql", "postgres"):
        return Location("postgresql", value)
    raise ConfigurationError(
        f"store {scheme}://...: write a file's path, sqlite:///path or postgresql://user@host/name"
    )


async def open_database(given: str | Path | None = None, *, create: bool = True) -> Database:
    """The store at `given` (default `.dspex/dspex.db`), its schema brought up to date.

    Raises StorageError where there is none and `create` is false, or where it cannot be opened, and NewerSchemaError.
    """
    location = locate(given)
    if location.dialect == "sqlite":
        return await _open_sqlite(Path(location.path or ""), create)
    database = _on_server(location)
    try:
        if await _schema(database) != SCHEMA_VERSION:
            await database.bring_up(upgrade)
    except BaseException:
        await database.aclose()
        raise
    return database


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look at a store found."""

    url: str
    schema: int
    """0: nothing was ever kept in it."""
    runs: int


async def look(given: str | Path | None = None) -> Sight | None:
    """What is at `given`, which is neither made nor brought up to date; None: there is nothing.

    Raises StorageError where it cannot be read, and NewerSchemaError.
    """
    location = locate(given)
    path = Path(location.path or "").absolute()
    if location.dialect == "sqlite" and not path.exists():
        return None
    database: Database = _in_file(path) if location.dialect == "sqlite" else _on_server(location)
    try:
        schema = await _schema(database)
        count = select(func.count()).select_from(runs)
        held = await database.read(lambda c: int(c.execute(count).scalar_one())) if schema else 0
        return Sight(database.location.url, schema, held)
    finally:
        await database.aclose()


def _in_file(path: Path) -> SQLiteDatabase:
    from dspex.storage.sqlite import SQLiteDatabase  # noqa: PLC0415 - not needed by those who use a server

    _refuse_folder(path)
    return SQLiteDatabase(path)


def _on_server(location: Location) -> PostgresDatabase:
    from dspex.storage.postgres import PostgresDatabase  # noqa: PLC0415 - an optional extra

    return PostgresDatabase("postgresql" + location.url[location.url.index("://") :])


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise StorageError(f"{path}: this is a folder; name a file in it, such as {path / 'dspex.db'}")


async def _open_sqlite(path: Path, create: bool) -> Database:
    path = path.absolute()
    _refuse_folder(path)
    if not path.exists():
        if not create:
            raise StorageError(f"{path}: there is no store here; `dspex optimize` and `dspex programs create` make one")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        except OSError as error:
            raise explain(error, Location("sqlite", f"sqlite:///{path}", str(path))) from error
    database = _in_file(path)
    try:
        if await _schema(database) != SCHEMA_VERSION:
            # A migration is many statements; the lock on the file beside it keeps other processes out.
            with await asyncio.to_thread(_held, path.with_name(path.name + ".migrating")):
                await database.write(upgrade)
    except BaseException:
        await database.aclose()
        raise
    return database


async def _schema(database: Database) -> int:
    try:
        return await database.read(_version)
    except NewerSchemaError as error:
        raise NewerSchemaError(f"{database.location.url}: {error}") from None


def _version(connection: Connection) -> int:
    """The schema version of the store, 0 for an empty one. Raises NewerSchemaError."""
    if not inspect(connection).has_table(store.name):
        return 0
    found = connection.execute(select(store.c.schema_version)).scalar() or 0
    if found > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"the store has schema {found}, this DSPEx reads up to {SCHEMA_VERSION}; upgrade DSPEx or use another"
        )
    return int(found)


def upgrade(connection: Connection) -> int:
    """Bring the store to the present schema, inside the caller's transaction; returns the version it had."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    had = _version(connection)
    if had == SCHEMA_VERSION:
        return had
    if had == 0 and not inspect(connection).has_table(_REVISION.name):
        # To load the migrations and run them all takes ten times as long, and makes the same.
        metadata.create_all(connection, checkfirst=False)
        _REVISION.create(connection)
        connection.execute(_REVISION.insert().values(version_num=f"{SCHEMA_VERSION:04}"))
    else:
        migrate(connection)
    if had == 0:
        connection.execute(store.insert().values(id=1, schema_version=SCHEMA_VERSION, created=time.time()))
    else:
        connection.execute(store.update().values(schema_version=SCHEMA_VERSION))
    return had


def migrate(connection: Connection) -> None:
    """Run the migrations that this store has not had."""
    from alembic import command  # noqa: PLC0415 - only to migrate
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


class _Held:
    """An exclusive lock on a file, let go when the block ends or the process dies."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: Any) -> None:
        os.close(self._handle)


def _held(path: Path) -> _Held:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise explain(error, Location("sqlite", f"sqlite:///{path}", str(path))) from error
    fcntl.flock(handle, fcntl.LOCK_EX)
    return _Held(handle)
