"""Stored programs: versions that never change, labels that point at them, and how well each was shown to do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, delete, func, select

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.kernel.program import Program
from dspex.kernel.signature import IDENTIFIER
from dspex.storage.statements import insert_new, packed, unpacked
from dspex.storage.tables import executions, labels, programs, versions

Score = tuple[float, float, float]
"""A confirmed score with the ends of its interval."""


class ConflictError(ConfigurationError):
    """The stored program has changed since; nothing was written."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a stored program; it never changes."""

    program: str
    number: int
    hash: str
    parent: int | None
    note: str
    run: str | None
    score: float | None
    score_low: float | None
    score_high: float | None
    created: float
    labels: tuple[str, ...] = ()


_COLUMNS = [column for column in versions.c if column.name != "data"]


def add(
    connection: Connection,
    program: Program,
    name: str | None = None,
    *,
    note: str = "",
    run: str | None = None,
    score: Score | None = None,
) -> Version:
    """Store `program` as the newest version of `name`; the same content as the newest is not stored twice."""
    name = name or program.name
    if not IDENTIFIER.fullmatch(name.replace("-", "_")):
        raise ConfigurationError(f"program name {name!r}: use letters, digits, - and _")
    now = time.time()
    connection.execute(insert_new(programs, connection.dialect.name), {"name": name, "created": now})
    # Holding the program's row keeps two writers from taking the same number.
    connection.execute(select(programs.c.name).where(programs.c.name == name).with_for_update()).one()
    newest = _newest(connection, name)
    if newest is not None and newest.hash == program.hash and score is None:
        return newest
    number = 1 if newest is None else newest.number + 1
    low_high = (None, None, None) if score is None else score
    row = {
        "program": name, "number": number, "hash": program.hash, "parent": None if newest is None else newest.number,
        "data": packed(program.to_data()), "note": note, "run": run, "score": low_high[0], "score_low": low_high[1],
        "score_high": low_high[2], "created": now,
    }  # fmt: skip
    connection.execute(versions.insert().values(row))
    return _version(connection, name, number)


def resolve(connection: Connection, reference: str) -> Version:
    """The version meant: `route` (newest), `route@production` (label), `route@3` (number), `route@3f2a` (hash).

    Raises UnknownNameError with a suggestion.
    """
    name, _, which = reference.partition("@")
    known = connection.execute(select(programs.c.name)).scalars().all()
    if name not in known:
        raise UnknownNameError("stored program", name, known)
    newest = _newest(connection, name)
    if newest is None:
        raise UnknownNameError("version", which or "newest", [], f"program {name!r}")
    if not which:
        return newest
    number = connection.execute(
        select(labels.c.number).where(labels.c.program == name, labels.c.label == which)
    ).scalar_one_or_none()
    if number is not None:
        return _version(connection, name, number)
    found = [item for item in history(connection, name) if str(item.number) == which]
    if not found and len(which) >= 4:
        found = [item for item in history(connection, name) if item.hash.startswith(which)]
    if not found:
        marks = connection.execute(select(labels.c.label).where(labels.c.program == name)).scalars().all()
        numbers = [str(item.number) for item in history(connection, name)]
        raise UnknownNameError("version or label", which, [*marks, *numbers], f"program {name!r}")
    return found[0]


def read(connection: Connection, version: Version) -> Program:
    """The program of a version."""
    query = select(versions.c.data).where(versions.c.program == version.program, versions.c.number == version.number)
    data = connection.execute(query).scalar_one()
    return Program.from_data(unpacked(data), f"stored program {version.program}@{version.number}")


def history(connection: Connection, name: str) -> list[Version]:
    """Every version, newest first."""
    query = select(*_COLUMNS).where(versions.c.program == name).order_by(versions.c.number.desc())
    return _versions(connection, connection.execute(query).mappings().all())


def listed(connection: Connection) -> list[Version]:
    """The newest version of every program, by name."""
    newest = (
        select(versions.c.program, func.max(versions.c.number).label("number")).group_by(versions.c.program).subquery()
    )
    query = select(*_COLUMNS).join(
        newest, (newest.c.program == versions.c.program) & (newest.c.number == versions.c.number)
    )
    return _versions(connection, connection.execute(query.order_by(versions.c.program)).mappings().all())


def current_performance(connection: Connection, name: str) -> Version | None:
    """The latest version whose score was confirmed, or None."""
    query = select(*_COLUMNS).where(versions.c.program == name, versions.c.score.is_not(None))
    row = connection.execute(query.order_by(versions.c.number.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else _versions(connection, [row])[0]


def promote(connection: Connection, version: Version, label: str = "production", *, expected: int | None = -1) -> None:
    """Point `label` at a version. With `expected` (a number, or None for no label yet) only if it points there now.

    Raises ConflictError when somebody else moved it meanwhile.
    """
    if not IDENTIFIER.fullmatch(label.replace("-", "_")):
        raise ConfigurationError(
            f"label {label!r}: begin with a letter, and use letters, digits, - and _; a number means a version"
        )
    where = (labels.c.program == version.program, labels.c.label == label)
    now = connection.execute(select(labels.c.number).where(*where).with_for_update()).scalar_one_or_none()
    if expected != -1 and now != expected:
        raise ConflictError(
            f"{version.program}@{label} points at version {now}, not {expected}, by now; nothing was promoted"
        )
    row = {"program": version.program, "label": label, "number": version.number, "changed": time.time()}
    if now is None:
        connection.execute(labels.insert().values(row))
    else:
        connection.execute(labels.update().where(*where).values(number=row["number"], changed=row["changed"]))


def labelled(connection: Connection, name: str, label: str) -> int | None:
    """The number of the version a label points at."""
    query = select(labels.c.number).where(labels.c.program == name, labels.c.label == label)
    return connection.execute(query).scalar_one_or_none()


def remove(connection: Connection, name: str) -> int:
    """Delete a program with all its versions, labels and executions; returns how many versions there were."""
    count = len(history(connection, name))
    if not count:
        raise UnknownNameError("stored program", name, connection.execute(select(programs.c.name)).scalars().all())
    for table in (executions, labels, versions):
        connection.execute(delete(table).where(table.c.program == name))
    connection.execute(delete(programs).where(programs.c.name == name))
    return count


def _newest(connection: Connection, name: str) -> Version | None:
    query = select(*_COLUMNS).where(versions.c.program == name).order_by(versions.c.number.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _versions(connection, [row])[0]


def _version(connection: Connection, name: str, number: int) -> Version:
    query = select(*_COLUMNS).where(versions.c.program == name, versions.c.number == number)
    return _versions(connection, [connection.execute(query).mappings().one()])[0]


def _versions(connection: Connection, found: Sequence[RowMapping]) -> list[Version]:
    marks: dict[tuple[str, int], list[str]] = {}
    for row in connection.execute(select(labels).order_by(labels.c.label)):
        marks.setdefault((row.program, row.number), []).append(row.label)
    return [Version(**row, labels=tuple(marks.get((row["program"], row["number"]), ()))) for row in found]
