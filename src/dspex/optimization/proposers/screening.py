"""Factorial screening: a small two-level design over all typed variables at once shows which of them matter.

A fraction of all combinations (Box and Hunter 1961) in which every two variables are balanced: n runs tell n - 1
variables apart, each by all runs. What showed is then moved along.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dspex.kernel.space import Configuration
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.parameters import Category, Parameter, Real, Suggest, Value, encoding_of, shortened
from dspex.optimization.problem import MIN_VAL, Problem
from dspex.optimization.rows import Candidate, Proposal
from dspex.optimization.stages import transplanted

SHARE = 0.2
"""Of what the search can still pay for; a design that would take more is left out."""
MOST = 31
"""Variables in a design; further ones stay as they are."""
LOW, HIGH = 0.2, 0.8
"""Where in its range the levels of a number lie."""
SHOWN = 1.5
"""Standard errors that an effect must have to be moved along."""


@dataclass(frozen=True)
class Screening:
    """At first the runs of a design; once they are evaluated, candidates moved to the better level of what mattered."""

    name: str = "screening"
    needs: frozenset[VariableKind] = frozenset({"float", "integer", "boolean", "choice", "subset"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        search, design = turn.search, design_of(turn.search.problem)
        if len(design.levels) < 2:
            return []
        ids = [search.problem.id_of(item) for item in design.configurations]
        left = [index for index, item in enumerate(ids) if item not in search.ledger.candidates]
        if left:
            if len(left) * MIN_VAL > SHARE * search.affordable:
                return []
            said = f"of a design of {len(ids)} runs over {len(design.levels)} variables"
            seed = (search.problem.seed_id,)
            runs = [(index, design.configurations[index]) for index in left[: turn.count]]
            return [Proposal(dict(item), self.name, seed, f"run {index + 1} {said}") for index, item in runs]
        return self._moves(turn, design, effects(search, design, ids))

    def _moves(self, turn: Turn, design: Design, found: Mapping[str, float]) -> list[Proposal]:
        """All that showed, then the strongest alone, then the two strongest, and so on."""
        names = sorted(found, key=lambda name: -abs(found[name]))
        parent = turn.parents[0]
        proposals: list[Proposal] = []
        for count in (len(names), *range(1, len(names))):
            chosen = {name: design.levels[name][found[name] > 0] for name in names[:count]}
            values = design.moved(turn.search.problem, parent, chosen)
            said = "after screening: " + ", ".join(f"{name} {found[name]:+.2f}" for name in names[:count][:4])
            proposal = Proposal(values, self.name, (parent.id,), said)
            if turn.search.candidate(proposal) is not None and len(proposals) < turn.count:
                proposals.append(proposal)
        return proposals


@dataclass(frozen=True, slots=True)
class Design:
    """Two levels for each parameter, and the configurations in which they are combined."""

    levels: Mapping[str, tuple[Value, Value]]
    signs: tuple[Mapping[str, bool], ...]
    """For each run, which level a parameter has."""
    configurations: tuple[Configuration, ...]

    def moved(self, problem: Problem, parent: Candidate, chosen: Mapping[str, Value]) -> Configuration:
        """The parent with these parameters at these values; texts and demonstrations are the parent's."""
        encoding = encoding_of(problem.space, [parent.values])
        own = encoding.encoded(parent.values)
        first = encoding.encoded(problem.program.values)
        values = encoding.configured(_giving({**first, **own, **chosen}))
        return transplanted(problem.program, values, parent.values)


def design_of(problem: Problem) -> Design:
    """The design of a problem: of what is active in the seed program."""
    key = ("design",)
    if key not in problem.memory:
        problem.memory[key] = _designed(problem)
    found: Design = problem.memory[key]
    return found


def effects(search: SearchView, design: Design, ids: Sequence[str]) -> dict[str, float]:
    """What going from the first level to the second gains in the mean, for the parameters where that showed.

    Over the examples that all runs have; empty where these are too few.
    """
    runs = [search.ledger.scores(item) for item in ids]
    keys = [key for key in search.problem.keys if all(key in scores for scores in runs)]
    if len(keys) < MIN_VAL // 2:
        return {}
    found: dict[str, float] = {}
    for name in design.levels:
        at = [signs[name] for signs in design.signs]
        high, low = sum(at), len(at) - sum(at)
        moved = [
            sum(scores[key] * (1 / high if sign else -1 / low) for scores, sign in zip(runs, at, strict=True))
            for key in keys
        ]
        mean = math.fsum(moved) / len(moved)
        spread = math.fsum((item - mean) ** 2 for item in moved) / (len(moved) - 1)
        # Half a win and half a loss are added, so that agreement of a few examples is no proof.
        error = math.sqrt((spread + 1 / (len(ids) * len(moved))) / len(moved))
        if abs(mean) > SHOWN * error:
            found[name] = mean
    return found


def balanced(factors: int) -> list[list[bool]]:
    """Runs of a two-level design for so many factors: every two of them take all four combinations equally often."""
    size = 4
    while size <= factors:
        size *= 2
    return [[bool((run & factor).bit_count() % 2) for factor in range(1, factors + 1)] for run in range(size)]


def _designed(problem: Problem) -> Design:
    first = problem.completed(problem.program.values)
    encoding = encoding_of(problem.space, [first])
    own = encoding.encoded(first)
    rng = Random(f"{problem.seed}/screening")
    typed = {name: at for name, at in encoding.parameters().items() if name in own and _free(at)}
    levels = {name: _levels(at, own[name], rng) for name, at in list(typed.items())[:MOST]}
    signs = [dict(zip(levels, run, strict=True)) for run in balanced(len(levels))]
    configurations: list[Configuration] = []
    for run in signs:
        chosen = {name: levels[name][sign] for name, sign in run.items()}
        drawn = encoding.configured(_giving({**own, **chosen}))
        configurations.append(transplanted(problem.program, drawn, first))
    return Design(levels, tuple(signs), tuple(configurations))


def _giving(values: Mapping[str, Value]) -> Suggest:
    """Gives parameters these values, and one that has none its first."""

    def suggest(name: str, parameter: Parameter) -> Value:
        if name in values:
            return values[name]
        return parameter.values[0] if isinstance(parameter, Category) else parameter.low

    return suggest


def _free(parameter: Parameter) -> bool:
    return len(parameter.values) > 1 if isinstance(parameter, Category) else parameter.low < parameter.high


def _levels(parameter: Parameter, own: Value, rng: Random) -> tuple[Value, Value]:
    """Far apart in a range; of categories the present one and another."""
    if isinstance(parameter, Category):
        return own, rng.choice([item for item in parameter.values if item != own])
    low, high = (_at(parameter, share) for share in (LOW, HIGH))
    return (low, high) if low != high else (parameter.low, parameter.high)


def _at(parameter: Parameter, share: float) -> Value:
    """The number at a share of a range, of its logarithm where it is logarithmic."""
    if isinstance(parameter, Category):
        raise TypeError("categories have no range")
    low, high = float(parameter.low), float(parameter.high)
    value = low * (high / low) ** share if parameter.log else low + share * (high - low)
    if isinstance(parameter, Real):
        return shortened(parameter, value)
    return parameter.low + parameter.step * round((value - low) / parameter.step)
