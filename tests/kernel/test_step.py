from __future__ import annotations

from typing import Any

import pytest

from dspex.errors import ConfigurationError, ProgramError, UnknownNameError, VariableError
from dspex.kernel.shorthand import signature
from dspex.kernel.step import Step
from dspex.kernel.variables import Boolean, Choice, Float

S = signature("question -> answer")
A, B = Step(name="a", module="predict", signature=S), Step(name="b", module="predict", signature=S)


def step(**changes: Any) -> Step:
    return Step.model_validate({"name": "route", "module": "choose", "signature": S, **changes})


def test_a_step_holds_values_and_variables() -> None:
    made = step(options={"choice": Choice("a", "b", steps=True), "stop": ["\n"], "heat": Float(0, 1)}, steps=[A, B])
    assert made.chooser == "choice"
    assert made.child("b") is B
    assert made.options["stop"] == ["\n"]
    assert Step.model_validate(made.model_dump(mode="json")) == made


def test_options_cannot_be_changed() -> None:
    made = step(options={"stop": ["\n"]})
    for change in (
        lambda: made.options.update(x=1),
        lambda: made.options["stop"].append("x"),
        step().options.clear,
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()


@pytest.mark.parametrize(
    ("changes", "kind", "complaint"),
    [
        ({"name": "no name"}, ProgramError, "step name 'no name': use letters, digits and _"),
        ({"name": "a.b"}, ProgramError, "step name 'a.b'"),
        ({"steps": [A, A]}, ProgramError, r"step 'route': two steps are named 'a'; give one another name \(name=...\)"),
        ({"steps": [A], "options": {"a": 1}}, ProgramError, "option 'a' has the name of one of its sub-steps"),
        ({"options": {"a.b": 1}}, ProgramError, "option 'a.b' is not a name"),
        ({"options": [1]}, ProgramError, "options of a step are a mapping, not list"),
        ({"options": {"x": {"y": Boolean()}}}, VariableError, "option 'x': a variable stands for a whole option"),
        (
            {"options": {"choice": Choice("a", "bb", steps=True)}, "steps": [A, B]},
            UnknownNameError,
            "unknown sub-step 'bb'",
        ),
        (
            {"options": {"x": Choice("a", steps=True), "y": Choice("b", steps=True)}, "steps": [A, B]},
            ProgramError,
            "both choose among its sub-steps",
        ),
        ({"modle": "x"}, ProgramError, r"step 'route': 'modle' is not a known key; did you mean 'module'\?"),
        ({"signature": "a -> b"}, ProgramError, "step 'route': 'signature' should be a valid dictionary"),
    ],
)
def test_a_wrong_step_is_one_clear_error(
    changes: dict[str, Any], kind: type[ConfigurationError], complaint: str
) -> None:
    with pytest.raises(kind, match=complaint):
        step(**changes)


def test_a_missing_part_is_named() -> None:
    with pytest.raises(ProgramError, match="step 'x': 'signature' is missing"):
        Step.model_validate({"name": "x", "module": "predict"})
    with pytest.raises(UnknownNameError, match=r"unknown sub-step 'bb' in step 'route'; did you mean 'b'\?"):
        step(steps=[A, B]).child("bb")
