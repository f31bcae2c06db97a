"""Functions as steps: their signatures, where they run, and which names a program may use."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Literal

import pytest

from dspex.errors import AnswerError, ConfigurationError, SignatureError, UnknownNameError
from dspex.kernel.execution import execute, prepare
from dspex.kernel.program import Program, Step
from dspex.kernel.signature import Output, Signature
from dspex.kernel.state import State, StepError
from dspex.kernel.variables import Integer
from dspex.modules.functions import function, reference, registered, resolve
from tests.modules.runtimes import runtime

THREADS: list[int] = []


@function
def shout(text: str, times: int = 1) -> str:
    """Say it louder."""
    THREADS.append(threading.get_ident())
    return text.upper() * times


class Counted(Signature):
    words: int = Output(ge=0)
    kind: Literal["short", "long"] = Output()


@function
async def count(text: str) -> Counted:
    words = len(text.split())
    return Counted(words=words, kind="long" if words > 3 else "short")


def exported(text: str) -> str:
    """Not registered: a program that names it is refused."""
    return text


@registered("tests.lower")
def lower(text: str) -> str:
    return text.lower()


def repeat(text: str, times: int) -> str:
    return text * times


def plain(text):  # type: ignore[no-untyped-def] # pyright: ignore  # users without types write so
    return text  # pyright: ignore


def wrong(text: str) -> Any:
    return {"text": text}


def fails(text: str) -> str:
    raise ValueError("no good")


def first(text: str) -> str:
    return next(iter(text))


def run(step: Step, **inputs: Any) -> State:
    return asyncio.run(execute(Program(name="p", pipeline=(step,)), inputs, runtime(lambda request: "")))


def step_of(name: Any) -> Program:
    step = function(lower, "text -> lower").model_copy(update={"options": {"function": name}})
    return Program(name="p", pipeline=(step,))


def test_the_signature_follows_from_the_annotations() -> None:
    schema = shout.signature
    assert schema.instructions == "Say it louder."
    assert [(item.name, item.optional, item.default) for item in schema.inputs] == [
        ("text", False, None), ("times", True, 1),
    ]  # fmt: skip
    assert [item.name for item in schema.outputs] == ["shout"]
    assert [item.name for item in count.signature.outputs] == ["words", "kind"]


def test_it_runs_on_a_thread_and_keeps_its_record() -> None:
    THREADS.clear()
    state = run(shout, text="hey")
    assert state.outputs() == {"shout": "HEY"}
    assert [threading.get_ident()] != THREADS
    (record,) = state.history
    assert (record.step, record.module, record.outputs) == ("shout", "function", {"shout": "HEY"})


def test_a_bare_next_in_a_function_fails_its_step() -> None:
    with pytest.raises(StepError, match="StopIteration"):
        run(function(first, "text -> first"), text="")


def test_an_async_function_may_return_a_signature() -> None:
    assert run(count, text="a b").outputs() == {"words": 2, "kind": "short"}


def test_a_step_made_of_a_function_can_be_called() -> None:
    assert shout("a", times=2) == "AA"


def test_further_arguments_are_options_and_may_be_variables() -> None:
    step = function(repeat, "text -> more", name="more", times=Integer(1, 3, default=2))
    assert run(step, text="x").outputs() == {"more": "xx"}
    assert [item.path for item in Program(name="p", pipeline=(step,)).space] == ["more.times"]


def test_a_program_names_its_function_and_finds_it_again() -> None:
    program = Program(name="p", pipeline=(shout, count))
    loaded = Program.from_data(program.to_data())
    assert loaded == program
    state = asyncio.run(execute(loaded, {"text": "hey"}, runtime(lambda request: "")))
    assert state.outputs() == {"shout": "HEY", "words": 1, "kind": "short"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{__name__}:exported", "is not registered"),
        ("os:system", "is not registered"),
        ("no_such_module:f", "cannot be imported"),
        ("tests.lowr", "unknown function 'tests.lowr'; did you mean 'tests.lower'"),
        (3, "needs the name of a registered function"),
    ],
)
def test_only_what_was_registered_can_be_named(name: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        prepare(step_of(name), runtime(lambda request: ""))


def test_a_registered_name_is_found() -> None:
    assert resolve("tests.lower") is lower
    with pytest.raises(ConfigurationError, match=r"registered as 'tests.lower' already"):
        reference(exported, "tests.lower")


def test_two_functions_made_inside_functions_need_names() -> None:
    def made(word: str) -> Any:
        def add(text: str) -> str:
            return text + word

        return add

    reference(made("a"))
    with pytest.raises(ConfigurationError, match=r"registered as .* already"):
        reference(made("b"))


def test_what_it_returns_has_to_fit() -> None:
    with pytest.raises(StepError, match="does not fit") as failed:
        run(function(wrong, "text -> length: int"), text="x")
    assert isinstance(failed.value.cause, AnswerError)
    with pytest.raises(StepError, match="has to return a mapping"):
        run(function(lower, "text -> a, b"), text="x")


def test_an_exception_of_the_function_is_told_and_recorded() -> None:
    with pytest.raises(StepError, match="step 'fails': ValueError: no good") as failed:
        run(function(fails), text="x")
    assert failed.value.state.history[0].error == "ValueError: no good"


def test_arguments_it_does_not_take_are_refused_before_it_runs() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown input 'txt' .*did you mean 'text'"):
        prepare(Program(name="p", pipeline=(function(lower, "txt -> lower"),)), runtime(lambda request: ""))


def test_without_annotations_it_needs_a_signature() -> None:
    with pytest.raises(SignatureError, match="parameter 'text' needs an annotation"):
        function(plain)  # pyright: ignore
    assert run(function(plain, "text -> same"), text="x").outputs() == {"same": "x"}  # pyright: ignore


def test_a_return_annotation_is_needed() -> None:
    def silent(text: str) -> None: ...

    with pytest.raises(SignatureError, match="return annotation"):
        function(silent)
