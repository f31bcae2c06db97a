"""A commit on a server whose answer is lost: what it wrote is there once, whatever became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from dspex.storage.database import Database
from dspex.storage.opening import open_database
from dspex.storage.tables import commits, leases
from tests.servers.postgres import Server, new_database
from tests.servers.proxy import Incident, Passage, Proxy, between


def bump(connection: Connection) -> float:
    """One more; a work that must not happen twice."""
    used: float = (
        connection.execute(select(leases.c.used).where(leases.c.name == "n").with_for_update()).scalar_one() + 1
    )
    connection.execute(leases.update().where(leases.c.name == "n").values(used=used))
    return used


async def made(database: Database) -> None:
    row = {"name": "n", "period": 0.0, "used": 0.0, "data": "{}"}
    await database.write(lambda c: c.execute(leases.insert(), row))


def behind(url: str, folder: Path, test: Callable[[Proxy, Database, Database], Awaitable[None]]) -> None:
    """`test` with a database behind a proxy, and the same one reached directly."""

    async def main() -> None:
        direct = await open_database(url)
        async with between(url, folder) as proxy:
            database = await open_database(proxy.url)
            try:
                await made(direct)
                await test(proxy, database, direct)
            finally:
                await database.aclose()
                await direct.aclose()

    asyncio.run(main())


async def answer_is_lost(passage: Passage) -> None:
    await passage.let_through()


async def never_arrives(_passage: Passage) -> None:
    """The server hears nothing of it."""


@pytest.mark.parametrize(
    "incidents",
    [[answer_is_lost], [never_arrives], [never_arrives, answer_is_lost], [answer_is_lost, answer_is_lost]],
    ids=["answer lost", "never arrives", "never arrives, then answer lost", "answer lost, then another's"],
)
@pytest.mark.parametrize("before", [0, 1], ids=["first", "later"])
def test_what_a_lost_commit_wrote_is_there_once(
    server: str, tmp_path: Path, incidents: list[Incident], before: int
) -> None:
    """Also where it is the writer's first of all."""

    async def test(proxy: Proxy, database: Database, direct: Database) -> None:
        for _ in range(before):
            await database.write(bump)
        proxy.incidents += incidents
        assert await database.write(bump) == before + 1
        assert await database.write(bump) == before + 2
        assert proxy.incidents == []
        assert await direct.write(bump) == before + 3

    behind(new_database(server), tmp_path, test)


def test_a_commit_that_is_still_under_way_is_waited_for(server: str, tmp_path: Path) -> None:
    """The connection is gone, and its server process has not noticed yet."""
    left: list[Passage] = []

    async def test(proxy: Proxy, database: Database, direct: Database) -> None:
        async def in_doubt(passage: Passage) -> None:
            passage.client.transport.abort()
            waiting = asyncio.ensure_future(direct.write(bump))  # behind the one in doubt, which holds the row
            await asyncio.sleep(0)
            left.append(passage)
            while not await direct.read(blocked):
                await asyncio.sleep(0.01)
            await passage.let_through()
            await waiting

        proxy.incidents.append(in_doubt)
        assert await database.write(bump) == 1
        assert await direct.write(bump) == 3

    behind(new_database(server), tmp_path, test)


def blocked(connection: Connection) -> bool:
    """Whether two wait for what a third has not ended yet."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return int(connection.exec_driver_sql(query).scalar_one()) == 2


def test_a_number_that_a_crash_gave_to_another_transaction_is_not_taken_for_the_lost_one(
    server_process: Server, tmp_path: Path
) -> None:
    """What was not on the disk when the server was killed never was: its number is the next one's."""

    async def test(proxy: Proxy, database: Database, direct: Database) -> None:
        async def killed(_passage: Passage) -> None:
            await asyncio.to_thread(server_process.kill)
            await asyncio.to_thread(server_process.start)
            for _ in range(3):
                await direct.write(bump)

        await direct.write(bump)
        proxy.incidents.append(killed)
        assert await database.write(bump) == 5
        assert await direct.write(bump) == 6

    behind(new_database(server_process.url), tmp_path, test)


def test_a_writer_that_ends_leaves_no_mark_and_sweeps_old_ones(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = new_database(server)

    async def main() -> list[str]:
        first, second, third = [await open_database(url) for _ in range(3)]
        await made(first)
        await second.write(bump)
        names = set(await third.read(marks))
        assert len(names) == 2
        await first.aclose()
        (left,) = await third.read(marks)
        assert left in names
        await third.write(bump)
        monkeypatch.setattr("dspex.storage.postgres.KEPT_SECONDS", -60.0)
        await third.aclose()
        found = await second.read(marks)
        await second.aclose()
        return found

    assert asyncio.run(main()) == []


def marks(connection: Connection) -> list[str]:
    return list(connection.execute(select(commits.c.writer)).scalars())
