"""Requests that ground instructions in the data and the program, and the proposer that makes candidates of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from dspex.clients.budget import Budget
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Request
from dspex.kernel.program import Program
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.variables import Demos, Text
from dspex.modules.prediction import predict
from dspex.optimization.deciding import SearchView
from dspex.optimization.grounding import TIPS, source_of, summary_of
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem
from dspex.optimization.proposers.grounded import Grounded
from tests.optimization.proposing import proposed
from tests.optimization.simulators import counted, is_proposal, program, rows, runtime


def summarized(model: Callable[[Request], str], train: int, looks: int = 10) -> str:
    problem = Problem(
        program(instructions=Text()), tuple(rows(train)), (), (), as_metric(ExactMatch("label")), Budget(calls=1)
    )  # fmt: skip
    lab = Laboratory(problem, MemoryLedger(), runtime(model), SearchOptions())
    return asyncio.run(summary_of(SearchView(problem, lab.ledger, lab, 1, None), looks))


def texts_of(request: Request) -> str:
    return "\n\n".join(message["content"] for message in request.messages)


def test_the_data_are_looked_at_in_batches_with_what_was_noticed_before_and_then_summed_up() -> None:
    model, seen = counted(lambda request: f" Noticed {len(seen)}. ")
    assert summarized(model, 35) == "Noticed 5."
    looks, last = seen[:-1], texts_of(seen[-1])
    assert [sum(line.startswith('{"text"') for line in texts_of(item).splitlines()) for item in looks] == [
        10,
        10,
        10,
        5,
    ]
    assert "Noticed 1." not in texts_of(looks[0])
    assert all(f"Noticed {number}." in texts_of(looks[3]) for number in (1, 2, 3))
    assert all(f"Noticed {number}." in last for number in (1, 2, 3, 4))
    assert '{"text"' not in last


def test_no_more_than_ten_looks_are_taken_or_as_many_as_asked() -> None:
    for looks, calls in ((10, 11), (2, 3)):
        model, seen = counted(lambda request: "Something.")
        summarized(model, 200, looks)
        assert len(seen) == calls


def test_five_looks_that_bring_nothing_new_are_enough_and_what_they_say_is_left_out() -> None:
    model, seen = counted(lambda request: "Colours." if len(seen) < 3 else "complete - nothing new")
    summarized(model, 200)
    assert len(seen) == 2 + 5 + 1
    assert "complete" not in texts_of(seen[-1]).partition("Colours.")[2]


def test_without_an_observation_there_is_no_summary() -> None:
    model, seen = counted(lambda request: "COMPLETE")
    assert summarized(model, 200) == ""
    assert len(seen) == 5


class Draft(Signature):
    """Draft an answer."""

    question: str = Input("what is asked")
    draft: str = Output()


class Polish(Signature):
    """Polish it.
    Keep it short."""

    draft: str = Input()
    answer: str = Output("one sentence")


def test_a_program_is_shown_with_its_steps_fields_and_instructions() -> None:
    steps = (predict(Draft, name="draft"), predict(Polish, name="polish"))
    text = source_of(Program(name="two", description="Answers.", pipeline=steps))
    assert text.splitlines() == [
        "program two: Answers.",
        "  draft: predict(question (what is asked)) -> draft",
        "    Draft an answer.",
        "  polish: predict(draft) -> answer (one sentence)",
        "    Polish it.",
        "    Keep it short.",
    ]


def model_of(request: Request) -> str:
    """Writes instructions that are all different, and describes what it is shown."""
    text = texts_of(request)
    if is_proposal(request):
        return f"<instructions>Number {request.sample}.</instructions>"
    if "Sum these observations" in text:
        return "The data are short texts on samples."
    if "which task it seems" in text:
        return "It names colours."
    return "It is the whole of it." if "contributes to the whole" in text else "Texts."


def test_a_request_holds_everything_and_each_tip_is_used() -> None:
    model, seen = counted(model_of)
    found = proposed(Grounded(), program(instructions=Text("Say it."), demos=Demos(2)), 30, model=model)
    assert len({item.values["label.instructions"] for item in found}) == len(found) == 30
    asked = [texts_of(item) for item in seen if is_proposal(item)]
    for text in asked:
        assert "The data are short texts on samples." in text
        assert "It names colours." in text
        assert "It is the whole of it." in text
        assert "label: predict(text) -> label" in text
        assert "<current>\nSay it.\n</current>" in text
        shown = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert len(shown) == 3
        assert all(set(item) == {"inputs", "expected"} for item in shown)
    for tip, words in TIPS.items():
        assert any(words in text for text in asked), tip
    assert len(seen) - len(asked) == 3 + 1 + 2, "three looks, one summary, one description each"


def test_the_parents_own_demonstrations_are_shown() -> None:
    own = [{"text": "mine", "label": "red"}]
    model, seen = counted(model_of)
    given = program(instructions=Text(), demos=Demos(2))
    proposed(Grounded(), given, 1, parents=({"label.demos": own},), model=model)
    text = texts_of(next(item for item in seen if is_proposal(item)))
    assert '{"inputs": {"text": "mine"}, "expected": {"label": "red"}}' in text


@pytest.mark.parametrize("answer", ["", "   ", "Say it."])
def test_an_answer_that_is_empty_or_says_the_same_is_no_proposal(answer: str) -> None:
    found = proposed(Grounded(), program(instructions=Text("Say it.")), 2, model=lambda request: answer)
    assert found == []
