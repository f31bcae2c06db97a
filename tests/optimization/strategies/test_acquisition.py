"""BEACON's choices: each part by what it does to a search, or over made-up draws."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any, cast

import pytest

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Request, Usage
from dspex.kernel.program import Program
from dspex.kernel.variables import Choice as Values
from dspex.kernel.variables import Demos, Float, Text
from dspex.optimization.deciding import SearchView
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.ports import Lab
from dspex.optimization.pricing import StagePrices
from dspex.optimization.problem import Problem
from dspex.optimization.proposers.reflection import Reflection
from dspex.optimization.proposers.sampling import RandomDraws
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Candidate, Evaluation, Pair, Round, Trace
from dspex.optimization.runner import optimize
from dspex.optimization.schedules.table import schedule_named
from dspex.optimization.strategies.acquisition import Acquisition, Offer
from dspex.optimization.strategies.outlook import DRAWS, Outlook, Watch, measured, observation
from dspex.optimization.strategies.portfolio import Choice, Portfolio
from dspex.optimization.strategies.sharing import PATIENCE
from dspex.optimization.strategies.table import strategy_named
from tests.optimization.simulators import (
    answered,
    careless,
    cool,
    hinted,
    is_proposal,
    program,
    rows,
    runtime,
    share,
    splits,
    text_in,
)

PLAIN = SearchOptions(headroom=False)


def beacon(**parts: Any) -> Portfolio:
    """The strategy of that name, with parts of its acquisition changed."""
    found = strategy_named("beacon", PLAIN)
    assert isinstance(found, Portfolio)
    assert isinstance(found.chooser, Acquisition)
    return replace(found, chooser=replace(found.chooser, **parts))


def searched(
    given: Program, model: Callable[[Request], str], calls: int, strategy: Any = None, **more: Any
) -> OptimizationResult:
    train, val, confirm = splits(20, 64, 32)
    more.setdefault("options", PLAIN)
    ready, budget = runtime(model), Budget(calls=calls)
    return asyncio.run(
        optimize(given, train, val, ExactMatch("label"), ready, confirm=confirm, strategy=strategy or beacon(),
                 budget=budget, **more)
    )  # fmt: skip


def memos(ledger: MemoryLedger) -> list[dict[str, Any]]:
    """What the chooser noted, round by round."""
    found: list[Any] = [item.memo for item in ledger.rounds if item.purpose == "search"]
    return [memo["chooser"] for memo in found if memo and "chooser" in memo]


TYPED = program(temperature=Float(0, 1, default=1), top_p=Float(0.1, 1))


def test_the_gate_opens_where_scores_follow_the_variables_and_the_pool_is_used() -> None:
    ledger = MemoryLedger()
    result = searched(TYPED, cool, 900, ledger=ledger)
    gates = [memo["gate"] for memo in memos(ledger)]
    assert gates[0] == 0
    assert max(gates) > 0.5
    assert result.fitting > 0
    assert "went into fitting" in result.report()
    last = list(ledger.candidates.values())[-6:]
    assert sum(abs(item.values["label.temperature"] - 0.3) < 0.25 for item in last) >= 4


def test_where_scores_follow_nothing_the_gate_stays_closed_most_of_the_time() -> None:
    gates: list[float] = []
    for seed in range(4):
        ledger = MemoryLedger()
        searched(TYPED, careless, 600, ledger=ledger, seed=seed, strategy=beacon(stopping=False))
        gates += [memo["gate"] for memo in memos(ledger)[3:]]
    assert sum(gate == 0 for gate in gates) > 0.7 * len(gates)


def test_without_a_surrogate_nothing_of_it_runs() -> None:
    ledger = MemoryLedger()
    searched(TYPED, cool, 600, beacon(surrogate=None), ledger=ledger)
    assert {memo["gate"] for memo in memos(ledger)} == {0.0}
    operators = {item.operator for item in ledger.candidates.values()}
    assert operators >= {"random", "coordinate", "crossover"}


def rows_of(ledger: MemoryLedger) -> list[Any]:
    found = [replace(item, seconds=0.0) for item in ledger.evaluations()]
    return [found, list(ledger.candidates.values()), ledger.rounds]


WHOLE = program(instructions=Text(), demos=Demos(2), temperature=Float(0, 1, default=1))


def warm(request: Request) -> str:
    """Writes the hint at times, and answers the better the nearer the temperature is to 0.3."""
    return hinted(request) if is_proposal(request) else cool(request)


async def uneven(request: Request) -> str:
    """`warm`, after a wait that differs from request to request."""
    for _ in range(int(share(request.messages[-1]["content"]) * 20)):
        await asyncio.sleep(0)
    return warm(request)


def test_concurrency_changes_nothing_but_the_time() -> None:
    found: list[Any] = []
    ledger = MemoryLedger()
    for concurrency in (1, 16):
        ledger = MemoryLedger()
        options = replace(PLAIN, concurrency=concurrency)
        result = searched(WHOLE, cast(Any, uneven), 700, ledger=ledger, options=options, seed=3)
        found.append((rows_of(ledger), result.program, result.reason, result.stopped))
    assert max(memo["gate"] for memo in memos(ledger)) > 0
    assert found[0] == found[1]


class Interrupted(BaseException):
    """Plays the end of a process."""


class Dying(MemoryLedger):
    """A ledger whose process ends once this round is folded."""

    def __init__(self, last: int | None = None) -> None:
        super().__init__()
        self.last = last
        self.folds: list[int] = []

    async def fold(self, number: int) -> None:
        await super().fold(number)
        self.folds.append(number)
        if number == self.last:
            raise Interrupted


def test_a_search_that_stops_after_a_round_ends_where_the_uninterrupted_one_does() -> None:
    memory: dict[str, str] = {}

    def remembered(request: Request) -> str:
        key = json.dumps([request.messages, dict(request.settings), request.sample])
        return memory.setdefault(key, warm(request))

    whole = Dying()
    expected = searched(WHOLE, remembered, 600, ledger=whole)
    assert max(memo["gate"] for memo in memos(whole)) > 0
    for last in whole.folds[::2]:
        ledger = Dying(last)
        with pytest.raises(Interrupted):
            searched(WHOLE, remembered, 600, ledger=ledger)
        ledger.last = None
        result = searched(WHOLE, remembered, 600, ledger=ledger)
        assert rows_of(ledger) == rows_of(whole), f"stopped after round {last}"
        assert (result.program, result.reason) == (expected.program, expected.reason)


# What follows stands on made-up rows and draws.

MODELS = ("scripted/cheap", "scripted/dear")


def offered(
    gains: Mapping[str, float], alpha: float, *, spread: float = 0.0, stale: int = 0, writers: bool = False
) -> Offer:
    """The seed program with half marks, a pool with these gains in every draw, and a dear model of ten times the price.

    Names that begin with `cheap` are of the cheap model.
    """
    problem = Problem(
        program(model=Values(*MODELS, default=MODELS[1]), temperature=Float(0, 1)), tuple(rows(10)),
        tuple(rows(40, 100)), tuple(rows(10, 900)), as_metric(ExactMatch("label")), Budget(calls=1000, usd=1.0),
    )  # fmt: skip
    ledger = MemoryLedger()
    seed = problem.completed(problem.program.values)
    known = [Candidate(problem.seed_id, seed, "seed", (), "", 0)]
    known += [Candidate(f"k{n:02}", {**seed, "label.temperature": n / 20}, "random", (), "", 0) for n in range(1, 14)]

    async def fill() -> None:
        pairs: tuple[Pair, ...] = tuple((item.id, *key) for item in known for key in problem.keys)
        await ledger.commit(Round(0, pairs, tuple(known)))
        for pair in pairs:
            await ledger.record(Evaluation(*pair, 0, float(share(pair) < 0.5)))
        await ledger.fold(0)

    asyncio.run(fill())
    search = SearchView(problem, ledger, cast(Lab, None), 1, None, 500)
    pool = [
        Candidate(name, {"label.model": MODELS[not name.startswith("cheap")], "label.temperature": 0.01 * place},
                  "coordinate", (), "", 1)
        for place, name in enumerate(gains)
    ]  # fmt: skip
    names = [*(item.id for item in known), *gains]
    rng = Random(0)
    rows_ = [
        [0.5] * len(known) + [0.5 + gain + spread * rng.gauss(0, 1) for gain in gains.values()] for _ in range(DRAWS)
    ]
    outlook = Outlook(1.0, {name: place for place, name in enumerate(names)}, lambda: rows_)
    prices = StagePrices(problem.program)
    for model, dollars in zip(MODELS, (0.001, 0.01), strict=True):
        before = Candidate("before", {**seed, "label.model": model, "label.temperature": 0.99}, "test", (), "", 0)
        usage, trace = Usage(1, 10, 1, dollars), (Trace("label", {}, {}),)
        prices.learn(before, [Evaluation("before", "e", 0, 0, 1.0, usage=usage, trace=trace)])
    proposers = (Reflection(), RandomDraws()) if writers else (RandomDraws(),)
    schedule = schedule_named("race")(4, 40)
    choice = Choice(search, schedule, problem.seed_id, None, proposers, known[:2], 4, stale)
    watch = Watch.of(search, measured(search, 40, item_response=True), 40, problem.seed_id)
    return Offer(choice, watch, outlook, pool, prices, alpha)


def test_at_first_what_is_cheap_is_picked_and_in_the_end_what_is_best() -> None:
    gains = {"cheap": 0.03, "dear": 0.06}
    first, last = offered(gains, 1.0), offered(gains, 0.0)
    assert first.cost(first.pool[0]) == pytest.approx(1.0)  # a call is a call; the dollars are a tenth
    dollars = replace(first.choice.search.problem, budget=Budget(usd=1.0))
    search = replace(first.choice.search, problem=dollars)
    first = replace(first, choice=replace(first.choice, search=search))
    assert first.cost(first.pool[0]) == pytest.approx(0.1)
    assert [item.id for item in first.picks(1, Random(1))] == ["cheap"]
    assert [item.id for item in last.picks(1, Random(1))] == ["dear"]


def test_picks_follow_the_draws_and_do_not_repeat() -> None:
    offer = offered({f"dear{n}": 0.02 * n for n in range(6)}, 0.0, spread=0.03)
    counts: dict[str, int] = {}
    for seed in range(200):
        picked = [item.id for item in offer.picks(2, Random(seed))]
        assert len(set(picked)) == 2
        for name in picked:
            counts[name] = counts.get(name, 0) + 1
    assert counts["dear5"] > counts["dear4"] > counts.get("dear2", 0)
    assert counts["dear5"] < 200


def test_it_ends_where_nothing_promises_anything_and_not_before_patience_is_over() -> None:
    flat = {"dear": -0.3}
    assert offered(flat, 0.0, stale=PATIENCE + 1).futile() is not None
    assert offered(flat, 0.0, stale=PATIENCE).futile() is None
    assert offered({"dear": 0.2}, 0.0, stale=PATIENCE + 1).futile() is None


def test_it_does_not_end_while_new_text_may_bring_something() -> None:
    """All candidates so far are equal within their noise, and nobody has written any text yet."""
    assert offered({"dear": -0.3}, 0.0, stale=PATIENCE + 1, writers=True).futile() is None


def test_an_observation_is_what_the_scores_say_without_the_prior() -> None:
    watch = offered({"dear": 0.0}, 0.0).watch
    fit = watch.fit
    for name in watch.known:
        seen, (mean, deviation) = observation(fit, name), fit.abilities[name]
        weight = 1 / seen.noise + fit.scale.ability**-2
        assert 1 / weight == pytest.approx(deviation**2)
        assert (seen.value / seen.noise + fit.scale.centre * fit.scale.ability**-2) / weight == pytest.approx(mean)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dspex\[optimize\]'"):
        strategy_named("beacon", PLAIN)
    assert strategy_named("auto", PLAIN).name == "auto"


def test_a_search_over_a_few_values_ends_when_it_is_sure() -> None:
    def model(request: Request) -> str:
        text = text_in(request)
        return answered(text, share(text) < (0.9 if request.settings["seed"] == 3 else 0.3))

    result = searched(program(seed=Values(*range(40))), model, 6000)
    assert result.program.values["label.seed"] == 3
    assert result.usage.calls < 3000
