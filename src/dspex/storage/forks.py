"""Starting a run from the rows of another: what was decided and scored is copied, nothing is paid again."""

from __future__ import annotations

from sqlalchemy import Connection, func, literal, select

from dspex.kernel.ports import NO_USAGE, Usage
from dspex.optimization.rows import QUARANTINED
from dspex.storage.ledgers import rows_of
from dspex.storage.statements import unpacked
from dspex.storage.tables import candidates, evaluations, quarantine, rounds


def carry_over(connection: Connection, source: str, target: str) -> Usage:
    """Copy the search of `source` into `target`, in the caller's transaction; returns what the copied rows consumed.

    A confirmation is left behind, with its evaluations: the target confirms its own winner. Attempts that
    infrastructure failed are left behind too; which examples kill their process is not.
    """
    end = _end(connection, source)
    search = (
        (candidates, candidates.c.round < end),
        (evaluations, evaluations.c.round < end),
        (rounds, rounds.c.number < end),
        (quarantine, quarantine.c.kills >= QUARANTINED),
    )
    for table, kept_of in search:
        names = [column.name for column in table.c]
        chosen = [literal(target) if column.name == "run" else column for column in table.c]
        connection.execute(table.insert().from_select(names, select(*chosen).where(table.c.run == source, kept_of)))
    kept, _, rows = rows_of(connection, target)
    return sum((item.usage for item in kept), NO_USAGE) + sum((item.usage for item in rows), NO_USAGE)


def _end(connection: Connection, run: str) -> int:
    """The number of the confirmation, or else one that no round has."""
    for row in connection.execute(select(rounds).where(rounds.c.run == run).order_by(rounds.c.number)):
        if unpacked(row.data)[2] == "confirmation":
            return int(row.number)
    count = connection.execute(select(func.count()).select_from(rounds).where(rounds.c.run == run)).scalar() or 0
    return int(count) + 1
