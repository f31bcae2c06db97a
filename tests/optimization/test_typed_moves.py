"""Moves over typed variables: a screening design and what it shows, and models step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.clients.budget import Budget
from dspex.clients.prices import Price, Prices
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Request
from dspex.kernel.program import Program
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.variables import Boolean, Choice, Demos, Float, Integer, Subset, Text
from dspex.modules.flow import choose
from dspex.modules.prediction import chain_of_thought, predict
from dspex.optimization.deciding import Proposer, SearchView, Turn
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.ports import Lab
from dspex.optimization.problem import Problem
from dspex.optimization.proposers.models import ModelChoice
from dspex.optimization.proposers.screening import Screening, balanced, design_of
from dspex.optimization.rows import Candidate, Evaluation, Proposal, Round
from dspex.optimization.runner import optimize
from tests.optimization.proposing import Values
from tests.optimization.simulators import Colour, answered, program, rows, runtime, share, splits, text_in

Truth = Callable[[Values, str], float]


class Made:
    """A ledger made by hand: candidates with scores, and proposals from it."""

    def __init__(self, given: Program, truth: Truth) -> None:
        self.problem = Problem(
            given, tuple(rows(9)), tuple(rows(16, 500)), (), as_metric(ExactMatch("label")), Budget(calls=1)
        )  # fmt: skip
        self.ledger, self.truth = MemoryLedger(), truth
        self.evaluate([Proposal(dict(given.values), "seed")])

    def view(self, affordable: float = 1e6) -> SearchView:
        return SearchView(self.problem, self.ledger, cast(Lab, None), len(self.ledger.rounds), None, affordable)

    def evaluate(self, proposals: Sequence[Proposal], size: int = 8) -> list[Candidate]:
        """Commit and score them; those that are there already, or invalid, are left out."""

        async def written() -> list[Candidate]:
            number = len(self.ledger.rounds)
            made = [found for item in proposals if (found := self.view().candidate(item)) is not None]
            pairs = [(item.id, *key) for item in made for key in self.problem.keys[:size]]
            await self.ledger.commit(Round(number, tuple(pairs), tuple(made)))
            for item in made:
                for key in self.problem.keys[:size]:
                    await self.ledger.record(Evaluation(item.id, *key, number, self.truth(dict(item.values), key[0])))
            await self.ledger.fold(number)
            return made

        return asyncio.run(written())

    def proposed(
        self, proposer: Proposer, count: int = 100, parents: Sequence[str] = (), **more: float
    ) -> list[Proposal]:
        search = self.view(**more)
        chosen = [self.ledger.candidates[item] for item in parents or [self.problem.seed_id]]
        return asyncio.run(proposer.propose(Turn(search, chosen, count, search.rng(proposer.name))))


@given(st.integers(2, 31))
def test_every_two_variables_of_a_design_take_all_four_combinations_equally_often(factors: int) -> None:
    runs = balanced(factors)
    assert factors < len(runs) <= max(4, 2 * factors)
    assert all(len(run) == factors for run in runs)
    for one in range(factors):
        for other in range(one):
            counts = [sum((run[one], run[other]) == pair for run in runs) for pair in ((0, 0), (0, 1), (1, 0), (1, 1))]
            assert len(set(counts)) == 1


MIXED = program(
    temperature=Float(0, 1), top_p=Float(0.001, 1, log=True), max_tokens=Integer(10, 1000, step=10),
    adapter=Choice("chat", "json", "xml"), stop=Subset(["a", "b"]), extra_body=Boolean(), instructions=Text("Mine."),
    demos=Demos(2),
)  # fmt: skip


def test_a_design_has_two_levels_of_every_typed_variable_and_leaves_texts_alone() -> None:
    made = Made(MIXED, lambda values, example: 0.5)
    found = made.proposed(Screening())
    assert len(found) == 8
    for path, levels in {
        "label.temperature": {0.2, 0.8}, "label.max_tokens": {210, 800}, "label.extra_body": {False, True},
        "label.instructions": {"Mine."},
    }.items():  # fmt: skip
        assert {item.values[path] for item in found} == levels
    assert sorted({item.values["label.top_p"] for item in found}) == pytest.approx([0.003981071706, 0.2511886432])
    adapters = [item.values["label.adapter"] for item in found]
    assert adapters.count("chat") == 4
    assert len(set(adapters)) == 2
    assert {tuple(item.values["label.stop"]) for item in found} == {(), ("a",), ("b",), ("a", "b")}
    assert found[0].hypothesis == "run 1 of a design of 8 runs over 7 variables"


def test_a_design_is_laid_bit_by_bit_and_only_where_the_budget_allows() -> None:
    made = Made(MIXED, lambda values, example: 0.5)
    assert made.proposed(Screening(), affordable=200.0) == []
    whole = made.proposed(Screening())
    laid: list[Proposal] = []
    for count in (3, 3, 3):
        found = made.proposed(Screening(), count)
        laid += found
        made.evaluate(found)
    assert [item.values for item in laid] == [item.values for item in whole]


def mattering(values: Values, example: str) -> float:
    """A cool head and JSON help; the rest is luck."""
    skill = 0.3 + 0.4 * (values["label.temperature"] < 0.5) + 0.25 * (values["label.adapter"] != "chat")
    return float(share(example, values["label.max_tokens"], values["label.top_p"]) < skill)


def test_what_the_design_shows_is_moved_along() -> None:
    made = Made(MIXED, mattering)
    made.evaluate(made.proposed(Screening()))
    found = made.proposed(Screening())
    assert found
    assert found[0].values["label.temperature"] == 0.2
    assert found[0].values["label.adapter"] != "chat"
    assert found[0].values["label.instructions"] == "Mine."
    assert "label.temperature -" in found[0].hypothesis
    made.evaluate(found)
    assert made.proposed(Screening()) == [], "then it is silent"


def test_where_nothing_shows_nothing_is_moved() -> None:
    made = Made(MIXED, lambda values, example: float(share(example) < 0.5))
    made.evaluate(made.proposed(Screening()))
    assert made.proposed(Screening()) == []


def test_a_design_over_branches_varies_what_is_active_in_the_program_as_it_is() -> None:
    step = choose(
        predict(Colour, temperature=Float(0, 1), instructions=Text()),
        chain_of_thought(Colour, top_p=Float(0, 1), instructions=Text()),
        name="label",
    )
    made = Made(Program(name="c", pipeline=(step,)), lambda values, example: 0.5)
    assert set(design_of(made.problem).levels) == {"label.choice", "label.predict.temperature"}
    found = made.proposed(Screening())
    assert {item.values["label.choice"] for item in found} == {"predict", "chain_of_thought"}
    for item in found:
        assert made.problem.space.problems(item.values) == []


def test_one_variable_is_nothing_to_screen() -> None:
    assert Made(program(temperature=Float(0, 1)), lambda values, example: 0.5).proposed(Screening()) == []


class Sort(Signature):
    """Sort the text."""

    text: str = Input()
    kind: str = Output()


class Name(Signature):
    """Name the colour."""

    text: str = Input()
    kind: str = Input()
    label: Literal["red", "green", "blue"] = Output()


MODELS = ("x/small", "x/large", "x/unknown", "x/middle")
PRICES = Prices(
    {
        "x/small": Price(input=1, output=1), "x/middle": Price(input=2, output=2), "x/large": Price(input=9, output=9),
    }
)  # fmt: skip
TWO = Program(
    name="two",
    pipeline=(
        predict(Sort, name="sort", model=Choice(*MODELS)), predict(Name, name="name", model=Choice(*MODELS)),
    ),
)  # fmt: skip


def models(item: Proposal) -> tuple[str, str]:
    return item.values["sort.model"], item.values["name.model"]


def test_one_step_at_a_time_gets_another_model_the_cheapest_first_and_unknown_prices_last() -> None:
    made = Made(TWO, lambda values, example: 0.5)
    found = made.proposed(ModelChoice(prices=PRICES))
    assert list(map(models, found)) == [
        ("x/middle", "x/small"), ("x/small", "x/middle"), ("x/large", "x/small"), ("x/small", "x/large"),
        ("x/unknown", "x/small"), ("x/small", "x/unknown"),
    ]  # fmt: skip
    made.evaluate(found[:2])
    assert made.proposed(ModelChoice(prices=PRICES), 2) == found[2:4]


def test_changes_that_paid_are_made_together() -> None:
    def truth(values: Values, example: str) -> float:
        sort, name = str(values["sort.model"]), str(values["name.model"])
        return 0.3 + 0.3 * (sort == "x/middle") + 0.2 * (name == "x/large") - 0.2 * (name == "x/middle")

    made = Made(TWO, truth)
    first = made.evaluate(made.proposed(ModelChoice(prices=PRICES), 4))
    found = made.proposed(ModelChoice(prices=PRICES), 1)
    assert list(map(models, found)) == [("x/middle", "x/large")]
    best = first[0].id
    assert models(made.proposed(ModelChoice(prices=PRICES), 1, [best])[0]) == ("x/middle", "x/large")


def test_a_step_whose_model_is_fixed_or_not_chosen_is_left_alone() -> None:
    step = choose(
        predict(Colour, model=Choice("x/small", "x/large")),
        chain_of_thought(Colour, model=Choice("x/small", "x/middle")),
        name="label",
    )
    made = Made(Program(name="c", pipeline=(step,)), lambda values, example: 0.5)
    (found,) = made.proposed(ModelChoice(prices=PRICES))
    assert found.values == {"label.choice": "predict", "label.predict.model": "x/large"}
    assert Made(program(adapter=Choice("chat", "xml")), lambda values, example: 0.5).proposed(ModelChoice()) == []


def skilled(request: Request) -> str:
    """The first step is easy for all; the second only for the large model."""
    if "[[label]]" not in request.messages[0]["content"]:
        return "[[kind]]\nany\n\n[[end]]"
    return answered(text_in(request), share(text_in(request)) < (0.9 if request.model.endswith("large") else 0.4))


def test_a_search_finds_which_step_needs_the_large_model() -> None:
    names = ("scripted/small", "scripted/large")
    given = Program(
        name="two",
        pipeline=(
            predict(Sort, name="sort", model=Choice(*names)), predict(Name, name="name", model=Choice(*names)),
        ),
    )  # fmt: skip
    train, val, confirm = splits(10, 40, 40)
    result = asyncio.run(
        optimize(
            given, train, val, ExactMatch("label"), runtime(skilled), confirm=confirm, budget=Budget(calls=600),
            strategy="models",
        )
    )  # fmt: skip
    assert result.improved
    assert result.program.values["name.model"] == "scripted/large"
