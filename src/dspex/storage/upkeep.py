"""Looking after a store: is it whole, a copy of it, less space."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from dspex.errors import ConfigurationError
from dspex.storage.database import DamagedError, Location, StorageError, explain
from dspex.storage.tables import SCHEMA_VERSION, metadata, store


@dataclass(frozen=True, slots=True)
class Health:
    """What a look over a store found."""

    schema: int
    problems: tuple[str, ...]
    rows: dict[str, int]
    """By table."""


def check(connection: Connection) -> Health:
    """Read the whole store and say what is wrong with it; nothing is changed."""
    problems: list[str] = []
    if connection.dialect.name == "sqlite":
        said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check").all()]
        problems += [text for text in said if text != "ok"]
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        problems += [f"a row of {row[0]} names one of {row[2]} that is not there" for row in broken]
    schema = int(connection.execute(select(store.c.schema_version)).scalar_one())
    if schema != SCHEMA_VERSION:
        problems.append(f"the schema is {schema}, this DSPEx writes {SCHEMA_VERSION}")
    counted = {
        table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for table in metadata.sorted_tables
    }
    return Health(schema, tuple(problems), counted)


def backup(location: Location, to: Path) -> int:
    """Copy an embedded store to a file, also while runs write to it; returns its size in bytes.

    Raises ConfigurationError for a server, and where the file is there already.
    """
    source = _embedded(location, "pg_dump makes a copy of it")
    if to.exists():
        raise ConfigurationError(f"{to}: this file is there already; name another")
    partial = to.with_name(to.name + ".partial")
    try:
        with closing(_connected(source)) as live, closing(_connected(partial)) as copy:
            live.backup(copy)
        partial.replace(to)
    except (sqlite3.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"{to}: the copy could not be written: {error}") from error
    return to.stat().st_size


def vacuum(location: Location) -> tuple[int, int]:
    """Give unused space of an embedded store back; returns its size before and after. Waits for writers."""
    path = _embedded(location, "it vacuums itself")
    before = path.stat().st_size
    try:
        with closing(_connected(path)) as live:
            live.execute("VACUUM").close()
            live.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    except sqlite3.Error as error:
        found = explain(error, location)
        if isinstance(found, DamagedError):
            raise found from error
        raise StorageError(f"{path}: {error}; pause its runs, and try again") from error
    return before, path.stat().st_size


def _embedded(location: Location, instead: str) -> Path:
    if location.path is None:
        raise ConfigurationError(f"{location.url}: this is a server; {instead}")
    return Path(location.path)


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=60, isolation_level=None)
