"""What BEACON believes of candidates: abilities that were measured, and draws of those of configurations to come."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from random import Random
from statistics import NormalDist

from dspex.optimization.deciding import SearchView
from dspex.optimization.rows import Candidate
from dspex.optimization.schedules.response import fitted
from dspex.optimization.surrogates.gate import LEAST, gate
from dspex.optimization.surrogates.item_response import ItemResponse, Key, Scale
from dspex.optimization.surrogates.ports import Observation, Point, Surrogate

MOST = 200
"""Candidates that the surrogate sees: those with most answers, and the newest."""
DRAWS = 128
_NORMAL = NormalDist()
_QUANTILES = [_NORMAL.inv_cdf((index + 0.5) / 15) for index in range(15)]


class Level:
    """The expected score on all examples, 0..1, by ability: a table, since it is asked very often."""

    def __init__(self, fit: ItemResponse, keys: Sequence[Key]) -> None:
        self._fit, self._keys = fit, keys

    def __call__(self, ability: float) -> float:
        return self.all([ability])[0]

    def all(self, abilities: Iterable[float]) -> list[float]:
        """Of each ability; quicker than one by one."""
        at, level, width, rise = self._table
        last = len(width)
        return [
            level[place] + (0.0 if share < 0.0 else 1.0 if share > 1.0 else share) * rise[place]
            for ability in abilities
            for place in (bisect_right(at, ability, 1, last) - 1,)  # what is outside is in the first part or the last
            for share in ((ability - at[place]) / width[place],)
        ]

    @cached_property
    def _table(self) -> tuple[list[float], list[float], list[float], list[float]]:
        """Abilities, their levels, and how far it is from each to the next. In many rounds nobody asks."""
        fit = self._fit
        reach = 5 * max(fit.scale.ability, *(sd for _, sd in fit.abilities.values()), 0.2)
        found = [value for value, _ in fit.abilities.values()]
        low, high = min(found) - reach, max(found) + reach
        at = [low + (high - low) * step / 80 for step in range(81)]
        level = fit.means(at, self._keys)
        return at, level, [b - a for a, b in pairwise(at)], [b - a for a, b in pairwise(level)]


def measured(search: SearchView, top: int, *, item_response: bool) -> ItemResponse:
    """Abilities of all candidates: by item response, or, without it, their mean scores whatever they were asked."""
    if item_response:
        return fitted(search, top)
    keys = set(search.problem.keys[:top])
    scores = {
        item: [score for key, score in search.ledger.scores(item).items() if key in keys]
        for item in search.ledger.candidates
    }
    every = [score for found in scores.values() for score in found]
    mean = math.fsum(every) / len(every)
    noise = max(0.02, math.sqrt(math.fsum((score - mean) ** 2 for score in every) / len(every)))
    spread = noise / 3
    abilities: dict[str, tuple[float, float]] = {}
    for item, found in scores.items():
        if found:
            weight = len(found) / noise**2 + 1 / spread**2
            abilities[item] = ((math.fsum(found) / noise**2 + mean / spread**2) / weight, 1 / math.sqrt(weight))
    return ItemResponse(Scale(mean, spread, 0.0, noise), abilities, {}, {})


def observation(fit: ItemResponse, candidate: str) -> Observation:
    """What the scores alone say of an ability: the fit's posterior without its prior."""
    (mean, deviation), prior = fit.abilities[candidate], fit.scale.ability**-2
    weight = max(1e-3 * prior, deviation**-2 - prior)
    return Observation((mean * deviation**-2 - fit.scale.centre * prior) / weight, 1 / weight)


@dataclass(frozen=True)
class Steps:
    """How far the ability of a candidate lies from that of its parents, by the proposer that made it."""

    fit: ItemResponse
    found: Mapping[str, tuple[float, float, int]]
    """Proposer to (mean step, standard deviation of a step, how many)."""

    @classmethod
    def of(cls, fit: ItemResponse, candidates: Mapping[str, Candidate]) -> Steps:
        """From all candidates whose parents were measured too. A proposer unheard of is thought to change little."""
        told: dict[str, list[tuple[float, float]]] = {}
        for item in candidates.values():
            before = [fit.abilities[parent][0] for parent in item.parents if parent in fit.abilities]
            if before and item.id in fit.abilities:
                value, sd = fit.abilities[item.id]
                told.setdefault(item.operator, []).append((value - math.fsum(before) / len(before), sd))
        wide = fit.scale.ability
        found: dict[str, tuple[float, float, int]] = {}
        for name, steps in told.items():
            mean = math.fsum(step for step, _ in steps) / (len(steps) + 2)
            squares = math.fsum((step - mean) ** 2 + sd * sd for step, sd in steps) + 2 * wide * wide
            found[name] = mean, math.sqrt(squares / (len(steps) + 2)), len(steps)
        return cls(fit, found)

    def expected(self, proposer: str, parents: Sequence[str]) -> tuple[float, float]:
        """(mean, standard deviation) of the ability of its next candidate from these parents."""
        mean, spread, _ = self.found.get(proposer, (0.0, self.fit.scale.ability, 0))
        before = [self.fit.ability(parent)[0] for parent in parents] or [self.fit.scale.centre]
        return math.fsum(before) / len(before) + mean, spread

    def tried(self, proposer: str) -> int:
        """How many of its candidates were measured."""
        return self.found.get(proposer, (0.0, 0.0, 0))[2]


def gain_over(level: Level, least: float, mean: float, spread: float) -> float:
    """The expected part of a score above `least`, of an ability with this mean and spread."""
    levels = level.all(mean + spread * z for z in _QUANTILES)
    return math.fsum(max(0.0, item - least) for item in levels) / len(_QUANTILES)


@dataclass(frozen=True)
class Outlook:
    """Draws of the scores, 0..1, that candidates and configurations would have on all examples."""

    weight: float
    """Of the surrogate, 0..1."""
    place: Mapping[str, int]
    """Of measured candidates, then of the pool, by id: which of a row is theirs."""
    drawn: Callable[[], Sequence[Sequence[float]]]
    """Gives the draws, each of all of them in a row."""
    level: Callable[[Iterable[float]], list[float]] = list
    """The scores of what was drawn: `list` where scores were drawn, `Level.all` where abilities were."""
    modelled: int = 0
    """So many rows, the first, are the surrogate's; the others are of the proposers' records alone."""
    _scores: dict[str, list[float]] = field(default_factory=dict[str, list[float]], repr=False, compare=False)

    @cached_property
    def rows(self) -> Sequence[Sequence[float]]:
        """What was drawn. In some rounds nobody asks."""
        return self.drawn()

    def scores(self, name: str) -> list[float]:
        """In each draw. Found when they are first asked for: in many rounds nobody asks for the pool's."""
        found = self._scores.get(name)
        if found is None:
            own = self.place[name]
            found = self._scores[name] = self.level([row[own] for row in self.rows])
        return found

    def gains(self, name: str, incumbent: str) -> list[float]:
        """In each draw, how far above the incumbent."""
        return [one - other for one, other in zip(self.scores(name), self.scores(incumbent), strict=True)]

    def chances(self, known: Sequence[str]) -> dict[str, float]:
        """Of each measured candidate, how likely it is to be better than the one of the others that looks best."""
        means = {name: math.fsum(self.scores(name)) for name in known}
        best = sorted(known, key=lambda name: -means[name])[:2]
        found: dict[str, float] = {}
        for name in known:
            rivals = [item for item in best if item != name]
            if rivals:
                found[name] = sum(gain > 0 for gain in self.gains(name, rivals[0])) / len(self.rows)
        return found

    def expected(self, name: str, incumbent: str) -> float:
        """The expected gain, nothing where it is below the incumbent."""
        return math.fsum(max(0.0, item) for item in self.gains(name, incumbent)) / len(self.rows)


@dataclass(frozen=True)
class Watch:
    """What an outlook is made from."""

    search: SearchView
    fit: ItemResponse
    level: Level
    steps: Steps
    incumbent: str
    known: Sequence[str]
    """Measured candidates that the surrogate sees, oldest first."""

    @classmethod
    def of(cls, search: SearchView, fit: ItemResponse, top: int, incumbent: str) -> Watch:
        """On everything that is folded."""
        candidates = search.ledger.candidates
        there = [item for item in candidates if item in fit.abilities]
        if len(there) > MOST:
            asked = sorted(there, key=lambda item: -len(search.ledger.scores(item)))
            kept = {*asked[: MOST * 3 // 4], *there[-MOST // 4 :], incumbent}
            there = [item for item in there if item in kept]
        level = Level(fit, search.problem.keys[:top])
        return cls(search, fit, level, Steps.of(fit, candidates), incumbent, there)

    def outlook(
        self, pool: Sequence[Candidate], surrogate: Surrogate | None, gated: float | None, rng: Random
    ) -> Outlook:
        """Draws for all known candidates and the pool. `gated`: the weight found before; None: to be found now."""
        place = {name: index for index, name in enumerate([*self.known, *(item.id for item in pool)])}
        weight, rows = 0.0, list[list[float]]()
        if surrogate is not None and gated != 0 and len(self.known) >= LEAST:
            weight, rows = self._modelled(pool, place, surrogate, gated, rng)
        modelled = len(rows)
        prior = [self.fit.abilities[item] for item in self.known]
        prior += [self.steps.expected(item.operator, item.parents) for item in pool]

        def drawn() -> list[list[float]]:
            left = range(DRAWS - modelled)
            return [*rows, *([mean + sd * rng.gauss(0, 1) for mean, sd in prior] for _ in left)]

        return Outlook(weight, place, drawn, self.level.all, modelled)

    def _modelled(
        self,
        pool: Sequence[Candidate],
        place: Mapping[str, int],
        surrogate: Surrogate,
        gated: float | None,
        rng: Random,
    ) -> tuple[float, list[list[float]]]:
        """The gate's weight, and as large a share of the draws from the surrogate."""
        candidates = [*(self.search.ledger.candidates[item] for item in self.known), *pool]
        points = [
            Point(item.values, tuple(place[parent] for parent in item.parents if parent in place))
            for item in candidates
        ]
        observed = [observation(self.fit, item) for item in self.known]
        with self.search.fitting:
            found = surrogate.predict(self.search.problem.space, points, observed, self.fit.scale.ability)
            if found is None:
                return 0.0, []
            values, noise = [item.value for item in observed], [item.noise for item in observed]
            weight = gate(values, noise, found.alone) if gated is None else gated
            return weight, found.draws(rng, round(weight * DRAWS)) if weight else []
