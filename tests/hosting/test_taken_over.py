"""A run that another process takes over while this one carries it: nothing of it is written from then on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, select

from dspex.errors import OutageError, SharedBudgetError
from dspex.hosting import seating, steering, supervisor
from dspex.hosting.conducting import conduct
from dspex.hosting.control import Control
from dspex.hosting.handle import Run
from dspex.hosting.liveness import Owner, RunLock
from dspex.hosting.seating import Seat, TakenError, take
from dspex.hosting.waiting import OUTAGE
from dspex.kernel.ports import Event
from dspex.optimization.interruption import Interrupted
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import Runner
from dspex.storage import runs
from dspex.storage.database import FencedError
from dspex.storage.opening import open_database
from dspex.storage.tables import runs as runs_table
from dspex.testing.hosts import prepared
from tests.servers.postgres import new_database
from tests.storage.test_fencing import rows

seized, crashed = vars(steering)["_seized"], vars(supervisor)["_crashed"]
OWN: dict[str, Any] = {"id": "r", "name": "route", "spec": {}, "budget": {}, "strategy": "auto", "seed": 0}


@pytest.mark.parametrize("moment", ["taken", "run.started", "round.started", "round.finished", "run.finished", "found"])
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
            taken_over(Event("taken", ""))
            with pytest.raises(FencedError):
                await conduct(run.database, str(store), seat, on_event=taken_over)
            assert await run.database.read(rows) == before[0]

    asyncio.run(main())
    engine.dispose()


ENDS: dict[str, Exception] = {
    "paused": Interrupted("pause"),
    "shared budget": SharedBudgetError("used up"),
    "outage": OutageError("nobody answers"),
    "failed": ValueError("broken"),
    "failed, when the model was back": ValueError("broken"),
}


@pytest.mark.parametrize("why", ENDS)
def test_why_a_search_ended_is_not_written_into_a_run_that_was_lost(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "dspex.db"
    engine = create_engine(f"sqlite:///{store}", poolclass=NullPool)
    before: list[dict[str, list[str]]] = []

    def heartbeat() -> float:
        with engine.begin() as other:
            return float(other.execute(select(runs_table.c.heartbeat)).scalar_one())

    async def main() -> None:
        async with (await prepared(store)).run as run:
            seat = await take(run.database, run.id)
            if why.endswith("back"):
                await run.database.write(lambda c: runs.move(c, run.id, "paused", f"{OUTAGE}nobody answers"))
                seat = replace(seat, waiting=True)
            first = heartbeat()

            async def ended(_: Runner) -> OptimizationResult:
                while heartbeat() == first:  # until it has looked, and looks no more for a while
                    await asyncio.sleep(0.005)
                with engine.begin() as other:
                    other.execute(runs_table.update().values(epoch=runs_table.c.epoch + 1))
                    before.append(rows(other))
                raise ENDS[why]

            monkeypatch.setattr(Runner, "run", ended)
            with pytest.raises(FencedError):
                await conduct(run.database, str(store), seat)
            assert await run.database.read(rows) == before[0]

    asyncio.run(main())
    engine.dispose()


def test_who_took_a_run_over_keeps_its_lease_on_a_server(server: str) -> None:
    url = new_database(server)

    async def main() -> None:
        async with (await prepared(url)).run as run:
            seat = await take(run.database, run.id)
            await run.database.write(lambda c: runs.claim(c, run.id, "another", 60.0))
            before = await run.database.read(rows)
            with pytest.raises(FencedError):
                await conduct(run.database, url, seat)
            assert await run.database.read(rows) == before

    asyncio.run(main())


def test_a_command_that_reaches_a_process_without_its_run_is_left_to_the_one_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dspex.hosting.control.BEAT_SECONDS", 1000.0)
    store = tmp_path / "dspex.db"

    async def main() -> None:
        database = await open_database(store)
        await database.write(lambda c: runs.create(c, OWN))
        epoch = await database.write(lambda c: runs.claim(c, "r", "", None))
        first = (await database.read(lambda c: runs.find(c, "r"))).heartbeat
        lost = asyncio.Event()
        control = Control(
            str(store), "r", epoch, on_command=lambda command: command.kind, on_lost=lambda error: lost.set()
        )
        control.start()
        while (await database.read(lambda c: runs.find(c, "r"))).heartbeat == first:
            await asyncio.sleep(0.005)

        def taken(connection: Connection) -> None:
            runs.claim(connection, "r", "another", None)
            runs.tell(connection, "r", "pause")

        async def waiting() -> list[str]:
            return [item.kind for item in await database.read(lambda c: runs.pending(c, "r"))]

        await database.write(taken)
        while not lost.is_set() and await waiting():
            await asyncio.sleep(0.005)
        assert await waiting() == ["pause"]
        await control.close()
        await database.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("what", ["pause", "stop", "end", "give up"])
def test_whoever_goes_by_the_state_of_a_run_holds_its_row_on_a_server(
    what: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process could take the run, or end it, between the look and the move."""
    url = new_database(server)
    held: list[bool] = []
    find = runs.find

    def found(connection: Connection, id: str) -> runs.RunRow:
        query = "SELECT xmax = pg_current_xact_id_if_assigned()::xid FROM runs"
        held.append(bool(connection.exec_driver_sql(query).scalar()))
        return find(connection, id)

    async def main() -> None:
        database = await open_database(url)
        await database.write(lambda c: runs.create(c, OWN))
        run = Run(database, url, "r")
        monkeypatch.setattr(runs, "find", found)
        if what == "pause":
            await run.pause()
        elif what == "stop":
            await run.stop()
        elif what == "end":
            await database.write(partial(seized, id="r"))
        else:
            assert await database.write(partial(crashed, database.location, "r", "died"))
        await database.aclose()

    asyncio.run(main())
    assert held[0]


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


def test_who_pauses_a_run_is_waited_for_and_who_carries_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes that the run rests before it lets go of it."""
    monkeypatch.setattr(seating, "MISTAKEN_SECONDS", 0.0)

    async def main() -> None:
        async with (await prepared(tmp_path / "dspex.db")).run as run:
            seat, acquire = await take(run.database, run.id), RunLock.acquire
            await run.database.write(lambda c: runs.move(c, run.id, "running"))
            with pytest.raises(TakenError):
                await take(run.database, run.id)
            await run.database.write(lambda c: runs.move(c, run.id, "pausing"))
            await run.database.write(lambda c: runs.move(c, run.id, "paused"))

            def tried(lock: RunLock, *, wait: bool = False) -> bool:
                found = acquire(lock, wait=wait)
                seat.release()  # the process has gone by now
                return found

            monkeypatch.setattr(RunLock, "acquire", tried)
            (await take(run.database, run.id)).release()

    asyncio.run(main())


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
