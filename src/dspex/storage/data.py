"""Datasets by content hash, so that a run can be carried on by a process that has none of the files."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from dspex.kernel.canonical import digest
from dspex.kernel.signature import Example
from dspex.storage.database import StorageError
from dspex.storage.statements import Prepared, insert_new, packed, unpacked
from dspex.storage.tables import datasets, examples

_ADD = Prepared(examples.insert())


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
        _ADD.execute_all(connection, data)
    return key


_NAMED = Prepared(select(datasets.c.size).where(datasets.c.hash == bindparam("key")))
_ROWS = Prepared(
    select(examples.c.example, examples.c.data)
    .where(examples.c.dataset == bindparam("key"))
    .order_by(examples.c.position)
)


def get(connection: Connection, key: str) -> list[Example]:
    """The examples of a hash, in their order. Raises StorageError when there are none of it."""
    if not _NAMED.found(connection, {"key": key}):
        raise StorageError(f"dataset {key[:12]} is not in the store")
    return [Example(id, unpacked(data)) for id, data in _ROWS.each(connection, {"key": key})]
