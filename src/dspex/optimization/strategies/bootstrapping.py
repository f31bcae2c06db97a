"""Bootstrapping of demonstrations as published: a teacher runs training examples in order until enough came out right.

Each run over the data is a walk, one example after the other. The walks of several sets go side by side, a step of each
in one round, so that only what has to wait waits. A walk is its place in the order and what came out right so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random

from dspex.kernel.canonical import canonical
from dspex.kernel.ports import JSON
from dspex.kernel.signature import Example
from dspex.kernel.variables import Demos
from dspex.optimization.deciding import SearchView
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Candidate, Pair, Trace
from dspex.optimization.stages import Hole, holes, labelled, worked
from dspex.optimization.strategies.full import named

UNSHUFFLED = -1
"""The walk over the training examples as they come; from 0 on they are shuffled."""


@dataclass(frozen=True, slots=True)
class Bootstrapping:
    """How sets are made. The defaults are BootstrapFewShot's."""

    bootstrapped: int = 4
    """Demonstrations that the teacher gives, at most."""
    labelled: int = 16
    """All demonstrations of a set together, at most, training examples included."""
    rollouts: int = 1
    """Tries of an example, each another sample."""
    threshold: float | None = None
    """The least score that counts as right; None: any above 0."""

    def right(self, score: float | None) -> bool:
        """Whether an evaluation came out right; one that infrastructure failed did not."""
        if score is None:
            return False
        return score >= self.threshold if self.threshold else score > 0


@dataclass(frozen=True, slots=True)
class Walk:
    """A run over the training examples, and how far it is."""

    seed: int
    size: int
    """So many that come out right are enough."""
    at: int = 0
    rollout: int = 0
    found: tuple[tuple[str, int], ...] = ()
    """(example, sample) of those that came out right."""

    @classmethod
    def read(cls, memo: Mapping[str, JSON]) -> Walk:
        """From the JSON that `written` gives."""
        return cls(memo["seed"], memo["size"], memo["at"], memo["rollout"], tuple(map(tuple, memo["found"])))

    def written(self) -> JSON:
        """As JSON."""
        return {**asdict(self), "found": [list(item) for item in self.found]}

    def over(self, problem: Problem) -> bool:
        """Whether it has enough, or has seen everything."""
        return len(self.found) >= self.size or self.at >= len(problem.train)


def walk_of(problem: Problem, seed: int, how: Bootstrapping) -> Walk:
    """The walk for a set: as many as allowed where it is not shuffled, else a size drawn by its seed."""
    if seed == UNSHUFFLED:
        return Walk(seed, how.bootstrapped)
    return Walk(seed, Random(f"{problem.seed}/{seed}/size").randint(1, max(1, how.bootstrapped)))


def step(
    search: SearchView, walks: Sequence[Walk], how: Bootstrapping
) -> tuple[list[Walk], list[Pair], list[Candidate]]:
    """The walks after the last round, what they ask next (nothing when all are over), and teachers to be committed."""
    moved = [_moved(search, item, how) for item in walks]
    pairs: list[Pair] = []
    fresh: dict[str, Candidate] = {}
    for item in moved:
        if not item.over(search.problem):
            teacher, candidate = _teacher(search, item, how)
            example = ordered(search.problem, item.seed)[item.at].id
            pairs.append((teacher, example, search.lab.taught + item.rollout))
            if candidate is not None:
                fresh.setdefault(teacher, candidate)
    return moved, list(dict.fromkeys(pairs)), list(fresh.values())


async def demonstrations(search: SearchView, walk: Walk, how: Bootstrapping) -> dict[str, list[JSON]]:
    """The set that a walk has gathered, by the path of each step's demonstrations.

    First what the steps took and gave where the whole came out right, then training examples that the walk did not use
    and that have all fields of the step.
    """
    problem = search.problem
    used = {example for example, _ in walk.found}
    rest = [item for item in ordered(problem, walk.seed) if item.id not in used]
    lot = Random(f"{problem.seed}/{walk.seed}/rest")
    found: dict[str, list[JSON]] = {}
    for hole in taught(problem):
        own = (await gathered(search, walk, how, hole))[: most_of(hole, walk.size)]
        raw = labelled(hole.step, rest)
        room = min(most_of(hole, how.labelled) - len(own), len(raw))
        found[hole.dimension.path] = [*own, *(dict(item.values) for item in lot.sample(raw, max(0, room)))]
    return found


async def gathered(search: SearchView, walk: Walk, how: Bootstrapping, hole: Hole) -> list[JSON]:
    """What a step took and gave in the runs that came out right, one for each."""
    found: list[JSON] = []
    for example, sample in walk.found:
        teacher, _ = _teacher(search, walk, how, example)
        row = await search.ledger.read((teacher, example, sample))
        shown = None if row is None else shown_in(hole, row.trace)
        if shown is not None:
            found.append(shown)
    return found


def labelled_set(problem: Problem, seed: int, count: int) -> Mapping[str, list[JSON]]:
    """A sample of training examples for each step, by the path of its demonstrations."""
    key = ("labelled", seed, count)
    if key not in problem.memory:
        lot = Random(f"{problem.seed}/{seed}/labelled")
        found: dict[str, list[JSON]] = {}
        for hole in taught(problem):
            raw = labelled(hole.step, ordered(problem, seed))
            shown = lot.sample(raw, min(most_of(hole, count), len(raw)))
            found[hole.dimension.path] = [dict(item.values) for item in shown]
        problem.memory[key] = found
    remembered: Mapping[str, list[JSON]] = problem.memory[key]
    return remembered


def ordered(problem: Problem, seed: int) -> Sequence[Example]:
    """The training examples in the order of a set."""
    key = ("order", seed)
    if key not in problem.memory:
        order = list(problem.train)
        if seed > UNSHUFFLED:
            Random(f"{problem.seed}/{seed}/order").shuffle(order)
        problem.memory[key] = order
    found: Sequence[Example] = problem.memory[key]
    return found


def taught(problem: Problem) -> list[Hole]:
    """The demonstrations that are active in the seed program."""
    return holes(problem.program, problem.program.values, "demos")


def most_of(hole: Hole, wanted: int) -> int:
    """`wanted`, or as many as the variable allows."""
    variable = hole.dimension.variable
    return min(wanted, variable.max) if isinstance(variable, Demos) else 0


def shown_in(hole: Hole, trace: Sequence[Trace]) -> dict[str, JSON] | None:
    """What the step took and gave in a run; of several calls the last half of the time, else an earlier one."""
    calls = [item for item in trace if item.step == hole.path and item.outputs is not None]
    shown = [found for item in calls if (found := worked(hole.step, {**item.inputs, **(item.outputs or {})}))]
    if len(shown) > 1:
        lot = Random(canonical(shown))
        return shown[-1] if lot.random() < 0.5 else lot.choice(shown[:-1])
    return shown[0] if shown else None


def _moved(search: SearchView, walk: Walk, how: Bootstrapping) -> Walk:
    """The walk as far as it gets with what has been evaluated."""
    while not walk.over(search.problem):
        example = ordered(search.problem, walk.seed)[walk.at].id
        teacher, candidate = _teacher(search, walk, how)
        sample = search.lab.taught + walk.rollout
        pair = (teacher, example, sample)
        if candidate is not None or not (search.ledger.holds(pair) or search.ledger.failures(pair)):
            return walk
        if how.right(search.ledger.scores(teacher).get((example, sample))):
            walk = replace(walk, at=walk.at + 1, rollout=0, found=(*walk.found, (example, sample)))
        elif walk.rollout + 1 < how.rollouts:
            walk = replace(walk, rollout=walk.rollout + 1)
        else:
            walk = replace(walk, at=walk.at + 1, rollout=0)
    return walk


def _teacher(
    search: SearchView, walk: Walk, how: Bootstrapping, example: str | None = None
) -> tuple[str, Candidate | None]:
    """The seed program, given labelled demonstrations where it has none; without the example that it is to run on.

    Its samples from `lab.taught` on are run by the teacher's model, where one is named.
    """
    problem = search.problem
    asked = problem.examples[example] if example is not None else ordered(problem, walk.seed)[walk.at]
    values = dict(problem.program.values)
    given = labelled_set(problem, walk.seed, how.labelled)
    for hole in taught(problem):
        if not values[hole.dimension.path]:
            own = worked(hole.step, asked.values)
            shown = given[hole.dimension.path]
            values[hole.dimension.path] = [item for item in shown if own is None or item != own]
    return named(search, values, "teacher", "the seed program, to give demonstrations")
