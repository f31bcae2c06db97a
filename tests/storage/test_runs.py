"""Runs: their graph of states, ownership by epoch, commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, select

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.storage import runs
from dspex.storage.database import Database, FencedError
from dspex.storage.opening import open_database
from dspex.storage.statements import Prepared
from dspex.storage.tables import calls
from dspex.storage.tables import runs as table

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]
ROW = {"name": "route", "spec": {"a": 1}, "budget": {"calls": 5}, "strategy": "auto", "seed": 0}


def test_moves_follow_the_graph_and_nothing_else(within: Within) -> None:
    async def test(database: Database) -> None:
        def work(connection: Connection) -> None:
            runs.create(connection, {"id": "route-1", **ROW})
            for state in runs.STATES:
                for to in runs.STATES:
                    connection.execute(table.update().values(state=state))
                    if to == state or to in runs.MOVES[state]:
                        assert runs.move(connection, "route-1", to) == state
                        assert runs.find(connection, "route-1").state == to
                    else:
                        with pytest.raises(ConfigurationError, match=f"is {state}; it cannot become {to}"):
                            runs.move(connection, "route-1", to)
                        assert runs.find(connection, "route-1").state == state

        await database.write(work)

    within(test)


def test_an_owner_that_lost_its_epoch_writes_nothing(within: Within) -> None:
    async def test(database: Database) -> None:
        await database.write(lambda c: runs.create(c, {"id": "route-1", **ROW}))
        first = await database.write(lambda c: runs.claim(c, "route-1", "a", None))
        guard = runs.fence("route-1", first)
        await database.write(lambda c: runs.note(c, "route-1", "one", {}), guard)
        call = {
            "key": "k",
            "run": "route-1",
            "epoch": first,
            "state": "intent",
            "sends": 1,
            "model": "m",
            "started": 0.0,
        }
        await database.append(Prepared(calls.insert()), call, guard)
        second = await database.write(lambda c: runs.claim(c, "route-1", "b", 5.0))
        assert second == first + 1
        with pytest.raises(FencedError):
            await database.write(lambda c: runs.note(c, "route-1", "two", {}), guard)
        with pytest.raises(FencedError):
            await database.write(lambda c: runs.beat(c, "route-1", first, None))
        await database.write(lambda c: runs.beat(c, "route-1", second, None))
        # What the first owner had sent and not heard of may have been paid.
        assert await database.read(lambda c: c.execute(select(calls.c.state)).scalars().all()) == ["unknown"]
        assert (await database.read(lambda c: runs.counts(c, "route-1")))["unknown_calls"] == 1

    within(test)


def test_commands_wait_in_order_until_handled(within: Within) -> None:
    async def test(database: Database) -> None:
        def work(connection: Connection) -> None:
            runs.create(connection, {"id": "route-1", **ROW})
            runs.tell(connection, "route-1", "pause")
            runs.tell(connection, "route-1", "raise", {"calls": 9})
            first, second = runs.pending(connection, "route-1")
            assert (first.kind, second.kind, second.data) == ("pause", "raise", {"calls": 9})
            runs.handled(connection, first.id, "paused")
            assert [item.id for item in runs.pending(connection, "route-1")] == [second.id]

        await database.write(work)

    within(test)


def test_runs_are_found_by_a_unique_beginning(within: Within) -> None:
    async def test(database: Database) -> None:
        def work(connection: Connection) -> None:
            for name in ("route-abc", "route-abd"):
                runs.create(connection, {"id": name, **ROW})
            assert runs.find(connection, "route-abd").budget == {"calls": 5}
            assert {item.id for item in runs.listed(connection)} == {"route-abc", "route-abd"}
            with pytest.raises(UnknownNameError, match="did you mean"):
                runs.find(connection, "route-ab")

        await database.write(work)

    within(test)


def test_whoever_waits_for_news_is_told_on_a_server_and_looks_by_himself_elsewhere(within: Within, url: str) -> None:
    async def test(database: Database) -> None:
        await database.write(lambda c: runs.create(c, {"id": "route-1", **ROW}))
        server = database.location.path is None
        other = await open_database(url)
        waiting = [asyncio.ensure_future(other.hint(id, 1000.0 if server else 0.0)) for id in ("route-1", "route-2")]
        while server and not waiting[0].done():
            await database.write(lambda c: runs.note(c, "route-1", "news", {}))
        await waiting[0]
        assert not (server and waiting[1].done())
        await other.hint("route-2", 0.0)
        waiting[1].cancel()
        await other.aclose()

    within(test)
