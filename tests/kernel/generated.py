"""Programs, variables and types to draw, for the properties that hold of every one of them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from random import Random

from hypothesis import settings
from hypothesis import strategies as st

from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from dspex.kernel.variables import Boolean, Choice, Demos, Float, Integer, Subset, Text, Variable

SCHEMAS = (
    signature("question -> answer"),
    signature("question, context: list[str] -> answer: str, sure: float", "Answer it, with “care”."),
    signature("x: int -> when: date, kind: Literal['a', 'b'] | None"),
    signature("-> table: dict[str, float], pair: tuple[int, str]", "Invent."),
)
NAMES = ("alpha", "beta", "gamma", "delta")
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-1000, 1000), st.floats(-1e6, 1e6, allow_nan=False), st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
SEEDS = st.integers(0, 2**32)
FEW = settings(max_examples=40, deadline=None)
"""For properties of whole programs, which take their time to draw."""


@st.composite
def floats(draw: st.DrawFn) -> Float:
    low = draw(st.floats(-1e3, 1e3, allow_nan=False))
    high = low + draw(st.floats(1e-3, 1e3, allow_nan=False))
    log = low > 0 and draw(st.booleans())
    step = draw(st.one_of(st.none(), st.sampled_from([0.01, 0.1, 0.25, 1.0])))
    return Float(low, high, log=log, step=step, default=draw(st.sampled_from([None, low])))


@st.composite
def integers(draw: st.DrawFn) -> Integer:
    low = draw(st.integers(-50, 50))
    high = low + draw(st.integers(1, 200))
    log = low > 0 and draw(st.booleans())
    return Integer(low, high, log=log, step=draw(st.integers(1, 7)), default=draw(st.sampled_from([None, low])))


@st.composite
def subsets(draw: st.DrawFn) -> Subset:
    values = draw(st.lists(st.text("xyz", min_size=1, max_size=4), min_size=1, max_size=5, unique=True))
    least = draw(st.integers(0, len(values)))
    return Subset(values, min=least, max=draw(st.one_of(st.none(), st.integers(least, len(values)))))


@cache
def variables() -> st.SearchStrategy[Variable]:
    choices = st.lists(st.one_of(st.text("pqr", max_size=3), st.integers(0, 9)), min_size=1, max_size=4, unique=True)
    return st.one_of(
        floats(),
        integers(),
        st.builds(Boolean, default=st.booleans()),
        choices.map(lambda values: Choice(*values)),
        st.builds(Text, st.one_of(st.none(), st.text(max_size=20))),
        st.builds(Demos, st.integers(0, 4)),
        subsets(),
    )


@st.composite
def steps(draw: st.DrawFn, name: str = "alpha", depth: int = 2) -> Step:
    options = draw(
        st.dictionaries(
            st.sampled_from(["heat", "size", "style"]), st.one_of(variables(), variables(), VALUES), max_size=2
        )
    )
    inner: list[Step] = []
    if depth and draw(st.booleans()):
        inner = [draw(steps(item, depth - 1)) for item in draw(names())]
        if draw(st.booleans()):
            options["choice"] = Choice(*(step.name for step in inner), steps=True)
    return Step(
        name=name,
        module=draw(st.sampled_from(["predict", "flow"])),
        signature=draw(st.sampled_from(SCHEMAS)),
        options=options,
        steps=inner,
    )


@cache
def names() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    pipeline = [draw(steps(name)) for name in draw(names())]
    program = Program(name=draw(st.text(max_size=10)), pipeline=pipeline, description=draw(st.text(max_size=10)))
    drawn = program.space.sample(Random(draw(SEEDS)))
    kept = draw(st.lists(st.sampled_from(sorted(drawn)), unique=True)) if drawn else []
    return program.configured(only(drawn, kept))


def only(values: dict[str, object], kept: Iterable[str]) -> dict[str, object]:
    return {path: values[path] for path in kept}
