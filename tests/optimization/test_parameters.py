"""Configurations as flat parameters, there and back."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.kernel.program import Program
from dspex.kernel.variables import Boolean, Choice, Demos, Float, Integer, Subset, Text
from dspex.modules.flow import choose
from dspex.modules.prediction import chain_of_thought, predict
from dspex.optimization.parameters import Category, Parameter, Real, Value, Whole, encoding_of
from tests.kernel.generated import FEW, SEEDS, programs
from tests.optimization.simulators import Colour, program


class Back:
    """Gives parameters the values they were written with."""

    def __init__(self, encoded: dict[str, Value]) -> None:
        self.encoded, self.asked = encoded, list[str]()

    def __call__(self, name: str, parameter: Parameter) -> Value:
        self.asked.append(name)
        return self.encoded[name]


def drawn_with(rng: Random, name: str, parameter: Parameter) -> Value:
    """A value of a parameter, drawn without any sampler."""
    if isinstance(parameter, Category):
        return rng.choice(parameter.values)
    if isinstance(parameter, Real):
        return rng.uniform(parameter.low, parameter.high)
    return rng.randrange(parameter.low, parameter.high + 1, parameter.step)


@FEW
@given(programs(), SEEDS)
def test_a_configuration_survives_being_written_as_parameters(program: Program, seed: int) -> None:
    space = program.space
    first = space.sample(Random(seed), program.configuration)
    for values in (first, *space.neighbours(first)):
        encoding = encoding_of(space, [program.values, values])
        encoded = encoding.encoded(values)
        parameters = encoding.parameters()
        assert set(encoded) <= set(parameters)
        back = Back(encoded)
        assert encoding.configured(back) == space.complete(values)
        assert sorted(back.asked) == sorted(encoded), "what is active is asked for, once, and nothing else"


@FEW
@given(programs(), SEEDS)
def test_whatever_is_drawn_is_a_configuration_that_is_written_back_alike(program: Program, seed: int) -> None:
    rng = Random(seed)
    free = program.model_copy(update={"constraints": ()})
    encoding = encoding_of(free.space, [program.values])
    values = encoding.configured(lambda name, parameter: drawn_with(rng, name, parameter))
    assert free.space.problems(values) == []
    assert free.space.complete(values) == values
    encoded = encoding.encoded(values)
    assert encoding.configured(Back(encoded)) == values


def test_each_kind_of_variable_is_the_parameter_it_should_be() -> None:
    given = program(
        instructions=Text(), demos=Demos(2), temperature=Float(0, 2), top_p=Float(0, 1, step=0.25),
        max_tokens=Integer(10, 1001, step=10), seed=Integer(1, 100, log=True), stop=Subset(["a", "b"]),
        adapter=Choice("chat", "json"), extra_body=Boolean(),
    )  # fmt: skip
    parameters = encoding_of(given.space, [given.values]).parameters()
    shapes = {name: parameter for name, parameter in parameters.items() if not isinstance(parameter, Category)}
    assert shapes == {
        "label.temperature": Real(0, 2),
        "label.top_p": Whole(0, 4),
        "label.max_tokens": Whole(10, 1000, step=10),
        "label.seed": Whole(1, 100, log=True),
    }
    assert parameters["label.adapter"] == Category(('"chat"', '"json"'))
    assert parameters['label.stop["a"]'] == parameters['label.stop["b"]'] == parameters["label.extra_body"]


def test_values_that_only_look_alike_are_different_categories() -> None:
    given = program(stop=Choice("1", 1, [1], {"a": 1}, None))
    encoding = encoding_of(given.space, [])
    for value in ("1", 1, [1], {"a": 1}, None):
        encoded = encoding.encoded({"label.stop": value})
        assert encoding.configured(Back(encoded)) == {"label.stop": value}


def test_texts_and_demonstrations_are_those_that_are_known() -> None:
    given = program(instructions=Text(), demos=Demos(2))
    shown = [{"text": "a", "label": "red"}]
    seen: list[dict[str, object]] = [
        {"label.instructions": "One.", "label.demos": shown},
        {"label.instructions": "Two.", "label.demos": []},
    ]
    encoding = encoding_of(given.space, seen)
    assert list(encoding.known["label.instructions"].values()) == [None, "One.", "Two."]
    assert list(encoding.known["label.demos"].values()) == [[], shown]
    with pytest.raises(KeyError, match=r"label.instructions: not one of the 3"):
        encoding.encoded({"label.instructions": "Three."})


def test_only_the_chosen_branch_is_asked_for() -> None:
    step = choose(predict(Colour, temperature=Float(0, 1)), chain_of_thought(Colour, top_p=Float(0, 1)), name="label")
    space = Program(name="c", pipeline=(step,)).space
    encoding = encoding_of(space, [])
    assert set(encoding.encoded({"label.choice": "predict"})) == {"label.choice", "label.predict.temperature"}
    assert set(encoding.encoded({"label.choice": "chain_of_thought"})) == {
        "label.choice", "label.chain_of_thought.top_p",
    }  # fmt: skip


@given(st.integers(0, 6), st.integers(0, 6), SEEDS)
def test_a_subset_is_brought_to_a_size_that_is_allowed(one: int, two: int, seed: int) -> None:
    least, most = sorted((one, two))
    space = program(stop=Subset(list("abcdef"), min=least, max=most)).space
    encoding, rng = encoding_of(space, []), Random(seed)
    bits = {name: rng.choice(("false", "true")) for name in encoding.parameters()}
    values = encoding.configured(lambda name, _: bits[name])
    wanted = {name[-3] for name, bit in bits.items() if bit == "true"}
    assert least <= len(values["label.stop"]) <= most
    got = set(values["label.stop"])
    assert got <= wanted or wanted <= got, "nothing that was drawn is swapped for something else"
    assert got == wanted or not least <= len(wanted) <= most
