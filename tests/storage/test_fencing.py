"""Whoever has lost a run to another process writes nothing of it any more, whatever it is about to write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Connection, make_url, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from dspex.errors import ConfigurationError
from dspex.kernel.ports import Event
from dspex.optimization.rows import AHEAD, Candidate, Death, Evaluation, Round
from dspex.storage import runs
from dspex.storage.calls import DatabaseCallStore
from dspex.storage.database import Database, FencedError
from dspex.storage.ledgers import DurableLedger
from dspex.storage.opening import open_database
from dspex.storage.tables import commits, metadata
from dspex.storage.tables import runs as runs_table
from tests.storage.test_calls import REQUEST, answer
from tests.storage.test_ledgers import PAIRS, Within, begun, row

AHEAD_ROW = Evaluation("s", "e9", 0, AHEAD, 1.0)
LATER = Candidate("c", {}, "seed", ("s",), "", 1)


async def recorded(ledger: DurableLedger) -> None:
    await ledger.record(row("e0"))
    await ledger.flush()


async def failed(ledger: DurableLedger) -> None:
    await ledger.record(row("e0", None))
    await ledger.flush()


async def adopted(ledger: DurableLedger) -> None:
    await ledger.adopt([("s", "e9", 0)], 0)
    await ledger.flush()


async def logged(ledger: DurableLedger) -> None:
    await ledger.log(Event("note", "", {}))
    await ledger.flush()


async def folded(ledger: DurableLedger) -> None:
    await ledger.fold(0)
    await ledger.flush()


WRITES: dict[str, Callable[[DurableLedger, DatabaseCallStore], Awaitable[object]]] = {
    "round and candidates": lambda ledger, _: ledger.commit(Round(1, PAIRS[:1], (LATER,))),
    "evaluation": lambda ledger, _: recorded(ledger),
    "failure": lambda ledger, _: failed(ledger),
    "adoption": lambda ledger, _: adopted(ledger),
    "fold": lambda ledger, _: folded(ledger),
    "event": lambda ledger, _: logged(ledger),
    "death": lambda ledger, _: ledger.blame(Death("s", "e0", 1, "crash")),
    "intent": lambda _, calls: calls.begin("new", REQUEST),
    "intent again": lambda _, calls: calls.begin("lost", REQUEST),
    "answer": lambda _, calls: calls.put("lost", REQUEST, answer("late")),
    "intent taken back": lambda _, calls: calls.abandon("lost"),
}


@pytest.mark.parametrize("what", WRITES)
def test_what_a_process_without_its_run_would_write_is_refused(within: Within, url: str, what: str) -> None:
    async def test(database: Database) -> None:
        ledger, other = await begun(database), await open_database(url)
        epoch = (await database.read(lambda c: runs.find(c, "run"))).epoch
        calls = DatabaseCallStore(database, "run", epoch, runs.fence("run", epoch))
        await calls.begin("lost", REQUEST)
        await ledger.record(AHEAD_ROW)
        await ledger.flush()
        await other.write(lambda c: runs.claim(c, "run", "another", None))
        before = await other.read(rows)
        with pytest.raises(FencedError):
            await WRITES[what](ledger, calls)
        assert await other.read(rows) == before
        await other.aclose()

    within(test)


def rows(connection: Connection) -> dict[str, list[str]]:
    """Everything in the store but the marks of those who write."""
    tables = [table for table in metadata.sorted_tables if table is not commits]
    return {table.name: sorted(map(str, connection.execute(select(table)))) for table in tables}


def test_nobody_takes_a_run_over_between_a_fence_and_what_it_let_through(server_url: str) -> None:
    """On a server the transactions of two processes overlap: who has passed the fence holds the run's row."""

    async def main() -> None:
        database = await open_database(server_url)
        await begun(database)
        engine = create_async_engine(make_url(server_url).set(drivername="postgresql+asyncpg"))
        async with engine.connect() as owner, engine.connect() as taker:
            await owner.run_sync(runs.fence("run", 1))
            await taker.exec_driver_sql("SET LOCAL lock_timeout = '20ms'")
            with pytest.raises(DBAPIError, match="lock timeout"):
                await taker.run_sync(lambda c: runs.claim(c, "run", "another", None))
            await taker.rollback()
            await owner.commit()
            assert await taker.run_sync(lambda c: runs.claim(c, "run", "another", None)) == 2
        await engine.dispose()
        await database.aclose()

    asyncio.run(main())


def test_a_move_or_a_claim_waits_for_one_that_is_under_way_and_goes_by_what_it_left(server_url: str) -> None:
    async def main() -> None:
        database = await open_database(server_url)
        await begun(database)
        await database.write(lambda c: runs.move(c, "run", "running"))
        engine = create_async_engine(make_url(server_url).set(drivername="postgresql+asyncpg"))
        async with engine.connect() as first, engine.connect() as second, engine.connect() as watcher:

            async def blocked() -> None:
                while not (await watcher.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar():
                    await asyncio.sleep(0.005)

            assert await first.run_sync(lambda c: runs.claim(c, "run", "one", None)) == 2
            await first.run_sync(lambda c: runs.move(c, "run", "completed"))
            claiming = asyncio.ensure_future(second.run_sync(lambda c: runs.claim(c, "run", "two", None)))
            await blocked()
            await first.commit()
            assert await claiming == 3
            await second.rollback()

            await database.write(lambda c: c.execute(runs_table.update().values(state="running")))
            await first.run_sync(lambda c: runs.move(c, "run", "completed"))
            moving = asyncio.ensure_future(second.run_sync(lambda c: runs.move(c, "run", "paused")))
            await blocked()
            await first.commit()
            with pytest.raises(ConfigurationError, match="is completed; it cannot become paused"):
                await moving
        await engine.dispose()
        await database.aclose()

    asyncio.run(main())
