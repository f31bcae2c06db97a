"""A run whose free slots work ahead of its rounds is killed, and ends as one that was not: the server's log says so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Connection, func, select

from dspex.storage.tables import evaluations
from tests.hosting.conftest import copied, made
from tests.hosting.durability import Bench, Facts, Prepared, check_integrity, ended_by_kill
from tests.hosting.processes import gone

AHEAD, UNEVEN, CALLS = 0.2, 0.04, 200


def whole(bench: Bench, folder: pytest.TempPathFactory, concurrency: int) -> tuple[Prepared, Facts]:
    """A queued run, and how it ends at one go."""
    store = str(folder.mktemp(f"ahead-{concurrency}") / "dspex.db")
    template = made(bench, store, calls=CALLS, concurrency=concurrency, ahead=AHEAD)
    given = copied(template, folder.mktemp(f"whole-{concurrency}"))
    bench.oracle.behave(given.tag, uneven=UNEVEN if concurrency > 1 else 0.0, delay=0.0)
    return template, bench.uninterrupted(given).facts


@pytest.fixture(scope="module")
def template(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, Facts]:
    return whole(bench, tmp_path_factory, 8)


def test_one_slot_never_works_ahead_and_finds_the_same(
    bench: Bench, template: tuple[Prepared, Facts], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert whole(bench, tmp_path_factory, 1)[1] == template[1]


def ahead(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(evaluations).where(evaluations.c.round < 0)).scalar_one()


def test_killed_at_random_instants(bench: Bench, template: tuple[Prepared, Facts], tmp_path: Path) -> None:
    rng, worked = Random(7), 0
    for _ in range(8):
        given = copied(template[0], tmp_path)
        bench.oracle.behave(given.tag, uneven=UNEVEN, delay=0.0)
        pid = bench.carry(given, "first")
        kill = {"after": rng.randrange(20, 120), "later": rng.uniform(0, UNEVEN)}
        bench.oracle.behave(given.tag, kill=pid, sender="first", **kill)
        assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
        assert gone(pid)
        worked += given.look(ahead)
        carried_on(bench, given, template[1])
    assert worked, "nothing was evaluated ahead of its round, so nothing was tried here"


def carried_on(bench: Bench, given: Prepared, expected: Facts) -> None:
    """Nothing committed is sent again, what is repeated is reported, and the end is the same."""
    before = given.journal()
    bench.rests(bench.carry(given, "second"), given.tag)
    after, asked = given.journal(), bench.oracle.asked(given.tag)
    given.look(check_integrity)
    # What was begun ahead and lost on its way is asked again only where a round wants it; it stays counted.
    left = {key: state for key, state in after.states.items() if state != "done"}
    assert set(left.values()) <= {"unknown"}
    assert all(before.states.get(key) in ("intent", "unknown") for key in left)
    for key, answer in before.answers.items():
        assert (after.answers[key], after.sends[key]) == (answer, before.sends[key]), "it was paid twice"
    number = {item.number: item.body for item in asked}
    first = Counter(item.body for item in asked if item.sender == "first")
    in_flight = first - Counter(number[answer] for answer in before.answers.values())
    unsent = before.unfinished - in_flight.total()
    assert unsent >= 0, "a request was sent before its intent was committed"
    assert sum(after.sends.values()) == len(asked) + unsent
    assert after.repeated <= before.unfinished
    assert given.facts() == expected
