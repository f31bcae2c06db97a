"""Switching to the write-ahead log waits for who holds the file."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dspex.clients.wal import enter_wal


def connect(path: Path, refused: Callable[[], object]) -> sqlite3.Connection:
    """A connection that says when it was refused."""

    class Telling(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            try:
                return super().execute(*arguments)
            except sqlite3.OperationalError:
                refused()
                raise

    return sqlite3.connect(path, factory=Telling, isolation_level=None)


def holder(path: Path) -> sqlite3.Connection:
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("CREATE TABLE t (a)")
    held.execute("BEGIN IMMEDIATE")
    return held


def test_it_waits_until_the_file_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(holder(path)) as held, closing(connect(path, lambda: held.execute("COMMIT"))) as connection:
        enter_wal(connection, 60)
        assert not held.in_transaction
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_it_gives_up_when_its_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with (
        closing(holder(path)),
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.Error, match="locked"),
    ):
        enter_wal(connection, 0)


def test_what_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database at all " * 100)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError, match="not a database"):
        enter_wal(connection, 60)
