"""A confirmation that a budget in tokens or dollars ends is killed within, and ends as one that was not.

How many examples it confirms is told from what its evaluations took, so a process that carries it on has to find in the
rows just what the first one knew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.hosting.handle import Run
from dspex.kernel.variables import Text
from tests.hosting.conftest import copied, made
from tests.hosting.crashing.points import POINTS
from tests.hosting.durability import Bench, Journal, Prepared, Uninterrupted, ended_by_kill
from tests.hosting.oracle import WORDY
from tests.hosting.processes import gone
from tests.optimization.simulators import program

MODEL = f"oracle/{WORDY}"
PRICES = {MODEL: {"input": 300.0, "output": 900.0}}
GIVEN = program(instructions=Text(), max_tokens=400)
BUDGETS = {"tokens": Budget(tokens=18_000), "usd": Budget(usd=11.0)}
SEARCH, ASKED = 40, 32
"""Calls of the search, which has one candidate; evaluations that the confirmation would make."""
WITHIN = [item for item in POINTS if not item.startswith(("round", "fold.after", "promotion"))]
INSTANTS = 4


@dataclass(frozen=True, slots=True)
class Whole:
    """A queued run, and how it ends at one go."""

    template: Prepared
    ended: Uninterrupted
    result: Mapping[str, Any]


async def told(run: Run) -> dict[str, Any]:
    """What the run found and spent, but for time; dollars are rounded, since their sums go by the order of answers."""
    result: dict[str, Any] = await run.result() or {}
    found = {name: result[name] for name in ("confirmation", "improved", "reason", "stopped", "notes", "usage")}
    found["usage"]["usd"] = round(found["usage"]["usd"], 9)
    spent = (await run.status()).spent
    return {**found, "spent": replace(spent, usd=round(spent.usd or 0.0, 9))}


@pytest.fixture(scope="module", params=BUDGETS)
def whole(bench: Bench, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp(request.param)
    template = made(
        bench, str(folder / "template.db"), model=MODEL, more={"prices": PRICES}, program=GIVEN, answer=99,
        budget=BUDGETS[request.param], strategy="tests.optimization.test_confirming:OneCandidate",
    )  # fmt: skip
    given = copied(template, folder)
    ended = bench.uninterrupted(given)
    confirmed = ended.bodies.total() - SEARCH
    assert 16 < confirmed < ASKED, "the budget does not end within the confirmation, so nothing is tried here"
    result, budget = given.within(told), BUDGETS[request.param]
    assert result["spent"].calls == ended.bodies.total()
    assert result["spent"].tokens <= (budget.tokens or math.inf)
    assert result["spent"].usd <= (budget.usd or math.inf)
    return Whole(template, ended, result)


def carried_on(bench: Bench, given: Prepared, whole: Whole, deaths: Mapping[str, Journal]) -> None:
    """To the same end: rows, rounds, verdict, program and what was spent; nothing committed is paid again."""
    bench.carried_on(given, whole.ended, deaths)
    assert given.within(told) == whole.result


def dies(bench: Bench, given: Prepared, pid: int) -> Journal:
    """Its journal as it is left by its process's death, which was within the confirmation."""
    assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
    assert gone(pid)
    assert [folded for _, _, folded in given.facts().rounds] == [True, True, False]
    return given.journal()


@pytest.mark.parametrize("point", WITHIN)
def test_killed_at_a_point(bench: Bench, whole: Whole, tmp_path: Path, point: str) -> None:
    given = copied(whole.template, tmp_path)
    occurrence = 1 if point.startswith("fold") else 3
    deaths = {"first": dies(bench, given, bench.carry(given, "first", f"confirmation/{point}:{occurrence}"))}
    carried_on(bench, given, whole, deaths)


@pytest.mark.parametrize("point", ["round.before:3", "round.after:3", "fold.after:3", "promotion.before:1"])
def test_killed_around_it(bench: Bench, whole: Whole, tmp_path: Path, point: str) -> None:
    given = copied(whole.template, tmp_path)
    pid = bench.carry(given, "first", point)
    assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
    assert gone(pid)
    carried_on(bench, given, whole, {"first": given.journal()})


@pytest.mark.parametrize("seed", range(INSTANTS))
def test_killed_at_random_instants(bench: Bench, whole: Whole, tmp_path: Path, seed: int) -> None:
    """Twice, one after the other."""
    rng, given, deaths = Random(seed), copied(whole.template, tmp_path), dict[str, Journal]()
    for sender in ("first", "again"):
        pid, seen = bench.carry(given, sender), bench.oracle.behave(given.tag)
        first, last = max(1, SEARCH + 1 - seen), whole.ended.bodies.total() - seen - 2
        instant = {"after": rng.randint(first, max(first, last)), "later": rng.uniform(0, 0.003)}
        bench.oracle.behave(given.tag, kill=pid, sender=sender, **instant)
        deaths[sender] = dies(bench, given, pid)
    carried_on(bench, given, whole, deaths)
