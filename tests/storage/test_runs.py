"""Runs: their graph of states, ownership by epoch, commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Connection, select

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.storage import runs
from dspex.storage.database import Database, FencedError
from dspex.storage.opening import open_database
from dspex.storage.runs import RunState
from dspex.storage.statements import Prepared
from dspex.storage.tables import calls
from dspex.storage.tables import runs as table

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]
ROW = {"name": "route", "spec": {"a": 1}, "budget": {"calls": 5}, "strategy": "auto", "seed": 0}


def test_moves_follow_the_graph_and_nothing_else(within: Within) -> None:
    pairs = list(product(runs.STATES, runs.STATES))

    def moved(connection: Connection, state: RunState, to: RunState) -> tuple[str, str]:
        connection.execute(table.update().values(state=state))
        try:
            said: str = runs.move(connection, "route-1", to)
        except ConfigurationError as error:
            said = str(error)
        return said, runs.find(connection, "route-1").state

    async def test(database: Database) -> list[tuple[str, str]]:
        def work(connection: Connection) -> list[tuple[str, str]]:
            runs.create(connection, {"id": "route-1", **ROW})
            return [moved(connection, *pair) for pair in pairs]

        return await database.write(work)

    assert within(test) == [
        (state, to)
        if to == state or to in runs.MOVES[state]
        else (f"run route-1 is {state}; it cannot become {to}", state)
        for state, to in pairs
    ]


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


def test_a_run_that_has_begun_is_neither_discarded_nor_specified_anew(within: Within) -> None:
    async def test(database: Database) -> None:
        def work(connection: Connection) -> None:
            for name in ("new", "begun"):
                runs.create(connection, {"id": name, **ROW})
            runs.claim(connection, "begun", "a", None)
            for name in ("new", "begun"):
                runs.respecified(connection, name, {"another": 1})
            assert runs.find(connection, "new").spec == {"another": 1}
            assert runs.find(connection, "begun").spec == ROW["spec"]
            for name in ("new", "begun"):
                runs.discard(connection, name)
            assert [item.id for item in runs.listed(connection)] == ["begun"]

        await database.write(work)

    within(test)


def test_the_end_of_an_owner_ends_no_lease_but_its_own(within: Within) -> None:
    async def test(database: Database) -> None:
        def work(connection: Connection) -> list[bool]:
            runs.create(connection, {"id": "route-1", **ROW})
            runs.claim(connection, "route-1", "dead", 5.0)
            runs.claim(connection, "route-1", "alive", 5.0)
            leases: list[bool] = []
            for owner in ("dead", "alive"):
                runs.outlive(connection, "route-1", owner)
                leases.append(runs.find(connection, "route-1").lease_until is not None)
            return leases

        assert await database.write(work) == [True, False]

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
