"""MIPROv2 as published, step by step, and without its faults."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError, ServerError, VariableError
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Request
from dspex.kernel.program import Program
from dspex.kernel.variables import Demos, Float, Text
from dspex.modules.prediction import predict
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Round
from dspex.optimization.runner import optimize
from dspex.optimization.strategies.mipro import Mipro, Plan, Preset, plan_of
from dspex.optimization.strategies.table import strategy_named
from tests.optimization.simulators import (
    Colour,
    answered,
    counted,
    guidance,
    is_proposal,
    program,
    rows,
    runtime,
    share,
    splits,
    text_in,
)

GIVEN = program(instructions=Text(), demos=Demos(6))


def model(request: Request) -> str:
    """Better by the level in the instructions, and by any demonstrations; it writes instructions with a level."""
    text = "\n".join(item["content"] for item in request.messages)
    if is_proposal(request):
        return f"<instructions>Level {int(100 * share(text, request.sample))}.</instructions>"
    if "[[" not in guidance(request):
        return "Short texts on samples."
    level = re.findall(r"Level (\d+)", guidance(request))
    skill = 0.3 + (int(level[-1]) / 250 if level else 0.0) + 0.1 * (len(request.messages) > 2)
    return answered(text_in(request), share(text_in(request)) < skill)


def searched(
    given: Program = GIVEN, answering: Any = model, *, strategy: Any = None, val: int = 60, calls: int = 50_000,
    **more: Any,
) -> tuple[OptimizationResult, MemoryLedger, list[Request]]:  # fmt: skip
    train, chosen, confirm = splits(30, val, 40)
    ledger = MemoryLedger()
    counting, seen = counted(answering)
    result = asyncio.run(
        optimize(
            given, train, chosen, ExactMatch("label"), runtime(counting), confirm=confirm,
            strategy=strategy or Mipro(preset="light"), budget=Budget(calls=calls), ledger=ledger, **more,
        )
    )  # fmt: skip
    return result, ledger, seen


def trials(ledger: MemoryLedger) -> list[tuple[str, str, Round]]:
    """(kind, candidate, its round) of every trial."""
    last = [item for item in ledger.rounds if item.purpose == "search"][-1]
    return [(kind, candidate, ledger.rounds[number]) for _, candidate, number, kind in last.memo["trials"]]


@pytest.mark.parametrize(
    ("preset", "pipeline", "val", "plan"),
    [
        ("light", [{"instructions": Text(), "demos": Demos(4)}], 500, Plan(6, 3, 10, 100, 35)),
        ("medium", [{"instructions": Text(), "demos": Demos(4)}], 500, Plan(12, 6, 18, 300, 35)),
        ("heavy", [{"instructions": Text(), "demos": Demos(4)}], 500, Plan(18, 9, 27, 500, 35)),
        ("light", [{"instructions": Text(), "demos": Demos(4)}] * 2, 500, Plan(6, 3, 20, 100, 35)),
        ("heavy", [{"instructions": Text(), "demos": Demos(4)}] * 3, 2000, Plan(18, 9, 50, 1000, 35)),
        ("light", [{"instructions": Text()}], 500, Plan(6, 6, 9, 100, 35)),
        ("heavy", [{"instructions": Text()}] * 4, 500, Plan(18, 18, 33, 500, 35)),
        ("light", [{"instructions": Text(), "demos": Demos(4)}], 50, Plan(6, 3, 10, 50, None)),
        ("light", [{"instructions": Text(), "demos": Demos(4)}], 51, Plan(6, 3, 10, 51, 35)),
    ],
)
def test_the_arithmetic_of_the_presets(
    preset: Preset, pipeline: Sequence[dict[str, Any]], val: int, plan: Plan
) -> None:
    steps = [predict(Colour, name=f"s{number}", **options) for number, options in enumerate(pipeline)]
    given = Program(name="c", pipeline=steps)
    problem = Problem(given, (), tuple(rows(val)), (), as_metric(ExactMatch("label")), Budget(calls=1))
    assert plan_of(preset, problem) == plan


def test_a_program_gets_better_and_only_texts_and_demonstrations_move() -> None:
    given = program(instructions=Text(), demos=Demos(6), temperature=Float(0, 1, default=0.5))
    result, ledger, _ = searched(given)
    assert result.improved
    assert {item.values["label.temperature"] for item in ledger.candidates.values()} == {0.5}
    assert result.stopped == "all 10 trials are made"


def test_the_sets_are_none_labelled_in_order_and_shuffled() -> None:
    _, ledger, _ = searched()
    memo = ledger.rounds[-2].memo
    sets = [ledger.candidates[item].values["label.demos"] for item in memo["sets"]]
    train = [dict(item.values) for item in rows(30)]
    assert len(sets) == 6
    assert sets[0] == []
    assert len(sets[1]) == 4
    assert all(item in train for item in sets[1])
    assert all(1 <= len(item) <= 4 for item in sets[2:])


def test_instructions_begin_with_the_original_and_are_grounded() -> None:
    _, ledger, seen = searched()
    memo = ledger.rounds[-2].memo
    texts = [ledger.candidates[item].values["label.instructions"] for item in memo["texts"]]
    assert len(texts) == 3
    assert texts[0] is None
    asked = [item for item in seen if is_proposal(item)]
    assert len(asked) == 2, "none is asked for in the place of the original"
    assert {item.settings["temperature"] for item in asked} == {1.0}
    assert len({item.sample for item in asked}) == 2
    for item in asked:
        text = "\n".join(message["content"] for message in item.messages)
        assert "What the data is like:\nShort texts on samples." in text
        assert "What the program does:" in text
        assert "What the step 'label' is for:" in text
        assert 1 <= sum(line.startswith('{"inputs"') for line in text.splitlines()) <= 3
    looks = [item for item in seen if "examples of a data set" in guidance(item)]
    assert len(looks) == 3


def test_what_grounds_an_instruction_is_what_the_teacher_did_right_in_its_set_or_the_next() -> None:
    _, _, seen = searched()
    right = {item["text"] for item in rows(30) if share(item["text"]) < 0.4}
    for request in (item for item in seen if is_proposal(item)):
        shown = [json.loads(line) for line in request.messages[-1]["content"].splitlines() if line.startswith("{")]
        assert {item["inputs"]["text"] for item in shown} <= right


def test_without_demonstrations_to_vary_some_are_bootstrapped_for_grounding_alone() -> None:
    _, ledger, seen = searched(program(instructions=Text()))
    assert all("label.demos" not in item.values for item in ledger.candidates.values())
    asked = [item.messages[-1]["content"] for item in seen if is_proposal(item)]
    assert len(asked) == 5
    assert {text.count('{"inputs"') for text in asked} >= {3}
    assert all(text.count('{"inputs"') in (1, 2, 3) for text in asked)
    assert len(ledger.rounds[-2].memo["texts"]) == 6


def test_the_first_trial_is_the_program_as_it_is_on_all_of_val() -> None:
    _, ledger, _ = searched()
    kind, candidate, round = trials(ledger)[0]
    assert kind == "default"
    assert candidate == ledger.rounds[0].pairs[0][0]
    assert len(round.pairs) == 60


def test_trials_are_on_minibatches_and_every_fifth_is_followed_by_all_of_val() -> None:
    _, ledger, _ = searched()
    found = trials(ledger)
    assert [kind for kind, _, _ in found] == ["default", *["trial"] * 5, "full", *["trial"] * 5, "full"]
    batches = [{pair[1] for pair in round.pairs} for kind, _, round in found if kind == "trial"]
    assert {len(item) for item in batches} == {35}
    assert len({frozenset(item) for item in batches}) == len(batches)
    assert {len(round.pairs) for kind, _, round in found if kind == "full"} == {60}


def test_what_goes_on_to_all_of_val_is_the_best_mean_that_was_not_there() -> None:
    _, ledger, _ = searched(strategy=Mipro(preset="medium"))
    there = {trials(ledger)[0][1]}
    means: dict[str, list[float]] = {}
    promoted = 0
    for kind, candidate, round in trials(ledger)[1:]:
        if kind == "trial":
            scores = ledger.scores(candidate)
            on = [scores[pair[1:]] for pair in round.pairs]
            means.setdefault(candidate, []).append(sum(on) / len(on))
        else:
            rest = {item: sum(own) / len(own) for item, own in means.items() if item not in there}
            assert rest[candidate] == max(rest.values())
            there.add(candidate)
            promoted += 1
    assert promoted >= 3


def test_the_winner_is_the_best_on_all_of_val_whatever_a_minibatch_said() -> None:
    result, ledger, _ = searched(strategy=Mipro(preset="medium"))
    full = {candidate for kind, candidate, _ in trials(ledger) if kind != "trial"}
    val = [item.id for item in rows(60, 1000)]
    means = {item: sum(ledger.scores(item)[key, 0] for key in val) / 60 for item in full}
    assert result.winner is not None
    winner = next(item for item in full if ledger.candidates[item].values == result.winner.values)
    assert means[winner] == max(means.values())


def test_with_few_val_examples_every_trial_is_on_all_of_them() -> None:
    result, ledger, _ = searched(val=40)
    assert [kind for kind, _, _ in trials(ledger)] == ["default", *["trial"] * 10]
    assert {len(round.pairs) for _, _, round in trials(ledger)} == {40}
    assert result.improved


def test_no_more_of_val_than_the_preset_says_is_used() -> None:
    _, ledger, _ = searched(val=130)
    asked = {pair[1] for _, _, round in trials(ledger) for pair in round.pairs}
    assert len(asked) == 100


def test_a_space_of_one_combination_ends_in_order() -> None:
    """The published form raises once everything was on all of val."""

    def mute(request: Request) -> str:
        return "" if is_proposal(request) else model(request)

    result, ledger, _ = searched(program(instructions=Text()), mute)
    assert result.stopped == "all 9 trials are made"
    assert [kind for kind, _, _ in trials(ledger)] == ["default", *["trial"] * 9]


def test_seed_zero_is_a_seed_like_any_other() -> None:
    found = [searched(seed=seed)[1] for seed in (0, 0, 1)]
    choices = [[item.pairs for item in ledger.rounds] for ledger in found]
    assert choices[0] == choices[1]
    assert choices[0] != choices[2]


def test_what_infrastructure_fails_is_no_zero() -> None:
    def shaky(request: Request) -> str:
        if "[[" in guidance(request) and share(text_in(request), "hopeless") < 0.1:
            raise ServerError("503 from the server")
        return model(request)

    steady = searched()[1]
    result, ledger, _ = searched(answering=shaky, options=SearchOptions(attempts=1))
    assert result.unevaluated > 0
    default = [scores for scores in (steady.scores(trials(steady)[0][1]), ledger.scores(trials(ledger)[0][1]))]
    assert len(default[1]) < len(default[0])
    assert result.improved


def test_the_preset_is_the_largest_that_the_budget_pays_for() -> None:
    named: list[str] = []
    for calls in (300, 1250, 2500):
        result, _, _ = searched(strategy=Mipro(), calls=calls)
        named += [note for note in result.notes if note.startswith("mipro as published")]
    assert [re.findall(r"\((\w+)\)", note)[0] for note in named] == ["light", "medium", "heavy"]


def test_the_budget_ends_it_and_what_was_on_all_of_val_counts() -> None:
    result, _, seen = searched(calls=320)
    assert result.stopped == "the search's share of the budget is spent"
    assert len(seen) <= 320


def test_it_refuses_where_there_is_nothing_to_combine_or_no_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VariableError, match=r"'mipro' varies demos, text, and program 'colours' has only float"):
        searched(program(temperature=Float(0, 1)))
    monkeypatch.setitem(sys.modules, "optuna", None)
    for schedule in ("classic", None):
        with pytest.raises(ConfigurationError, match=r"pip install 'dspex\[optimize\]'"):
            strategy_named("mipro", SearchOptions(), schedule)
