"""Rates that all runs of a store keep together, as rows that leases are booked in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, func, select

from dspex.clients.rate_leases import Ask, Book, Entry, Lease, Used
from dspex.kernel.ports import JSON
from dspex.storage.database import Database
from dspex.storage.statements import insert_new, packed, unpacked
from dspex.storage.tables import leases


class StoredRates:
    """`RateLeases` over rows: one for each address and key, named by a hash of both."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lease(self, name: str, ask: Ask) -> Lease:
        return await self._database.write(partial(_leased, name=f"rate:{name}", ask=ask))

    async def give_back(self, name: str, over: Sequence[Used]) -> None:
        await self._database.write(partial(_given_back, name=f"rate:{name}", over=over))


def _leased(connection: Connection, name: str, ask: Ask) -> Lease:
    book = _opened(connection, name)
    lease = book.lease(ask, clock(connection))
    _kept(connection, name, book)
    return lease


def _given_back(connection: Connection, name: str, over: Sequence[Used]) -> None:
    book = _opened(connection, name)
    book.close(over, clock(connection))
    _kept(connection, name, book)


def clock(connection: Connection) -> float:
    """The one clock of all who use the store: the machine's, or the server's."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())
    return time.time()


def _opened(connection: Connection, name: str) -> Book:
    query = select(leases.c.data).where(leases.c.name == name).with_for_update()
    data = connection.execute(query).scalar_one_or_none()
    if data is None:
        connection.execute(insert_new(leases, connection.dialect.name), {"name": name, "period": 0.0, "used": 0.0})
        data = connection.execute(query).scalar_one()
    found: JSON = unpacked(data) or [0, []]
    return Book(found[0], [Entry(*entry) for entry in found[1]])


def _kept(connection: Connection, name: str, book: Book) -> None:
    entries = [[e.number, round(e.start, 4), round(e.until, 4), e.requests, e.tokens] for e in book.entries]
    counted = float(sum(entry.requests for entry in book.entries))
    change = leases.update().where(leases.c.name == name)
    connection.execute(change.values(data=packed([book.last, entries]), used=counted))
