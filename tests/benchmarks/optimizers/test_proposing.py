"""The writer of instructions sees what a request shows, however it is shown."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from benchmarks.optimizers.evidence import seen
from benchmarks.optimizers.families import world
from benchmarks.optimizers.reading import read
from benchmarks.optimizers.server import Session, answer
from benchmarks.optimizers.worlds import Case
from tests.benchmarks.optimizers.prompts import reflection

RULES = world("rules", 3)
STAGE = RULES.stages[0]
PRESENT = f"{STAGE.instructions}\n\nThink of the customer.\n{RULES.tips[0].text}"
CASES = [case for case in RULES.splits["train"] if len(case.topics) == 1][:3]


def tagged(present: str, told: list[tuple[Case, str, str]]) -> dict[str, Any]:
    """Ours: the present instructions between tags, mistakes as lines of JSON, the new ones wanted between tags."""
    rows = "\n".join(
        json.dumps({"inputs": {"ticket": case.text}, "answered": {"team": given}, "feedback": said})
        for case, given, said in told
    )
    asked = (
        f"Current instructions:\n<current>\n{present}\n</current>\n\nMistakes made under the current instructions, one "
        f"on a line:\n{rows}\n\nWrite the improved instructions between <instructions> and </instructions>, and "
        "nothing else."
    )
    return {"model": "small", "temperature": 0.8, "messages": [{"role": "user", "content": asked}]}


def listed(present: str, told: list[tuple[Case, str, str]]) -> dict[str, Any]:
    """DSPy's SIMBA: a module's definition with its instructions, trajectories as JSON."""
    rows = "\n\n".join(
        f"{json.dumps({'ticket': case.text})}\n{json.dumps({'feedback': said})}" for case, _, said in told
    )
    asked = (
        f"[[ ## modules_defn ## ]]\n{'-' * 80}\nModule route\n\tOriginal Instructions: \n\t\t{present}\n{'-' * 80}\n\n"
        f"[[ ## program_inputs ## ]]\n{rows}\n\nRespond with the corresponding output fields, starting with the field "
        "`[[ ## discussion ## ]]`, then `[[ ## module_advice ## ]]` (must be formatted as a valid Python dict[str, "
        "str]), and then ending with the marker for `[[ ## completed ## ]]`."
    )
    return {"model": "small", "messages": [{"role": "user", "content": asked}]}


TOLD = [(case, "nobody", f"Expected {case.truth['team']!r}, got 'nobody'.") for case in CASES]


@pytest.mark.parametrize("form", [tagged, reflection])
def test_the_present_instructions_are_found_and_the_evidence_is_the_same(form: Any) -> None:
    asked = form(PRESENT, TOLD) if form is tagged else form(STAGE, PRESENT, TOLD)
    found = seen(RULES, read(asked), STAGE, Random(0))
    assert found.present == PRESENT
    assert found.cases == len(CASES)
    assert sum(found.right.values()) == len(CASES)
    assert not found.named


def test_what_a_programs_source_says_is_no_evidence_for_it() -> None:
    found = seen(RULES, read(listed(STAGE.instructions, TOLD)), STAGE, Random(0))
    assert found.present == STAGE.instructions
    assert not found.named


def test_rewriting_keeps_what_is_no_advice_and_most_of_what_is_right() -> None:
    session = Session(RULES, 1000)
    written = [answer(session, tagged(PRESENT, TOLD)) for _ in range(30)]
    assert all(text.startswith("<instructions>Decide which team should answer the ticket.") for text in written)
    assert all("Think of the customer." in text for text in written)
    assert sum(RULES.tips[0].text in text for text in written) >= 25
    assert not any("case " in text for text in written)


def test_misleading_sentences_go_the_sooner_the_more_they_are_contradicted() -> None:
    wrong = next(tip for tip in RULES.given(STAGE.instructions) if tip.kind == "wrong")
    against = [case for case in RULES.splits["train"] if case.topics == (wrong.topic,)][:4]

    def kept(cases: list[Case]) -> int:
        told = [(case, "nobody", f"Expected {case.truth['team']}") for case in cases]
        session = Session(RULES, 1000)
        return sum(wrong.text in answer(session, tagged(STAGE.instructions, told)) for _ in range(60))

    assert kept(against) < kept(against[:1]) < kept([]) == 60


def test_advice_comes_as_it_is_asked_for() -> None:
    said = answer(Session(RULES, 10), listed(STAGE.instructions, TOLD))
    advice = json.loads(said.partition("[[ ## module_advice ## ]]")[2].partition("[[ ## completed ## ]]")[0])
    assert set(advice) == {"route"}
