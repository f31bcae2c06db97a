"""Runs in a PostgreSQL store: killed anywhere, and taken over from a process that only seemed to be dead."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, select

from dspex.hosting.carrier import TAKEN
from dspex.hosting.handle import Run
from dspex.hosting.supervisor import Supervisor
from dspex.storage import runs
from dspex.storage.tables import commits, metadata
from tests.hosting.conftest import made
from tests.hosting.durability import AT_ONCE, Bench, Prepared, Uninterrupted, check_integrity, ended_by_kill, until
from tests.hosting.processes import gone
from tests.hosting.test_supervisor import EAGER, Carriers, watched
from tests.servers.postgres import Server, new_database

SHORT = {
    "dspex.hosting.seating.LEASE_SECONDS": 1.5,
    "dspex.hosting.control.LEASE_SECONDS": 1.5,
    "dspex.hosting.control.BEAT_SECONDS": 0.25,
    "dspex.storage.postgres.IDLE_SECONDS": 1.0,
}


def rows(connection: Connection) -> dict[str, list[Any]]:
    """Everything in the store but the marks of those who write, which each takes away when it ends."""
    tables = [table for table in metadata.sorted_tables if table is not commits]
    return {table.name: sorted(map(str, connection.execute(select(table)))) for table in tables}


@pytest.mark.parametrize("crash", ["intent.after:9", "commit.inside:23", "fold.before:2", "promotion.inside:1"])
def test_killed_at_a_point(bench: Bench, server: str, uninterrupted: Uninterrupted, crash: str) -> None:
    given = made(bench, new_database(server))
    pid = bench.carry(given, "first", crash, SHORT)
    assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
    until(lambda: not given.status().alive)
    bench.carried_on(given, uninterrupted)


def test_a_process_that_lost_its_lease_writes_nothing_any_more(
    bench: Bench, server: str, uninterrupted: Uninterrupted
) -> None:
    given = made(bench, new_database(server))
    bench.oracle.behave(given.tag, delay=0.05)
    pid = bench.carry(given, "first", constants=SHORT)
    until(lambda: bench.oracle.behave(given.tag) >= 20)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: not given.status().alive)
    bench.oracle.behave(given.tag, delay=0.001)
    bench.rests(bench.carry(given, "second"), given.tag)
    assert given.facts() == uninterrupted.facts
    before, sent = given.look(rows), bench.oracle.behave(given.tag)
    os.kill(pid, signal.SIGCONT)
    assert bench.nursery.wait(pid) == TAKEN, bench.said(given.tag)
    assert given.look(rows) == before
    assert bench.oracle.behave(given.tag) - sent <= AT_ONCE  # only what it had meant to send before it was stopped


def test_a_process_that_was_taken_over_ends_though_it_does_not_listen(
    bench: Bench, server: str, uninterrupted: Uninterrupted
) -> None:
    """Its heartbeat would tell it; without one, its next write is refused while the new owner goes on."""
    given = made(bench, new_database(server))
    bench.oracle.behave(given.tag, delay=0.05)
    pid = bench.carry(given, "first", constants={**SHORT, "dspex.hosting.control.BEAT_SECONDS": 1000.0})
    until(lambda: bench.oracle.behave(given.tag) >= 20)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: not given.status().alive)
    second = bench.carry(given, "second")
    until(lambda: any(item.sender == "second" for item in bench.oracle.asked(given.tag)))
    os.kill(pid, signal.SIGCONT)
    assert bench.nursery.wait(pid) == TAKEN, bench.said(given.tag)
    bench.rests(second, given.tag)
    assert given.facts() == uninterrupted.facts


def test_another_process_is_refused_while_the_lease_holds(bench: Bench, server: str) -> None:
    given = made(bench, new_database(server))
    bench.oracle.behave(given.tag, delay=0.1)
    pid = bench.carry(given, "first")
    until(lambda: bench.oracle.behave(given.tag) >= 1)
    assert bench.nursery.wait(bench.carry(given, "second")) == TAKEN
    bench.oracle.behave(given.tag, delay=0.001)
    bench.rests(pid, given.tag)
    assert not given.status().alive  # the lease is let go of, so that nobody has to wait for it
    assert {item.sender for item in bench.oracle.asked(given.tag)} == {"first"}


@pytest.mark.parametrize("how", ["stopped", "killed", "session killed"])
def test_a_server_that_ends_in_the_middle_and_starts_again_costs_nothing(
    bench: Bench, server_process: Server, uninterrupted: Uninterrupted, how: str
) -> None:
    """What was committed is there, what was being committed is asked of the server, and nobody has to do anything."""
    given = made(bench, new_database(server_process.url))
    bench.oracle.behave(given.tag, delay=0.03)
    pid = bench.carry(given, "first")
    for count in (20, 45, 70):
        until(partial(sent, bench, given, count))
        ended(server_process, given, how)
    bench.rests(pid, given.tag)
    assert given.facts() == uninterrupted.facts
    assert given.status().repeated_calls == 0
    assert Counter(item.body for item in bench.oracle.asked(given.tag)) == uninterrupted.bodies
    given.look(check_integrity)


def ended(server: Server, given: Prepared, how: str) -> None:
    """End the server, and start it where it does not start by itself."""
    if how == "session killed":
        server.kill_session(str(make_url(given.store).database))
        return
    if how == "killed":
        server.kill()
    else:
        server.stop_hard()
    server.start()


def sent(bench: Bench, given: Prepared, count: int) -> bool:
    """Whether the model server has seen so many requests."""
    return bench.oracle.behave(given.tag) >= count


def test_a_lease_is_renewed_as_long_as_its_process_lives(bench: Bench, server: str) -> None:
    given = made(bench, new_database(server))
    bench.oracle.behave(given.tag, delay=0.3)
    pid = bench.carry(given, "first", constants=SHORT)
    until(partial(sent, bench, given, 1))
    first = given.look(partial(runs.find, id=given.run)).lease_until
    assert first is not None
    until(lambda: time.time() > first)
    assert bench.nursery.wait(bench.carry(given, "second")) == TAKEN
    bench.oracle.behave(given.tag, delay=0.001)
    bench.rests(pid, given.tag)


def test_a_supervisor_waits_for_the_lease_of_a_process_that_it_did_not_start(bench: Bench, server: str) -> None:
    given = made(bench, new_database(server))
    bench.oracle.behave(given.tag, delay=0.03)
    pid = bench.carry(given, "first")
    until(partial(sent, bench, given, 10))
    carriers = Carriers(bench, given)
    assert watched(carriers) == 0
    bench.rests(pid, given.tag)
    assert (carriers.started, given.status().restarts) == ([], 0)


def test_a_process_that_died_holds_no_lease_that_its_supervisor_would_wait_for(bench: Bench, server: str) -> None:
    given = made(bench, new_database(server))
    long = {"dspex.hosting.seating.LEASE_SECONDS": 1e6, "dspex.hosting.control.LEASE_SECONDS": 1e6}
    carriers = Carriers(bench, given, deaths=("commit.before:20",), constants=long)

    async def test(run: Run) -> int:
        return await asyncio.wait_for(Supervisor(run.database, given.run, carriers, EAGER).watch(), 60.0)

    assert given.within(test) == 0
    assert (len(carriers.started), given.status().restarts) == (2, 1)


def test_a_server_that_stays_away_for_long_ends_the_process_and_its_supervisor_starts_another(
    bench: Bench, server_process: Server, uninterrupted: Uninterrupted
) -> None:
    given = made(bench, new_database(server_process.url))
    bench.oracle.behave(given.tag, delay=0.03)
    carriers = Carriers(bench, given, constants={**SHORT, "dspex.storage.postgres.PATIENCE_SECONDS": 0.2})

    async def test(run: Run) -> int:
        watching = asyncio.ensure_future(Supervisor(run.database, given.run, carriers, EAGER).watch())
        while not sent(bench, given, 40):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server_process.stop_hard)
        while not await asyncio.to_thread(gone, carriers.started[0]):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server_process.start)
        return await watching

    assert given.within(test) == 0, bench.said(given.tag)
    assert len(carriers.started) > 1
    assert given.facts() == uninterrupted.facts
    repeated = given.status().repeated_calls
    assert len(bench.oracle.asked(given.tag)) <= uninterrupted.bodies.total() + repeated
    assert repeated <= AT_ONCE


def test_a_command_reaches_a_process_that_hardly_ever_looks(bench: Bench, server: str) -> None:
    """It is told; looking is for what it is not told."""
    given = made(bench, new_database(server))
    bench.oracle.behave(given.tag, delay=0.05)
    never = {"dspex.hosting.control.SERVER_POLL_SECONDS": 1000.0, "dspex.hosting.control.BEAT_SECONDS": 1000.0}
    pid = bench.carry(given, "first", constants=never)
    until(partial(sent, bench, given, 10))
    given.within(Run.pause)
    bench.rests(pid, given.tag)
    assert given.status().state == "paused"
