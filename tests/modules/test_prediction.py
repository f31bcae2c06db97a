"""Steps that ask a model: settings, history, the second question, and what is refused before the first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest

from dspex.errors import (
    ConfigurationError,
    CutOffError,
    ParseError,
    RateLimitError,
    RefusedError,
    SignatureError,
    UnknownNameError,
)
from dspex.kernel.execution import execute, prepare
from dspex.kernel.ports import Completion, Event, Request, Runtime, Usage
from dspex.kernel.program import Program, Step
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.state import State, StepError
from dspex.kernel.variables import Demos, Float, Text
from dspex.modules.prediction import chain_of_thought, predict
from tests.modules.runtimes import runtime


class Route(Signature):
    """Route the ticket."""

    ticket: str = Input()
    team: Literal["billing", "technical"] = Output()


GOOD = "[[team]]\nbilling\n\n[[end]]"
BAD = "[[team]]\nsales\n\n[[end]]"


def program(step: Step) -> Program:
    return Program(name="p", pipeline=(step,))


def run(step: Step, using: Runtime, **overrides: Any) -> State:
    return asyncio.run(execute(program(step), {"ticket": "I paid twice"}, using, overrides=overrides, sample=2))


def in_turn(*answers: str | Completion | Exception) -> tuple[list[Request], Callable[[Request], str | Completion]]:
    """A script that gives these answers one after another, and the requests it got."""
    seen: list[Request] = []

    def script(request: Request) -> str | Completion:
        seen.append(request)
        answer = answers[len(seen) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return seen, script


def test_options_go_on_the_wire_and_the_answer_into_the_state() -> None:
    seen, script = in_turn(GOOD)
    state = run(predict(Route, temperature=0.5, max_tokens=40, model="scripted/y"), runtime(script))
    assert state.outputs(Route).team == "billing"
    assert seen[0].settings == {"temperature": 0.5, "max_tokens": 40}
    assert (seen[0].model, seen[0].sample) == ("scripted/y", 2)
    assert "Route the ticket." in seen[0].messages[0]["content"]


def test_variables_are_resolved_and_what_is_unset_is_absent() -> None:
    seen, script = in_turn(GOOD, GOOD)
    step = predict(Route, instructions=Text(), demos=Demos(max=2), temperature=Float(0, 1, default=0.25))
    run(step, runtime(script))
    assert seen[0].settings == {"temperature": 0.25}
    demo = {"ticket": "No light", "team": "technical"}
    run(step, runtime(script), **{"predict.instructions": "Think of money.", "predict.demos": [demo]})
    assert "Think of money." in seen[1].messages[0]["content"]
    assert "Route the ticket." not in seen[1].messages[0]["content"]
    assert len(seen[1].messages) == 4


def test_a_call_is_one_record_with_everything_in_it() -> None:
    seen, script = in_turn(Completion(GOOD, usage=Usage(1, 10, 5, 0.1)))
    events: list[Event] = []
    state = run(predict(Route, temperature=0.5), runtime(script, observer=events.append))
    (record,) = state.history
    assert (record.step, record.module, record.model) == ("predict", "predict", "scripted/x")
    assert record.inputs == {"ticket": "I paid twice"}
    assert record.outputs == {"team": "billing"}
    assert record.settings == {"temperature": 0.5}
    assert record.messages == tuple(seen[0].messages)
    assert (record.completion, record.rung, record.notes, record.error) == (GOOD, "strict", (), None)
    assert record.usage == Usage(1, 10, 5, 0.1)
    assert record.seconds > 0
    assert [item.kind for item in events] == ["step.started", "call.finished", "step.finished"]
    assert events[1].data["record"] is record


def test_an_answer_that_does_not_fit_is_asked_for_once_more() -> None:
    seen, script = in_turn(BAD, GOOD)
    events: list[Event] = []
    state = run(predict(Route), runtime(script, observer=events.append))
    assert state["team"] == "billing"
    assert [item["role"] for item in seen[1].messages] == ["system", "user", "assistant", "user"]
    assert "got 'sales'" in seen[1].messages[-1]["content"]
    first, second = state.history
    assert (first.outputs, first.rung, first.completion) == (None, None, BAD)
    assert first.error is not None
    assert first.error.startswith("ParseError: ")
    assert (second.outputs, second.error) == ({"team": "billing"}, None)
    assert state.usage.calls == 2
    assert [item.kind for item in events] == ["step.started", "call.failed", "call.finished", "step.finished"]


@pytest.mark.parametrize(("options", "calls"), [({}, 2), ({"reask": 1}, 2), ({"reask": 0}, 1)])
def test_it_is_asked_as_often_as_the_option_says(options: dict[str, Any], calls: int) -> None:
    seen, script = in_turn(BAD, BAD)
    with pytest.raises(StepError) as failed:
        run(predict(Route, **options), runtime(script))
    assert isinstance(failed.value.cause, ParseError)
    assert not failed.value.infrastructure
    assert len(seen) == len(failed.value.state.history) == calls


@pytest.mark.parametrize(
    ("options", "answer", "calls", "cause"),
    [
        ({"max_tokens": 3}, Completion(GOOD, "length"), 1, CutOffError),
        ({}, Completion(GOOD, "length"), 2, CutOffError),
        ({}, Completion("", "refused"), 1, RefusedError),
    ],
)
def test_what_would_come_back_the_same_is_not_asked_again(
    options: dict[str, Any], answer: Completion, calls: int, cause: type[Exception]
) -> None:
    seen, script = in_turn(answer, answer)
    with pytest.raises(StepError) as failed:
        run(predict(Route, **options), runtime(script))
    assert isinstance(failed.value.cause, cause)
    assert not failed.value.infrastructure
    assert len(seen) == calls


def test_a_call_that_fails_is_in_the_history() -> None:
    _, script = in_turn(RateLimitError("slow down"))
    with pytest.raises(StepError) as failed:
        run(predict(Route), runtime(script))
    assert failed.value.infrastructure
    (record,) = failed.value.state.history
    assert (record.error, record.completion, record.usage.calls) == ("RateLimitError: slow down", None, 0)
    assert len(record.messages) == 2


def test_chain_of_thought_reasons_before_it_answers() -> None:
    step = chain_of_thought(Route)
    assert [item.name for item in step.signature.outputs] == ["reasoning", "team"]
    _, script = in_turn(f"[[reasoning]]\nMoney.\n\n{GOOD}")
    assert run(step, runtime(script)).outputs() == {"reasoning": "Money.", "team": "billing"}


def test_chain_of_thought_needs_its_name() -> None:
    with pytest.raises(SignatureError, match="rename that input"):
        chain_of_thought("reasoning -> answer")


def test_an_unknown_option_is_refused_where_it_is_written() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'temperature'"):
        predict(Route, temprature=0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": "hot"}, "'temperature' needs a number of at least 0, got 'hot'"),
        ({"temperature": -1}, "'temperature' needs a number"),
        ({"temperature": True}, "'temperature' needs a number"),
        ({"top_p": 1.5}, r"'top_p' needs a number in 0\.\.1"),
        ({"max_tokens": 0}, "'max_tokens' needs a whole number"),
        ({"max_tokens": 1.5}, "'max_tokens' needs a whole number"),
        ({"stop": [1]}, "'stop' needs a text or a list of texts"),
        ({"instructions": 3}, "'instructions' needs a text"),
        ({"extra_body": "x"}, "'extra_body' needs a mapping"),
        ({"reask": 2}, "'reask' needs 0 or 1"),
        ({"reask": True}, "'reask' needs 0 or 1"),
        ({"adapter": "jsn"}, "unknown adapter 'jsn' in step 'predict'; did you mean 'json'"),
        ({"demos": "none"}, "'demos' needs a list of mappings"),
        (
            {"demos": [{"tickt": "x", "team": "billing"}]},
            "unknown field 'tickt' .*demonstration 1; did you mean 'ticket'",
        ),
        ({"demos": [{"ticket": "x"}]}, "demonstration 1: it shows none of the outputs"),
        ({"demos": [{"ticket": "x", "team": "sales"}]}, "demonstration 1: .*team"),
        ({"demos": [{"ticket": 3, "team": "billing"}]}, "demonstration 1: .*ticket"),
    ],
)
def test_a_wrong_option_is_refused_before_the_first_call(options: dict[str, Any], said: str) -> None:
    seen, script = in_turn(GOOD)
    with pytest.raises(ConfigurationError, match=said):
        prepare(program(predict(Route, **options)), runtime(script))
    assert seen == []


def test_without_a_model_it_says_so() -> None:
    using = runtime(lambda request: GOOD)
    with pytest.raises(ConfigurationError, match="no model is set"):
        prepare(program(predict(Route)), Runtime(using.lm, "", using.adapters, using.modules))
