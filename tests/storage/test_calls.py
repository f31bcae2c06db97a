"""The memory of calls in rows: intents before sending, the first answer stays, nothing is booked twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Connection, select

from dspex.clients.prices import Prices
from dspex.kernel.ports import Completion, Request, Usage
from dspex.storage import runs
from dspex.storage.calls import DatabaseCallStore
from dspex.storage.database import Database
from dspex.storage.opening import open_database
from dspex.storage.tables import calls

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]
REQUEST = Request("m/one", ({"role": "user", "content": "hello"},), {}, 0)
USAGE = Usage(calls=1, input_tokens=3, output_tokens=2, usd=0.5)


def answer(text: str) -> Completion:
    return Completion(text, "stop", USAGE, "one", (), False)


async def begun(database: Database, run: str = "run", prices: Prices | None = None) -> DatabaseCallStore:
    """The store of a process that has just taken the run over."""
    if not await database.read(lambda c: [row for row in runs.listed(c) if row.id == run]):
        spec: dict[str, Any] = {"id": run, "name": run, "spec": {}, "budget": {}, "strategy": "auto", "seed": 0}
        await database.write(lambda c: runs.create(c, spec))
    epoch = await database.write(lambda c: runs.claim(c, run, "", None))
    return DatabaseCallStore(database, run, epoch, runs.fence(run, epoch), prices=prices)


def states(connection: Connection) -> dict[str, tuple[str, int]]:
    query = select(calls.c.key, calls.c.state, calls.c.sends)
    return {row.key: (row.state, row.sends) for row in connection.execute(query)}


def test_an_intent_is_committed_before_begin_returns(within: Within, url: str) -> None:
    async def test(database: Database) -> None:
        store, other = await begun(database), await open_database(url)
        found = await asyncio.gather(*(store.begin(f"k{number}", REQUEST) for number in range(5)))
        assert found == [None] * 5
        assert await other.read(states) == {f"k{number}": ("intent", 1) for number in range(5)}
        await other.aclose()

    within(test)


def test_an_answer_is_committed_before_put_returns_and_the_first_one_stays(within: Within, url: str) -> None:
    async def test(database: Database) -> None:
        store, other = await begun(database), await open_database(url)
        await store.begin("k", REQUEST)
        await store.put("k", REQUEST, answer("first"))
        assert await other.read(states) == {"k": ("done", 1)}
        await store.put("k", REQUEST, answer("second"))
        found = await DatabaseCallStore(other).get("k")
        assert found is not None
        assert (found.text, found.usage.usd) == ("first", 0.5)
        await other.aclose()

    within(test)


def test_a_call_that_was_not_heard_of_is_sent_again_and_counted(within: Within) -> None:
    async def test(database: Database) -> None:
        await (await begun(database)).begin("k", REQUEST)
        store = await begun(database)
        assert await database.read(states) == {"k": ("unknown", 1)}
        assert await store.begin("k", REQUEST) is None
        assert await database.read(states) == {"k": ("intent", 2)}
        assert (await database.read(lambda c: runs.counts(c, "run")))["repeated_calls"] == 1

    within(test)


def test_a_call_that_was_not_heard_of_and_is_refused_the_second_time_stays_as_it_was(within: Within) -> None:
    """However often it is tried while the model is gone: the first time alone may have been billed."""

    async def test(database: Database) -> None:
        await (await begun(database)).begin("k", REQUEST)
        store = await begun(database)
        for _ in range(3):
            assert await store.begin("k", REQUEST) is None
            await store.abandon("k")
            assert await database.read(states) == {"k": ("unknown", 1)}
        assert await store.begin("k", REQUEST) is None
        await store.put("k", REQUEST, answer("yes"))
        await store.abandon("k")
        assert await database.read(states) == {"k": ("done", 2)}

    within(test)


def test_what_two_runs_send_at_the_same_time_counts_for_each_whichever_is_killed(within: Within) -> None:
    async def test(database: Database) -> None:
        async def found(run: str) -> dict[str, int]:
            counted = await database.read(lambda c: runs.counts(c, run))
            return {name: counted[name] for name in ("calls", "repeated_calls", "unknown_calls")}

        await (await begun(database, "killed")).begin("k", REQUEST)
        other = await begun(database, "other")
        assert await other.begin("k", REQUEST) is None
        again = await begun(database, "killed")
        assert await found("killed") == {"calls": 1, "repeated_calls": 0, "unknown_calls": 1}
        assert await found("other") == {"calls": 1, "repeated_calls": 0, "unknown_calls": 0}
        assert await again.begin("k", REQUEST) is None
        await other.put("k", REQUEST, answer("first"))
        await again.put("k", REQUEST, answer("second"))
        assert await found("killed") == {"calls": 2, "repeated_calls": 1, "unknown_calls": 0}
        assert await found("other") == {"calls": 1, "repeated_calls": 0, "unknown_calls": 0}
        assert await _texts(database, "killed", "other", "third") == ["second", "first", "first"]

    within(test)


async def _texts(database: Database, *names: str) -> list[str]:
    """What a call is answered with from memory, asked for and begun anew, by run."""
    texts: list[str] = []
    for run in names:
        store = await begun(database, run)
        asked, started = await store.get("k"), await store.begin("k", REQUEST)
        assert asked is not None
        assert started is not None
        assert asked.text == started.text
        texts.append(asked.text)
    return texts


def test_a_call_that_another_run_has_answered_since_is_not_sent_again(within: Within) -> None:
    """What was lost stays unknown: it may have been paid."""

    async def test(database: Database) -> None:
        await (await begun(database)).begin("k", REQUEST)
        other = await begun(database, "other")
        await other.begin("k", REQUEST)
        await other.put("k", REQUEST, answer("yes"))
        again = await begun(database)
        assert await _usages(again) == [0, 0]
        counted = await database.read(lambda c: runs.counts(c, "run"))
        assert (counted["calls"], counted["repeated_calls"], counted["unknown_calls"]) == (1, 0, 1)
        await again.abandon("k")
        assert await _usages(await begun(database, "other")) == [1, 0]  # of its own it has booked nothing

    within(test)


def test_an_intent_that_was_never_sent_is_taken_back(within: Within) -> None:
    async def test(database: Database) -> None:
        store = await begun(database)
        for key in ("k", "answered"):
            await store.begin(key, REQUEST)
        await store.put("answered", REQUEST, answer("it was"))
        for key in ("k", "answered"):
            await (await begun(database, "other")).abandon(key)  # not its own
        assert await database.read(states) == {"k": ("intent", 1), "answered": ("done", 1)}
        for key in ("k", "answered"):
            await store.abandon(key)
        assert await database.read(states) == {"answered": ("done", 1)}

    within(test)


def test_an_answer_that_nobody_has_booked_costs_what_it_cost_once(within: Within) -> None:
    async def test(database: Database) -> None:
        first = await begun(database)
        await first.begin("k", REQUEST)
        await first.put("k", REQUEST, answer("yes"))
        assert await _usages(first) == [0, 0]  # who bought it has it in the books
        assert await _usages(await begun(database)) == [1, 0]
        again = DatabaseCallStore(database, "run", booked={"k"})
        assert await _usages(again) == [0, 0]
        assert await _usages(await begun(database, "another")) == [0, 0]

    within(test)


async def _usages(store: DatabaseCallStore) -> list[int]:
    """Calls that are billed for one answer, asked for twice."""
    found = [await store.begin("k", REQUEST) for _ in range(2)]
    return [item.usage.calls for item in found if item is not None]
