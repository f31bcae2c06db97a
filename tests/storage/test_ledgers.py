"""The ledger over rows: what is handed over without waiting is durable before anything is decided on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from dspex.kernel.ports import Event, Usage
from dspex.optimization.rows import Candidate, Evaluation, Round, Trace
from dspex.storage import runs
from dspex.storage.database import Database, FencedError
from dspex.storage.ledgers import DurableLedger
from dspex.storage.opening import open_database
from dspex.storage.statements import packed, unpacked
from dspex.storage.tables import evaluations, events

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]
SEED = Candidate("s", {}, "seed", (), "", 0)
PAIRS = tuple(("s", f"e{number}", 0) for number in range(40))


def row(example: str, score: float | None = 1.0, **more: Any) -> Evaluation:
    kind = "timeout" if score is None else None
    return Evaluation("s", example, 0, 0, score, error_kind=kind, usage=Usage(calls=1), **more)


def stored(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(evaluations)).scalar_one()


async def begun(database: Database) -> DurableLedger:
    spec: dict[str, Any] = {"id": "run", "name": "run", "spec": {}, "budget": {}, "strategy": "auto", "seed": 0}
    await database.write(lambda c: runs.create(c, spec))
    ledger = DurableLedger(
        database, "run", runs.fence("run", await database.write(lambda c: runs.claim(c, "run", "", None)))
    )
    await ledger.commit(Round(0, PAIRS, (SEED,)))
    return ledger


@pytest.mark.parametrize("wait", ["flush", "fold"])
def test_what_was_recorded_is_on_the_disk_before_a_round_is_folded(within: Within, url: str, wait: str) -> None:
    async def test(database: Database) -> None:
        ledger = await begun(database)
        other = await open_database(url)
        for _, example, _ in PAIRS:
            await ledger.record(row(example))
        assert all(ledger.holds(pair) for pair in PAIRS)
        await (ledger.flush() if wait == "flush" else ledger.fold(0))
        assert await other.read(stored) == len(PAIRS)
        await other.aclose()

    within(test)


def test_a_row_that_could_not_be_written_comes_out_of_what_follows(within: Within) -> None:
    async def test(database: Database) -> None:
        ledger = await begun(database)
        await ledger.record(row("e0"))
        await database.write(lambda c: runs.claim(c, "run", "another", None))
        await ledger.record(row("e1"))
        with pytest.raises(FencedError):
            await ledger.fold(0)
        assert ledger.folded == 0
        await ledger.log(Event("note", "", {}))
        await database.write(lambda c: None)
        with pytest.raises(FencedError):
            await ledger.record(row("e2"))
        assert await database.read(stored) == 1

    within(test)


def test_the_first_score_of_a_pair_stays(within: Within, url: str) -> None:
    """Also where two processes, each with a copy of its own, have evaluated it."""

    async def test(database: Database) -> None:
        ledger = await begun(database)
        again = await DurableLedger.load(database, "run")
        for mine, score in ((ledger, 0.25), (again, 0.75)):
            await mine.record(row("e0", score))
            await mine.flush()
        other = await open_database(url)
        kept = await (await DurableLedger.load(other, "run")).read(PAIRS[0])
        await other.aclose()
        assert kept is not None
        assert kept.score == 0.25

    within(test)


def test_a_ledger_is_read_back_as_it_was(within: Within) -> None:
    async def test(database: Database) -> None:
        ledger = await begun(database)
        trace = (
            Trace("route", {"ticket": "half a pair: \ud83d"}, {"team": 1.5}, None, "key"),
            Trace("check", {}, None, "no", "second", Usage(1, 20, 3, 0.5, 0, 2)),
        )
        await ledger.record(row("e0", 0.5, feedback="so so", outputs={"team": ["a", None]}, trace=trace))
        await ledger.record(row("e1", None, trace=(replace(trace[0], call="other"),)))
        await ledger.fold(0)
        await ledger.log(Event("odd", "here", {"error": ValueError("no JSON"), "count": 3}))
        await ledger.flush()
        again = await DurableLedger.load(database, "run")
        assert (again.folded, dict(again.scores("s")), again.settled) == (1, {("e0", 0): 0.5}, Usage(calls=2))
        assert await again.read(PAIRS[0]) == await ledger.read(PAIRS[0])
        assert again.failures(PAIRS[1]) == 1
        assert again.booked_calls() == {"key", "second", "other"}
        kept = await database.read(
            lambda c: c.execute(select(events.c.data).where(events.c.kind == "odd")).scalar_one()
        )
        assert unpacked(kept) == {"where": "here", "error": "no JSON", "count": 3}

    within(test)


def test_what_is_no_json_is_refused() -> None:
    assert unpacked(packed([1, 1.0, "\ud83d", {"a": float("inf")}])) == [1, 1.0, "\ud83d", {"a": float("inf")}]
    with pytest.raises(TypeError):
        packed(object())
