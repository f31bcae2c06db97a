"""Several runs of each example, and what SIMBA does with them: the examples that vary most come first.

After SIMBA of DSPy, which has no paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dspex.optimization.rows import Pair

LOW, HIGH = 0.1, 0.9
"""Shares of all scores of a batch: not above the first a run is no good one, not below the second no bad one."""


@dataclass(frozen=True, slots=True)
class Run:
    """One scored run."""

    pair: Pair
    score: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """The runs of one example, best first."""

    runs: tuple[Run, ...]

    @property
    def best(self) -> Run:
        return self.runs[0]

    @property
    def worst(self) -> Run:
        return self.runs[-1]

    @property
    def spread(self) -> tuple[float, float, float]:
        """By what buckets are ordered: best less worst, the best, best less mean."""
        scores = [run.score for run in self.runs]
        return (scores[0] - scores[-1], scores[0], scores[0] - math.fsum(scores) / len(scores))


@dataclass(frozen=True, slots=True)
class Batch:
    """The buckets of a batch, those that vary most first, with the scores that mark good and bad runs."""

    buckets: tuple[Bucket, ...]
    low: float
    high: float

    @classmethod
    def of(cls, runs: Iterable[Run]) -> Batch:
        """Bucketed by example. Among equals the order is that of the runs."""
        found: dict[str, list[Run]] = {}
        for run in runs:
            found.setdefault(run.pair[1], []).append(run)
        made = [Bucket(tuple(sorted(group, key=lambda run: -run.score))) for group in found.values()]
        made.sort(key=lambda bucket: bucket.spread, reverse=True)
        scores = sorted(run.score for group in found.values() for run in group)
        return cls(tuple(made), percentile(scores, LOW), percentile(scores, HIGH))


@dataclass(frozen=True, slots=True)
class Contrast:
    """A good and a bad run to learn from; one of them may say nothing."""

    good: Run | None
    bad: Run | None


def shown_by(batch: Batch, bucket: Bucket) -> Run | None:
    """The run that demonstrates the task; None where the best is among the worst of the batch."""
    return bucket.best if bucket.best.score > batch.low else None


def contrast_in(batch: Batch, bucket: Bucket) -> Contrast | None:
    """The best against the worst run; None where the best is among the worst of the batch, or the worst among the best.
    Where they are equal, the one that is of no use is left out."""
    good, bad = bucket.best, bucket.worst
    if good.score <= batch.low or bad.score >= batch.high:
        return None
    if good.score > bad.score:
        return Contrast(good, bad)
    return Contrast(good, None) if good.score > batch.high else Contrast(None, bad)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of ordered scores, between neighbours in proportion; 0 where there are none."""
    if not ordered:
        return 0.0
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def top(means: Mapping[str, float], count: int, first: str) -> list[str]:
    """The `count` programs with the best means; the first program takes the last place where it is not among them."""
    best = sorted(means, key=lambda item: -means[item])[:count]
    return best if first in best else [*best[: count - 1], first]


def softly(means: Mapping[str, float], among: Sequence[str], temperature: float, rng: Random) -> str:
    """One of them, with weight e^(mean / temperature)."""
    most = max(means[item] for item in among)
    return rng.choices(among, [math.exp((means[item] - most) / temperature) for item in among])[0]


def dropped(count: int, most: int, rng: Random) -> set[int]:
    """Which of `count` demonstrations go before another is added: a Poisson number with mean count / most, at least one
    where the step is full, drawn with replacement."""
    if not count:
        return set()
    number = min(count, max(poisson(count / max(1, most), rng), int(count >= most)))
    return {rng.randrange(count) for _ in range(number)}


def poisson(mean: float, rng: Random) -> int:
    """A draw, for small means (Knuth)."""
    limit, product, number = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        number += 1
    return number
