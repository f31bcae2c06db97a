"""What evaluations took beside their scores, and what follows from it: who breaks a constraint, who is dominated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from random import Random

from dspex.evaluation.statistics import probability_better
from dspex.kernel.ports import Usage
from dspex.optimization.objectives import PLAIN, Objectives

BROKEN, KEPT = 0.05, 0.5
"""A candidate whose chance of keeping the constraints is below BROKEN is barred; to ship it needs at least KEPT."""
_DRAWS = 200
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One evaluation. None: not known, because a price is unknown or the answer came from memory."""

    score: float
    cost: float | None
    tokens: int
    latency: float | None

    @classmethod
    def of(cls, score: float, usage: Usage, seconds: float) -> Outcome:
        """Answers from memory count with what they cost when they were bought; how long they took nobody knows."""
        known = usage.usd is not None and usage.saved_usd is not None
        cost = (usage.usd or 0.0) + (usage.saved_usd or 0.0) if known else None
        tokens = usage.input_tokens + usage.output_tokens + usage.saved_tokens
        return cls(score, cost, tokens, None if usage.cached_calls else seconds)

    def measure(self, name: str) -> float | None:
        """By the name of an objective."""
        found: float | None = getattr(self, name)
        return found


class Outcomes:
    """Outcomes of folded rounds, by candidate. Filled by the runner, and only where more than the score counts."""

    def __init__(self, objectives: Objectives = PLAIN, seed: int = 0) -> None:
        self.objectives, self._seed = objectives, seed
        self._rows: dict[str, dict[Key, Outcome]] = {}
        self._kept: dict[tuple[str, int], float] = {}
        self._drawn: dict[int, list[list[float]]] = {}

    def add(self, candidate: str, key: Key, outcome: Outcome) -> None:
        self._rows.setdefault(candidate, {})[key] = outcome

    def of(self, candidate: str) -> Mapping[Key, Outcome]:
        """(example, sample) to outcome."""
        return self._rows.get(candidate, {})

    def lower(self, candidate: str) -> tuple[float, ...] | None:
        """The candidate's means of all objectives but the score; None where one of them is not known."""
        rows = list(self.of(candidate).values())
        columns = [[row.measure(name) for row in rows] for name in self.objectives.of if name != "score"]
        means = [_mean(column, [1.0] * len(rows)) for column in columns]
        known = tuple(mean for mean in means if mean is not None)
        return known if len(known) == len(means) else None

    def kept(self, candidate: str) -> float:
        """The chance that the candidate's means keep every constraint, by the Bayesian bootstrap; 1 where none is
        known to be broken."""
        rows = list(self.of(candidate).values())
        if not rows or not self.objectives.constraints:
            return 1.0
        known = (candidate, len(rows))
        if known not in self._kept:
            self._kept[known] = self._chance(rows)
        return self._kept[known]

    def allowed(self, candidate: str) -> bool:
        """Whether the candidate may win: it does not break a constraint with confidence."""
        return self.kept(candidate) >= BROKEN

    def decides(self, challenger: str, other: str) -> float | None:
        """The chance of being the better choice, where constraints alone decide; None where they do not."""
        if not self.objectives.constraints or (self.allowed(challenger) and self.allowed(other)):
            return None
        return float(self.allowed(challenger))

    def undominated(self, challenger: str, others: Iterable[str]) -> float:
        """The chance that the challenger beats each of `others` in something; 0 where only the score counts."""
        lower = [name for name in self.objectives.of if name != "score"]
        if not lower or not self.allowed(challenger):
            return 0.0
        return min((self._beats(challenger, other, lower) for other in others), default=1.0)

    def _beats(self, challenger: str, other: str, lower: Sequence[str]) -> float:
        ours, theirs = self.of(challenger), self.of(other)
        shared = [key for key in ours if key in theirs]
        chances = [self._better([theirs[key].score for key in shared], [ours[key].score for key in shared])]
        for name in lower:
            pairs = [(ours[key].measure(name), theirs[key].measure(name)) for key in shared]
            known = [(own, their) for own, their in pairs if own is not None and their is not None]
            chances.append(self._better([own for own, _ in known], [their for _, their in known]))
        return max(chances)

    def _better(self, first: Sequence[float], second: Sequence[float]) -> float:
        return probability_better(first, second, seed=self._seed)

    def _chance(self, rows: Sequence[Outcome]) -> float:
        columns = {name: [row.measure(name) for row in rows] for name in self.objectives.measured}
        held = 0
        for weights in self._weights(len(rows)):
            means = {name: mean for name, column in columns.items() if (mean := _mean(column, weights)) is not None}
            held += all(constraint.holds(means) for constraint in self.objectives.parsed)
        return held / _DRAWS

    def _weights(self, size: int) -> list[list[float]]:
        """Draws of the Bayesian bootstrap, the same for every candidate of so many rows."""
        if size not in self._drawn:
            rng = Random(f"{self._seed}/kept/{size}")
            self._drawn[size] = [[-math.log(1 - rng.random()) for _ in range(size)] for _ in range(_DRAWS)]
        return self._drawn[size]


def _mean(column: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """The weighted mean of what is known; None where nothing is."""
    known = [value for value in column if value is not None]
    if len(known) < len(column):
        weights = [weight for weight, value in zip(weights, column, strict=True) if value is not None]
    return sum(map(mul, weights, known)) / sum(weights) if known else None
