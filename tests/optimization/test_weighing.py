"""Moves that weigh objectives and constraints against the same moves by score alone, where quality has its price."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, fsum
from typing import Any

import pytest

from dspex.kernel.ports import Completion, Request, Usage
from dspex.kernel.variables import Float
from dspex.modules.prediction import predict
from dspex.optimization.deciding import Turn
from dspex.optimization.fronts import Front
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.objectives import Objectives
from dspex.optimization.outcomes import Outcomes
from dspex.optimization.proposers.tpe import ParzenMoves
from dspex.optimization.rows import Proposal
from dspex.optimization.schedules.table import schedule_named
from dspex.optimization.strategies.portfolio import Portfolio
from tests.optimization.searching import searched
from tests.optimization.simulators import Colour, answered, program, share, text_in

BEST = {"temperature": 0.3, "top_p": 0.7, "frequency_penalty": 0.5}
OPEN: dict[str, object] = dict.fromkeys(("presence_penalty", *BEST), Float(0, 1, default=1))
GIVEN = program(predict(Colour, name="label", model="openai/gpt-5-mini", **OPEN))
CORNER = 0.02
"""Dollars an example that volumes are measured from."""


def facts(settings: Any) -> tuple[float, float]:
    """Quality and dollars: both rise with `presence_penalty`; what is off costs and helps nothing."""
    effort, off = settings["presence_penalty"], fsum(abs(settings[name] - BEST[name]) for name in BEST) / len(BEST)
    return 0.2 + 0.78 * effort**0.5 - 0.6 * off, 0.0005 + 0.01 * effort + 0.01 * off


def priced(request: Request) -> Completion:
    quality, usd = facts(request.settings)
    text = text_in(request)
    found = answered(text, share(text) < quality)
    return Completion(found, "stop", Usage(1, 100, ceil(len(found) / 4), usd), request.model)


class ByScore(ParzenMoves):
    """The same moves, told of scores alone."""

    async def propose(self, turn: Turn) -> list[Proposal]:
        return await super().propose(replace(turn, search=replace(turn.search, outcomes=Outcomes())))


def found(moves: ParzenMoves, seed: int, schedule: str, objectives: Objectives) -> Any:
    """The result, and the settings of each candidate."""
    ledger = MemoryLedger()
    result = searched(
        GIVEN, priced, 2000 if schedule == "full" else 1200, seed=seed, objectives=objectives, ledger=ledger,
        strategy=Portfolio("moves", (moves,), 8, schedule_named(schedule)),
    )  # fmt: skip
    tried = [
        {path.partition(".")[2]: value for path, value in item.values.items()} for item in ledger.candidates.values()
    ]
    return result, tried


def test_weighing_every_objective_widens_the_front() -> None:
    aim, wider = Objectives(of=("score", "cost")), list[float]()
    for seed in range(3):
        fronts = [found(moves, seed, "full", aim)[0].front for moves in (ParzenMoves(), ByScore())]
        volumes = [Front(item.objectives, item.points, {"cost": CORNER}).hypervolume for item in fronts]
        wider.append(volumes[0] - volumes[1])
    assert fsum(wider) / len(wider) > 0.02
    assert min(wider) > 0


@pytest.mark.parametrize("of", [("score",), ("score", "cost")])
def test_candidates_are_drawn_where_constraints_hold(of: tuple[str, ...]) -> None:
    kept: list[float] = []
    for moves in (ParzenMoves(), ByScore()):
        _, tried = found(moves, 0, "race", Objectives(of=of, constraints=("cost <= 0.004",)))
        kept.append(sum(facts(settings)[1] <= 0.004 for settings in tried) / len(tried))
    assert kept[0] > 0.15
    assert kept[0] > 3 * kept[1]
