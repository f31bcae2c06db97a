"""The Pareto front of a search: the candidates that no other beats in every objective."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.evaluation.statistics import Interval, mean_interval, t_interval
from dspex.kernel.ports import JSON
from dspex.kernel.program import Program
from dspex.optimization.deciding import SearchView
from dspex.optimization.outcomes import Outcome, Outcomes

_LEAST = 8
"""Val examples below which a candidate is not compared."""
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate of the front: means over the same val examples for all of its points."""

    candidate: str
    program: Program
    hypothesis: str
    n: int
    """Val examples."""
    means: Mapping[str, float]
    """By objective, in its unit."""
    intervals: Mapping[str, Interval]

    def written(self) -> JSON:
        """As JSON, without the program."""
        ranges = {name: [item.low, item.high] for name, item in self.intervals.items()}
        return {
            "candidate": self.candidate, "hypothesis": self.hypothesis, "n": self.n, "means": dict(self.means),
            "intervals": ranges,
        }  # fmt: skip


@dataclass(frozen=True)
class Front:
    """The points that no other point beats in every objective, the best score first.

    `worst` has, for each objective, the worst mean among all compared candidates: what a volume is measured from.
    """

    objectives: tuple[str, ...]
    points: tuple[Point, ...] = ()
    worst: Mapping[str, float] = field(default_factory=dict[str, float])

    def __getitem__(self, index: int) -> Point:
        return self.points[index]

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[Point]:
        return iter(self.points)

    @property
    def hypervolume(self) -> float:
        """The share, in 0..1, that the front dominates of the box from the ideal (score 1, cost, tokens and latency 0)
        to the score 0 and the worst of all else that was compared."""
        corners = [tuple(self._share(name, point.means[name]) for name in self.objectives) for point in self.points]
        return _volume(corners, 0)

    @property
    def knee(self) -> Point | None:
        """The point nearest to the best of every objective, each scaled to the range of the front; None if empty."""
        return min(self.points, key=lambda point: math.hypot(*self._losses(point)), default=None)

    def pick(self, **weights: float) -> Program:
        """The program of the point with the least weighted loss, each objective scaled to the range of the front.

        `pick(score=3, cost=1)`: how much each counts; what is not named does not. Without weights: the knee.
        """
        if unknown := [name for name in weights if name not in self.objectives]:
            raise UnknownNameError("objective", unknown[0], self.objectives)
        if bad := [name for name, weight in weights.items() if not 0 <= weight < math.inf]:
            raise ConfigurationError(f"pick({bad[0]}={weights[bad[0]]}): a weight is a number of at least 0")
        if not self.points:
            raise ConfigurationError("the front is empty: no candidate was compared on enough examples")
        if not any(weights.values()):
            return min(self.points, key=lambda point: math.hypot(*self._losses(point))).program
        given = [weights.get(name, 0.0) for name in self.objectives]

        def loss(point: Point) -> float:
            return math.fsum(weight * lost for weight, lost in zip(given, self._losses(point), strict=True))

        return min(self.points, key=loss).program

    def written(self) -> list[JSON]:
        """As JSON, without the programs."""
        return [point.written() for point in self.points]

    def _losses(self, point: Point) -> list[float]:
        """How far from the best of the front in each objective, in 0..1 of the front's range."""
        found: list[float] = []
        for name in self.objectives:
            costs = [_lower(name, item.means[name]) for item in self.points]
            low, high = min(costs), max(costs)
            found.append((_lower(name, point.means[name]) - low) / (high - low) if high > low else 0.0)
        return found

    def _share(self, name: str, mean: float) -> float:
        """How much of the box's side a mean leaves behind it, in 0..1."""
        if name == "score":
            return mean
        worst = self.worst.get(name, 0.0)
        return 1 - mean / worst if worst > 0 else 1.0


def front_of(search: SearchView) -> Front:
    """The front of all candidates that were compared on enough val examples and may win."""
    outcomes, names = search.outcomes, search.outcomes.objectives.of
    keys = _shared(search)
    compared: dict[str, dict[str, float]] = {}
    for item in search.ledger.candidates:
        has = outcomes.of(item)
        if keys and all(key in has for key in keys) and outcomes.allowed(item):
            means = {name: _mean([has[key] for key in keys], name) for name in names}
            known = {name: mean for name, mean in means.items() if mean is not None}
            if len(known) == len(names):
                compared[item] = known
    best = [item for item in compared if not _dominated(item, compared)]
    points = [_point(search, item, keys, compared[item]) for item in best]
    points.sort(key=lambda point: (-point.means["score"], *(point.means[name] for name in names)))
    worst = {name: max(means[name] for means in compared.values()) for name in names if name != "score" and compared}
    return Front(tuple(names), tuple(points), worst)


def _shared(search: SearchView) -> list[Key]:
    """The val examples that points are compared on: those that every candidate has which has half of the most."""
    has = [[key for key in search.problem.keys if key in search.outcomes.of(item)] for item in search.ledger.candidates]
    most = max(map(len, has), default=0)
    enough = [set(keys) for keys in has if len(keys) >= max(_LEAST, most / 2)]
    shared = set[Key].intersection(*enough) if enough else set[Key]()
    return [key for key in search.problem.keys if key in shared]


def _point(search: SearchView, candidate: str, keys: Sequence[Key], means: Mapping[str, float]) -> Point:
    row = search.ledger.candidates[candidate]
    has = search.outcomes.of(candidate)
    intervals = {name: _interval(search.outcomes, [has[key] for key in keys], name) for name in means}
    program = search.problem.program_by_id(candidate, row.values)
    return Point(candidate, program, row.hypothesis, len(keys), means, intervals)


def _interval(outcomes: Outcomes, rows: Sequence[Outcome], name: str) -> Interval:
    values = [value for row in rows if (value := row.measure(name)) is not None]
    return mean_interval(values) if name == "score" else t_interval(values)


def _dominated(item: str, compared: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether another is at least as good in everything and better in something; of equals the older one stays."""
    own = [_lower(name, mean) for name, mean in compared[item].items()]
    before = True
    for other, means in compared.items():
        if other == item:
            before = False
            continue
        theirs = [_lower(name, mean) for name, mean in means.items()]
        if all(a <= b for a, b in zip(theirs, own, strict=True)) and (theirs != own or before):
            return True
    return False


def _lower(name: str, mean: float) -> float:
    """The mean as something that is the better the lower it is."""
    return -mean if name == "score" else mean


def _mean(rows: Sequence[Outcome], name: str) -> float | None:
    values = [value for row in rows if (value := row.measure(name)) is not None]
    return math.fsum(values) / len(values) if values else None


def _volume(corners: Sequence[tuple[float, ...]], axis: int) -> float:
    """The volume of the union of boxes from the origin to each corner, from `axis` on, by slicing."""
    if not corners:
        return 0.0
    if axis == len(corners[0]) - 1:
        return max(0.0, *(corner[axis] for corner in corners))
    total, above = 0.0, 0.0
    ordered = sorted(corners, key=lambda corner: corner[axis])
    for index, corner in enumerate(ordered):
        if corner[axis] > above:
            total += (corner[axis] - above) * _volume(ordered[index:], axis + 1)
            above = corner[axis]
    return total
