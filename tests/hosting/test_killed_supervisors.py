"""Supervisors killed with signal 9: at every named point, and at random instants alone, with or after their carrier."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tests.hosting.crashing.points import WATCHING
from tests.hosting.durability import (
    Bench,
    Journal,
    Prepared,
    Uninterrupted,
    check_calls,
    check_facts,
    check_integrity,
    check_settled,
    ended_by_kill,
    until,
)
from tests.hosting.processes import gone, members

PLACES = [f"{point}:{passage}" for point in WATCHING for passage in ((1,) if point.startswith("death") else (1, 2))]
INSTANTS = 20
DIES = "commit.before:20"
"""Where the first carrier does, so that there is something to watch over."""


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_a_point(bench: Bench, copy: Prepared, uninterrupted: Uninterrupted, place: str) -> None:
    supervisor_killed_at(bench, copy, uninterrupted, place)


@pytest.mark.parametrize("seed", range(INSTANTS))
def test_killed_at_a_random_instant(bench: Bench, copy: Prepared, uninterrupted: Uninterrupted, seed: int) -> None:
    supervisor_killed_at_random(bench, copy, uninterrupted, seed)


def supervisor_killed_at(bench: Bench, given: Prepared, whole: Uninterrupted, place: str) -> int:
    """Another takes over at once, whatever is still there; returns how many calls were repeated."""
    first = bench.supervise(given, "first", place, DIES)
    assert ended_by_kill(bench.nursery.wait(first)), bench.said(given.tag)
    second = bench.supervise(given, "second", carrier=DIES)
    bench.rests(second, given.tag)
    assert gone(first), bench.said(given.tag)
    _ended_as(given, whole)
    return check_settled(given.journal(), bench.oracle.asked(given.tag), whole.bodies, deaths=1)


def supervisor_killed_at_random(bench: Bench, given: Prepared, whole: Uninterrupted, seed: int) -> int:
    """Kill one, its carrier, or both after a number of requests and a moment that the seed says; returns how many calls
    were repeated."""
    rng = Random(seed)
    instant: dict[str, float | str] = {
        "sender": "first",
        "after": rng.randrange(1, whole.bodies.total() - 8),
        "later": rng.uniform(0, 0.02),
    }
    return _WAYS[seed % len(_WAYS)](bench, given, whole, instant)


def _alone(bench: Bench, given: Prepared, whole: Uninterrupted, instant: dict[str, float | str]) -> int:
    """The carrier goes on, the next supervisor waits for it, and nothing is repeated."""
    first = bench.supervise(given, "first")
    bench.oracle.behave(given.tag, kill=first, **instant)
    assert ended_by_kill(bench.nursery.wait(first)), bench.said(given.tag)
    bench.rests(bench.supervise(given, "second"), given.tag)
    assert gone(first), bench.said(given.tag)
    _ended_as(given, whole)
    assert Counter(item.body for item in bench.oracle.asked(given.tag)) == whole.bodies
    assert (given.journal().repeated, given.status().restarts) == (0, 0)
    return 0


def _with_its_carrier(bench: Bench, given: Prepared, whole: Uninterrupted, instant: dict[str, float | str]) -> int:
    """The next supervisor starts another."""
    first = bench.supervise(given, "first")
    bench.oracle.behave(given.tag, family=first, **instant)
    assert ended_by_kill(bench.nursery.wait(first)), bench.said(given.tag)
    assert gone(first), bench.said(given.tag)
    left = given.journal()
    bench.rests(bench.supervise(given, "second"), given.tag)
    return _carried_on(bench, given, whole, left)


def _its_carrier(bench: Bench, given: Prepared, whole: Uninterrupted, instant: dict[str, float | str]) -> int:
    """It starts another. It is stopped until what the first one left has been looked at."""
    first = bench.supervise(given, "first")
    until(lambda: len(members(first)) == 2)
    (carrier,) = (pid for pid in members(first) if pid != first)
    os.kill(first, signal.SIGSTOP)
    bench.oracle.behave(given.tag, kill=carrier, **instant)
    until(lambda: members(first) == [first])
    left = given.journal()
    before = len(bench.oracle.asked(given.tag))
    os.kill(first, signal.SIGCONT)
    bench.rests(first, given.tag)
    assert given.status().restarts == 1
    return _carried_on(bench, given, whole, left, before)


_WAYS = (_alone, _with_its_carrier, _its_carrier)


def _carried_on(bench: Bench, given: Prepared, whole: Uninterrupted, left: Journal, before: int = 0) -> int:
    """`before`: so many requests were of the first carrier, where both send as the first."""
    _ended_as(given, whole)
    asked = bench.oracle.asked(given.tag)
    if before:
        asked = [item if item.number <= before else replace(item, sender="second") for item in asked]
    return check_calls({"first": left}, given.journal(), asked, whole.bodies)


def _ended_as(given: Prepared, whole: Uninterrupted) -> None:
    given.look(check_integrity)
    check_facts(given.facts(), whole.facts)
