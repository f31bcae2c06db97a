"""A run is killed with signal 9 at every named point and at random instants, and carried on by another process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random

import pytest

from tests.hosting import hazards
from tests.hosting.conftest import copied, made
from tests.hosting.crashing.points import POINTS
from tests.hosting.durability import Bench, Prepared, Uninterrupted, ended_by_kill, until
from tests.hosting.processes import gone, members

# Occurrences early, in the middle and late, where a point is passed more than once.
OCCURRENCES = {"round": 3, "fold": 2, "promotion": 1, "record": 31, "intent": 9, "commit": 9}
INSTANTS = 20


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point(bench: Bench, copy: Prepared, uninterrupted: Uninterrupted, point: str) -> None:
    occurrence = OCCURRENCES.get(point.partition(".")[0], 23)
    pid = bench.carry(copy, "first", f"{point}:{occurrence}")
    assert ended_by_kill(bench.nursery.wait(pid)), bench.said(copy.tag)
    assert gone(pid)
    bench.carried_on(copy, uninterrupted)


def test_what_was_spent_before_a_kill_counts_against_the_budget(bench: Bench, tmp_path: Path) -> None:
    """A search that its budget ends, ends at the same call."""
    store = str(tmp_path / "dspex.db")
    template = made(bench, store, calls=64)
    whole = bench.uninterrupted(copied(template, tmp_path))
    given = copied(template, tmp_path)
    assert ended_by_kill(bench.nursery.wait(bench.carry(given, "first", "commit.before:30")))
    bench.carried_on(given, whole)


def test_what_code_of_a_killed_run_has_forked_does_not_hold_the_run(bench: Bench, tmp_path: Path) -> None:
    """It has every file that the run's process had, the lock's too."""
    mark, store = str(tmp_path / "mark"), str(tmp_path / "dspex.db")
    given = made(bench, store, metric=hazards.told, acts=dict.fromkeys(range(20), "fork"), mark=mark, concurrency=1)
    pid = bench.carry(given, "first")
    until(lambda: bool(list(tmp_path.glob("forked.*"))))
    os.kill(pid, signal.SIGKILL)
    assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
    child = int(next(tmp_path.glob("forked.*")).suffix[1:])
    try:
        assert members(pid) == [child]
        assert not given.status().alive
        assert bench.nursery.wait(bench.carry(given, "second")) == 0, bench.said(given.tag)
    finally:
        os.kill(child, signal.SIGKILL)
    assert given.status().state == "completed"


@pytest.mark.parametrize("seed", range(INSTANTS))
def test_killed_at_a_random_instant(bench: Bench, copy: Prepared, uninterrupted: Uninterrupted, seed: int) -> None:
    killed_and_carried_on(bench, copy, uninterrupted, seed)


def killed_and_carried_on(bench: Bench, given: Prepared, uninterrupted: Uninterrupted, seed: int) -> int:
    """Kill after a number of requests and a moment that the seed says; returns how many calls were repeated."""
    rng = Random(seed)
    after, later = rng.randrange(1, uninterrupted.bodies.total() - 8), rng.uniform(0, 0.02)
    pid = bench.carry(given, "first")
    bench.oracle.behave(given.tag, kill=pid, after=after, sender="first", later=later)
    assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
    assert gone(pid)
    return bench.carried_on(given, uninterrupted)
