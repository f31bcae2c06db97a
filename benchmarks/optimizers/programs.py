"""The worlds' tasks as DSPEx programs, data and metrics: the same spaces, rows and remarks as the peers get."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import dspex
from benchmarks.optimizers.worlds import Case, Stage, World
from dspex import Dataset, Demos, Example, Program, Score, State, Step, Text

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
    schema = dspex.signature(shorthand(stage), stage.instructions, name=stage.name)
    return dspex.predict(schema, name=stage.name, instructions=Text(), demos=Demos(DEMOS))


BUILDERS: Mapping[str, Callable[[World], Program]] = {}


def rows(world: World, cases: Sequence[Case]) -> Dataset:
    """Cases as rows: the ticket and what the data says of the last stage."""
    final = world.stages[-1].output
    return Dataset.of({"ticket": item.text, final: item.label[final]} for item in cases)


@dataclass(frozen=True)
class Remarking:
    """The metric: 1 where the last stage's answer is as labelled; else 0, with the world's remark."""

    world: World
    inline = True

    @property
    def name(self) -> str:
        return f"right({self.world.key})"

    def __call__(self, example: Example, state: State) -> Score:
        final = self.world.stages[-1].output
        given = state.get(final)
        if given == example[final]:
            return Score(1.0)
        case = self.world.cases[str(example["ticket"])[5:12]]
        return Score(0.0, self.world.feedback(case, {final: given}))
