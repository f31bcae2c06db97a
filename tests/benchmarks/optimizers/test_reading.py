"""A request reads the same whichever framework and adapter wrote it."""

from __future__ import annotations

from typing import Any

import pytest

import dspex
from benchmarks.optimizers.families import world
from benchmarks.optimizers.programs import program
from benchmarks.optimizers.reading import read
from benchmarks.optimizers.server import Session, answer
from benchmarks.optimizers.worlds import Case, View, World
from dspex.kernel.ports import Request
from tests.benchmarks.optimizers.prompts import question

RULES = world("rules", 3)
STAGE = RULES.stages[0]


def ours(world: World, case: Case, adapter: str, values: dict[str, Any]) -> dict[str, Any]:
    """The request that a program of ours makes."""
    seen: list[Request] = []

    def model(request: Request) -> str:
        seen.append(request)
        return answer(Session(world, 10), body(request))

    runtime = dspex.runtime(lm=dspex.ScriptedLM(model), adapter=adapter, file="none", cache="none")
    state = dspex.run(program(world).configured(values), {"ticket": case.text}, runtime)
    assert state["team"] in world.stages[0].answers
    return body(seen[0])


def body(request: Request) -> dict[str, Any]:
    """A request as it goes over the wire."""
    return {"model": "small", "messages": list(request.messages), **request.settings}


def view(request: dict[str, Any]) -> View:
    """What the request tells, but for length and form, which differ between frameworks."""
    found = RULES.view(read(request), STAGE)
    return View(found.stage, found.tips, found.demos, model=found.model, reasons=found.reasons)


@pytest.mark.parametrize("adapter", ["chat", "json", "xml"])
def test_every_adapter_and_the_peers_form_tell_the_same(adapter: str) -> None:
    case, *demos = RULES.splits["train"][:4]
    shown = [{"ticket": item.text, "team": item.label["team"]} for item in demos]
    told = f"{STAGE.instructions} {RULES.tips[0].text}\nIn doubt answer nothing."
    made = ours(RULES, case, adapter, {"route.instructions": told, "route.demos": shown})
    theirs = question(STAGE, case, demos, told)
    assert read(made).case == read(theirs).case == case.code
    assert view(made) == view(theirs)
    assert RULES.tips[0] in view(made).tips
    assert view(made).demos == tuple((item.code, item.label["team"]) for item in demos)


def test_what_is_not_said_is_not_read() -> None:
    case = RULES.splits["val"][0]
    assert RULES.tips[0] not in view(question(STAGE, case)).tips
    assert not view(question(STAGE, case, instructions="Decide.")).tips


def test_a_question_of_no_case_or_of_other_fields_is_none_of_the_stages() -> None:
    case = RULES.splits["val"][0]
    asked = question(STAGE, case)
    assert RULES.stage_of(read(asked)) is STAGE
    asked["messages"][-1]["content"] = asked["messages"][-1]["content"].replace("## team ##", "## summary ##")
    assert RULES.stage_of(read(asked)) is None
