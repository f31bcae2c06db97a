from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given

from dspex.errors import VariableError
from dspex.kernel.constraints import Constraint
from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from dspex.kernel.space import Dimension, Space
from dspex.kernel.variables import Boolean, Choice, Demos, Float, Integer, Text
from tests.kernel.generated import FEW, SEEDS, programs

S = signature("question -> answer")


def step(name: str, *steps: Step, **options: object) -> Step:
    return Step(name=name, module="flow" if steps else "predict", signature=S, options=options, steps=steps)


def nested() -> Program:
    inner = step("deep", step("c", heat=Boolean()), step("d"), choice=Choice("c", "d", steps=True))
    outer = step("route", step("a", size=Integer(1, 3)), inner, choice=Choice("a", "deep", steps=True), on=Boolean())
    return Program(name="nested", pipeline=[outer])


@FEW
@given(programs(), SEEDS)
def test_samples_are_valid_complete_and_repeatable(program: Program, seed: int) -> None:
    space = program.space
    drawn = space.sample(Random(seed), program.configuration)
    assert space.problems(drawn) == []
    assert space.complete(drawn) == drawn
    assert space.sample(Random(seed), program.configuration) == drawn
    for item in space:
        active = all(drawn.get(path) == value for path, value in item.conditions)
        assert (item.path in drawn) is active
        if active and not item.variable.searchable:
            assert drawn[item.path] == program.configuration.get(item.path, item.variable.initial)


@FEW
@given(programs())
def test_completing_twice_changes_nothing(program: Program) -> None:
    values = program.space.complete(program.configuration)
    assert program.space.complete(values) == values
    assert program.configured(values).hash == program.hash


@FEW
@given(programs(), SEEDS)
def test_neighbours_are_valid_and_different(program: Program, seed: int) -> None:
    here = program.space.sample(Random(seed))
    for moved in program.space.neighbours(here):
        assert program.space.problems(moved) == []
        assert moved != here
        assert program.configured(moved).hash != program.configured(here).hash


def test_conditions_of_nested_choosers() -> None:
    space = nested().space
    assert [item.path for item in space] == [
        "route.choice", "route.on", "route.a.size", "route.deep.choice", "route.deep.c.heat",
    ]  # fmt: skip
    assert space.dimensions[-1].conditions == (("route.choice", "deep"), ("route.deep.choice", "c"))
    assert space.complete({}) == {"route.choice": "a", "route.on": False, "route.a.size": 1}
    assert space.complete({"route.choice": "deep", "route.deep.choice": "d", "route.deep.c.heat": True}) == {
        "route.choice": "deep", "route.on": False, "route.deep.choice": "d",
    }  # fmt: skip
    drawn = {tuple(sorted(space.sample(Random(seed)).items())) for seed in range(500)}
    assert len(drawn) == space.size() == 2 * (3 + (2 + 1))


def test_size_counts_branches_without_variables_and_is_infinite_for_ranges() -> None:
    plain = step("route", step("a"), step("b"), choice=Choice("a", "b", steps=True))
    assert Program(name="p", pipeline=[plain]).space.size() == 2
    assert Program(name="p", pipeline=[step("a", heat=Float(0, 1))]).space.size() == math.inf
    assert Program(name="p", pipeline=[step("a")]).space.size() == 1


def test_sampling_keeps_the_constraints() -> None:
    program = Program(
        name="p",
        pipeline=[step("plan", tokens=Integer(1, 100), model=Choice("big", "small"))],
        constraints=["plan.tokens <= 20 or plan.model == 'big'", "plan.tokens >= 15 or plan.model == 'small'"],
        configuration={"plan.tokens": 20},
    )
    for seed in range(200):
        drawn = program.space.sample(Random(seed))
        assert drawn["plan.tokens"] <= 20 or drawn["plan.model"] == "big"
        assert drawn["plan.tokens"] >= 15 or drawn["plan.model"] == "small"
    for moved in program.space.neighbours({"plan.tokens": 20, "plan.model": "small"}):
        assert moved["plan.tokens"] <= 20 or moved["plan.model"] == "big"


def test_sampling_leaves_texts_and_demonstrations_as_they_are() -> None:
    space = Program(name="p", pipeline=[step("a", text=Text(), demos=Demos(2), on=Boolean())]).space
    base = {"a.text": "Be brief.", "a.demos": [{"question": "q", "answer": "a"}]}
    drawn = space.sample(Random(0), base)
    assert {**drawn, "a.on": None} == {**base, "a.on": None}
    assert space.sample(Random(0))["a.text"] is None


def test_sampling_says_when_it_cannot() -> None:
    space = Space(
        (Dimension("a.x", Integer(0, 9)), Dimension("a.y", Integer(0, 9))), (Constraint.parse("a.x + a.y > 18"),)
    )
    with pytest.raises(
        VariableError, match=r"no valid configuration in 1000 draws; loosen the constraints: a.x \+ a.y > 18"
    ):
        space.sample(Random(0))


def test_a_constraint_over_an_inactive_variable_holds() -> None:
    route = step("route", step("a", size=Integer(1, 9)), step("b"), choice=Choice("b", "a", steps=True))
    program = Program(name="p", pipeline=[route], constraints=["route.a.size > 5"])
    assert program.values == {"route.choice": "b"}
    with pytest.raises(VariableError, match=r"constraint 'route\.a\.size > 5' does not hold"):
        program.configured({"route.choice": "a"})
    assert program.configured({"route.choice": "a", "route.a.size": 6}).values["route.a.size"] == 6


def test_every_problem_is_named_at_once() -> None:
    space = Program(name="p", pipeline=[step("plan", heat=Float(0, 1), model=Choice("big", "small"))]).space
    with pytest.raises(VariableError) as caught:
        space.validate({"plan.haet": 0.5, "plan.heat": 2, "plan.model": "bgi"})
    assert str(caught.value) == (
        "configuration: no variable 'plan.haet'; did you mean 'plan.heat'?; plan.heat: 2 is outside 0.0..1.0; "
        "plan.model: 'bgi' is not one of 'big', 'small'"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("plan.haet < 1", r"constraint 'plan.haet < 1': no variable 'plan.haet'; did you mean 'plan.heat'\?"),
        ("plan.model == 'smal'", r"'plan.model' is never 'smal'; did you mean 'small'\?"),
        ("plan.model in ['big', 'hgue']", "'plan.model' is never 'hgue'"),
    ],
)
def test_a_misspelt_constraint_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(VariableError, match=complaint):
        Program(name="p", pipeline=[step("plan", heat=Float(0, 1), model=Choice("big", "small"))], constraints=[text])


def test_variables_are_found_by_path() -> None:
    space = Program(name="p", pipeline=[step("plan", heat=Float(0, 1), text=Text())]).space
    assert space["plan.heat"] == Float(0, 1)
    assert "plan.text" in space
    assert len(space) == 2
    with pytest.raises(VariableError, match=r"did you mean 'plan\.text'"):
        space["plan.txt"]
