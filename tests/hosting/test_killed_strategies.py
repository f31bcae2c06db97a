"""Every strategy by name, as published too where it was, is killed with signal 9 again and again, and ends the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from dspex.kernel.variables import Choice, Demos, Float, Text
from dspex.optimization.deciding import Turn
from dspex.optimization.proposers.sampling import RandomDraws
from dspex.optimization.rows import TAUGHT, Proposal
from dspex.optimization.strategies.table import CLASSIC, STRATEGIES
from tests.hosting.conftest import copied, made
from tests.hosting.durability import Bench, Journal, Prepared, Uninterrupted, ended_by_kill
from tests.hosting.processes import gone
from tests.optimization.simulators import program

FORMS = [
    (name, schedule)
    for name, recipe in STRATEGIES.items()
    for schedule in ((None, CLASSIC) if recipe.classic else (None,))
]
GIVEN = program(
    instructions=Text(),
    demos=Demos(2),
    temperature=Float(0, 1, default=0.5),
    model=Choice("oracle/versed-one", "oracle/versed-two"),
)


CALLS, SIMBA = 120, 450
"""Of a run; SIMBA's first step as published takes more."""


def whole(
    bench: Bench, folder: Path, strategy: str, schedule: str | None, teacher: str = ""
) -> tuple[Prepared, Uninterrupted]:
    """A queued run, and how it ends at one go."""
    calls = SIMBA if (strategy, schedule) == ("simba", CLASSIC) else CALLS
    template = made(
        bench, str(folder / "template.db"), strategy=strategy, schedule=schedule, program=GIVEN,
        model="oracle/versed-one", calls=calls, teacher=teacher,
    )  # fmt: skip
    given = copied(template, folder)
    bench.oracle.behave(given.tag, delay=0.001)
    return template, bench.uninterrupted(given)


def killed(bench: Bench, given: Prepared, total: int, rng: Random) -> dict[str, Journal]:
    """Kill three processes of a run, one after the other: in its first half, when it has decided and paid for a round
    that is not committed yet, and anywhere in what is left of `total` requests."""
    deaths: dict[str, Journal] = {}
    bench.oracle.behave(given.tag, delay=0.001)
    for kill in ("early", "deciding", "late"):
        seen = bench.oracle.behave(given.tag)
        pid = bench.carry(given, kill, "round.before:1" if kill == "deciding" else "")
        if kill != "deciding":
            after = rng.randrange(1, total // 2 if kill == "early" else max(2, total - seen - 8))
            bench.oracle.behave(given.tag, kill=pid, after=after, sender=kill, later=rng.uniform(0, 0.005))
        assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
        assert gone(pid)
        deaths[kill] = given.journal()
    return deaths


def killed_again_and_again(
    bench: Bench, folder: Path, strategy: str, schedule: str | None = None, teacher: str = ""
) -> Uninterrupted:
    template, expected = whole(bench, folder, strategy, schedule, teacher)
    assert len(expected.facts.rounds) > 2, "it did search"
    given = copied(template, folder)
    deaths = killed(bench, given, expected.bodies.total(), Random(f"{strategy}/{schedule}"))
    bench.carried_on(given, expected, deaths)
    return expected


@pytest.fixture(scope="module", autouse=True)
def _loaded(bench: Bench) -> None:
    bench.nursery.load("optuna.samplers", "sklearn.gaussian_process", "scipy.optimize")


@pytest.mark.parametrize(("strategy", "schedule"), FORMS)
def test_killed_again_and_again(bench: Bench, tmp_path: Path, strategy: str, schedule: str | None) -> None:
    killed_again_and_again(bench, tmp_path, strategy, schedule)


@pytest.mark.parametrize("schedule", [None, CLASSIC])
def test_killed_with_a_teacher(bench: Bench, tmp_path: Path, schedule: str | None) -> None:
    found = killed_again_and_again(bench, tmp_path, "bootstrap", schedule, "oracle/versed-teacher")
    assert any(sample >= TAUGHT for _, _, sample, _, _ in found.facts.evaluations)


class Forgetful(RandomDraws):
    """Draws with a generator of its own instead of the round's, so that a process that takes over draws otherwise."""

    name = "forgetful"

    def __init__(self) -> None:
        self._rng = Random()

    async def propose(self, turn: Turn) -> list[Proposal]:
        return await super().propose(replace(turn, rng=self._rng))


def test_a_strategy_that_keeps_its_generator_is_found_out(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="requests of the uninterrupted run that were never sent"):
        killed_again_and_again(bench, tmp_path, f"{__name__}:Forgetful")
