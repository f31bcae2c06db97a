"""The report on a run of the store, from its rows: also long after, and in any form."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, select

from dspex.errors import ConfigurationError
from dspex.kernel.ports import JSON
from dspex.kernel.program import Program
from dspex.optimization.importance import Seen, importance_of
from dspex.optimization.reports.table import reported
from dspex.storage import runs
from dspex.storage.database import Database
from dspex.storage.statements import unpacked
from dspex.storage.tables import candidates


async def report_of(database: Database, id: str, form: str, explain: bool) -> str:
    """With `explain` also what mattered, which takes some seconds.

    Raises ConfigurationError before the run's end, UnknownNameError for a form that there is not.
    """
    row, known = await database.read(lambda c: (runs.find(c, id), _values(c, id)))
    if row.result is None:
        raise ConfigurationError(f"run {row.id} is {row.state}: its report is written at the end")
    if not explain:
        return reported(row.result, form)
    space = Program.from_data(row.spec["program"], f"run {row.id}").space
    seen = [Seen(known[item["id"]], item.get("believed", item["gain"])) for item in row.result["tried"]]
    shares = await asyncio.to_thread(importance_of, space, seen, row.seed)
    return reported(row.result, form, shares)


def _values(connection: Connection, id: str) -> dict[str, JSON]:
    """The configuration of every candidate of a run, by id."""
    query = select(candidates.c.id, candidates.c.data).where(candidates.c.run == id)
    return {row.id: unpacked(row.data)[0] for row in connection.execute(query)}
