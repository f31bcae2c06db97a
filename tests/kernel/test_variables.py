from __future__ import annotations

import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from dspex.errors import ConfigurationError, UnknownNameError, VariableError
from dspex.kernel.canonical import identity
from dspex.kernel.variables import Boolean, Choice, Demos, Float, Integer, Subset, Text, Variable, read, written
from tests.kernel.generated import SEEDS, VALUES, variables


@given(variables(), SEEDS)
def test_samples_and_initial_values_are_in_the_domain(variable: Variable, seed: int) -> None:
    assert variable.problem(variable.initial) is None
    drawn = variable.sample(Random(seed))
    assert variable.problem(drawn) is None
    assert variable.sample(Random(seed)) == drawn
    assert variable.normal(drawn) == drawn


@given(variables(), SEEDS)
def test_neighbours_are_in_the_domain_and_elsewhere(variable: Variable, seed: int) -> None:
    value = variable.sample(Random(seed))
    found = variable.near(value)
    assert all(variable.problem(item) is None for item in found)
    assert identity(value) not in [identity(item) for item in found]
    assert len({identity(item) for item in found}) == len(found)
    if variable.searchable and variable.size() > 1 and not isinstance(variable, Subset):
        assert found


@given(variables())
def test_a_variable_survives_json(variable: Variable) -> None:
    data = json.loads(json.dumps(written(variable)))
    assert read(data, "option 'x'") == variable


@given(VALUES)
def test_a_plain_option_is_itself(value: object) -> None:
    assert read(value, "option 'x'") == value
    assert written(value) is value


@given(variables(), VALUES)
def test_no_value_of_any_shape_breaks_the_check(variable: Variable, value: object) -> None:
    assert variable.problem(value) is None or isinstance(variable.problem(value), str)


def test_a_place_of_a_grid_is_one_value_whatever_its_last_digits() -> None:
    assert Float(0, 1, step=0.1).normal(0.1 + 0.2) == Float(0, 1, step=0.1).normal(0.3) == 0.3
    assert Float(0, 1, step=0.1, default=0.1 + 0.2).initial == 0.3
    odd = Float(-10.333593490195426, 0, step=0.5)
    assert odd.initial == odd.normal(odd.low) == odd.nearest(odd.low)
    assert odd.problem(odd.initial) is None
    assert Float(0, 1).normal(0.1 + 0.2) == 0.1 + 0.2, "without a grid a number is what it is"
    assert Float(0, 1, step=0.25).normal(0.3) == 0.3, "what is on no grid is told by `problem`"


def test_floats() -> None:
    assert Float(0, 1, step=0.25).size() == 5
    assert Float(0, 1).size() == math.inf
    assert Float(0, 1, step=0.1).problem(0.30000000000000004) is None
    assert Float(0, 1, step=0.25).problem(0.3) == "0.3 is not 0.0 plus a multiple of 0.25"
    assert Float(0, 1).problem(True) == "needs a number, got True"
    assert Float(0, 1).problem(float("nan")) == "needs a number, got nan"
    assert Float(0, 1).near(0.95) == [0.85, 1.0]
    assert Float(0, 1).near(1.0) == [0.9]
    assert Float(0, 1, step=0.25).near(0.0) == [0.25]
    assert Float(1, 1024, log=True).near(32) == [16.0, 64.0]
    assert Float(0.1, 0.12345678901234).near(0.1234) == [0.1210543211, 0.12345678901234]
    tiny = Float(1e-12, 1e-3, log=True)
    assert all(tiny.problem(tiny.sample(Random(seed))) is None for seed in range(50))
    assert {Float(0, 1, step=0.5).sample(Random(seed)) for seed in range(50)} == {0.0, 0.5, 1.0}
    assert identity(Float(0, 1).normal(1)) == identity(1.0)


def test_integers() -> None:
    assert Integer(1, 10, step=4).size() == 3
    assert {Integer(1, 10, step=4).sample(Random(seed)) for seed in range(50)} == {1, 5, 9}
    assert Integer(1, 64, log=True).near(8) == [4, 16]
    assert Integer(1, 10).problem(2.0) is None
    assert type(Integer(1, 10).normal(2.0)) is int


def test_choices_tell_true_from_1_but_not_1_from_1_0() -> None:
    assert Choice(1, True, "1").problem(True) is None
    assert Choice(1, "1").problem(True) == "True is not one of 1, '1'"
    assert Choice(0.5, 1.0).problem(1) is None
    assert Choice({"a": 1}, {"a": 2}).near({"a": 1.0}) == [{"a": 2}]


def test_subsets_have_no_order() -> None:
    subset = Subset(["a", "b", "c"], min=1, max=2)
    assert subset.initial == ["a", "b"]
    assert subset.normal(["c", "a"]) == ["a", "c"]
    assert subset.size() == 6
    assert subset.near(["a"]) == [["a", "b"], ["a", "c"]]
    assert Subset(list(range(5000))).size() == math.inf


def test_texts_and_demonstrations() -> None:
    assert Text().initial is None
    assert Text(max_length=3).problem("long") == "4 characters, at most 3 allowed"
    assert Text("x").problem(None) == "needs a text, got None"
    assert Demos(max=1).problem([{"a": 1}, {"a": 2}]) == "2 demonstrations, at most 1 allowed"
    assert Demos(default=[{"a": 1}]).initial == [{"a": 1}]


# Who has no type checker may write any of these.
MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: Float(1, 0), r"Float\(1.0, 0.0\): low must be below high"),
    (lambda: Float(0, 1, log=True), "a logarithmic range starts above 0"),
    (lambda: Float(0, 1, step=0), "step must be above 0"),
    (lambda: Float(0, 1, default=2), "Float: the default 2.0 is outside 0.0..1.0"),
    (lambda: Float(0, math.inf), "Float: 'high' should be a finite number, got inf"),
    (lambda: Float("0", 1), "Float: 'low' should be a valid number, got '0'"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (lambda: Integer(0, 10, step=3, default=4), "the default 4 is not 0 plus a multiple of 3"),
    (lambda: Integer(0, 1.5), "'high' should be a valid integer, got 1.5"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (Choice, "Choice needs at least one value"),
    (lambda: Choice(1, 1.0), "Choice has a value twice: 1, 1.0"),
    (lambda: Choice("a", default="b"), "the default 'b' is not one of 'a'"),
    (lambda: Text(max_length=0), "needs a number of at least 1"),
    (lambda: Demos(-1), "needs a number of at least 0"),
    (lambda: Demos(1, default=[{}, {}]), "2 demonstrations, at most 1 allowed"),
    (lambda: Subset(["a"], min=2), "cannot hold between 2 and 1"),
    (lambda: Subset(["a", "a"]), "Subset has a value twice"),
    (lambda: Subset(["a"], default=["b"]), r"the default needs some of 'a', got \['b'\]"),
]


@pytest.mark.parametrize(("make", "complaint"), MISTAKES)
def test_a_wrong_variable_is_one_clear_error(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises(VariableError, match=complaint):
        make()


@pytest.mark.parametrize(
    ("data", "kind", "complaint"),
    [
        (
            {"$variable": "flaot"},
            UnknownNameError,
            r"unknown kind of variable 'flaot' in option 'x'; did you mean 'float'",
        ),
        ({"$variable": 3}, UnknownNameError, "unknown kind of variable '3'"),
        ({"$variable": "float", "low": 0, "hihg": 1}, UnknownNameError, "unknown key 'hihg' in option 'x' .*'high'"),
        ({"$variable": "float", "low": 0}, VariableError, "option 'x': a variable of kind 'float' needs 'high'"),
        (
            {"$variable": "float", "low": "a", "high": 1},
            VariableError,
            "option 'x': Float: 'low' should be a valid number",
        ),
        ({"$variable": "choice", "values": "abc"}, VariableError, "'values' is a list, not 'abc'"),
        ({"$variable": "demos", "default": 3}, VariableError, "not a variable of kind 'demos'"),
        ({"body": {"$variable": "boolean"}}, VariableError, "option 'x': a variable stands for a whole option"),
        ([Boolean()], VariableError, "option 'x': a variable stands for a whole option"),
    ],
)
def test_a_wrong_variable_in_a_file_is_one_clear_error(
    data: Any, kind: type[ConfigurationError], complaint: str
) -> None:
    with pytest.raises(kind, match=complaint):
        read(data, "option 'x'")


def test_variables_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Float(0, 1).low = 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError, match="cannot be changed"):
        Choice({"a": [1]}).values[0]["a"].append(2)
