"""The port of a database, and the queue that groups writes into one commit.

Repositories are plain functions of a SQLAlchemy connection, written once. A `Database` runs them in transactions:
many waiting writers share one commit, and what `write` has returned from is on the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dspex.errors import DspexError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dspex.storage.statements import Prepared

T = TypeVar("T")
Work = Callable[["Connection"], T]
"""What to do in a transaction. It may be run again from its beginning: it has no effect but on the database."""


class StorageError(DspexError):
    """The database cannot be read or written; nothing is half written. The message says what to do."""

    infrastructure = True
    fatal = True


class DamagedError(StorageError):
    """What is in the store cannot be read: its file is damaged."""


class NewerSchemaError(StorageError):
    """The database was written by a newer DSPEx."""


class FencedError(StorageError):
    """This process no longer owns the run: another has taken it over. Nothing of this write was kept."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a store lives. `url` never carries a password when shown."""

    dialect: str
    """`sqlite` or `postgresql`."""
    url: str
    path: str | None = None
    """The file of an embedded database."""


CHANNEL = "dspex"
"""On a server: where the id of a run is told when a command or an event of it was committed."""

Guard = Callable[["Connection"], None]
"""Raises where the write must not happen, such as FencedError; runs once a transaction for all that share it."""


@dataclass(eq=False, slots=True)
class Item:
    """One waiting write: a work, or a row to append with a statement."""

    future: asyncio.Future[Any]
    guard: Guard | None
    work: Work[Any] | None = None
    statement: Prepared | None = None
    row: Mapping[str, Any] | None = None


class Database(Protocol):
    """Transactions over one store.

    Contract: used from one event loop; `write` and `append` join what waits at the same time into one transaction and
    are done after its commit; commits happen in the order of the calls; what fails undoes only itself, its exception
    comes out of the call; within a transaction appended rows go before works; `read` sees every write that is done. A
    `guard` runs first, in the same transaction. Raises StorageError for what the disk or the server refuses.
    """

    location: Location

    async def write(self, work: Work[T], guard: Guard | None = None) -> T: ...

    def append(
        self, statement: Prepared, row: Mapping[str, Any], guard: Guard | None = None, *, waited: bool = True
    ) -> asyncio.Future[None]:
        """Hand a row over; awaited, it is committed.

        Rows of the same statement object go to the database together, which is much cheaper. One that nobody waits for
        yet may go with what is written in the same moment.
        """
        ...

    async def read(self, work: Work[T]) -> T: ...

    async def hint(self, run: str, seconds: float) -> None:
        """Wait until there may be something new of a run, at most so long. A hint alone: the rows are the truth."""
        ...

    async def aclose(self) -> None: ...


def explain(error: Exception, location: Location) -> StorageError:
    """A driver's exception in words that say what to do."""
    text = str(getattr(error, "orig", None) or error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.strerror.lower()} ({error.filename})"
    low = text.lower()
    advice = next((f"; {said}" for sign, said in _ADVICE if sign in low), "")
    kind = DamagedError if _DAMAGED in low else StorageError
    return kind(f"{location.url}: {text.splitlines()[0] if text else type(error).__name__}{advice}")


def closed(location: Location) -> StorageError:
    """What is raised by a store that somebody has let go of already."""
    return StorageError(f"{location.url}: the store is closed; open it anew, a run with `dspex.attach`")


_DAMAGED = "malformed"
_SERVER = "is the server running, and is the URL right?"
_ADVICE: tuple[tuple[str, str], ...] = (
    ("disk is full", "free some space and carry on: nothing was half written"),
    ("disk i/o error", "check the disk; what was committed before is safe"),
    (
        "readonly",
        "the file or its folder cannot be written; check its permissions or choose another place with --store",
    ),
    ("unable to open", "the folder must exist and be writable; choose another place with --store"),
    ("locked", "another process holds the database for very long; see `dspex db check`"),
    (_DAMAGED, "the file is damaged; restore a backup (`dspex db backup` makes them)"),
    ("not a database", "this file is something else; choose another place with --store"),
    ("no such table", "the file was deleted or replaced while it was in use; restore it or start anew"),
    ("permission denied", "choose another place with --store, or mend the permissions"),
    ("file exists", "a part of this path is a file and no folder; choose another place with --store"),
    ("not a directory", "a part of this path is a file and no folder; choose another place with --store"),
    ("read-only file system", "choose another place with --store"),
    ("no space left", "free some space and carry on: nothing was half written"),
    ("password", "check the user and the password in the URL"),
    ('database "', "make it on the server (`createdb`), or mend the name in the URL"),
    ('role "', "check the user in the URL"),
    ("connect", _SERVER),
    ("not known", _SERVER),
    ("[errno 2]", _SERVER),  # of a socket in the file system; a file's own errors are named with it
)


def perform(connection: Connection, items: Sequence[Item]) -> list[Any]:
    """Everything in `items`, in the caller's transaction; results in their order. The first failure goes up."""
    for guard in {id(item.guard): item.guard for item in items if item.guard is not None}.values():
        guard(connection)
    groups: dict[Prepared, list[Mapping[str, Any]]] = {}
    for item in items:
        if item.statement is not None and item.row is not None:
            groups.setdefault(item.statement, []).append(item.row)
    for statement, rows in groups.items():
        statement.execute_all(connection, rows)
    return [item.work(connection) if item.work is not None else None for item in items]


def settle(outcomes: Sequence[tuple[Item, Any]]) -> None:
    """Hand results and exceptions to those who wait; on their loop."""
    for item, outcome in outcomes:
        if item.future.done():
            continue
        if isinstance(outcome, BaseException):
            item.future.set_exception(outcome)
        else:
            item.future.set_result(outcome)


def known(error: BaseException, location: Location) -> BaseException:
    """A database driver's errors explained, the others as they are."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - this file is imported by those who only name the types

    return explain(error, location) if isinstance(error, DBAPIError | sqlite3.Error | OSError) else error
