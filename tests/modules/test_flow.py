"""Steps made of steps: choosing among them, and functions over them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dspex.errors import AnswerError, ConfigurationError, ProgramError, RequestError, UnknownNameError
from dspex.kernel.execution import execute, prepare
from dspex.kernel.ports import Request
from dspex.kernel.program import Program, Step
from dspex.kernel.state import State, StepError
from dspex.kernel.variables import Float, Integer
from dspex.modules.flow import Steps, call, choose
from dspex.modules.prediction import chain_of_thought, predict
from tests.modules.runtimes import runtime


def script(request: Request) -> str:
    return "[[reasoning]]\nso\n\n[[answer]]\nyes\n\n[[end]]"


def run(step: Step, inputs: dict[str, Any], **overrides: Any) -> State:
    program = Program(name="p", pipeline=(step,))
    return asyncio.run(execute(program, inputs, runtime(script), overrides=overrides))


async def refine(steps: Steps, question: str, rounds: int = 1) -> dict[str, Any]:
    draft = await steps.draft(question=question)
    for _ in range(rounds):
        draft = await steps["revise"](question=question, draft=draft["answer"])
    return {"answer": draft["answer"]}


def not_async(steps: Steps, question: str) -> Any:
    return {"answer": question}


async def returns_nothing(steps: Steps, question: str) -> None:
    return None


async def asks_a_step_that_is_not_there(steps: Steps, question: str) -> Any:
    return await steps.drft(question=question)


def flow(**options: Any) -> Step:
    return call(
        refine,
        "question -> answer",
        steps={
            "draft": predict("question -> answer", temperature=Float(0, 1)),
            "revise": choose(predict("question, draft -> answer"), chain_of_thought("question, draft -> answer")),
        },
        name="flow",
        **options,
    )


def test_the_choice_is_a_variable_and_what_hangs_on_it_is_conditional() -> None:
    step = choose(
        predict("q -> answer", temperature=Float(0, 1)),
        chain_of_thought("q -> answer", temperature=Float(0, 1)),
        predict("q -> answer"),
        name="route",
        default="chain_of_thought",
    )
    assert [item.name for item in step.steps] == ["predict", "chain_of_thought", "predict_2"]
    assert [item.name for item in step.signature.outputs] == ["answer"]
    space = Program(name="p", pipeline=(step,)).space
    assert [item.path for item in space] == [
        "route.choice", "route.predict.temperature", "route.chain_of_thought.temperature",
    ]  # fmt: skip
    assert space.complete({}) == {"route.choice": "chain_of_thought", "route.chain_of_thought.temperature": 0}


def test_only_the_chosen_step_is_performed() -> None:
    step = choose(predict("q -> answer"), chain_of_thought("q -> answer"))
    assert [item.step for item in run(step, {"q": "?"}).history] == ["choose.predict"]
    state = run(step, {"q": "?"}, **{"choose.choice": "chain_of_thought"})
    assert [item.step for item in state.history] == ["choose.chain_of_thought"]
    assert state.outputs() == {"reasoning": "so", "answer": "yes"}


def test_a_chosen_step_gets_the_inputs_it_takes() -> None:
    step = choose(predict("q -> answer"), predict("q, context -> answer", name="informed"))
    assert [item.name for item in step.signature.inputs] == ["q", "context"]
    assert run(step, {"q": "?", "context": "!"}).history[0].inputs == {"q": "?"}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((), "at least one step"),
        ((predict("q -> a"), predict("q -> b")), "no output is given by all"),
        ((predict("q -> a"), predict("q -> a: int")), "no output is given by all"),
        ((predict("q -> a"), predict("q: int -> a")), "different types"),
    ],
)
def test_steps_that_cannot_be_alternatives_are_refused(steps: tuple[Step, ...], said: str) -> None:
    with pytest.raises(ProgramError, match=said):
        choose(*steps)


def test_the_default_choice_has_to_exist() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'predict'"):
        choose(predict("q -> a"), default="predct")


def test_a_flow_runs_over_its_steps_and_is_configured_by_path() -> None:
    step = flow(rounds=Integer(1, 3, default=2))
    program = Program(name="p", pipeline=(step,))
    assert [item.path for item in program.space] == ["flow.rounds", "flow.draft.temperature", "flow.revise.choice"]
    state = run(step, {"question": "?"}, **{"flow.draft.temperature": 0.5, "flow.rounds": 1})
    assert state.outputs() == {"answer": "yes"}
    assert [item.step for item in state.history] == ["flow.draft", "flow.revise.predict", "flow"]
    assert state.history[0].settings == {"temperature": 0.5}
    assert len(run(step, {"question": "?"}).history) == 4


def test_a_flow_is_data() -> None:
    program = Program(name="p", pipeline=(flow(),))
    loaded = Program.from_data(program.to_data())
    assert loaded == program
    assert loaded.pipeline[0].options["function"] == f"{__name__}:refine"
    assert asyncio.run(execute(loaded, {"question": "?"}, runtime(script)))["answer"] == "yes"


def test_a_flow_has_to_be_async_and_to_take_what_it_is_given() -> None:
    with pytest.raises(ConfigurationError, match="async function"):
        call(not_async, "question -> answer", steps={})
    with pytest.raises(UnknownNameError, match=r"unknown option 'round' .*did you mean 'rounds'"):
        prepare(Program(name="p", pipeline=(flow(round=1),)), runtime(script))
    with pytest.raises(UnknownNameError, match="unknown input 'query'"):
        prepare(Program(name="p", pipeline=(call(refine, "query -> answer", steps={}),)), runtime(script))


def test_a_flow_that_goes_wrong_says_where() -> None:
    steps = {"draft": predict("question -> answer")}
    with pytest.raises(StepError, match="does not fit") as failed:
        run(call(returns_nothing, "question -> answer", steps=steps), {"question": "?"})
    assert isinstance(failed.value.cause, AnswerError)
    assert failed.value.state.history[-1].error is not None
    with pytest.raises(StepError, match=r"sub-step 'drft' .*did you mean 'draft'"):
        run(call(asks_a_step_that_is_not_there, "question -> answer", steps=steps), {"question": "?"})


async def side_by_side(steps: Steps, question: str) -> dict[str, Any]:
    """Two chains at once."""

    async def chain(first: str, second: str) -> str:
        found = await steps[first](question=question)
        return str((await steps[second](question=found["answer"]))["answer"])

    one, other = await asyncio.gather(chain("a", "b"), chain("c", "d"))
    return {"answer": f"{one} {other}"}


def chains() -> Step:
    steps = {name: predict("question -> answer", instructions=f"You play {name}.") for name in "abcd"}
    return call(side_by_side, "question -> answer", steps=steps, name="flow")


def named(request: Request) -> str:
    return request.messages[0]["content"].partition("You play ")[2][0]


@pytest.mark.parametrize("late", ["", "a", "b", "c", "d", "ab", "ac", "ad", "bc", "bd", "cd"])
def test_the_history_of_chains_side_by_side_is_the_same_whichever_is_answered_first(late: str) -> None:
    async def answer(request: Request) -> str:
        for _ in range(20 if named(request) in late else 1):
            await asyncio.sleep(0)
        return f"[[answer]]\n{named(request)}\n\n[[end]]"

    state = asyncio.run(execute(Program(name="p", pipeline=(chains(),)), {"question": "?"}, runtime(answer)))
    assert [item.step for item in state.history] == ["flow.a", "flow.b", "flow.c", "flow.d", "flow"]
    assert state["answer"] == "b d"


@pytest.mark.parametrize("late", ["a", "c"])
def test_where_one_of_two_fails_what_is_under_way_is_in_the_history_and_no_other_is_begun(late: str) -> None:
    asked: list[str] = []

    async def answer(request: Request) -> str:
        asked.append(named(request))
        for _ in range(20 if named(request) in late else 1):
            await asyncio.sleep(0)
        if named(request) == "a":
            raise RequestError("no")
        return f"[[answer]]\n{named(request)}\n\n[[end]]"

    with pytest.raises(StepError) as failed:
        asyncio.run(execute(Program(name="p", pipeline=(chains(),)), {"question": "?"}, runtime(answer)))
    seen = [item.step for item in failed.value.state.history]
    assert seen[0] == "flow.a"
    assert sorted(seen) == sorted(["flow", *(f"flow.{name}" for name in asked)])
    assert ("d" in asked) == (late == "a")
