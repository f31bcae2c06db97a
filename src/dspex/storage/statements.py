"""Statements whose wording differs between the two databases, and those that are worded once for many executions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import CompilerElement

_encode = json.JSONEncoder(separators=(",", ":")).encode
Row = Mapping[str, Any]


_TOGETHER = 32
"""Rows that SQLite is given in one statement. For each statement it lets go of the interpreter and takes it again, and
so does whoever else is at work: row by row, that takes several times as long as the rows."""


@dataclass(frozen=True, slots=True)
class _Wording:
    """A statement in one database's words: its text, and how the values stand in it."""

    text: str
    values: Callable[[Row], tuple[Any, ...]]
    row: str = ""
    """The part of the text that stands for one row; empty where it cannot be said for several."""

    def several(self, count: int) -> str:
        """The text for so many rows."""
        return self.text if count == 1 else self.text.replace(self.row, ", ".join([self.row] * count))


class Prepared:
    """A statement that is worded once and then handed to the driver as it is: to look up what was compiled costs
    SQLAlchemy several times what the database needs to run it.

    Every execution gives the same names. Values are text, numbers, lists where the statement says so, and None: nothing
    is converted.
    """

    __slots__ = ("_statement", "_words")

    def __init__(self, statement: CompilerElement | Callable[[str], CompilerElement]) -> None:
        """`statement`, or what gives it for a dialect."""
        self._statement = statement
        self._words: dict[str, _Wording] = {}

    def found(self, connection: Connection, row: Row) -> Sequence[Sequence[Any]]:
        """Run it once; the rows it gives, their values in its order."""
        wording = self._wording(connection, row)
        driver = driver_of(connection)
        if driver is not None:
            return driver.execute(wording.text, wording.values(row)).fetchall()
        return connection.exec_driver_sql(wording.text, wording.values(row)).all()

    def each(self, connection: Connection, row: Row) -> Iterator[Sequence[Any]]:
        """The same where there are many, one by one."""
        wording = self._wording(connection, row)
        driver = driver_of(connection)
        if driver is not None:
            yield from driver.execute(wording.text, wording.values(row))
        else:
            yield from connection.exec_driver_sql(wording.text, wording.values(row))

    def execute_all(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it for each of `rows`, at least one."""
        wording = self._wording(connection, rows[0])
        driver, values = driver_of(connection), [wording.values(row) for row in rows]
        if driver is None:
            connection.exec_driver_sql(wording.text, values)
        elif not wording.row:
            driver.executemany(wording.text, values)
        else:
            for start in range(0, len(values), _TOGETHER):
                part = values[start : start + _TOGETHER]
                driver.execute(wording.several(len(part)), [item for row in part for item in row])

    def _wording(self, connection: Connection, row: Row) -> _Wording:
        dialect = connection.dialect
        found = self._words.get(dialect.name)
        if found is None:
            statement = self._statement(dialect.name) if callable(self._statement) else self._statement
            compiled = statement.compile(dialect=dialect, column_keys=list(row))
            given = compiled.construct_params(row) or {}
            names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
            constants = {name: given[name] for name in names if name not in row}
            text, pick = str(compiled), _picked(names, constants)
            found = self._words[dialect.name] = _Wording(text, pick, _row_in(text, len(names)))
        return found


def _row_in(text: str, count: int) -> str:
    """What stands for one row in the text of an insert; empty where values stand anywhere else."""
    row = f"({', '.join('?' * count)})"
    return row if text.count(row) == 1 and text.count("?") == count else ""


def driver_of(connection: Connection) -> sqlite3.Connection | None:
    """SQLite's own connection, which runs a text in less time than SQLAlchemy takes to hand it over; None on a server.

    What goes wrong on it is a `sqlite3.Error`, and no error of SQLAlchemy's.
    """
    driver = connection.connection.driver_connection
    return driver if isinstance(driver, sqlite3.Connection) else None


def _picked(names: Sequence[str], constants: Row) -> Callable[[Row], tuple[Any, ...]]:
    """What puts the values of a row, and those that never change, in the order of `names`."""
    if len(names) == 1:
        (only,) = names
        return lambda row: (row[only],)
    pick: Callable[[Row], tuple[Any, ...]] = itemgetter(*names)
    return pick if not constants else lambda row: pick({**constants, **row})


@cache
def insert_new(table: Table, dialect: str) -> Insert:
    """An insert that leaves a row that is already there as it is: the first write wins."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def packed(value: Any) -> str:
    """JSON as kept in a column. Raises ValueError or TypeError for what JSON cannot say."""
    try:
        return to_json(value, inf_nan_mode="constants").decode()
    except PydanticSerializationError:  # half a surrogate pair, which JSON can escape; or no JSON at all, and raises
        return _encode(value)


def unpacked(text: str | None) -> Any:
    """What `packed` made; None for an empty column."""
    return None if text is None else json.loads(text)
