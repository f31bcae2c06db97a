"""The strongest changes that need no search: reasoning on, the best model allowed, another adapter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from dspex.clients.prices import Prices
from dspex.kernel.ports import JSON
from dspex.kernel.program import Step
from dspex.kernel.space import Configuration
from dspex.kernel.variables import Choice
from dspex.optimization.deciding import Turn, VariableKind
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Proposal
from dspex.optimization.stages import Hole, holes, transplanted

_STRONGER = ("choice", "model", "reasoning_effort", "effort")
"""Options whose values differ in strength; those of any other option are only different."""


class CheapFixes:
    """All that makes the seed program stronger at once, then each such change alone, then each other value of a Choice.

    They are what a search has to beat, and where it best begins; once each has been proposed it is silent.
    """

    name = "fix"
    needs: frozenset[VariableKind] = frozenset({"choice"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        new = (item for item in cheap_fixes(turn.search.problem) if turn.search.candidate(item) is not None)
        return list(islice(new, turn.count))


def cheap_fixes(problem: Problem) -> list[Proposal]:
    """All of them, the strongest first."""
    found: list[Proposal] = []
    seed = problem.completed(problem.program.values)
    for changes in _fixes(problem):
        values = transplanted(problem.program, problem.completed({**seed, **changes}), seed)
        said = ", ".join(f"{path} = {value!r}" for path, value in changes.items())
        found.append(Proposal(values, CheapFixes.name, (problem.seed_id,), said))
    return found


def _fixes(problem: Problem) -> Iterator[Mapping[str, JSON]]:
    """Changes to the seed program, the strongest first."""
    seed = problem.completed(problem.program.values)
    if len(everything := _all_stronger(problem)) > 1:
        yield everything
    for stronger in (True, False):
        for hole, variable in _choices(problem, seed):
            path, strongest = hole.dimension.path, _strongest(hole, variable)
            for value in variable.values:
                if value != seed[path] and (value == strongest) == stronger:
                    yield {path: value}


def _all_stronger(problem: Problem) -> dict[str, JSON]:
    """The strongest of everything, also in the branch that this leads into."""
    changes: dict[str, JSON] = {}
    while True:
        values = problem.completed({**problem.program.values, **changes})
        more = {hole.dimension.path: _strongest(hole, variable) for hole, variable in _choices(problem, values)}
        more = {path: value for path, value in more.items() if value is not None and value != values[path]}
        if not more:
            return changes
        changes.update(more)


def _choices(problem: Problem, values: Configuration) -> list[tuple[Hole, Choice]]:
    found = holes(problem.program, values, "choice")
    return [(hole, hole.dimension.variable) for hole in found if isinstance(hole.dimension.variable, Choice)]


def _strongest(hole: Hole, variable: Choice) -> JSON:
    """The value that reasons, or the model that costs most by the list; None where that cannot be told."""
    if hole.option not in _STRONGER:
        return None
    if variable.steps:
        return next((item.name for item in hole.step.steps if _reasons(item)), None)
    if hole.option == "model":
        prices = {name: Prices().of(str(name)) for name in variable.values}
        known = {name: price.output for name, price in prices.items() if price is not None}
        return max(known, key=lambda name: known[name]) if len(known) == len(variable.values) else None
    return next((value for value in ("high", "medium") if value in variable.values), None)


def _reasons(step: Step) -> bool:
    return step.module == "chain_of_thought"
