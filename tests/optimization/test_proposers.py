"""What each proposer makes of parents, training data and a model's words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Literal

import pytest

from dspex.clients.budget import Budget
from dspex.clients.scripted import ScriptedLM
from dspex.errors import CutOffError, RateLimitError
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Completion, Message, Request
from dspex.kernel.program import Program
from dspex.kernel.signature import Example, Input, Output, Signature
from dspex.kernel.variables import Choice, Demos, Float, Text
from dspex.modules.flow import choose
from dspex.modules.prediction import chain_of_thought, predict
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem
from dspex.optimization.proposers.crossover import Crossover, Trimming
from dspex.optimization.proposers.demonstrations import BootstrapDemonstrations
from dspex.optimization.proposers.reflection import Reflection
from dspex.optimization.proposers.sampling import LocalSteps, RandomDraws
from dspex.optimization.stages import labelled, transplanted
from tests.optimization.proposing import Values, proposed
from tests.optimization.simulators import (
    Colour,
    answered,
    counted,
    gold,
    hinted,
    is_proposal,
    program,
    rows,
    runtime,
    text_in,
)


def test_labelled_demonstrations_are_training_rows_within_the_limit_and_cost_nothing() -> None:
    model, seen = counted(hinted)
    found = proposed(BootstrapDemonstrations(), program(demos=Demos(5)), 12, model=model)
    train = [dict(item.values) for item in rows(30)]
    sets = [item.values["label.demos"] for item in found]
    assert len(sets) == 12
    assert all(1 <= len(shown) <= 5 and all(item in train for item in shown) for shown in sets)
    assert len({json.dumps(shown) for shown in sets}) > 8
    assert {len(shown) for shown in sets} > {5}
    assert seen == []


def test_demonstrations_of_a_step_that_data_does_not_spell_out_are_its_own_verified_traces() -> None:
    def reasons(request: Request) -> str:
        text = text_in(request)
        right = int(text.split()[1]) % 3 > 0
        return answered(text, right).replace("[[label]]", f"[[reasoning]]\nbecause of {text}\n\n[[label]]")

    step = chain_of_thought(Colour, name="label", demos=Demos(3))
    model, seen = counted(reasons)
    found = proposed(BootstrapDemonstrations(), program(step), 6, model=model)
    assert len(seen) == 24
    shown = [item for proposal in found for item in proposal.values["label.demos"]]
    assert shown
    assert all(item["reasoning"] == f"because of {item['text']}" for item in shown)
    assert all(item["label"] == gold(item["text"]) for item in shown)


class Sort(Signature):
    """Say what kind of text it is."""

    text: str = Input()
    kind: str = Output()


class Tell(Signature):
    """Name the colour."""

    text: str = Input()
    kind: str = Input()
    label: Literal["red", "green", "blue"] = Output()


def test_each_stage_gets_demonstrations_out_of_runs_that_came_out_right_as_a_whole() -> None:
    def staged(request: Request) -> str:
        text = text_in(request)
        number = int(text.split()[1])
        if "[[label]]" in request.messages[0]["content"]:
            return answered(text, number % 3 > 0)
        return f"[[kind]]\nkind {number % 3}\n\n[[end]]"

    steps = (predict(Sort, name="sort", demos=Demos(3)), predict(Tell, name="tell", demos=Demos(3)))
    model, seen = counted(staged)
    found = proposed(BootstrapDemonstrations(), Program(name="two", pipeline=steps), 6, model=model)
    assert len(seen) == 2 * 24, "each training example once, for all stages and all sets"
    for item in found:
        sort, tell = item.values["sort.demos"], item.values["tell.demos"]
        assert sort
        assert tell
        assert {shown["kind"] for shown in (*sort, *tell)} <= {"kind 1", "kind 2"}
        assert all(set(shown) == {"text", "kind"} for shown in sort)
        assert all(shown["label"] == gold(shown["text"]) for shown in tell)


def test_rows_whose_labels_do_not_fit_are_no_demonstrations() -> None:
    step = predict(Shade, name="label", demos=Demos(3))
    odd = [Example.of({"text": f"odd {number}", "label": "purple"}) for number in range(5)]
    assert labelled(step, [*odd, *rows(3)]) == labelled(step, list(rows(3)))


def test_a_set_may_keep_a_part_of_the_parents() -> None:
    own = [dict(item.values) for item in list(rows(30))[:4]]
    found = proposed(BootstrapDemonstrations(), program(demos=Demos(4)), 30, parents=({"label.demos": own},))
    shared = {sum(item in own for item in proposal.values["label.demos"]) for proposal in found}
    assert {0, 2, 3} <= shared


def test_reflection_shows_instructions_labels_and_failures_and_takes_what_is_between_the_tags() -> None:
    asked: list[Request] = []

    def model(request: Request) -> str:
        if "<instructions>" in request.messages[-1]["content"]:
            asked.append(request)
            return f"Of course.\n<instructions>\nBetter, number {len(asked)}.\n</instructions>\nDone."
        return hinted(request)

    found = proposed(Reflection(passes=1), program(instructions=Text("Say which colour it is.")), 3, model=model)
    assert [item.values["label.instructions"] for item in found] == [f"Better, number {n}." for n in (1, 2, 3)]
    text = asked[0].messages[-1]["content"]
    assert "<current>\nSay which colour it is.\n</current>" in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    labelled = [line for line in lines if "answered" not in line]
    failures = [line for line in lines if "answered" in line]
    assert len(labelled) == 24
    assert all(line["expected"]["label"] == gold(line["inputs"]["text"]) for line in labelled)
    assert 1 <= len(failures) <= 12
    assert all(line["answered"]["label"] != line["expected"]["label"] for line in failures)
    assert all(line["feedback"].startswith("label: expected") for line in failures)


@pytest.mark.parametrize(
    ("answer", "instructions"),
    [
        ("Just this.", "Just this."),
        ("```\nFenced.\n```", "Fenced."),
        ("<instructions>First</instructions> or <instructions>second</instructions>", "second"),
        ("<instructions>short enough\n" + "x" * 50 + "</instructions>", "short enough"),
        ("x" * 60, None),
        ("   ", None),
        ("Name the colour.", None),
    ],
)
def test_what_counts_as_instructions(answer: str, instructions: str | None) -> None:
    def model(request: Request) -> str:
        return answer if "<instructions>" in request.messages[-1]["content"] else hinted(request)

    found = proposed(Reflection(passes=1), program(instructions=Text(max_length=40)), 1, model=model)
    assert [item.values["label.instructions"] for item in found] == ([] if instructions is None else [instructions])


def test_a_proposal_that_fails_in_passing_is_asked_again_and_one_that_is_cut_off_costs_the_others_nothing() -> None:
    refused: list[Request] = []
    samples: list[int] = []

    def model(request: Request) -> str | Completion:
        if "<instructions>" not in request.messages[-1]["content"]:
            return hinted(request)
        if request.sample not in samples:
            samples.append(request.sample)
        place = samples.index(request.sample)
        if place == 0 and len(refused) < 3:
            refused.append(request)
            raise RateLimitError("429: slow down")
        return Completion("<instructions>cut", "length") if place == 1 else f"Fine, {place}."

    found = proposed(Reflection(passes=1), program(instructions=Text()), 3, model=model)
    assert [item.values["label.instructions"] for item in found] == ["Fine, 0.", "Fine, 2."]
    assert len(refused) == 3


def revisions(
    answer: Callable[[int, str], str | Completion],
) -> tuple[Callable[[Request], str | Completion], list[str]]:
    """A model that answers requests for instructions by their number and text; and these texts as they come."""
    asked: list[str] = []

    def model(request: Request) -> str | Completion:
        text = request.messages[-1]["content"]
        if "<instructions>" not in text:
            return hinted(request)
        asked.append(text)
        return answer(len(asked), text)

    return model, asked


def shown_in(text: str, *, answered: bool) -> list[str]:
    """The inputs of the labelled examples in a request, or of the mistakes."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line["inputs"]["text"] for line in lines if ("answered" in line) == answered]


def test_each_pass_goes_on_from_the_text_before_with_evidence_drawn_anew() -> None:
    model, asked = revisions(lambda number, _: f"Draft {number}.")
    found = proposed(Reflection(passes=3), program(instructions=Text("Say it.")), 1, model=model)
    assert [item.values["label.instructions"] for item in found] == ["Draft 3."]
    assert ["<current>\nSay it." in asked[0], "<current>\nDraft 1." in asked[1], "<current>\nDraft 2." in asked[2]]
    examples = [shown_in(text, answered=False) for text in asked]
    assert [len(set(item)) for item in examples] == [24, 24, 24]
    assert len({tuple(sorted(item)) for item in examples}) == 3
    assert all(shown_in(text, answered=True) for text in asked)
    said = [("under the current instructions" in text, "before this revision" in text) for text in asked]
    assert said == [(True, False), (False, True), (False, True)]


def test_a_pass_that_brings_nothing_costs_the_others_nothing() -> None:
    model, asked = revisions(
        lambda number, _: Completion("<instructions>cut", "length") if number == 2 else f"{number}."
    )
    found = proposed(Reflection(passes=3), program(instructions=Text("Say it.")), 1, model=model)
    assert [item.values["label.instructions"] for item in found] == ["3."]
    assert "<current>\n1.\n" in asked[2]


def test_passes_over_several_steps_revise_several_texts_of_one_candidate() -> None:
    steps = (
        predict(Sort, name="sort", instructions=Text("Sort.")),
        predict(Tell, name="tell", instructions=Text("Tell.")),
    )
    model, asked = revisions(lambda number, _: f"Draft {number}.")
    [found] = proposed(Reflection(passes=8), Program(name="two", pipeline=steps), 1, model=model)
    changed = [found.values[path] for path in ("sort.instructions", "tell.instructions")]
    assert all(text.startswith("Draft") for text in changed)
    assert f"Draft {len(asked)}." in changed
    assert "sort" in found.hypothesis
    assert "tell" in found.hypothesis


def test_the_proposer_model_may_be_another_one() -> None:
    counting, seen = counted(hinted)
    problem = Problem(
        program(instructions=Text()), tuple(rows(9)), tuple(rows(9, 50)), (), as_metric(ExactMatch("label")),
        Budget(calls=1),
    )  # fmt: skip
    options = SearchOptions(proposer_model="scripted/writer", proposer_settings={"max_tokens": 7})
    lab = Laboratory(problem, MemoryLedger(), runtime(counting), options)
    message: Message = {"role": "user", "content": "<instructions>"}
    asyncio.run(lab.ask([message], temperature=0.8, sample=4))
    assert [(item.model, dict(item.settings), item.sample) for item in seen] == [
        ("scripted/writer", {"temperature": 0.8, "max_tokens": 7}, 4)
    ]
    assert lab.asked.calls == 1


@pytest.mark.parametrize(
    ("options", "asked"),
    [({}, "scripted/colours"), ({"model": "scripted/own"}, "scripted/own"),
     ({"model": Choice("scripted/first", "scripted/second", default="scripted/second")}, "scripted/second")],
)  # fmt: skip
def test_a_step_is_rewritten_by_its_own_model(options: Values, asked: str) -> None:
    counting, seen = counted(hinted)
    proposed(Reflection(passes=1), program(instructions=Text(), **options), 1, model=counting)
    assert [item.model for item in seen if is_proposal(item)] == [asked]


def test_a_proposer_that_is_cut_off_is_told_from_one_that_answers() -> None:
    problem = Problem(program(instructions=Text()), (), (), (), as_metric(ExactMatch("label")), Budget(calls=1))
    model = ScriptedLM(lambda request: Completion("Write", "length"))
    lab = Laboratory(problem, MemoryLedger(), runtime(model), SearchOptions())
    with pytest.raises(CutOffError, match="raise max_tokens"):
        asyncio.run(lab.ask([{"role": "user", "content": "?"}], temperature=0.8, sample=0))


def test_random_draws_keep_texts_and_demonstrations() -> None:
    given = program(instructions=Text(), temperature=Float(0, 1), adapter=Choice("chat", "json"))
    found = proposed(RandomDraws(), given, 20, parents=({"label.instructions": "Mine."},))
    assert {item.values["label.instructions"] for item in found} == {"Mine."}
    assert len({item.values["label.temperature"] for item in found}) > 15
    assert {item.values["label.adapter"] for item in found} == {"chat", "json"}


def test_local_steps_move_one_variable_a_little() -> None:
    given = program(instructions=Text(), temperature=Float(0, 1, default=0.5), adapter=Choice("chat", "json"))
    for item in proposed(LocalSteps(), given, 20):
        moved = [path for path, value in item.values.items() if given.values[path] != value]
        assert len(moved) == 1
        assert moved[0] in ("label.temperature", "label.adapter")
        assert abs(item.values["label.temperature"] - 0.5) <= 0.11
        assert "->" in item.hypothesis


def test_crossover_takes_each_variable_from_one_of_its_parents() -> None:
    given = program(instructions=Text(), temperature=Float(0, 1), top_p=Float(0, 1))
    one = {"label.instructions": "First.\nBoth.", "label.temperature": 0.1, "label.top_p": 0.1}
    other = {"label.instructions": "Both.\nSecond.", "label.temperature": 0.9, "label.top_p": 0.9}
    found = proposed(Crossover(), given, 40, parents=(one, other))
    assert {item.values["label.temperature"] for item in found} == {0.1, 0.9}
    assert all(item.values not in (one, other) for item in found)
    texts = {item.values["label.instructions"] for item in found}
    assert texts <= {
        "First.\nBoth.", "Both.\nSecond.", "First.\nBoth.\nSecond.", "Both.\nSecond.\nFirst.",
    }  # fmt: skip
    assert len(texts) >= 3


def test_crossover_needs_two() -> None:
    assert proposed(Crossover(), program(temperature=Float(0, 1))) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Keep.\nDrop.\nStay.", {"Drop.\nStay.", "Keep.\nStay.", "Keep.\nDrop."}),
        ("One. Two", {"One.", "Two"}),
        (
            "One. Two.\n- a b. c\n- d",
            {"One.\n- a b. c\n- d", "Two.\n- a b. c\n- d", "One. Two.\n- d", "One. Two.\n- a b. c"},
        ),
        ("Only one", set[str]()),
    ],
)
def test_trimming_leaves_one_line_or_sentence_out(text: str, parts: set[str]) -> None:
    found = proposed(Trimming(), program(instructions=Text(text)), 30)
    assert {item.values["label.instructions"] for item in found} == parts


class Shade(Signature):
    """Name the colour."""

    text: str = Input()
    label: Literal["red", "green", "blue"] = Output()


def test_texts_move_with_the_choice_of_a_step() -> None:
    step = choose(
        predict(Shade, instructions=Text(), demos=Demos(2)),
        chain_of_thought(Shade, instructions=Text()),
        predict(Colour, name="other", instructions=Text(), demos=Demos(1)),
        name="label",
    )
    given = Program(name="c", pipeline=(step,))
    demos = [{"text": "a", "label": "red"}, {"text": "b", "label": "blue"}]
    donor = {"label.choice": "predict", "label.predict.instructions": "Mine.", "label.predict.demos": demos}
    wanted = given.space.complete({"label.choice": "other"})
    moved = transplanted(given, wanted, donor)
    assert moved["label.other.instructions"] == "Mine."
    assert moved["label.other.demos"] == []  # two do not fit where one is allowed
    reasoning = transplanted(given, given.space.complete({"label.choice": "chain_of_thought"}), donor)
    assert reasoning["label.chain_of_thought.instructions"] is None  # another step: it reasons first
