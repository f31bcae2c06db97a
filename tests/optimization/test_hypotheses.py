"""Labelled hypotheses: what may be wrong is named, then repaired one by one, and what worked is known by label."""

from __future__ import annotations

from collections import Counter
from random import Random

from dspex.kernel.ports import Request
from dspex.kernel.variables import Text
from dspex.optimization.proposers.hypotheses import Hypothesis, preferred, read_hypotheses
from tests.optimization.searching import found_alike, searched
from tests.optimization.simulators import HINT, counted, hinted, is_proposal, program, share

GIVEN = program(instructions=Text())


def supposing(request: Request) -> str:
    """Of what it supposes, only a missing rule is what is wrong: repaired, the hint is there."""
    asked = request.messages[-1]["content"]
    if "<hypotheses>" in asked:
        return (
            "<hypotheses>\n1. missing rule: nothing says where to look\n- [Clutter]: too much is said\n"
            f"form: the answer {share(asked, request.sample):.3f} is not plain\nmaybe the weather\n</hypotheses>"
        )
    if is_proposal(request):
        found = HINT if "held to be wrong (missing rule)" in asked else f"take care, {share(asked):.3f}"
        return f"<instructions>Name the colour: {found}.</instructions>"
    return hinted(request)


def test_hypotheses_are_read_with_their_labels() -> None:
    said = "1. missing rule: nothing says it\n- [Clutter]: too much\n* Mood: too grave\nno label at all\n\n"
    assert read_hypotheses(f"{said}- missing rule: nothing says it") == [
        Hypothesis("missing rule", "nothing says it"),
        Hypothesis("clutter", "too much"),
        Hypothesis("other", "Mood: too grave"),
        Hypothesis("other", "no label at all"),
    ]


def test_labels_that_helped_are_preferred_and_none_is_given_up() -> None:
    named = [Hypothesis("form", "a"), Hypothesis("clutter", "b"), Hypothesis("missing rule", "c")]
    known = {"form": (0, 6), "clutter": (1, 6), "missing rule": (5, 6)}
    first = Counter(preferred(named, known, 1, Random(seed))[0].label for seed in range(400))
    assert first["missing rule"] > 330
    assert first["clutter"] > 0
    assert len(preferred(named, {}, 9, Random(0))) == 3


def test_each_candidate_repairs_one_hypothesis_and_carries_it() -> None:
    model, seen = counted(supposing)
    result = searched(GIVEN, model, 1200, strategy="vista")
    made = [item for item in result.ledger.candidates.values() if item.operator == "hypothesis"]
    labels = {item.hypothesis.partition(":")[0] for item in made}
    assert "missing rule" in labels
    assert labels <= {"missing rule", "clutter", "form", "other"}
    for item in made:
        if item.hypothesis.startswith("missing rule"):
            assert HINT in item.values["label.instructions"]
    repairs = [item.messages[-1]["content"] for item in seen if is_proposal(item)]
    assert all(text.count("What is held to be wrong") == 1 for text in repairs)
    assert result.improved
    assert HINT in result.program.values["label.instructions"]


def test_what_repairs_have_brought_is_shown_by_label() -> None:
    model, seen = counted(supposing)
    searched(GIVEN, model, 1200, strategy="vista")
    asked = [item.messages[-1]["content"] for item in seen if "<hypotheses>" in item.messages[-1]["content"]]
    assert "What repairs have brought" not in asked[0]
    assert any("- missing rule: 1 of" in text for text in asked)


def test_an_answer_without_hypotheses_proposes_nothing() -> None:
    def mute(request: Request) -> str:
        return "" if "<hypotheses>" in request.messages[-1]["content"] else hinted(request)

    result = searched(GIVEN, mute, 300, strategy="vista")
    assert len(result.ledger.candidates) == 1
    assert result.stopped == "nothing is left to try"


def test_it_finds_the_same_at_any_concurrency_and_however_often_it_is_killed() -> None:
    found_alike(GIVEN, supposing, 400, strategy="vista")
