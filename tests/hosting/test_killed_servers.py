"""A server that is killed with signal 9, all of it, at random instants of a run: alone, or with the run's process; and
again while it recovers."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tests.hosting.conftest import made
from tests.hosting.durability import Bench, Prepared, Uninterrupted, check_facts, ended_by_kill, until
from tests.hosting.processes import gone
from tests.hosting.test_on_postgres import SHORT
from tests.servers.postgres import Server, new_database

INSTANTS = 3
WITH_ITS_RUN = 3
"""At one instant of so many the run's process dies with the server, as when their machine does."""


@pytest.mark.parametrize("seed", range(INSTANTS))
def test_a_server_is_killed_at_a_random_instant(
    bench: Bench, server_process: Server, uninterrupted: Uninterrupted, seed: int
) -> None:
    server_killed_and_started(bench, server_process, uninterrupted, seed)


@pytest.mark.parametrize("seed", [1, WITH_ITS_RUN - 1])
def test_a_server_is_killed_again_while_it_recovers(
    bench: Bench, server_process: Server, uninterrupted: Uninterrupted, seed: int
) -> None:
    server_killed_and_started(bench, server_process, uninterrupted, seed, again=True)


def server_killed_and_started(
    bench: Bench, server: Server, whole: Uninterrupted, seed: int, *, again: bool = False
) -> int:
    """Kill after a number of requests and a moment that the seed says, start it again on the same data, and check
    everything; returns how many calls were repeated. `again`: it is killed a second time while it recovers and, where
    the run's process lives, refuses that one."""
    given = made(bench, new_database(server.url))
    rng, both = Random(seed), seed % WITH_ITS_RUN == WITH_ITS_RUN - 1
    # Alone, up to the last request, and so at the promotion too; a run that has ended cannot be killed.
    after = rng.randint(1, whole.bodies.total() - (8 if both else 0))
    pid = bench.carry(given, "first", constants=SHORT)
    doomed = {"family": server.first, "kill": pid if both else 0}
    bench.oracle.behave(given.tag, after=after, sender="first", later=rng.uniform(0, 0.02), **doomed)
    if both:
        assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
        assert gone(pid)
    server.gone()
    if again:
        server.kill_recovering(refusing=not both)
    else:
        server.start()
    return _carried_on(bench, given, whole) if both else _went_on(bench, given, whole, pid)


def _carried_on(bench: Bench, given: Prepared, whole: Uninterrupted) -> int:
    until(lambda: not given.status().alive)
    return bench.carried_on(given, whole)


def _went_on(bench: Bench, given: Prepared, whole: Uninterrupted, pid: int) -> int:
    """The run's process lived: it has nothing to send again."""
    bench.rests(pid, given.tag)
    check_facts(given.facts(), whole.facts)
    assert Counter(item.body for item in bench.oracle.asked(given.tag)) == whole.bodies
    left = given.journal()
    assert (left.unfinished, left.repeated) == (0, 0)
    return 0
