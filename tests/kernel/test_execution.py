from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from dspex.errors import InputError, ProgramError, RateLimitError, UnknownNameError, VariableError
from dspex.kernel.execution import execute, prepare, start
from dspex.kernel.ports import (
    JSON,
    Capabilities,
    Completion,
    Event,
    Module,
    ModuleSpec,
    Observer,
    Request,
    Runtime,
    StepContext,
)
from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from dspex.kernel.state import Record, State, StepError
from dspex.kernel.variables import Choice, Float


class Silent:
    """A model nobody asks."""

    async def complete(self, request: Request) -> Completion:
        raise AssertionError(request)

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities()

    async def aclose(self) -> None: ...


class Modules:
    def __init__(self, *specs: ModuleSpec) -> None:
        self.specs = {spec.name: spec for spec in specs}

    def get(self, name: str) -> ModuleSpec:
        if name not in self.specs:
            raise UnknownNameError("module", name, self.specs)
        return self.specs[name]

    def names(self) -> Sequence[str]:
        return list(self.specs)


def recorded(context: StepContext, outputs: Mapping[str, JSON]) -> Mapping[str, JSON]:
    context.record(
        Record(
            step=context.path,
            module=context.step.module,
            inputs=dict(context.inputs),
            outputs=dict(outputs),
            settings=dict(context.options),
        )
    )
    return outputs


async def echo(context: StepContext) -> Mapping[str, JSON]:
    """Each output names the step, its inputs and its heat."""
    heat = context.options.get("heat", 0)
    told = ",".join(f"{name}={value}" for name, value in context.inputs.items())
    return recorded(context, {item.name: f"{context.path}({told}){heat}" for item in context.signature.outputs})


async def fail(context: StepContext) -> Mapping[str, JSON]:
    recorded(context, {})
    raise RateLimitError("slow down")


async def forgetful(context: StepContext) -> Mapping[str, JSON]:
    return {"other": 1}


async def chosen(context: StepContext) -> Mapping[str, JSON]:
    return await context.run(context.options["choice"], context.inputs)


async def relay(context: StepContext) -> Mapping[str, JSON]:
    """Draft, then polish the draft."""
    draft = await context.run("draft", {"question": context.inputs["question"]})
    return await context.run("polish", {"answer": draft["answer"]})


async def misspelt(context: StepContext) -> Mapping[str, JSON]:
    return await context.run("darft", {})


async def wrong_input(context: StepContext) -> Mapping[str, JSON]:
    return await context.run("draft", {"qestion": "x"})


def runtime(observer: Observer | None = None, **more: Module) -> Runtime:
    simple: dict[str, Module] = {"echo": echo, "fail": fail, "forgetful": forgetful}
    composite: dict[str, Module] = {"choose": chosen, "relay": relay, "misspelt": misspelt, "wrong": wrong_input}
    specs = [
        *(ModuleSpec(name, run, {"heat": "how hot"}) for name, run in {**simple, **more}.items()),
        *(ModuleSpec(name, run, {"choice": "which"}, composite=True) for name, run in composite.items()),
    ]
    return Runtime(lm=Silent(), model="none/none", adapters={}, modules=Modules(*specs), observer=observer)


def step(name: str, text: str, module: str = "echo", *steps: Step, **options: object) -> Step:
    return Step(name=name, module=module, signature=signature(text), options=options, steps=steps)


def program(*pipeline: Step, **configuration: object) -> Program:
    values = {path.replace("__", "."): value for path, value in configuration.items()}
    return Program(name="p", pipeline=pipeline, configuration=values)


def run(made: Program, inputs: Mapping[str, Any], given: Runtime | None = None, **options: Any) -> State:
    return asyncio.run(execute(made, inputs, given or runtime(), **options))


def flow(module: str = "relay") -> Step:
    draft = step("draft", "question -> answer", heat=Float(0, 1))
    polish = step("polish", "answer -> answer_2", heat=Float(0, 1, default=1))
    return step("flow", "question -> answer_2", module, draft, polish)


def test_execution_is_a_reduce_over_the_steps() -> None:
    made = program(
        step("one", "question -> query"), step("two", "query, question -> answer"), step("three", "answer -> answer_2")
    )
    state = run(made, {"question": "q"})
    assert state.inputs == {"question": "q"}
    assert state.values == {
        "query": "one(question=q)0",
        "answer": "two(query=one(question=q)0,question=q)0",
        "answer_2": "three(answer=two(query=one(question=q)0,question=q)0)0",
    }
    assert [item.step for item in state.history] == ["one", "two", "three"]


def test_a_later_step_may_replace_an_output() -> None:
    made = program(
        step("one", "question -> answer"),
        step("two", "answer, question -> answer_2"),
        step("three", "question -> answer"),
    )
    assert run(made, {"question": "q"})["answer"] == "three(question=q)0"


def test_an_output_hides_the_input_of_its_name() -> None:
    made = program(step("one", "q -> a"), step("two", "a -> q"), step("three", "q -> b"))
    state = run(made, {"q": "x"})
    assert state["b"] == "three(q=two(a=one(q=x)0)0)0"
    assert (state.inputs, state["q"]) == ({"q": "x"}, "two(a=one(q=x)0)0")


def test_settings_come_from_the_configuration_and_unset_ones_are_absent() -> None:
    made = program(step("one", "q -> a", heat=Float(0, 1)), one__heat=0.5)
    assert run(made, {"q": "x"}).history[0].settings == {"heat": 0.5}
    assert run(program(step("one", "q -> a", heat=None)), {"q": "x"}).history[0].settings == {}


def test_overrides_by_flat_path_keep_the_siblings() -> None:
    made = program(flow(), flow__draft__heat=0.25)
    state = run(made, {"question": "q"}, overrides={"flow.polish.heat": 0.75})
    assert {item.step: item.settings["heat"] for item in state.history} == {"flow.draft": 0.25, "flow.polish": 0.75}
    assert made.values["flow.polish.heat"] == 1
    with pytest.raises(UnknownNameError, match="did you mean 'draft'"):
        run(made, {"question": "q"}, overrides={"flow.darft.heat": 0.75})
    with pytest.raises(VariableError, match=r"flow\.draft\.heat: 7 is outside"):
        run(made, {"question": "q"}, overrides={"flow.draft.heat": 7})


def test_composite_steps_run_their_sub_steps() -> None:
    state = run(program(flow()), {"question": "q"})
    assert state.values == {"answer_2": "flow.polish(answer=flow.draft(question=q)0.0)1.0"}
    assert [item.step for item in state.history] == ["flow.draft", "flow.polish"]


def test_only_the_chosen_sub_step_is_prepared_and_run() -> None:
    absent = step("b", "q -> a", "not installed")
    route = step(
        "r", "q -> a", "choose", step("a", "q -> a", heat=Float(0, 1)), absent, choice=Choice("a", "b", steps=True)
    )
    assert run(program(route), {"q": "x"}).values == {"a": "r.a(q=x)0.0"}
    with pytest.raises(UnknownNameError, match="unknown module 'not installed'"):
        run(program(route, r__choice="b"), {"q": "x"})


def test_a_failure_carries_the_state_so_far() -> None:
    made = program(step("one", "q -> a"), step("two", "a -> b", "fail"), step("three", "b -> c"))
    with pytest.raises(StepError, match="step 'two': slow down") as caught:
        run(made, {"q": "x"})
    error = caught.value
    assert (error.step, error.transient, error.infrastructure) == ("two", True, True)
    assert isinstance(error.cause, RateLimitError)
    assert error.__cause__ is error.cause
    assert error.state.values == {"a": "one(q=x)0"}
    assert [item.step for item in error.state.history] == ["one", "two"]


def test_a_failure_inside_a_composite_step_names_the_inner_step_and_keeps_its_history() -> None:
    broken = step(
        "flow",
        "question -> answer_2",
        "relay",
        step("draft", "question -> answer"),
        step("polish", "answer -> answer_2", "fail"),
    )
    with pytest.raises(StepError) as caught:
        run(program(step("first", "question -> x"), broken), {"question": "q"})
    error = caught.value
    assert error.step == "flow.polish"
    assert [item.step for item in error.state.history] == ["first", "flow.draft", "flow.polish"]
    assert error.state.values == {"x": "first(question=q)0"}


def test_events_come_in_order() -> None:
    seen: list[Event] = []
    run(program(flow()), {"question": "q"}, runtime(seen.append))
    assert [(item.kind, item.where) for item in seen] == [
        ("step.started", "flow"), ("step.started", "flow.draft"), ("step.finished", "flow.draft"),
        ("step.started", "flow.polish"), ("step.finished", "flow.polish"), ("step.finished", "flow"),
    ]  # fmt: skip
    seen.clear()
    with pytest.raises(StepError):
        run(program(step("one", "q -> a", "fail")), {"q": "x"}, runtime(seen.append))
    assert [(item.kind, item.where) for item in seen] == [("step.started", "one"), ("step.failed", "one")]


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ({}, r"program 'p': input 'ticket' is missing; 'urgency' is missing"),
        (
            {"ticket": "x", "urgency": 1, "taem": 1},
            r"program 'p': input 'taem' is not a known key; did you mean 'team'\?",
        ),
        ({"ticket": "x", "urgency": "1"}, "program 'p': input 'urgency' should be a valid integer, got '1'"),
        ({"tiket": "x", "urgency": 1}, r"'ticket' is missing; 'tiket' is not a known key; did you mean 'ticket'\?"),
    ],
)
def test_wrong_inputs_are_one_clear_error_before_the_first_step(inputs: dict[str, Any], complaint: str) -> None:
    seen: list[Event] = []
    made = program(step("one", "ticket, urgency: int, team: str | None -> answer"))
    with pytest.raises(InputError, match=complaint):
        run(made, inputs, runtime(seen.append))
    assert seen == []


def test_inputs_become_json_and_optional_ones_their_default() -> None:
    made = program(step("one", "when: date, pair: tuple[int, str], note: str | None -> answer"))
    state = run(made, {"when": dt.date(2020, 1, 2), "pair": (1, "a")})
    assert state.inputs == {"when": "2020-01-02", "pair": [1, "a"], "note": None}


def test_what_does_not_exist_is_found_before_the_first_step() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown module 'ecoh'; did you mean 'echo'\?"):
        run(program(step("one", "q -> a", "ecoh")), {"q": "x"})
    with pytest.raises(
        UnknownNameError, match=r"unknown option 'haet' in step 'one' \(module 'echo'\); did you mean 'heat'\?"
    ):
        run(program(step("one", "q -> a", haet=1)), {"q": "x"})
    with pytest.raises(ProgramError, match="step 'one' has sub-steps, but module 'echo' takes none"):
        run(program(step("one", "q -> a", "echo", step("in", "q -> a"))), {"q": "x"})


def test_mistakes_inside_a_composite_step_are_its_failure() -> None:
    with pytest.raises(
        StepError, match=r"step 'flow': unknown sub-step 'darft' in step 'flow'; did you mean 'draft'\?"
    ):
        run(program(flow("misspelt")), {"question": "q"})
    with pytest.raises(
        StepError, match=r"step 'flow.draft': input 'question' is missing; 'qestion' is not a known key"
    ):
        run(program(flow("wrong")), {"question": "q"})


def test_a_module_must_give_what_it_promised() -> None:
    with pytest.raises(StepError, match=r"module 'forgetful' returned no 'a', only \['other'\]") as caught:
        run(program(step("one", "q -> a", "forgetful")), {"q": "x"})
    assert isinstance(caught.value.cause, ProgramError)


def test_the_sample_index_and_the_memory_reach_the_module() -> None:
    async def counting(context: StepContext) -> Mapping[str, JSON]:
        context.memory["calls"] = context.memory.get("calls", 0) + 1
        return {"a": [context.sample, context.memory["calls"]]}

    async def thrice(made: Program, given: Runtime) -> list[JSON]:
        return [(await execute(made, {"q": "x"}, given, sample=index))["a"] for index in (0, 3, 4)]

    made = program(step("one", "q -> a", "counting"))
    assert asyncio.run(thrice(made, runtime(counting=counting))) == [[0, 1], [3, 2], [4, 3]]


def test_preparing_is_remembered_by_content_and_bounded() -> None:
    given = runtime()
    made = program(flow())
    prepared = prepare(made, given)
    assert prepare(Program.from_data(made.to_data()), given) is prepared
    assert prepared.required == {"question"}
    assert start(prepared, {"question": "q"}) == State({"question": "q"}, {})
    for index in range(600):
        prepare(program(step("one", "q -> a", heat=index)), given)
    assert len(given.prepared) == 512


def test_concurrent_runs_do_not_mix() -> None:
    async def slow(context: StepContext) -> Mapping[str, JSON]:
        await asyncio.sleep(0)
        return recorded(context, {"a": context.inputs["q"]})

    async def many(made: Program, given: Runtime) -> list[State]:
        return await asyncio.gather(*(execute(made, {"q": str(index)}, given) for index in range(50)))

    states = asyncio.run(many(program(step("one", "q -> a", "slow"), step("two", "q -> b")), runtime(slow=slow)))
    assert [state["a"] for state in states] == [str(index) for index in range(50)]
    assert all(len(state.history) == 2 for state in states)
