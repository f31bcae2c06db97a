"""What MIPROv2 chooses among: sets of demonstrations and instructions, for each predictor of a program."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from dspex.kernel.ports import JSON
from dspex.optimization.deciding import SearchView
from dspex.optimization.grounding import (
    SHOWN,
    TIPS,
    Ground,
    instructions_wanted,
    program_description,
    step_description,
    summary_of,
)
from dspex.optimization.problem import Problem
from dspex.optimization.stages import Hole, holes, setting_of, text_of
from dspex.optimization.strategies.bootstrapping import (
    UNSHUFFLED,
    Bootstrapping,
    Walk,
    demonstrations,
    gathered,
    labelled_set,
    walk_of,
)
from dspex.optimization.wording import answered, instructions_in


@dataclass(frozen=True, slots=True)
class Predictor:
    """A step whose instructions or demonstrations are variables, or both."""

    path: str
    text: Hole | None
    demos: Hole | None

    @property
    def hole(self) -> Hole:
        """Either of them: what matters is the step."""
        found = self.text or self.demos
        if found is None:
            raise ValueError(f"step {self.path!r} has neither instructions nor demonstrations to vary")
        return found


@dataclass(frozen=True, slots=True)
class DemonstrationSet:
    """One set for every predictor."""

    values: Mapping[str, list[JSON]]
    """By the path of the demonstrations; empty where none are varied."""
    shown: Mapping[str, list[JSON]]
    """By the path of the step: what the teacher did right, to ground instructions in."""


def predictors(problem: Problem) -> list[Predictor]:
    """Those of the seed program, in pipeline order."""
    found: dict[str, Predictor] = {}
    for hole in holes(problem.program, problem.program.values, "text", "demos"):
        known = found.get(hole.path, Predictor(hole.path, None, None))
        is_text = hole.dimension.variable.kind == "text"
        found[hole.path] = replace(known, text=hole) if is_text else replace(known, demos=hole)
    return list(found.values())


def grounding_only(problem: Problem, how: Bootstrapping) -> Bootstrapping:
    """Where no demonstrations are varied, a few are bootstrapped all the same, for the instructions."""
    varied = any(item.demos for item in predictors(problem))
    return how if varied else replace(how, bootstrapped=SHOWN, labelled=0)


def walks_for(problem: Problem, sets: int, how: Bootstrapping) -> list[Walk]:
    """One for each set but the first, which is that of the program as it is, and the labelled one."""
    how = grounding_only(problem, how)
    extra = 2 if how.labelled else 1
    return [walk_of(problem, seed, how) for seed in range(UNSHUFFLED, UNSHUFFLED + sets - extra)]


async def sets_of(search: SearchView, walks: Sequence[Walk], how: Bootstrapping) -> list[DemonstrationSet]:
    """As it is, a sample of training examples, and what each walk has gathered."""
    problem = search.problem
    how = grounding_only(problem, how)
    found = predictors(problem)
    own = {item.demos.dimension.path: list(_value(problem, item.demos)) for item in found if item.demos}
    made = [DemonstrationSet(own, {})]
    if how.labelled:
        made.append(DemonstrationSet(labelled_set(problem, UNSHUFFLED, how.labelled), {}))
    for walk in walks:
        shown = {item.path: await gathered(search, walk, how, item.hole) for item in found}
        made.append(DemonstrationSet(await demonstrations(search, walk, how), shown))
    return made


async def instructions_of(
    search: SearchView, sets: Sequence[DemonstrationSet], count: int, temperature: float
) -> list[dict[str, JSON]]:
    """`count` instructions for every predictor, by the path of its text; the first are those that it has.

    Where the proposer model fails to write one, that one is what the predictor has.
    """
    problem = search.problem
    texts = [item.text for item in predictors(problem) if item.text]
    present: dict[str, JSON] = {hole.dimension.path: _value(problem, hole) for hole in texts}
    if not texts or count < 2:
        return [present]
    summary = await summary_of(search)
    numbers = range(1, count)
    asked = [_written(search, hole, sets, number, Ground(summary), temperature) for number in numbers for hole in texts]
    answers = iter(await asyncio.gather(*asked))
    made = [{hole.dimension.path: next(answers) for hole in texts} for _ in numbers]
    return [present, *({path: text or present[path] for path, text in item.items()} for item in made)]


async def _written(
    search: SearchView, hole: Hole, sets: Sequence[DemonstrationSet], number: int, ground: Ground, temperature: float
) -> str | None:
    """Program described, step described, instructions written; each with the demonstrations of set `number`."""
    values = search.problem.program.values
    shown = _shown(sets, number, hole.path)
    model = setting_of(hole, values, "model")
    program = await program_description(search, shown, model)
    step = await step_description(search, hole, program, shown, model)
    tip = Random(f"{search.problem.seed}/{number}/{hole.path}/tip").choice(list(TIPS))
    ground = replace(ground, program=program, step=step, shown=tuple(shown), tip=tip)
    request = instructions_wanted(search, hole, text_of(hole, values), ground)
    text = await answered(search, request, temperature=temperature, sample=number, model=model)
    return instructions_in(text, hole)


def _shown(sets: Sequence[DemonstrationSet], number: int, path: str) -> list[Mapping[str, JSON]]:
    """What the teacher did right in this set and, where that is too little, in the following ones; each once."""
    found: list[Mapping[str, JSON]] = []
    for made in sets[number:]:
        found += [item for item in made.shown.get(path, []) if item not in found]
    return found[:SHOWN]


def _value(problem: Problem, hole: Hole) -> JSON:
    return problem.program.values[hole.dimension.path]
