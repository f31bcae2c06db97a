"""What holds of every `Executor`: the checks of its contract, on a small program, metric and model of their own.

All of it can be imported by name, so that an executor in other processes finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

from dspex.adapters import ADAPTERS
from dspex.clients.scripted import Answer, ScriptedLM
from dspex.errors import BudgetExceededError, ConfigurationError, DspexError, RateLimitError
from dspex.evaluation.assessment import Assessment, assess
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import JSON, Completion, Request, Runtime, Score, Usage
from dspex.kernel.program import Program
from dspex.kernel.shorthand import as_schema
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from dspex.kernel.step import Step
from dspex.modules.prediction import predict
from dspex.modules.registry import builtin_registry
from dspex.optimization.ports import Assignment, Executor
from dspex.testing.requiring import raised, require, soon

WAIT = 60.0
"""Seconds that a check waits for what must come."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What an executor is made for: it may prepare for this program and metric, and takes assignments of them alone."""

    program: Program
    metric: Callable[[Example, State], Score]
    runtime: Runtime
    """As the first assignments have it; later ones may have another model, of the same name."""
    places: int
    """How many evaluations it must have under way at once."""


MakeExecutor = Callable[[Setting], AbstractAsyncContextManager[Executor]]
Check = Callable[[MakeExecutor], Coroutine[Any, Any, None]]
Model = Callable[[Request], Answer | Awaitable[Answer]]

PROGRAM = Program(name="echo", pipeline=(predict(as_schema("question -> answer"), name="echo"),))


def metric(example: Example, state: State) -> Score:
    """Half a mark for any answer, a whole one for the right one. An example may ask it to raise."""
    if example.get("failing"):
        raise ValueError(str(example["failing"]))
    right = state["answer"] == example["answer"]
    return Score(1.0 if right else 0.5, f"expected {example['answer']}", {"right": float(right)})


def echo(request: Request) -> str:
    """A model that answers what it is asked, and nothing readable when asked for that."""
    question = asked(request)
    return "no form at all" if question == "unreadable" else f"[[answer]]\n{question}\n\n[[end]]"


def asked(request: Request) -> str:
    """The question in a request."""
    content = request.messages[-1]["content"]
    return content.partition("[[question]]\n")[2].rpartition("\n\nAnswer with")[0]


def runtime_with(model: Model) -> Runtime:
    """A runtime whose model this is."""
    return Runtime(ScriptedLM(model), "scripted/echo", ADAPTERS, builtin_registry())


def setting(model: Model = echo, places: int = 2) -> Setting:
    return Setting(PROGRAM, metric, runtime_with(model), places)


def assignment(given: Setting, question: str, sample: int = 0, **more: JSON) -> Assignment:
    """An evaluation of the setting's program; its right answer is the question."""
    example = Example.of({"question": question, "answer": question, **more})
    return Assignment("c0", given.program, example, sample, as_metric(given.metric, given.runtime), given.runtime)


def timeless(found: Assessment) -> Assessment:
    """But for the clock."""
    return replace(found, seconds=0.0, history=tuple(replace(item, seconds=0.0) for item in found.history))


async def finds_what_assess_finds(make: MakeExecutor) -> None:
    """Scores, feedback, outputs, failures, usage and the whole history are those of `evaluation.assessment.assess`."""
    given = setting()
    several = [
        assignment(given, "red"), assignment(given, "red", answer="blue"), assignment(given, "unreadable"),
        assignment(given, "odd \ud800 text \n[[ and \0"), assignment(given, "red", sample=3),
        assignment(given, "red", failing="the metric's own fault"),
    ]  # fmt: skip
    async with make(given) as executor:
        for one in several:
            found = await executor.assess(one)
            wanted = await assess(one.program, one.example, one.metric, one.runtime, one.sample)
            sentence = f"an assessment is that of `assess` on {dict(one.example.values)}"
            require(timeless(found) == timeless(wanted), sentence, (found, wanted))


async def passes_the_errors_of_the_model_on(make: MakeExecutor) -> None:
    """What the model raises fails the evaluation as it does in `assess`: by its kind, without a score where it must."""
    for error in (RateLimitError("slow down", retry_after=1.0), BudgetExceededError("no more"), ValueError("odd")):

        def failing(request: Request, error: Exception = error) -> str:
            raise error

        given = setting(failing)
        one = assignment(given, "red")
        async with make(given) as executor:
            found = await executor.assess(one)
        wanted = await assess(one.program, one.example, one.metric, one.runtime, one.sample)
        require(timeless(found) == timeless(wanted), f"a {type(error).__name__} of the model is kept", found)


async def raises_what_is_fatal(make: MakeExecutor) -> None:
    """An error that is `fatal` comes out of `assess`, and the executor goes on."""
    states = [True]

    def failing(request: Request) -> str:
        if states[0]:
            raise _BooksLostError("the disk is full")
        return echo(request)

    given = setting(failing)
    async with make(given) as executor:
        error = await raised(
            DspexError, executor.assess(assignment(given, "red")), "an error that is `fatal` is raised"
        )
        require(error.fatal and "the disk is full" in str(error), "it is the error of the model", error)
        states[0] = False
        found = await executor.assess(assignment(given, "red"))
        require(found.score == 1.0, "the executor goes on after a fatal error", found)


async def raises_configuration_errors(make: MakeExecutor) -> None:
    """A program that cannot be prepared raises ConfigurationError with its text, and the executor goes on."""
    given = setting()
    wings = Step(name="echo", module="wings", signature=as_schema("question -> answer"))
    broken = Program(name="broken", pipeline=(wings,))
    async with make(given) as executor:
        one = replace(assignment(given, "red"), candidate="c1", program=broken)
        error = await raised(ConfigurationError, executor.assess(one), "ConfigurationErrors are raised")
        require("wings" in str(error), "a ConfigurationError says what `assess` says", error)
        found = await executor.assess(assignment(given, "red"))
        require(found.score == 1.0, "the executor goes on after a ConfigurationError", found)


async def has_as_many_under_way_as_it_has_places(make: MakeExecutor) -> None:
    """`places` evaluations wait for the model at once, and each gets the answer to its own question."""
    places = 3
    waiting, all_there = [0], asyncio.Event()

    async def together(request: Request) -> str:
        waiting[0] += 1
        if waiting[0] == places:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), WAIT)
        return echo(request)

    given = setting(together, places)
    async with make(given) as executor:
        questions = [f"question {number}" for number in range(places)]
        found = await asyncio.gather(*(executor.assess(assignment(given, question)) for question in questions))
    answers = [None if item.outputs is None else item.outputs["answer"] for item in found]
    require(answers == questions, f"{places} evaluations are under way at once, each with its own answer", answers)


async def lets_the_others_wait(make: MakeExecutor) -> None:
    """More assignments than places are all made."""
    given = setting(places=2)
    async with make(given) as executor:
        found = await asyncio.gather(*(executor.assess(assignment(given, f"q{number}")) for number in range(11)))
    require(all(item.score == 1.0 for item in found), "what finds no place waits for one", found)


async def calls_the_model_of_the_assignment(make: MakeExecutor) -> None:
    """Calls are made by the assignment's own runtime, in this process: its model pays and keeps them."""
    first, second = list[str](), list[str]()

    def noting(book: list[str]) -> Model:
        def model(request: Request) -> Completion:
            book.append(asked(request))
            return Completion(echo(request), usage=Usage(1, 10, 20, 0.25), key=f"key-{len(book)}")

        return model

    given = setting(noting(first))
    later = replace(given, runtime=runtime_with(noting(second)))
    async with make(given) as executor:
        one = await executor.assess(assignment(given, "red"))
        two = await executor.assess(assignment(later, "blue"))
    require((first, second) == (["red"], ["blue"]), "each assignment's model is called", (first, second))
    require(one.usage == two.usage == Usage(1, 10, 20, 0.25), "usage is the model's", (one.usage, two.usage))
    keys = [item.call for found in (one, two) for item in found.history if item.call]
    require(keys == ["key-1", "key-1"], "the history names the calls as the model does", keys)


async def keeps_no_result(make: MakeExecutor) -> None:
    """The same pair is evaluated anew each time: to remember is the ledger's."""
    count = [0]

    def counting(request: Request) -> str:
        count[0] += 1
        return f"[[answer]]\n{count[0]}\n\n[[end]]"

    given = setting(counting)
    async with make(given) as executor:
        found = [await executor.assess(assignment(given, "1")) for _ in range(2)]
    require([item.score for item in found] == [1.0, 0.5], "a pair is evaluated anew each time", found)


async def cancelling_ends_that_one_alone(make: MakeExecutor) -> None:
    """A cancelled `assess` ends with its call of the model; another that is under way ends as it would have."""
    began, cancelled, go_on = asyncio.Event(), list[str](), asyncio.Event()
    under_way = list[str]()

    async def slow(request: Request) -> str:
        question = asked(request)
        under_way.append(question)
        if len(under_way) == 2:
            began.set()
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            cancelled.append(question)
            raise
        return echo(request)

    given = setting(slow)
    async with make(given) as executor:
        stays, goes = (asyncio.ensure_future(executor.assess(assignment(given, name))) for name in ("stays", "goes"))
        await soon(began.wait(), WAIT, "two evaluations are under way at once")
        goes.cancel()
        await asyncio.wait([goes], timeout=WAIT)
        require(goes.cancelled(), "a cancelled `assess` is cancelled")
        require(cancelled == ["goes"], "with the cancellation its call has ended, and no other", cancelled)
        go_on.set()
        found = await soon(stays, WAIT, "another evaluation goes on")
        require(found.score == 1.0, "another evaluation goes on", found)
        found = await executor.assess(assignment(given, "after"))
        require(found.score == 1.0, "the place is free again", found)


async def closes_again(make: MakeExecutor) -> None:
    """Closing twice, or without having evaluated anything, does nothing more."""
    async with make(setting()) as executor:
        await executor.aclose()
        await executor.aclose()


class _BooksLostError(DspexError):
    infrastructure = True
    fatal = True


EXECUTOR_CHECKS: tuple[Check, ...] = (
    finds_what_assess_finds,
    passes_the_errors_of_the_model_on,
    raises_what_is_fatal,
    raises_configuration_errors,
    has_as_many_under_way_as_it_has_places,
    lets_the_others_wait,
    calls_the_model_of_the_assignment,
    keeps_no_result,
    cancelling_ends_that_one_alone,
    closes_again,
)
"""Every check of the contract."""
