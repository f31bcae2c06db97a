"""The gate: how much a surrogate is believed, by how well it predicts each candidate from the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST = 12
"""Candidates without which nothing can be said."""
SHOWN = 2.0
"""Nats by which the surrogate must be ahead in all."""
_WEIGHTS = tuple(step / 20 for step in range(21))


def gate(observed: Sequence[float], noise: Sequence[float], alone: tuple[Sequence[float], Sequence[float]]) -> float:
    """The weight of the surrogate, 0..1, that predicts best when stacked with "a mean plus noise" (Yao et al. 2018).

    Both predict each observation from the others: `alone` has the surrogate's means and variances. 0 where the stack is
    not ahead of the plain mean by `SHOWN`.
    """
    if len(observed) < LEAST:
        return 0.0
    plain = plain_scores(observed, noise)
    ours = [log_normal(y, mean, var) for y, mean, var in zip(observed, *alone, strict=True)]
    best, weight = 0.0, 0.0
    for share in _WEIGHTS[1:]:
        ahead = math.fsum(_mixed(share, one, other) - other for one, other in zip(ours, plain, strict=True))
        if round(ahead, 6) > best:
            best, weight = round(ahead, 6), share
    return weight if best > SHOWN else 0.0


def plain_scores(observed: Sequence[float], noise: Sequence[float]) -> list[float]:
    """The log density of each observation under the mean of the others, with the spread that makes them likeliest."""
    best: list[float] = []
    for tau in (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.5):
        weights = [1 / (var + tau * tau + 1e-9) for var in noise]
        total, summed = math.fsum(weights), math.fsum(w * y for w, y in zip(weights, observed, strict=True))
        found: list[float] = []
        for y, w in zip(observed, weights, strict=True):
            rest = max(total - w, 1e-12)
            found.append(log_normal(y, (summed - w * y) / rest, 1 / w + 1 / rest))
        if not best or math.fsum(found) > math.fsum(best):
            best = found
    return best


def log_normal(value: float, mean: float, variance: float) -> float:
    """The log density of a normal."""
    variance = max(variance, 1e-9)
    return -0.5 * (math.log(2 * math.pi * variance) + (value - mean) ** 2 / variance)


def _mixed(share: float, one: float, other: float) -> float:
    """log(share e^one + (1 - share) e^other)."""
    top = max(one, other)
    return top + math.log(share * math.exp(one - top) + (1 - share) * math.exp(other - top))
