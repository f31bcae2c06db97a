"""Intervals, paired comparisons and the probability of being better, with the standard library alone.

Binary means that every score is 0 or 1. Everything random is drawn from a generator seeded by an argument.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul
from statistics import NormalDist

RESAMPLES = 2000
DRAWS = 1000
_BOOTSTRAP_LIMIT = 200  # more pairs than this: Student's t is as good, and costs nothing
_DRAWN_LIMIT = 32  # more differences than this: the normal is nearer to the posterior than 2,000 draws of it
_EXACT_LIMIT = 1024  # more trials than this: the binomial sum is taken from the incomplete beta function


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided interval, and the name of the method it was computed with."""

    low: float
    high: float
    method: str
    """`wilson`, `student_t`, `newcombe`, `paired_bootstrap`, or `none` where there is too little data."""
    level: float = 0.95

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside."""
        return not self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """What pairs of scores say about second minus first."""

    n: int
    """Pairs."""
    difference: float
    """Mean of second minus first."""
    interval: Interval
    wins: int
    """Pairs in which the second is higher."""
    losses: int
    ties: int
    p_better: float
    """Probability that the second is better, given these pairs."""
    mcnemar_p: float | None
    """Two-sided exact McNemar test; None where scores are graded."""


def mean_interval(scores: Sequence[float], *, level: float = 0.95) -> Interval:
    """Interval of the mean of scores in 0..1: Wilson for binary ones, Student's t (kept in 0..1) for graded ones."""
    n = len(scores)
    if is_binary(scores):
        return wilson(round(sum(scores)), n, level=level)
    if n < 2:
        return Interval(0.0, 1.0, "none", level)
    mean, margin = _t_margin(scores, level)
    return Interval(max(0.0, mean - margin), min(1.0, mean + margin), "student_t", level)


def wilson(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927)."""
    if n == 0:
        return Interval(0.0, 1.0, "none", level)
    z = _normal_quantile(level)
    share = successes / n
    middle = share + z * z / (2 * n)
    margin = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else max(0.0, (middle - margin) / scale)
    high = 1.0 if successes == n else min(1.0, (middle + margin) / scale)
    return Interval(low, high, "wilson", level)


def paired(first: Sequence[float], second: Sequence[float], *, level: float = 0.95, seed: int = 0) -> PairedDifference:
    """Compares two sequences of scores of the same examples in the same order. Raises ValueError on unequal lengths."""
    if len(first) != len(second):
        raise ValueError(f"pairs need as many first scores as second ones, not {len(first)} and {len(second)}")
    differences = [after - before for before, after in zip(first, second, strict=True)]
    wins, losses = sum(item > 0 for item in differences), sum(item < 0 for item in differences)
    binary = is_binary(first) and is_binary(second)
    return PairedDifference(
        n=len(differences),
        difference=math.fsum(differences) / len(differences) if differences else 0.0,
        interval=_newcombe(first, second, level)
        if binary
        else difference_interval(differences, level=level, seed=seed),
        wins=wins,
        losses=losses,
        ties=len(differences) - wins - losses,
        p_better=_better(wins, losses) if binary else _better_graded(differences, seed),
        mcnemar_p=mcnemar(wins, losses) if binary else None,
    )


def probability_better(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> float:
    """The probability that the second is better, given scores of the same examples in the same order.

    Binary: the chance that p > 1/2 under Beta(1 + wins, 1 + losses). Graded: the Bayesian bootstrap (Rubin 1981) of
    the mean difference, with one win and one loss of the mean size added, so that binary scores are a special case and
    a single difference proves nothing. 0.5 where nothing differs.
    """
    differences = [after - before for before, after in zip(first, second, strict=True)]
    if is_binary(first) and is_binary(second):
        return _better(sum(item > 0 for item in differences), sum(item < 0 for item in differences))
    return _better_graded(differences, seed)


def difference_interval(differences: Sequence[float], *, level: float = 0.95, seed: int = 0) -> Interval:
    """Interval of a mean of paired differences: percentiles of a seeded bootstrap, Student's t beyond 200 pairs."""
    n = len(differences)
    if n < 2:
        return Interval(-1.0, 1.0, "none", level)
    if n > _BOOTSTRAP_LIMIT:
        mean, margin = _t_margin(differences, level)
        return Interval(mean - margin, mean + margin, "student_t", level)
    rng = random.Random(seed)
    means = sorted(math.fsum(rng.choices(differences, k=n)) / n for _ in range(RESAMPLES))
    tail = (1 - level) / 2
    return Interval(_quantile(means, tail), _quantile(means, 1 - tail), "paired_bootstrap", level)


def t_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Student's t interval of the mean of any numbers; for means of paired differences a cheap alternative."""
    if len(values) < 2:
        return Interval(-math.inf, math.inf, "none", level)
    mean, margin = _t_margin(values, level)
    return Interval(mean - margin, mean + margin, "student_t", level)


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided exact McNemar test: the chance of a split at least this uneven if neither were better."""
    return min(1.0, 2 * _half_binomial(min(wins, losses), wins + losses)) if wins + losses else 1.0


def is_binary(scores: Sequence[float]) -> bool:
    """Whether every score is 0 or 1."""
    return all(item in (0.0, 1.0) for item in scores)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function, by Lentz's continued fraction."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / _away_from(1 - (a + b) * x / (a + 1), tiny)
    total = d
    for m in range(1, 100_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from(1 + term * d, tiny)
            c = _away_from(1 + term / c, tiny)
            total *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * total / a


def _better(wins: int, losses: int) -> float:
    return _half_binomial(wins, wins + losses + 1)


@lru_cache(maxsize=4096)
def _half_binomial(most: int, n: int) -> float:
    """P(X <= most) for X ~ Binomial(n, 1/2)."""
    if most >= n:
        return 1.0
    if n > _EXACT_LIMIT:
        return incomplete_beta(n - most, most + 1, 0.5)
    total = term = 1
    for k in range(most):
        term = term * (n - k) // (k + 1)
        total += term
    return total / (1 << n)


def _better_graded(differences: Sequence[float], seed: int) -> float:
    # Weights of a Dirichlet draw are exponentials over their sum; the sum does not change the sign, nor do ties.
    moved = [item for item in differences if item]
    if not moved:
        return 0.5
    size = math.fsum(map(abs, moved)) / len(moved)
    moved += [size, -size]
    if len(moved) > _DRAWN_LIMIT:
        return NormalDist().cdf(math.fsum(moved) / math.sqrt(math.fsum(map(mul, moved, moved))))
    # A row of weights is longer than needed; map() stops at the shorter of the two.
    positive: int = sum(sum(map(mul, row, moved)) > 0 for row in _weights(seed))
    return positive / DRAWS


@lru_cache(maxsize=4)
def _weights(seed: int) -> list[array[float]]:
    rng = random.Random(seed)
    return [array("d", (-math.log(1 - rng.random()) for _ in range(_DRAWN_LIMIT))) for _ in range(DRAWS)]


def _newcombe(first: Sequence[float], second: Sequence[float], level: float) -> Interval:
    """The score interval of a difference of paired proportions (Newcombe 1998, his method 10)."""
    n = len(first)
    if n == 0:
        return Interval(-1.0, 1.0, "none", level)
    both = sum(1 for one, two in zip(first, second, strict=True) if one and two)
    ones, twos = round(sum(first)), round(sum(second))
    p1, p2 = ones / n, twos / n
    i1, i2 = wilson(ones, n, level=level), wilson(twos, n, level=level)
    spread = ones * (n - ones) * twos * (n - twos)
    cross = both * (n - ones - twos + both) - (ones - both) * (twos - both)
    phi = (max(cross - n / 2, 0) if cross > 0 else cross) / math.sqrt(spread) if spread else 0.0
    down, up = (p2 - i2.low, i1.high - p1), (i2.high - p2, p1 - i1.low)
    low, high = (math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b)) for a, b in (down, up))
    return Interval(max(-1.0, p2 - p1 - low), min(1.0, p2 - p1 + high), "newcombe", level)


def _t_margin(values: Sequence[float], level: float) -> tuple[float, float]:
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum((item - mean) ** 2 for item in values) / (n - 1)
    return mean, _t_quantile(n - 1, level) * math.sqrt(variance / n)


@lru_cache(maxsize=1024)
def _t_quantile(degrees: int, level: float) -> float:
    """The t above and below which (1 - level) of Student's distribution lies, by bisection."""
    if degrees > 5000:
        return _normal_quantile(level)
    low, high = 0.0, 1e6
    while high - low > 1e-12 * max(1.0, high):
        middle = (low + high) / 2
        outside = incomplete_beta(degrees / 2, 0.5, degrees / (degrees + middle * middle))
        low, high = (middle, high) if outside > 1 - level else (low, middle)
    return 0.5 * (low + high)


def _normal_quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _away_from(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
