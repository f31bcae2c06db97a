"""Bootstrapping with random search as published, step by step."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest

from dspex.clients.budget import Budget
from dspex.errors import VariableError
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Request, Score
from dspex.kernel.program import Program
from dspex.kernel.signature import Example, Input, Output, Signature
from dspex.kernel.state import State
from dspex.kernel.variables import Demos, Text
from dspex.modules.prediction import chain_of_thought, predict
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Candidate, Trace
from dspex.optimization.runner import optimize
from dspex.optimization.stages import holes
from dspex.optimization.strategies.bootstrap import BootstrapSearch
from dspex.optimization.strategies.bootstrapping import Bootstrapping, shown_in
from tests.optimization.simulators import Colour, answered, program, rows, runtime, share, splits, text_in


def reasons(request: Request) -> str:
    """Right on two of three texts, and says why, so that its traces differ from the training examples."""
    text = text_in(request)
    right = int(text.split()[1]) % 3 > 0
    return answered(text, right).replace("[[label]]", f"[[reasoning]]\nbecause of {text}\n\n[[label]]")


def flawless(request: Request) -> str:
    """Always right."""
    return answered(text_in(request), True)


STEP = program(chain_of_thought(Colour, name="label", demos=Demos(6)))


def searched(
    strategy: BootstrapSearch, given: Program = STEP, model: Any = reasons, calls: int = 5000, **more: Any
) -> tuple[OptimizationResult, MemoryLedger]:
    train, val, confirm = splits(30, 16, 16)
    ledger = MemoryLedger()
    result = asyncio.run(
        optimize(
            given, train, val, more.pop("metric", ExactMatch("label")), runtime(model), confirm=confirm,
            strategy=strategy, budget=Budget(calls=calls), ledger=ledger, **more,
        )
    )  # fmt: skip
    return result, ledger


def sets_of(ledger: MemoryLedger) -> list[Candidate]:
    """The sets that were evaluated in full, in the order of their seeds."""
    return [
        ledger.candidates[item]
        for item in ledger.rounds[-1 if ledger.rounds[-1].memo.get("sets") else -2].memo["evaluated"]
    ]


def teachers(ledger: MemoryLedger) -> list[Candidate]:
    return [item for item in ledger.candidates.values() if item.operator == "teacher"]


def test_there_is_a_set_for_each_seed_and_all_are_evaluated_on_all_of_val() -> None:
    result, ledger = searched(BootstrapSearch(programs=5))
    found = sets_of(ledger)
    shown = [item.values["label.demos"] for item in found]
    assert len(found) == 7, "no labelled example has a reasoning, so that set is the same as none"
    assert shown[0] == []
    assert len(shown[1]) == 4
    assert all(1 <= len(item) <= 4 for item in shown[2:])
    assert len({len(item) for item in shown[2:]}) > 1, "sizes are drawn"
    assert all(len(ledger.scores(item.id)) >= 16 for item in found)
    assert result.stopped == "all 7 sets of demonstrations are evaluated"
    assert [item.hypothesis.partition(",")[0] for item in found[1:]] == ["what the teacher did right"] * 6


def test_demonstrations_are_what_the_teacher_did_right_first_come_first_served() -> None:
    _, ledger = searched(BootstrapSearch(programs=1))
    in_order = sets_of(ledger)[1].values["label.demos"]
    right = [item for item in rows(30) if int(item["text"].split()[1]) % 3 > 0][:4]
    assert [item["text"] for item in in_order] == [item["text"] for item in right]
    assert all(item["reasoning"] == f"because of {item['text']}" for item in in_order)
    ran = {pair[1] for round in ledger.rounds for pair in round.pairs if pair[0] == ledger.rounds[1].pairs[0][0]}
    assert ran >= {item.id for item in list(rows(30))[:6]}, "it stops once four are right"


def test_a_walk_runs_no_further_than_it_must_and_all_walks_step_together() -> None:
    _, ledger = searched(BootstrapSearch(programs=4))
    walking = [item for item in ledger.rounds if item.memo and item.memo.get("walks") and not item.memo["sets"]]
    assert 1 <= len(walking[0].pairs) <= 5
    last = [walk for walk in walking[-1].memo["walks"]]
    assert sum(len(item.pairs) for item in walking) <= sum(walk["at"] + 1 for walk in last)
    assert len(walking) <= 1 + max(walk["at"] + 1 for walk in last)


def test_the_teacher_has_labelled_demonstrations_but_never_the_example_it_is_asked() -> None:
    given = program(demos=Demos(20))
    _, ledger = searched(BootstrapSearch(programs=3), given, flawless)
    texts = {item.id: item["text"] for item in rows(30)}
    asked = [(pair[0], texts[pair[1]]) for round in ledger.rounds for pair in round.pairs if pair[1] in texts]
    assert asked
    sizes: set[int] = set()
    for teacher, text in asked:
        shown = [item["text"] for item in ledger.candidates[teacher].values["label.demos"]]
        assert text not in shown
        sizes.add(len(shown))
    assert sizes <= {15, 16}
    assert 16 in sizes


def test_sets_are_filled_up_with_training_examples_that_were_not_used() -> None:
    given = program(demos=Demos(8))
    how = Bootstrapping(bootstrapped=2, labelled=6)
    _, ledger = searched(BootstrapSearch(programs=2, how=how), given, flawless)
    for item in sets_of(ledger)[2:]:
        shown = [row["text"] for row in item.values["label.demos"]]
        assert len(shown) == len(set(shown)) == 6


def test_no_set_is_larger_than_the_variable_allows() -> None:
    _, ledger = searched(BootstrapSearch(programs=2), program(demos=Demos(3)))
    assert {len(item.values["label.demos"]) for item in sets_of(ledger)} <= {0, 1, 2, 3}
    assert all(len(item.values["label.demos"]) <= 3 for item in teachers(ledger))


def test_an_example_is_tried_again_by_another_sample_as_often_as_allowed() -> None:
    def wavering(request: Request) -> str:
        return answered(text_in(request), request.sample == 2)

    given = program(demos=Demos(2))
    how = Bootstrapping(bootstrapped=2, labelled=0, rollouts=3)
    _, ledger = searched(BootstrapSearch(programs=0, how=how), given, wavering)
    found = ledger.rounds[-1].memo["walks"][0]["found"]
    assert [sample for _, sample in found] == [2, 2]
    asked = [pair[2] for round in ledger.rounds for pair in round.pairs if round.number and not round.memo["sets"]]
    assert asked == [0, 1, 2, 0, 1, 2]


def test_what_counts_as_right_is_any_score_above_zero_or_the_threshold() -> None:
    def graded(example: Example, state: State) -> Score:
        return Score(0.4 if int(example["text"].split()[1]) % 2 else 0.0)

    for threshold, wanted in ((None, 4), (0.5, 0), (0.4, 4)):
        how = Bootstrapping(threshold=threshold)
        _, ledger = searched(BootstrapSearch(programs=0, how=how), metric=graded)
        assert len(ledger.rounds[-1].memo["walks"][0]["found"]) == wanted


def test_it_stops_at_a_score_that_is_good_enough() -> None:
    def helped(request: Request) -> str:
        return answered(text_in(request), len(request.messages) > 2 or share(text_in(request)) < 0.3)

    result, ledger = searched(BootstrapSearch(programs=6, stop_at_score=0.9), program(demos=Demos(2)), helped)
    assert result.stopped == "a set of demonstrations scores 0.9 or more on val"
    evaluated = ledger.rounds[-2].memo["evaluated"]
    assert len(evaluated) == 2, "none, and the labelled sample"
    assert result.improved


def test_the_best_mean_goes_on_to_the_confirmation() -> None:
    def pleased(request: Request) -> str:
        """The more demonstrations, the better."""
        return answered(text_in(request), share(text_in(request)) < 0.3 + 0.1 * len(request.messages) / 2)

    given = program(demos=Demos(4))
    result, _ = searched(BootstrapSearch(programs=4, how=Bootstrapping(labelled=0)), given, pleased)
    assert len(result.program.values["label.demos"]) == 4


def test_the_budget_ends_it_and_what_was_evaluated_in_full_counts() -> None:
    result, _ = searched(BootstrapSearch(programs=16), program(demos=Demos(4)), calls=200)
    assert result.stopped == "the search's share of the budget is spent"
    assert result.usage.calls <= 200


def test_without_demonstrations_to_vary_it_refuses() -> None:
    with pytest.raises(VariableError, match=r"'bootstrap' varies demos, and program 'colours' has only text"):
        searched(BootstrapSearch(), program(instructions=Text()))


class Sort(Signature):
    """Say what kind of text it is."""

    text: str = Input()
    kind: Literal["odd", "even"] = Output()


class Name(Signature):
    """Name the colour."""

    text: str = Input()
    kind: str = Input()
    label: Literal["red", "green", "blue"] = Output()


def staged(request: Request) -> str:
    """Two stages: the kind is not in the data, and the label is right for every other text."""
    text = text_in(request)
    number = int(text.split()[1])
    if "[[kind]]" in request.messages[0]["content"] and "[[label]]" not in request.messages[0]["content"]:
        return f"[[kind]]\n{'odd' if number % 2 else 'even'}\n\n[[end]]"
    return answered(text, number % 2 == 0)


def test_each_step_of_a_pipeline_gets_its_own_demonstrations_out_of_the_same_runs() -> None:
    steps = (predict(Sort, name="sort", demos=Demos(3)), predict(Name, name="name", demos=Demos(3)))
    given = Program(name="two", pipeline=steps)
    how = Bootstrapping(bootstrapped=3, labelled=0)
    _, ledger = searched(BootstrapSearch(programs=0, how=how), given, staged)
    values = sets_of(ledger)[-1].values
    assert [item["kind"] for item in values["sort.demos"]] == ["even"] * 3
    assert [item["text"] for item in values["sort.demos"]] == [item["text"] for item in values["name.demos"]]
    assert all(item["kind"] == "even" and "label" in item for item in values["name.demos"])


def test_of_several_calls_of_a_step_one_is_taken_by_lot() -> None:

    given = program(demos=Demos(2))
    (hole,) = holes(given, given.values, "demos")
    taken: list[int] = []
    for trial in range(200):
        calls = [Trace("label", {"text": f"{trial}/{number}"}, {"label": "red"}) for number in range(3)]
        shown = shown_in(
            hole, [Trace("label", {"text": "x"}, None), *calls, Trace("other", {"text": "y"}, {"label": "red"})]
        )
        assert shown is not None
        taken.append(int(shown["text"].partition("/")[2]))
    assert 70 < taken.count(2) < 130
    assert min(taken.count(0), taken.count(1)) > 20
