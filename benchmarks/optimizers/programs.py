"""The worlds' tasks as DSPEx programs, data and metrics: the same spaces, rows and remarks as the peers get."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspex
from benchmarks.optimizers.families.models import Prices
from benchmarks.optimizers.families.parameters import START, Parameters
from benchmarks.optimizers.worlds import Case, Stage, World
from dspex import Choice, Dataset, Demos, Example, Float, Integer, Program, Score, State, Step, Text
from dspex.kernel.signature import Schema

PROVIDER = "simulated"

DEMOS = 8
"""Demonstrations a step may have, here and in the peers' programs."""


def program(world: World) -> Program:
    """The seed program: what its family's builder makes, by default instructions and demonstrations to be searched."""
    return BUILDERS.get(world.family, _prompted)(world)


def shorthand(stage: Stage) -> str:
    """A stage's signature in a line, as both libraries read it."""
    answers = ", ".join(repr(item) for item in stage.answers)
    return f"{', '.join(f'{name}: str' for name in stage.inputs)} -> {stage.output}: Literal[{answers}]"


def _prompted(world: World) -> Program:
    return Program(name=world.family, pipeline=tuple(_step(stage) for stage in world.stages))


def _step(stage: Stage) -> Step:
    return dspex.predict(_schema(stage), name=stage.name, instructions=Text(), demos=Demos(DEMOS))


def _schema(stage: Stage) -> Schema:
    return dspex.signature(shorthand(stage), stage.instructions, name=stage.name)


def _typed(world: World) -> Program:
    """Numbers and the adapter, no texts."""
    assert isinstance(world, Parameters)
    step = dspex.predict(
        _schema(world.stages[0]), name="route",
        temperature=Float(0.0, 1.5, default=START["temperature"]), top_p=Float(0.1, 1.0, default=START["top_p"]),
        max_tokens=Integer(32, 640, default=START["max_tokens"]),
        presence_penalty=Float(-1.0, 1.0, default=START["presence_penalty"]),
        adapter=Choice("chat", "json", "xml", default={"sections": "chat"}.get(world.start, world.start)),
    )  # fmt: skip
    return Program(name=world.family, pipeline=(step,))


def _modelled(world: World) -> Program:
    """The module, its model and its instructions."""
    return _chosen(world, {})


def _everything(world: World) -> Program:
    """All of it at once."""
    return _chosen(
        world,
        {
            "demos": Demos(DEMOS), "temperature": Float(0.0, 1.5, default=1.0),
            "adapter": Choice("chat", "json", "xml"),
        },
    )  # fmt: skip


def _chosen(world: World, more: Mapping[str, Any]) -> Program:
    schema = _schema(world.stages[0])
    models = Choice(*(f"{PROVIDER}/{name}" for name in world.models))
    options: dict[str, Any] = {"instructions": Text(), "model": models, **more}
    plain = dspex.predict(schema, name="plain", **options)
    reasoned = dspex.chain_of_thought(schema, name="reasoned", **options)
    return Program(name=world.family, pipeline=(dspex.choose(plain, reasoned, name="route"),))


BUILDERS: Mapping[str, Callable[[World], Program]] = {
    "parameters": _typed, "models": _modelled, "prices": _modelled, "mixed": _everything,
}  # fmt: skip


def rows(world: World, cases: Sequence[Case]) -> Dataset:
    """Cases as rows: the ticket and what the data says of the last stage."""
    final = world.stages[-1].output
    return Dataset.of({"ticket": item.text, final: item.label[final]} for item in cases)


@dataclass(frozen=True)
class Remarking:
    """The metric: whether the last stage's answer is as labelled, or what that is worth; else the world's remark."""

    world: World
    inline = True

    @property
    def name(self) -> str:
        return f"right({self.world.key})"

    def __call__(self, example: Example, state: State) -> Score:
        final = self.world.stages[-1].output
        given = {stage.output: state.get(stage.output) for stage in self.world.stages}
        right = given[final] == example[final]
        case = self.world.cases[str(example["ticket"])[5:12]]
        value = float(right)
        if isinstance(self.world, Prices):
            value = self.world.valued(value, state.usage.usd or 0.0)
        return Score(value, None if right else self.world.feedback(case, given))
