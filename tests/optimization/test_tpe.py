"""Moves by the tree-structured Parzen estimator on what a ledger has."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.program import Program
from dspex.kernel.space import Configuration
from dspex.kernel.variables import Choice, Demos, Float, Integer, Subset, Text
from dspex.modules.flow import choose
from dspex.modules.prediction import chain_of_thought, predict
from dspex.optimization.deciding import SearchView, Turn
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.ports import Lab
from dspex.optimization.problem import Problem
from dspex.optimization.proposers.tpe import MOST, ParzenMoves
from dspex.optimization.rows import Candidate, Evaluation, Proposal, Round
from dspex.optimization.strategies.table import strategy_named
from tests.optimization.proposing import Values
from tests.optimization.simulators import Colour, program, rows, share


def moves(
    given: Program, seen: Sequence[tuple[Values, Callable[[str], float], int]], count: int = 8, seed: int = 0
) -> list[Proposal]:
    """Proposals after candidates were evaluated: their values, the score by example, and on how many examples."""
    problem = Problem(
        given, tuple(rows(9)), tuple(rows(32, 500)), (), as_metric(ExactMatch("label")), Budget(calls=1), seed
    )  # fmt: skip
    ledger = MemoryLedger()

    async def scenario() -> list[Proposal]:
        made: list[tuple[Values, Callable[[str], float], int]] = [({}, level(0.5), 32), *seen]
        candidates: dict[str, Candidate] = {}
        rows_: list[Evaluation] = []
        for values, truth, size in made:
            whole = problem.completed({**given.values, **values})
            item = Candidate(problem.id_of(whole), whole, "test", (), "", 0)
            candidates.setdefault(item.id, item)
            rows_ += [Evaluation(item.id, *key, 0, truth(key[0])) for key in problem.keys[:size]]
        await ledger.commit(Round(0, tuple(row.pair for row in rows_), tuple(candidates.values())))
        for row in rows_:
            await ledger.record(row)
        await ledger.fold(0)
        search = SearchView(problem, ledger, cast(Lab, None), 1, None)
        return await ParzenMoves().propose(Turn(search, list(candidates.values())[:1], count, search.rng("tpe")))

    return asyncio.run(scenario())


def level(score: float) -> Callable[[str], float]:
    return lambda _: score


MIXED = program(temperature=Float(0, 1), adapter=Choice("chat", "json"), max_tokens=Integer(1, 500, log=True))


def spread(count: int) -> list[Values]:
    return [
        {
            "label.temperature": share("t", n), "label.adapter": "json" if share("a", n) < 0.5 else "chat",
            "label.max_tokens": 1 + int(499 * share("m", n)),
        }
        for n in range(count)
    ]  # fmt: skip


def test_it_goes_where_candidates_did_well() -> None:
    def score(values: Values) -> float:
        heat, adapter = float(values["label.temperature"]), str(values["label.adapter"])
        return 0.5 * (adapter == "json") + 0.5 * (1 - abs(heat - 0.2))

    found = moves(MIXED, [(values, level(score(values)), 16) for values in spread(40)], 20)
    assert sum(item.values["label.adapter"] == "json" for item in found) > 14
    assert sum(abs(item.values["label.temperature"] - 0.2) for item in found) / len(found) < 0.25


def test_luck_on_a_few_examples_counts_less_than_a_long_record() -> None:
    """Many that were lucky on three examples at a high temperature, some that did well on all at a low one."""
    lucky = [{"label.temperature": 0.8 + n / 200, "label.adapter": "json"} for n in range(20)]
    solid = [{"label.temperature": 0.1 + n / 200, "label.adapter": "chat"} for n in range(6)]
    poor = [{"label.temperature": 0.4 + n / 100, "label.adapter": "chat"} for n in range(20)]
    seen = [
        *((item, level(0.9), 3) for item in lucky),
        *((item, level(0.8), 32) for item in solid),
        *((item, level(0.2), 32) for item in poor),
    ]
    found = moves(MIXED, seen, 20)
    assert sum(item.values["label.temperature"] < 0.4 for item in found) > 13


def test_texts_and_demonstrations_of_candidates_are_combined_and_none_is_made_up() -> None:
    given = program(instructions=Text(), demos=Demos(1), temperature=Float(0, 1))
    shown = [[{"text": f"t{n}", "label": "red"}] for n in range(4)]
    texts = [f"Text {n}." for n in range(4)]
    seen: list[tuple[Values, Callable[[str], float], int]] = []
    for n in range(24):
        values = {"label.instructions": texts[n % 4], "label.demos": shown[n // 4 % 4], "label.temperature": n / 24}
        pleasing = (n % 4 == 1) + (n // 4 % 4 == 2)
        if pleasing < 2:
            seen.append((values, level(0.3 + 0.3 * pleasing), 16))
    found = moves(given, seen, 20)
    assert {item.values["label.instructions"] for item in found} <= {None, *texts}
    assert all(item.values["label.demos"] in ([], *shown) for item in found)
    both = [
        item
        for item in found
        if (item.values["label.instructions"], item.values["label.demos"]) == (texts[1], shown[2])
    ]
    assert both, "the best text with the best demonstrations, which nobody has tried"


def test_branches_subsets_and_constraints_hold_in_every_proposal() -> None:
    step = choose(
        predict(Colour, temperature=Float(0, 1), instructions=Text()),
        chain_of_thought(Colour, stop=Subset(["a", "b", "c"], min=1, max=2), instructions=Text()),
        name="label",
    )
    limits = ("label.predict.temperature <= 0.7",)
    given = Program(name="c", pipeline=(step,), constraints=limits)
    seen = [({"label.predict.temperature": n / 20}, level(n / 20), 8) for n in range(12)]
    found = moves(given, seen, 20)
    assert {item.values["label.choice"] for item in found} == {"predict", "chain_of_thought"}
    for item in found:
        assert given.space.problems(item.values) == []
        assert given.space.complete(item.values) == item.values


def test_nothing_is_proposed_twice_and_the_same_ledger_gives_the_same_proposals() -> None:
    small = program(adapter=Choice("chat", "json", "xml"))
    seen = [({"label.adapter": "json"}, level(0.4), 8)]
    found = moves(small, seen)
    assert [item.values for item in found] == [{"label.adapter": "xml"}]
    many = [(values, level(values["label.temperature"]), 8) for values in spread(20)]
    assert moves(MIXED, many) == moves(MIXED, many)
    assert moves(MIXED, many) != moves(MIXED, many, seed=1)


def test_of_many_candidates_it_sees_the_best_and_the_newest() -> None:
    told: list[Configuration] = []
    good = [({"label.temperature": 0.9 + n / 1000}, level(0.9), 32) for n in range(30)]
    bad = [({"label.temperature": n / 1000}, level(0.1), 8) for n in range(3 * MOST)]
    found = moves(MIXED, [*good, *bad], 20)
    told += [item.values for item in found]
    assert sum(item["label.temperature"] > 0.6 for item in told) > 14


def test_where_optuna_is_absent_the_strategy_says_so_before_anything_is_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigurationError, match=r"'tpe' needs Optuna.*pip install 'dspex\[optimize\]'"):
        strategy_named("tpe", SearchOptions())
