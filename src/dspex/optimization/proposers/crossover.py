"""New candidates out of two good ones, and good ones with a part of their instructions taken out."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from dspex.kernel.ports import JSON
from dspex.kernel.variables import Text, Variable
from dspex.optimization.deciding import Turn, VariableKind
from dspex.optimization.parts import UNKNOWN, Tally, parts_of, tallies, united, without
from dspex.optimization.rows import Candidate, Proposal
from dspex.optimization.stages import holes, text_of

ANY: frozenset[VariableKind] = frozenset({"float", "integer", "boolean", "choice", "text", "demos", "subset"})


class Crossover:
    """Each variable from one of two parents; of two texts sometimes the lines of both."""

    name = "crossover"
    needs = ANY

    async def propose(self, turn: Turn) -> list[Proposal]:
        found: list[Proposal] = []
        if len(turn.parents) < 2:
            return found
        for _ in range(turn.count):
            one, other = _pair(turn)
            values = self._mixed(turn, one, other)
            found.append(Proposal(values, self.name, (one.id, other.id), "the best of two candidates together"))
        return found

    def _mixed(self, turn: Turn, one: Candidate, other: Candidate) -> dict[str, JSON]:
        space, rng = turn.search.problem.space, turn.rng
        values = dict(one.values)
        differing = [path for path, value in one.values.items() if path in other.values and other.values[path] != value]
        if not differing:
            return values
        taken = [path for path in differing if rng.random() < 0.5] or [rng.choice(differing)]
        if len(differing) > 1 and len(taken) == len(differing):
            taken.remove(rng.choice(taken))
        for path in taken:
            values[path] = _joined(space[path], one.values[path], other.values[path], rng)
        return values


class Trimming:
    """A line or a sentence of the instructions left out: what misleads can only be deleted.

    Parts without which candidates scored better go first.
    """

    name = "trimming"
    needs: frozenset[VariableKind] = frozenset({"text"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        found: list[Proposal] = []
        known: dict[str, Mapping[str, Tally]] = {}
        for _ in range(turn.count):
            parent = turn.parent()
            wanted = holes(turn.search.problem.program, parent.values, "text")
            if not wanted:
                continue
            hole = turn.rng.choice(wanted)
            text = text_of(hole, parent.values)
            if hole.dimension.path not in known:
                known[hole.dimension.path] = tallies(turn.search, hole)
            weights = [_expendable(part, known[hole.dimension.path]) for part in parts_of(text)]
            if sum(weight > 0 for weight in weights) > 1:
                gone = turn.rng.choices(range(len(weights)), weights)[0]
                values = {**parent.values, hole.dimension.path: without(text, gone)}
                said = f"without: {parts_of(text)[gone].strip()[:80]}"
                found.append(Proposal(values, self.name, (parent.id,), said))
        return found


def _expendable(part: str, known: Mapping[str, Tally]) -> float:
    """The weight by which a part is left out; a blank line or a heading is none."""
    if not part.strip() or part.rstrip().endswith(":"):
        return 0.0
    return 1 / known.get(part, UNKNOWN).worth - 1


def _pair(turn: Turn) -> tuple[Candidate, Candidate]:
    one = turn.parent()
    return one, turn.rng.choice([item for item in turn.parents if item is not one])


def _joined(variable: Variable, one: JSON, other: JSON, rng: Random) -> JSON:
    if not (isinstance(variable, Text) and isinstance(one, str) and isinstance(other, str)) or rng.random() < 0.5:
        return other
    joined = united(one, other)
    return joined if variable.problem(joined) is None else other
