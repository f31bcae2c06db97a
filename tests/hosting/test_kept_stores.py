"""Stores that earlier versions wrote are read, and a run in them is carried on without paying again."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from dspex.hosting.conducting import conduct
from dspex.hosting.handle import Run
from dspex.hosting.seating import take
from dspex.storage import runs
from dspex.storage.opening import open_database
from dspex.storage.tables import SCHEMA_VERSION, calls, candidates, evaluations, rounds
from tests.hosting.keeping import FOLDER

KEPT = sorted(FOLDER.glob("schema-*.db.gz"))


@pytest.mark.parametrize("kept", KEPT, ids=lambda path: path.name)
def test_a_run_of_a_kept_store_is_carried_on(kept: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "dspex.db")
    Path(store).write_bytes(gzip.decompress(kept.read_bytes()))

    async def main() -> None:
        database = await open_database(store)
        try:
            id = (await database.read(runs.listed))[0].id
            before = await database.read(lambda c: everything(c, id))
            assert (await Run(database, store, id).status()).orphaned
            result = await conduct(database, store, await take(database, id))
            after = await database.read(lambda c: everything(c, id))
            assert (await Run(database, store, id).status()).state == "completed"
        finally:
            await database.aclose()
        for name, kept_rows in before.items():
            assert kept_rows.items() <= after[name].items(), f"{name}: what was there is as it was"
        assert len(after["rounds"]) > len(before["rounds"]) > 2
        assert len(after["calls"]) > len(before["calls"]) > 100
        assert result.usage.calls <= 400

    asyncio.run(main())


def everything(connection: Connection, run: str) -> dict[str, dict[Any, Any]]:
    """The run's rows by their keys; of calls those that were answered."""

    def found(query: Any, size: int) -> dict[Any, Any]:
        return {tuple(row[:size]): tuple(row[size:]) for row in connection.execute(query)}

    mine = calls.c.run == run
    return {
        "calls": found(select(calls.c.key, calls.c.sends, calls.c.completion).where(mine, calls.c.state == "done"), 1),
        "evaluations": found(select(evaluations).where(evaluations.c.run == run), 4),
        "candidates": found(select(candidates).where(candidates.c.run == run), 2),
        "rounds": found(select(rounds.c.number, rounds.c.data).where(rounds.c.run == run), 1),
    }


def test_there_is_a_store_of_every_schema() -> None:
    assert [path.name for path in KEPT] == [f"schema-{number}.db.gz" for number in range(1, SCHEMA_VERSION + 1)]
