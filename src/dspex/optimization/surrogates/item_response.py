"""Item response (Rasch 1960; Birnbaum 1968): scores explained by a candidate's ability and an example's difficulty.

Binary scores: logit P(1) = a_x (theta_c - delta_x). Graded ones: score = theta_c - delta_x plus noise. A candidate that
was asked hard examples is then not taken for a bad one, whichever examples it was asked: which ones may depend on
scores seen before, since a likelihood does not mind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from dspex.evaluation.statistics import is_binary

Key = tuple[str, int]
Scores = Mapping[str, Mapping[Key, float]]
"""Candidate to example to score in 0..1."""

ANSWERS = 12
"""With fewer answers to it, an example's discrimination is taken to be 1."""
SWEEPS = 40
TOLERANCE = 1e-4
GUESS = 4
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Scale:
    """What an ability and a difficulty are drawn from before anything is known, and what one score tells."""

    centre: float
    """Mean ability; difficulties have the mean 0."""
    ability: float
    """Standard deviation of abilities."""
    difficulty: float
    """Standard deviation of difficulties."""
    noise: float
    """Standard deviation of a graded score; 0 for binary ones, whose noise follows from their mean."""


@dataclass(frozen=True, slots=True)
class ItemResponse:
    """A fit: posterior modes with their standard deviations. Of candidates and examples it has not seen: the prior."""

    scale: Scale
    abilities: Mapping[str, tuple[float, float]]
    """Candidate to (ability, standard deviation): logits, or points where scores are graded."""
    difficulties: Mapping[Key, tuple[float, float]]
    discriminations: Mapping[Key, float]
    """Where it is not 1."""

    @property
    def binary(self) -> bool:
        return self.scale.noise == 0

    def ability(self, candidate: str) -> tuple[float, float]:
        """(ability, standard deviation)."""
        return self.abilities.get(candidate, (self.scale.centre, self.scale.ability))

    def expected(self, ability: float, key: Key) -> float:
        """The expected score in 0..1 of this ability on this example."""
        return self.means([ability], [key])[0]

    def means(self, abilities: Iterable[float], keys: Sequence[Key]) -> list[float]:
        """The expected mean score of each of these abilities over `keys`: what is known of these is looked up once."""
        given = [self.difficulties.get(key, (0.0, self.scale.difficulty)) for key in keys]
        if not self.binary:
            return [
                math.fsum([min(1.0, max(0.0, ability - difficulty)) for difficulty, _ in given]) / len(given)
                for ability in abilities
            ]
        slopes = [self.discriminations.get(key, 1.0) for key in keys]
        # The mean of a logistic over a normal (MacKay 1992).
        curves = [
            (a, difficulty, math.sqrt(1 + math.pi * (a * deviation) ** 2 / 8))
            for a, (difficulty, deviation) in zip(slopes, given, strict=True)
        ]
        exp = math.exp
        return [
            math.fsum(
                # Written out: BEACON asks for this very often.
                [1 / (1 + exp(-x)) if (x := a * (ability - at) / flat) > -700 else 0.0 for a, at, flat in curves]
            )
            / len(curves)
            for ability in abilities
        ]

    def information(self, ability: float, key: Key) -> float:
        """What an answer to this example tells about whether somebody is above or below `ability` (Fisher)."""
        if not self.binary:
            return 1.0 / (self.scale.noise**2 + self.difficulties.get(key, (0.0, self.scale.difficulty))[1] ** 2)
        p = self.expected(ability, key)
        return self.discriminations.get(key, 1.0) ** 2 * p * (1 - p)

    def chance(self, challenger: str, other: str) -> float:
        """The probability that `challenger` has more ability than `other`."""
        (ours, one), (theirs, two) = self.ability(challenger), self.ability(other)
        return _NORMAL.cdf((ours - theirs) / math.hypot(one, two))


def item_response(scores: Scores) -> ItemResponse:
    """The fit to all scores, by alternating Newton steps; spreads by expectation-maximization. Deterministic."""
    fit = _Fit(scores)
    for sweep in range(SWEEPS):
        moved = fit.sweep(discriminate=sweep > 8)
        if moved < TOLERANCE and sweep > 12:
            break
    return fit.result()


Answer = tuple[tuple[float, float], float, float]
"""(value, standard deviation) of the other side, discrimination, score."""


class _Fit:
    """The state of a fit: candidates and examples by index, each with its answers."""

    def __init__(self, scores: Scores) -> None:
        self.candidates = [item for item, found in scores.items() if found]
        self.keys = sorted({key for found in scores.values() for key in found})
        where = {key: index for index, key in enumerate(self.keys)}
        self.given: list[list[tuple[int, float]]] = []
        self.asked: list[list[tuple[int, float]]] = [[] for _ in self.keys]
        for number, item in enumerate(self.candidates):
            self.given.append(answers := [(where[key], value) for key, value in scores[item].items()])
            for index, value in answers:
                self.asked[index].append((number, value))
        values = [value for answers in self.given for _, value in answers]
        self.binary = is_binary(values)
        mean = math.fsum(values) / len(values) if values else 0.5
        if self.binary:
            self.scale = Scale(_logit((mean * len(values) + 0.5) / (len(values) + 1)), 0.7, 1.5, 0.0)
        else:
            spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values)) or 0.1
            self.scale = Scale(mean, spread / 2, spread / 2, max(0.02, spread / 2))
        self.first = self.scale
        self.theta = [(self.scale.centre, self.scale.ability)] * len(self.candidates)
        self.delta = [(0.0, self.scale.difficulty)] * len(self.keys)
        self.slope = [1.0] * len(self.keys)

    def sweep(self, *, discriminate: bool) -> float:
        """One step for everything; how far abilities moved at most."""
        before, scale = self.theta, self.scale
        self.theta = [
            self._step(own, [(self.delta[x], self.slope[x], y) for x, y in answers], scale.centre, scale.ability, 1)
            for own, answers in zip(self.theta, self.given, strict=True)
        ]
        self.delta = [
            self._step(own, [(self.theta[c], self.slope[x], y) for c, y in self.asked[x]], 0.0, scale.difficulty, -1)
            for x, own in enumerate(self.delta)
        ]
        if discriminate and self.binary:
            self.slope = [self._discrimination(x) for x in range(len(self.keys))]
        self._rescale()
        return max((abs(new[0] - old[0]) for new, old in zip(self.theta, before, strict=True)), default=0.0)

    def _step(
        self, own: tuple[float, float], answers: Sequence[Answer], mean: float, sd: float, sign: int
    ) -> tuple[float, float]:
        """A Newton step of an ability (sign 1) or a difficulty (-1), given the other side of each answer.

        The step takes the other side for certain; the standard deviation does not.
        """
        value = own[0]
        slope, weight = (mean - value) / sd**2, 1 / sd**2
        told = weight
        if self.binary:
            exp = math.exp
            for (other, deviation), a, score in answers:
                x = a * (sign * (value - other))
                p = 1 / (1 + exp(-x)) if x > -700 else 0.0  # written out: these lines are most of a fit
                tells = a * a * p * (1 - p)
                slope += sign * (a * (score - p))
                weight += tells
                told += tells / (1 + tells * deviation**2)
        else:
            tells = 1 / self.scale.noise**2
            for (other, deviation), _, score in answers:
                slope += sign * ((score - sign * (value - other)) * tells)
                weight += tells
                told += tells / (1 + tells * deviation**2)
        return value + max(-1.5, min(1.5, slope / weight)), 1 / math.sqrt(told)

    def _discrimination(self, x: int) -> float:
        if len(self.asked[x]) < ANSWERS:
            return 1.0
        log, difficulty = math.log(self.slope[x]), self.delta[x][0]
        slope, weight = -log / 0.09, 1 / 0.09  # log a is drawn from a normal with standard deviation 0.3
        for c, score in self.asked[x]:
            away = self.slope[x] * (self.theta[c][0] - difficulty)
            p = _logistic(away)
            slope += (score - p) * away
            weight += p * (1 - p) * away * away
        return math.exp(max(-1.0, min(1.0, log + max(-0.3, min(0.3, slope / weight)))))

    def _rescale(self) -> None:
        """The prior from what was found. The first guess of a spread counts as much as `GUESS` of a kind."""
        scale, first = self.scale, self.first
        centre = math.fsum(value for value, _ in self.theta) / len(self.theta) if self.theta else scale.centre
        ability = _spread([(value - centre, sd) for value, sd in self.theta], first.ability)
        difficulty = _spread(self.delta, first.difficulty)
        noise = scale.noise
        if not self.binary:
            left = [
                (y - self.theta[c][0] + self.delta[x][0]) ** 2 + self.theta[c][1] ** 2 + self.delta[x][1] ** 2
                for x, answers in enumerate(self.asked)
                for c, y in answers
            ]
            noise = max(0.02, math.sqrt((math.fsum(left) + noise**2) / (len(left) + 1)))
        self.scale = Scale(centre, ability, difficulty, noise)

    def result(self) -> ItemResponse:
        return ItemResponse(
            self.scale,
            dict(zip(self.candidates, self.theta, strict=True)),
            dict(zip(self.keys, self.delta, strict=True)),
            {key: slope for key, slope in zip(self.keys, self.slope, strict=True) if slope != 1.0},
        )


def _spread(found: Sequence[tuple[float, float]], first: float) -> float:
    squares = math.fsum(value * value + sd * sd for value, sd in found) + GUESS * first * first
    return math.sqrt(squares / (len(found) + GUESS))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
