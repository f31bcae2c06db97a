"""Typed variables: draws from the whole space, and small steps from a good candidate."""

from __future__ import annotations

from dspex.kernel.space import Configuration
from dspex.optimization.deciding import Turn, VariableKind
from dspex.optimization.rows import Proposal
from dspex.optimization.stages import transplanted

TYPED: frozenset[VariableKind] = frozenset({"float", "integer", "boolean", "choice", "subset"})


class RandomDraws:
    """Configurations drawn from the typed space; texts and demonstrations stay those of a parent."""

    name = "random"
    needs = TYPED

    async def propose(self, turn: Turn) -> list[Proposal]:
        problem, found = turn.search.problem, list[Proposal]()
        for _ in range(turn.count):
            parent = turn.rng.choice(turn.parents)
            drawn = problem.space.sample(turn.rng, parent.values)
            values = transplanted(problem.program, drawn, parent.values)
            found.append(Proposal(values, self.name, (parent.id,), "drawn from the whole space"))
        return found


class LocalSteps:
    """One typed variable of a good candidate moved by a small step."""

    name = "step"
    needs = TYPED

    async def propose(self, turn: Turn) -> list[Proposal]:
        problem, found = turn.search.problem, list[Proposal]()
        for _ in range(turn.count):
            parent = turn.parent()
            if near := problem.space.neighbours(parent.values):
                moved = turn.rng.choice(near)
                values = transplanted(problem.program, moved, parent.values)
                found.append(Proposal(values, self.name, (parent.id,), _said(parent.values, moved)))
        return found


class Coordinates:
    """One typed variable of a good candidate set to any other value, the others left alone."""

    name = "coordinate"
    needs = TYPED

    async def propose(self, turn: Turn) -> list[Proposal]:
        problem, found = turn.search.problem, list[Proposal]()
        for _ in range(turn.count):
            parent = turn.parent()
            paths = [path for path in parent.values if problem.space[path].searchable]
            if not paths:
                continue
            path = turn.rng.choice(paths)
            moved = problem.completed({**parent.values, path: problem.space[path].sample(turn.rng)})
            values = transplanted(problem.program, moved, parent.values)
            found.append(Proposal(values, self.name, (parent.id,), _said(parent.values, moved)))
        return found


def _said(before: Configuration, after: Configuration) -> str:
    changed = [path for path in after if path in before and before[path] != after[path]]
    return ", ".join(f"{path} {before[path]!r} -> {after[path]!r}" for path in changed[:2]) or "a small step"
