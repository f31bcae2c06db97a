"""More than one objective: what is refused, who is barred, what the front holds, what ships."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError, DspexError, UnknownNameError
from dspex.kernel.ports import Completion, Request, Usage
from dspex.kernel.program import Program
from dspex.kernel.variables import Choice, Float
from dspex.optimization.fronts import Front, Point
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.objectives import Objectives
from dspex.optimization.options import SearchOptions
from dspex.optimization.outcomes import Outcome, Outcomes
from dspex.optimization.result import OptimizationResult
from tests.optimization.searching import TIMING, rows_of, searched
from tests.optimization.simulators import answered, counted, program, share, text_in

MODELS = {"openai/gpt-5": (0.95, 0.010), "openai/gpt-5-mini": (0.80, 0.002), "openai/gpt-5-nano": (0.45, 0.001)}
"""Score and dollars a call of each model."""


def priced(request: Request) -> Completion:
    """A model whose skill has its price."""
    skill, usd = MODELS[request.model]
    text = text_in(request)
    found = answered(text, share(text) < skill)
    return Completion(found, "stop", Usage(1, 100, ceil(len(found) / 4), usd), request.model)


def given(seed: str = "openai/gpt-5-mini") -> Program:
    return program(model=Choice(*MODELS, default=seed), presence_penalty=Float(0, 1))


def aimed(*of: str, constraints: tuple[str, ...] = (), **more: Any) -> OptimizationResult:
    seed = more.pop("model", "openai/gpt-5-mini")
    objectives = Objectives(of=of or ("score",), constraints=constraints)
    more.setdefault("strategy", "random")
    return searched(given(seed), priced, 900, objectives=objectives, **more)


def models(result: OptimizationResult) -> list[str]:
    return [point.program.values["label.model"] for point in result.front]


@pytest.mark.parametrize(
    ("of", "constraints", "error", "message"),
    [
        (("score", "cots"), (), UnknownNameError, "did you mean 'cost'"),
        (("cost",), (), ConfigurationError, "`score` is always one of them"),
        (("score", "cost", "cost"), (), ConfigurationError, "one twice"),
        (("score",), ("latencyy < 2",), UnknownNameError, "did you mean 'latency'"),
        (("score",), ("cost <",), ConfigurationError, "does not read.*as in 'cost <= 0.002'"),
        (("score",), ("print(cost) < 1",), ConfigurationError, "not allowed"),
    ],
)
def test_objectives_that_cannot_be_meant_are_refused(
    of: tuple[str, ...], constraints: tuple[str, ...], error: type[DspexError], message: str
) -> None:
    with pytest.raises(error, match=message):
        Objectives(of=of, constraints=constraints)


@pytest.mark.parametrize("objectives", [Objectives(of=("score", "cost")), Objectives(constraints=("cost < 1",))])
def test_cost_over_an_unknown_price_is_refused_before_the_first_call(objectives: Objectives) -> None:
    counting, seen = counted(lambda request: answered(text_in(request), True))
    unheard = program(model=Choice("openai/gpt-5", "unheard/of"))
    with pytest.raises(ConfigurationError, match="the price of unheard/of is not in the table"):
        searched(unheard, counting, objectives=objectives)
    assert seen == []


def test_the_front_has_each_model_that_none_beats_in_both_and_the_best_score_ships() -> None:
    result = aimed("score", "cost")
    assert set(models(result)) == set(MODELS)
    assert models(result)[0] == "openai/gpt-5"
    assert result.program.values["label.model"] == "openai/gpt-5"
    assert result.improved
    assert result.front[0].means["cost"] == pytest.approx(0.010)
    assert {point.n for point in result.front} == {result.front[0].n}
    assert all(
        point.intervals["score"].low <= point.means["score"] <= point.intervals["score"].high for point in result.front
    )


def test_a_user_picks_by_preference() -> None:
    result = aimed("score", "cost")
    assert result.pick(score=1).values["label.model"] == "openai/gpt-5"
    assert result.pick(cost=1).values["label.model"] == "openai/gpt-5-nano"
    assert result.pick().values["label.model"] == "openai/gpt-5-mini"
    assert result.knee is not None
    assert result.knee.program == result.pick()
    with pytest.raises(UnknownNameError, match="latency"):
        result.pick(latency=1)
    with pytest.raises(ConfigurationError, match="a weight is a number of at least 0"):
        result.pick(cost=-1)


def test_a_constraint_bars_what_breaks_it_from_the_front_and_from_shipping() -> None:
    result = aimed(constraints=("cost <= 0.005",), model="openai/gpt-5-nano")
    assert "openai/gpt-5" not in models(result)
    assert result.program.values["label.model"] == "openai/gpt-5-mini"
    assert result.improved
    assert any("barred, because they break a constraint (cost <= 0.005)" in note for note in result.notes)


def test_a_seed_program_that_breaks_a_constraint_gives_way_to_one_that_keeps_it() -> None:
    result = aimed(constraints=("cost <= 0.005",), model="openai/gpt-5")
    assert result.program.values["label.model"] == "openai/gpt-5-mini"
    assert result.verdict is not None
    assert result.verdict.rule == "within"
    assert result.verdict.gain < 0
    assert any(note.startswith("the seed program breaks a constraint") for note in result.notes)
    assert "the seed program breaks a constraint and this one keeps them" in result.report()


def test_without_objectives_a_cheaper_and_worse_candidate_is_dropped() -> None:
    ledger, more = MemoryLedger(), MemoryLedger()
    aimed(ledger=ledger)
    aimed("score", "cost", ledger=more)

    def longest(held: MemoryLedger) -> int:
        nano = [item.id for item in held.candidates.values() if item.values["label.model"] == "openai/gpt-5-nano"]
        return max(len(held.scores(item)) for item in nano)

    assert longest(ledger) <= 16 < longest(more)


def test_moves_weigh_all_objectives_where_optuna_is_there() -> None:
    ledger = MemoryLedger()
    aimed("score", "cost", ledger=ledger)
    assert "tpe" in {item.operator for item in ledger.candidates.values()}
    alone = MemoryLedger()
    aimed(ledger=alone)
    assert "tpe" not in {item.operator for item in alone.candidates.values()}


def test_without_optuna_the_other_proposers_search_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspex.optimization.strategies.portfolio.installed", lambda: False)
    ledger = MemoryLedger()
    result = aimed("score", "cost", ledger=ledger)
    assert {item.operator for item in ledger.candidates.values()} == {"seed", "random"}
    assert set(models(result)) == set(MODELS)


@pytest.mark.parametrize("strategy", ["auto", "beacon", "tpe"])
def test_other_strategies_keep_constraints_and_find_a_front(strategy: str) -> None:
    result = aimed("score", "cost", constraints=("cost <= 0.005",), strategy=strategy, model="openai/gpt-5-nano")
    assert "openai/gpt-5" not in models(result)
    assert result.program.values["label.model"] == "openai/gpt-5-mini"


def test_with_objectives_a_search_is_the_same_again_whatever_its_concurrency() -> None:
    found: list[Any] = []
    for concurrency in (1, 16):
        ledger = MemoryLedger()
        result = aimed(
            "score",
            "cost",
            constraints=("cost <= 0.02",),
            ledger=ledger,
            options=SearchOptions(concurrency=concurrency),
        )
        found.append((rows_of(ledger), result.to_dict() | TIMING))
    assert found[0] == found[1]


def test_a_finished_search_carried_on_has_the_same_front() -> None:
    ledger = MemoryLedger()
    first = aimed("score", "cost", ledger=ledger)
    again = aimed("score", "cost", ledger=ledger)
    assert first.front == again.front
    assert first.hypervolume == again.hypervolume > 0


def test_latency_is_measured_too() -> None:
    result = aimed("score", "latency", constraints=("latency < 100",))
    assert result.front[0].means["latency"] < 100
    result = aimed("score", "latency", constraints=("latency < 0",))
    assert len(result.front) == 0
    assert not result.improved
    with pytest.raises(ConfigurationError, match="the front is empty"):
        result.pick()


def test_constraints_may_be_joined_and_name_the_score() -> None:
    outcomes = Outcomes(Objectives(constraints=("cost <= 1 or score > 0.9",)))
    for candidate, score, cost in (
        ("cheap", 0.1, 0.5),
        ("good", 1.0, 5.0),
        ("neither", 0.5, 5.0),
        ("unknown", 0.5, None),
    ):
        for number in range(10):
            outcomes.add(candidate, (str(number), 0), Outcome(score, cost, 0, 0.0))
    assert [outcomes.allowed(name) for name in ("cheap", "good", "neither", "unknown", "unasked")] == [
        True,
        True,
        False,
        True,
        True,
    ]


def test_a_mean_that_is_near_the_limit_bars_nobody() -> None:
    outcomes = Outcomes(Objectives(constraints=("cost <= 1",)))
    for number in range(8):
        outcomes.add("a", (str(number), 0), Outcome(1.0, 0.5 + number % 2 * 1.2, 0, 0.0))
    assert 0.05 < outcomes.kept("a") < 0.5


def test_answers_from_memory_count_with_what_they_cost_when_they_were_bought() -> None:
    bought = Usage(1, 90, 10, 0.25)
    remembered = Usage(cached_calls=1, saved_tokens=100, saved_usd=0.25)
    assert Outcome.of(1.0, bought, 2.0) == Outcome(1.0, 0.25, 100, 2.0)
    assert Outcome.of(1.0, remembered, 0.1) == Outcome(1.0, 0.25, 100, None)
    assert Outcome.of(1.0, replace(bought, usd=None), 2.0).cost is None


def points(*rows: tuple[float, float]) -> Front:
    found = [Point(str(i), given(), "", 8, {"score": s, "cost": c}, {}) for i, (s, c) in enumerate(rows)]
    return Front(("score", "cost"), tuple(found), {"cost": 1.0})


@pytest.mark.parametrize(
    ("rows", "volume"),
    [((), 0.0), (((1.0, 0.0),), 1.0), (((0.5, 0.5),), 0.25), (((0.8, 0.6), (0.4, 0.2)), 0.8 * 0.4 + 0.4 * 0.4)],
)
def test_hypervolume_is_the_share_of_the_box_that_the_front_dominates(
    rows: tuple[tuple[float, float], ...], volume: float
) -> None:
    assert points(*rows).hypervolume == pytest.approx(volume)


def test_a_dollar_budget_and_a_cost_objective_live_together() -> None:
    result = searched(
        program(model=Choice(*MODELS), max_tokens=50), priced, objectives=Objectives(of=("score", "cost")),
        budget=Budget(usd=3.0), strategy="random",
    )  # fmt: skip
    assert result.usage.usd is not None
    assert result.usage.usd <= 3.0
    assert len(result.front) >= 2
