"""A metric that tells nothing apart ends the search early; one that may yet does not."""

from __future__ import annotations

from dspex.kernel.ports import Request, Score
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from dspex.kernel.variables import Float, Text
from tests.optimization.searching import searched
from tests.optimization.simulators import (
    HINT,
    answered,
    counted,
    guidance,
    hinted,
    is_proposal,
    program,
    share,
    text_in,
)


def test_the_same_partial_score_for_all_ends_it_after_a_few_candidates() -> None:
    def half(example: Example, state: State) -> float:
        return 0.5

    result = searched(program(temperature=Float(0, 1)), hinted, 2000, metric=half, strategy="random")
    assert result.stopped.startswith("the metric gave 0.5 to all")
    assert "look at the metric" in result.stopped
    assert result.usage.calls < 150


def test_zero_for_all_is_given_longer_and_ends_too() -> None:
    def never(example: Example, state: State) -> bool:
        return False

    result = searched(program(temperature=Float(0, 1)), hinted, 2000, metric=never, strategy="random")
    assert result.stopped.startswith("the metric gave 0 to all")
    assert 96 <= result.usage.calls < 300


def test_a_search_that_begins_with_nothing_but_zeros_can_still_win() -> None:
    def model(request: Request) -> str:
        if is_proposal(request):
            return hinted(request)
        text = text_in(request)
        return answered(text, HINT in guidance(request) and share(text) < 0.9)

    result = searched(program(instructions=Text()), model, 1200)
    assert result.improved


def test_what_a_proposer_does_without_feedback_is_said() -> None:
    def speaking(example: Example, state: State) -> Score:
        right = state["label"] == example["label"]
        return Score(float(right), None if right else "Compare the second letters.")

    def silent(example: Example, state: State) -> bool:
        return bool(state["label"] == example["label"])

    model, _ = counted(hinted)
    notes = [
        searched(program(instructions=Text()), model, 200, metric=metric, strategy="reflection").notes
        for metric in (speaking, silent)
    ]
    said = "the metric gives no feedback in words, so reflection goes by the expected answers and the scores"
    assert [any(said in note for note in found) for found in notes] == [False, True]
