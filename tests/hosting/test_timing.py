"""A run's time is that of all processes that carried it, and of nothing in between."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection

from dspex.hosting.handle import Run
from dspex.hosting.timing import carried_for, running
from dspex.storage import runs
from dspex.storage.tables import runs as table
from tests.hosting.durability import Bench, Prepared, ended_by_kill
from tests.hosting.test_steering import paused, resumed

LONG = 5000.0


def result_seconds(given: Prepared) -> float:
    found = given.within(Run.result)
    assert found is not None
    return float(found["seconds"])


def test_a_process_that_was_killed_counts_until_its_last_heartbeat(bench: Bench, copy: Prepared) -> None:
    pid = bench.carry(copy, "first", "fold.before:2")
    assert ended_by_kill(bench.nursery.wait(pid))
    row = copy.look(partial(runs.find, id=copy.run))
    assert row.progress["noted"] is not None

    def lived_long(connection: Connection) -> None:
        runs.progressed(connection, copy.run, running(LONG))
        noted = runs.find(connection, copy.run).progress["noted"]
        connection.execute(table.update().values(heartbeat=noted + LONG))

    copy.change(lived_long)
    assert carried_for(copy.look(partial(runs.find, id=copy.run))) == 2 * LONG
    bench.rests(bench.carry(copy, "second"), copy.tag)
    assert 2 * LONG < result_seconds(copy) < 3 * LONG
    assert copy.status().seconds == result_seconds(copy)


def test_rest_does_not_count(bench: Bench, copy: Prepared) -> None:
    paused(bench, copy)
    row = copy.look(partial(runs.find, id=copy.run))
    assert row.progress["noted"] is None
    assert row.progress["seconds"] > 0

    def rested_long(connection: Connection) -> None:
        runs.progressed(connection, copy.run, {**row.progress, "seconds": LONG})
        connection.execute(table.update().values(heartbeat=(row.heartbeat or 0.0) + LONG))

    copy.change(rested_long)
    resumed(bench, copy)
    assert LONG < result_seconds(copy) < 2 * LONG
