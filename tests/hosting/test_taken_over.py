"""A run that another process takes over while this one carries it: nothing of it is written from then on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine

from dspex.hosting.conducting import conduct
from dspex.hosting.liveness import Owner
from dspex.hosting.seating import Seat, TakenError, take
from dspex.kernel.ports import Event
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import Runner
from dspex.storage import runs
from dspex.storage.database import FencedError
from dspex.storage.opening import open_database
from dspex.storage.tables import runs as runs_table
from dspex.testing.hosts import prepared
from tests.servers.postgres import new_database
from tests.storage.test_fencing import rows

OWN: dict[str, Any] = {"id": "r", "name": "route", "spec": {}, "budget": {}, "strategy": "auto", "seed": 0}


@pytest.mark.parametrize("moment", ["run.started", "round.started", "round.finished", "run.finished", "found"])
def test_a_process_that_lost_its_run_keeps_its_hands_off_it(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever moment: not even its end, its progress or its failure are its to write."""
    store = tmp_path / "dspex.db"
    engine = create_engine(f"sqlite:///{store}", poolclass=NullPool)
    before: list[dict[str, list[str]]] = []

    def taken_over(event: Event) -> None:
        if event.kind == moment and not before:
            with engine.begin() as other:
                other.execute(runs_table.update().values(epoch=runs_table.c.epoch + 1))
                before.append(rows(other))

    search = Runner.run

    async def found(runner: Runner) -> OptimizationResult:
        result = await search(runner)
        taken_over(Event("found", ""))
        return result

    monkeypatch.setattr(Runner, "run", found)

    async def main() -> None:
        async with (await prepared(store)).run as run:
            seat = await take(run.database, run.id)
            with pytest.raises(FencedError):
                await conduct(run.database, str(store), seat, on_event=taken_over)
            assert await run.database.read(rows) == before[0]

    asyncio.run(main())
    engine.dispose()


def test_one_of_many_that_come_at_once_gets_a_run_on_a_server(server: str) -> None:
    """Each looks whether a lease holds and then takes the run: nobody comes in between."""
    url = new_database(server)

    async def main() -> list[str]:
        databases = [await open_database(url) for _ in range(6)]
        await databases[0].write(lambda c: runs.create(c, OWN))
        found = await asyncio.gather(*(take(database, "r") for database in databases), return_exceptions=True)
        for database in databases:
            await database.aclose()
        assert all(isinstance(item, Seat | TakenError) for item in found), found
        return sorted(type(item).__name__ for item in found)

    assert asyncio.run(main()) == ["Seat", *["TakenError"] * 5]


def test_only_a_process_that_is_there_for_its_run_may_be_killed_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        database = await open_database(tmp_path / "dspex.db")
        await database.write(lambda c: runs.create(c, OWN))
        for servant, owner in ((False, None), (True, Owner.here())):
            seat = await take(database, "r", servant=servant)
            assert seat.lock is not None
            assert seat.lock.signature() == owner
            seat.release()
        await database.aclose()

    asyncio.run(main())
