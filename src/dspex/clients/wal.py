"""SQLite's write-ahead log, which several processes may switch on at once."""

import sqlite3
import time

_PAUSE_SECONDS = 0.01


def enter_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Put the database into WAL mode, waiting up to `seconds` for the other processes that hold it.

    SQLite's own busy timeout does not hold here: who reads a file and finds another writing is refused at once, since
    two that switch could wait for each other forever. Raises sqlite3.Error.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
