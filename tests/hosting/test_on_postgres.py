"""Runs in a PostgreSQL store: killed anywhere, and taken over from a process that only seemed to be dead."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from sqlalchemy import Connection, select

from dspex.hosting.carrier import TAKEN
from dspex.storage.tables import metadata
from tests.hosting.conftest import made
from tests.hosting.durability import Bench, Uninterrupted, ended_by_kill, until
from tests.servers.postgres import new_database

SHORT = {
    "dspex.hosting.seating.LEASE_SECONDS": 1.5,
    "dspex.hosting.control.LEASE_SECONDS": 1.5,
    "dspex.hosting.control.BEAT_SECONDS": 0.25,
    "dspex.storage.postgres.IDLE_SECONDS": 1.0,
}


def rows(connection: Connection) -> dict[str, list[Any]]:
    """Everything in the store."""
    return {table.name: sorted(map(str, connection.execute(select(table)))) for table in metadata.sorted_tables}


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
    assert bench.oracle.behave(given.tag) - sent <= 8  # only what it had meant to send before it was stopped


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
