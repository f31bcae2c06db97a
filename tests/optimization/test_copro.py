"""Coordinate ascent over instructions: as published, step by step, and as candidates of a race."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Literal

import pytest

from dspex.clients.budget import Budget
from dspex.errors import VariableError
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Request
from dspex.kernel.program import Program
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.variables import Float, Text
from dspex.modules.prediction import predict
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Round
from dspex.optimization.runner import optimize
from dspex.optimization.strategies.copro import Copro
from tests.optimization.simulators import (
    answered,
    counted,
    guidance,
    is_proposal,
    program,
    runtime,
    share,
    splits,
    text_in,
)

SCORE = re.compile(r"Instruction #\d+: (.*)\nResulting Score #\d+: ([\d.]+)")
VAL = 16


def levelled(request: Request) -> str:
    """The higher the number in the instructions, the better; asked for instructions it writes a new number."""
    if is_proposal(request):
        number = int(100 * share(request.messages[-1]["content"], request.messages[0]["content"], request.sample))
        return f"<instructions>Name the colour, level {number}.</instructions>"
    found = re.findall(r"level (\d+)", guidance(request))
    return answered(text_in(request), share(text_in(request)) < (int(found[-1]) / 100 if found else 0.1))


def searched(
    strategy: Any, given: Program | None = None, model: Callable[[Request], str] = levelled, calls: int = 20_000
) -> tuple[OptimizationResult, MemoryLedger, list[Request]]:
    train, val, confirm = splits(10, VAL, 16)
    ledger = MemoryLedger()
    counting, seen = counted(model)
    result = asyncio.run(
        optimize(
            given or program(instructions=Text()), train, val, ExactMatch("label"), runtime(counting),
            confirm=confirm, strategy=strategy, budget=Budget(calls=calls), ledger=ledger,
        )
    )  # fmt: skip
    return result, ledger, seen


def worth(text: str) -> float:
    """The score of instructions on all of val."""
    found = re.findall(r"level (\d+)", text)
    level = int(found[-1]) / 100 if found else 0.1
    return sum(share(item["text"]) < level for item in splits(10, VAL, 16)[1]) / VAL


def searching(ledger: MemoryLedger) -> list[Round]:
    return [item for item in ledger.rounds if item.purpose == "search" and item.number]


def test_breadth_and_depth_are_as_published() -> None:
    result, ledger, seen = searched(Copro(breadth=6, depth=3))
    asked = [item for item in seen if is_proposal(item)]
    assert len(asked) == 5 + 6 + 6
    assert {item.settings["temperature"] for item in asked} == {1.4}
    rounds = searching(ledger)
    assert len(rounds) == 3
    seed = ledger.rounds[0].pairs[0][0]
    assert seed in rounds[0].memo["evaluated"], "the original is one of the first six"
    assert result.stopped == "the instructions of every step have been gone over 3 times"
    assert all(len(ledger.scores(item)) >= VAL for item in rounds[-1].memo["evaluated"])


def test_with_one_predictor_only_the_newest_are_evaluated() -> None:
    _, ledger, _ = searched(Copro(breadth=5, depth=3))
    seen: set[str] = set()
    for round in searching(ledger):
        asked = set(round.memo["asked"])
        assert len(asked) <= 5
        assert not asked & seen or round.number == 1
        seen |= asked


def test_attempts_are_shown_in_ascending_order_of_score_and_no_more_than_breadth() -> None:
    _, _, seen = searched(Copro(breadth=4, depth=4))
    shown = [SCORE.findall(item.messages[-1]["content"]) for item in seen if is_proposal(item)]
    assert [len(item) for item in shown] == [0] * 3 + [4] * 12
    for attempts in shown[3:]:
        scores = [float(score) for _, score in attempts]
        assert scores == sorted(scores)
        assert [worth(text) for text, _ in attempts] == pytest.approx(scores, abs=0.001)
    best = [float(item[-1][1]) for item in shown[3:]]
    assert best == sorted(best), "what was best stays among those shown"


def test_the_best_of_all_goes_on_to_the_confirmation() -> None:
    result, ledger, _ = searched(Copro(breadth=5, depth=2))
    texts = [ledger.candidates[item].values["label.instructions"] for item in searching(ledger)[-1].memo["evaluated"]]
    assert result.improved
    assert worth(result.program.values["label.instructions"]) == max(worth(text or "") for text in texts)


class Sort(Signature):
    """Sort the text."""

    text: str = Input()
    kind: str = Output()


class Name(Signature):
    """Name the colour."""

    text: str = Input()
    kind: str = Input()
    label: Literal["red", "green", "blue"] = Output()


def both(request: Request) -> str:
    """The first stage hands its level on; the second is right where both levels are high."""
    if is_proposal(request):
        return levelled(request)
    found = re.findall(r"level (\d+)", guidance(request))
    level = int(found[-1]) if found else 10
    if "[[label]]" not in guidance(request):
        return f"[[kind]]\nlevel-{level}\n\n[[end]]"
    before = int(re.findall(r"level-(\d+)", request.messages[-1]["content"])[-1])
    return answered(text_in(request), share(text_in(request)) < (level + before) / 200)


TWO = Program(
    name="two",
    pipeline=(predict(Sort, name="sort", instructions=Text()), predict(Name, name="name", instructions=Text())),
)


def test_predictors_take_turns_and_each_is_fixed_to_its_best_before_the_next() -> None:
    _, ledger, seen = searched(Copro(breadth=4, depth=2), TWO, both)
    assert sum(map(is_proposal, seen)) == 2 * (3 + 4)
    rounds = searching(ledger)
    assert len(rounds) == 2 * 2
    for round, (mine, other) in zip(rounds, [("sort", "name"), ("name", "sort")] * 2, strict=True):
        asked = [ledger.candidates[item].values for item in round.memo["asked"]]
        assert len({item[f"{other}.instructions"] for item in asked}) == 1
        assert len({item[f"{mine}.instructions"] for item in asked}) == len(asked)
    fixed = ledger.candidates[rounds[1].memo["best"]["sort.instructions"]].values["sort.instructions"]
    scores = {
        ledger.candidates[text].values["sort.instructions"]: score
        for text, score in rounds[1].memo["tried"]["sort.instructions"].items()
    }
    assert scores[fixed] == max(scores.values())


def test_with_several_predictors_all_texts_so_far_are_tried_again_beside_the_others() -> None:
    _, ledger, _ = searched(Copro(breadth=4, depth=2), TWO, both)
    rounds = searching(ledger)
    assert [len(item.memo["asked"]) for item in rounds[:2]] == [4, 4]
    assert all(len(item.memo["asked"]) > 5 for item in rounds[2:])


def test_the_budget_ends_it() -> None:
    result, _, seen = searched(Copro(), calls=150)
    assert result.stopped == "the search's share of the budget is spent"
    assert len(seen) <= 150


def test_a_model_that_writes_nothing_ends_it_with_the_reason() -> None:
    def silent(request: Request) -> str:
        return "" if is_proposal(request) else levelled(request)

    result, _, _ = searched(Copro(), model=silent)
    assert result.stopped == "the proposer model wrote no new instructions for label"


def test_without_a_text_to_vary_it_refuses() -> None:
    with pytest.raises(VariableError, match=r"'copro' varies text, and program 'colours' has only float"):
        searched(Copro(), program(temperature=Float(0, 1)))


def test_under_the_race_it_climbs_by_what_was_tried() -> None:
    result, _, seen = searched("copro", calls=800)
    shown = [SCORE.findall(item.messages[-1]["content"]) for item in seen if is_proposal(item)]
    assert max(map(len, shown)) > 3
    for attempts in shown:
        scores = [float(score) for _, score in attempts]
        assert scores == sorted(scores)
        assert len({text for text, _ in attempts}) == len(attempts)
    assert result.improved


def test_under_the_race_the_steps_take_turns() -> None:
    _, ledger, _ = searched("copro", TWO, both, calls=900)
    made = [item for item in ledger.candidates.values() if item.operator == "ascent"]
    rewritten = {item.hypothesis.split()[2] for item in made}
    assert rewritten == {"sort", "name"}
    # A round whose first turn brings too little has a second one, which is the next step's.
    rounds = {name: {item.round for item in made if item.hypothesis.split()[2] == name} for name in rewritten}
    assert abs(len(rounds["sort"]) - len(rounds["name"])) <= 1
