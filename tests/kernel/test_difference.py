from __future__ import annotations

from hypothesis import given

from dspex.kernel.difference import Change, differences
from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from dspex.kernel.variables import Choice, Float, Text
from tests.kernel.generated import FEW, programs

S = signature("question -> answer", "Answer it.")


def step(name: str, *steps: Step, module: str = "predict", **options: object) -> Step:
    return Step(name=name, module=module, signature=S, options=options, steps=steps)


def program(*pipeline: Step, **configuration: object) -> Program:
    values = {path.replace("__", "."): value for path, value in configuration.items()}
    return Program(name="p", pipeline=pipeline, configuration=values)


@FEW
@given(programs(), programs())
def test_programs_without_a_difference_are_the_same_program(one: Program, other: Program) -> None:
    assert differences(one, one) == ()
    assert (differences(one, other) == ()) <= (one.outputs == other.outputs and one.values == other.values)
    assert (one.hash != other.hash) or differences(one, other) == ()


def test_values_and_options_that_changed() -> None:
    before = program(step("a", heat=Float(0, 1), instructions=Text(), stop=["x"]))
    after = before.overridden({"a.heat": 0.5, "a.instructions": "Answer it briefly.", "a.stop": ["y"], "a.seed": 3})
    assert differences(before, after) == (
        Change("a.heat", "changed", 0.0, 0.5),
        Change("a.instructions", "changed", "Answer it.", "Answer it briefly."),
        Change("a.stop", "changed", ["x"], ["y"]),
        Change("a.seed", "added", None, 3),
    )
    assert differences(after, before)[-1] == Change("a.seed", "removed", 3, None)


def test_another_choice_shows_what_became_active() -> None:
    route = step("r", step("a", heat=Float(0, 1)), step("b", cold=Float(0, 1)), choice=Choice("a", "b", steps=True))
    before, after = program(route), program(route, r__choice="b", r__b__cold=0.25)
    assert differences(before, after) == (
        Change("r.choice", "changed", "a", "b"),
        Change("r.a.heat", "removed", 0.0, None),
        Change("r.b.cold", "added", None, 0.25),
    )


def test_modules_signatures_steps_domains_and_order() -> None:
    one, two = step("a", heat=Float(0, 1)), step("b")
    assert differences(program(one, two), program(two, one)) == (
        Change("pipeline:order", "changed", ["a", "b"], ["b", "a"]),
    )
    assert differences(program(one), program(step("a", module="other", heat=Float(0, 1)))) == (
        Change("a:module", "changed", "predict", "other"),
    )
    wider = differences(program(one), program(step("a", heat=Float(0, 2))))
    assert [item.path for item in wider] == ["a.heat:variable"]
    assert {item.path for item in differences(program(one), program(one, two))} == {
        "b:module", "b:signature", "b:instructions", "b:input.question", "b:output.answer",
    }  # fmt: skip
    other = Step(name="b", module="predict", signature=signature("question -> answer: int", "Answer it."))
    assert [item.path for item in differences(program(two), program(other))] == ["b:output.answer"]
    turned = [Step(name="b", module="predict", signature=signature(text, "x")) for text in ("a, b -> c", "b, a -> c")]
    assert [item.path for item in differences(program(turned[0]), program(turned[1]))] == ["b:input order"]


def test_constraints_that_changed() -> None:
    before = program(step("a", heat=Float(0, 1)))
    after = Program(name="p", pipeline=before.pipeline, constraints=["a.heat < 0.5"])
    assert differences(before, after) == (Change("constraint a.heat < 0.5", "added", None, True),)
