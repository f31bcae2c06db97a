"""Statements whose wording differs between the two databases, made once so that equal ones are grouped."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from sqlalchemy import Insert, Table
from sqlalchemy.dialects import postgresql, sqlite

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@cache
def insert_new(table: Table, dialect: str) -> Insert:
    """An insert that leaves a row that is already there as it is: the first write wins."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def packed(value: Any) -> str:
    """JSON as kept in a column."""
    return _encode(value)


def unpacked(text: str | None) -> Any:
    """What `packed` made; None for an empty column."""
    return None if text is None else json.loads(text)
