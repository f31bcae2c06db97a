"""Datasets by content hash, so that a run can be carried on by a process that has none of the files."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Connection, select

from dspex.kernel.canonical import digest
from dspex.kernel.signature import Example
from dspex.storage.database import StorageError
from dspex.storage.statements import insert_new, packed, unpacked
from dspex.storage.tables import datasets, examples


def put(connection: Connection, rows: Sequence[Example]) -> str:
    """Keep the examples in their order; returns the hash they are found by. The same data is kept once."""
    key = digest([[row.id, dict(row.values)] for row in rows])
    new = insert_new(datasets, connection.dialect.name)
    made = connection.execute(new, {"hash": key, "size": len(rows), "created": time.time()})
    if made.rowcount == 1 and rows:
        data = [
            {"dataset": key, "position": place, "example": row.id, "data": packed(dict(row.values))}
            for place, row in enumerate(rows)
        ]
        connection.execute(examples.insert(), data)
    return key


def get(connection: Connection, key: str) -> list[Example]:
    """The examples of a hash, in their order. Raises StorageError when there are none of it."""
    if connection.execute(select(datasets.c.hash).where(datasets.c.hash == key)).one_or_none() is None:
        raise StorageError(f"dataset {key[:12]} is not in the store")
    query = select(examples).where(examples.c.dataset == key).order_by(examples.c.position)
    return [Example(row.example, unpacked(row.data)) for row in connection.execute(query)]
