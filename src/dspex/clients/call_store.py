"""The memory of calls: in the process, or in a SQLite file that several processes share."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from weakref import finalize

from dspex.clients.group_commit import Commit, GroupCommit, Row
from dspex.clients.remembered import from_memory
from dspex.clients.wal import enter_wal
from dspex.errors import ConfigurationError
from dspex.kernel.ports import Completion, Request, Usage

FORMAT = 1
"""Version of the table below; kept in the file's `user_version`."""
APPLICATION = 0x44535058
"""Marks a SQLite file as one of ours (`application_id`)."""
BUSY_SECONDS = 30.0

_TABLE = """
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY NOT NULL,
    model TEXT NOT NULL,
    sample INTEGER NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    answered_by TEXT NOT NULL,
    tool_calls TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    usd REAL,
    created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""
_GET = "SELECT text, finish_reason, answered_by, tool_calls, input_tokens, output_tokens, usd FROM calls WHERE key = ?"
_PUT = (
    "INSERT INTO calls (key, model, sample, text, finish_reason, answered_by, tool_calls, input_tokens, output_tokens,"
    " usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
)
T = TypeVar("T")


class MemoryCallStore:
    """Answers by key in this process. Beyond `max_entries` the one not asked for longest is forgotten."""

    def __init__(self, max_entries: int | None = 100_000) -> None:
        if max_entries is not None and max_entries < 1:
            raise ConfigurationError(f"max_entries is at least 1, or None for no limit; not {max_entries}")
        self._max = max_entries
        self._answers: OrderedDict[str, Completion] = OrderedDict()

    async def get(self, key: str) -> Completion | None:
        found = self._answers.get(key)
        if found is not None:
            with suppress(KeyError):  # another thread may have dropped it since
                self._answers.move_to_end(key)
        return found

    async def begin(self, key: str, request: Request) -> Completion | None:
        found = await self.get(key)
        return None if found is None else from_memory(found, key)

    async def abandon(self, key: str) -> None:
        """Nothing was written."""

    async def put(self, key: str, request: Request, completion: Completion) -> None:
        self._answers.setdefault(key, completion)
        if self._max is not None and len(self._answers) > self._max:
            self._answers.popitem(last=False)

    async def aclose(self) -> None:
        """Nothing to close; what is remembered stays."""

    def __len__(self) -> int:
        return len(self._answers)


class SQLiteCallStore:
    """Answers by key in a SQLite file, which other processes may use at the same time.

    Holds of a request its model and sample index, and of an answer everything; no messages and no headers. `get` is a
    point lookup. `put` returns when its answer is committed: a kill of the process right after loses nothing, a loss
    of power may lose the last moments but leaves the file whole. Answers that are put at the same time share a commit,
    which a thread of its own makes, so the event loop never waits for the disk.

    Raises ConfigurationError for a file that is damaged, not ours, of a newer version, or cannot be read or written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = Lock()
        _guarded(self.path, partial(_prepare, self.path))
        self._reader = _guarded(self.path, partial(_connect, self.path))
        self._commits = GroupCommit(partial(_committing, self.path), f"call store {self.path}")
        self._close = finalize(self, _closed, self._commits, self._reader)

    async def get(self, key: str) -> Completion | None:
        with self._lock:
            row = self._read(_GET, (key,))
        return None if row is None else _completion(row)

    async def begin(self, key: str, request: Request) -> Completion | None:
        found = await self.get(key)
        return None if found is None else from_memory(found, key)

    async def abandon(self, key: str) -> None:
        """Nothing was written."""

    async def put(self, key: str, request: Request, completion: Completion) -> None:
        await self._commits.add(_row(key, request, completion))

    async def aclose(self) -> None:
        """Commit what is waiting and close the file. The store cannot be used afterwards."""
        await asyncio.to_thread(self._close)

    def __len__(self) -> int:
        with self._lock:
            return int(self._read("SELECT count(*) FROM calls", ())[0])

    def _read(self, query: str, values: tuple[str, ...]) -> Any:
        try:
            return self._reader.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise _refusal(self.path, error) from error


def _prepare(path: Path) -> None:
    """Make the file one of ours, or see that it is. Processes that start together take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(_connect(path)) as connection:
        connection.execute("BEGIN")  # one view for the whole check
        _check(path, connection)
        connection.execute("COMMIT")
        enter_wal(connection, BUSY_SECONDS)
        connection.execute("BEGIN IMMEDIATE")
        _check(path, connection)
        connection.execute(_TABLE)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")


def _check(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION and tables:
        raise ConfigurationError(f"call store {path}: it is a SQLite file of something else; name another path")
    if version > FORMAT:
        raise ConfigurationError(
            f"call store {path}: written by a newer DSPEx (format {version}, this one reads {FORMAT}); "
            "upgrade DSPEx, or name another path"
        )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


@contextmanager
def _committing(path: Path) -> Generator[Commit, None, None]:
    with closing(_guarded(path, partial(_connect, path))) as connection:
        yield lambda rows: _guarded(path, partial(_insert, connection, rows))


def _insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(_PUT, rows)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _closed(commits: GroupCommit, reader: sqlite3.Connection) -> None:
    commits.close()
    reader.close()


def _guarded(path: Path, action: Callable[[], T]) -> T:
    try:
        return action()
    except (sqlite3.Error, OSError) as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> ConfigurationError:
    if isinstance(error, sqlite3.ProgrammingError):
        return ConfigurationError(f"call store {path}: it is closed")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    advice = {
        sqlite3.SQLITE_NOTADB: "it is not a SQLite file; name another path, or move the file away",
        sqlite3.SQLITE_CORRUPT: "the file is damaged; move it away, and answers are asked for again",
        sqlite3.SQLITE_FULL: "the disk is full; make room and run again",
        sqlite3.SQLITE_READONLY: "the file or its folder cannot be written; name another path",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check the path and its permissions",
        sqlite3.SQLITE_BUSY: f"another process has held it for {BUSY_SECONDS:g} s; end that one, or name another path",
    }.get(code, "name another path")
    return ConfigurationError(f"call store {path}: {advice} ({error})")


def _row(key: str, request: Request, completion: Completion) -> Row:
    usage = completion.usage
    calls = json.dumps([dict(call) for call in completion.tool_calls]) if completion.tool_calls else None
    return (
        key,
        request.model,
        request.sample,
        _storable(completion.text),
        completion.finish_reason,
        _storable(completion.model),
        calls,
        usage.input_tokens,
        usage.output_tokens,
        usage.usd,
    )


def _storable(text: str) -> str | bytes:
    """Half a surrogate pair, which models do write, is no text to SQLite: such a text is kept as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _text(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")


def _completion(row: Any) -> Completion:
    text, finish_reason, answered_by, calls, input_tokens, output_tokens, usd = row
    return Completion(
        _text(text),
        finish_reason,
        Usage(1, input_tokens, output_tokens, usd),
        _text(answered_by),
        tuple(json.loads(calls)) if calls else (),
    )
