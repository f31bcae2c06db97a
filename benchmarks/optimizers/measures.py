"""What rows come to: shares of the reachable gain, calls to reach a peer's, runs that end below the seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.optimizers.rows import Row

LEVEL = 0.95
DRAWS = 2000
LEAST = 0.05
"""Where a peer gains less than this share, there is nothing to be reached sooner; such pairs are counted apart."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A statistic with its bootstrap interval, and how many things it is of."""

    value: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        return self.n > 0


def bootstrapped(values: Sequence[float], statistic: Callable[[Sequence[float]], float], seed: int = 0) -> Figure:
    """The percentile interval from seeded resampling."""
    if not values:
        return Figure(math.nan, math.nan, math.nan, 0)
    rng = Random(seed)
    drawn = sorted(statistic(rng.choices(values, k=len(values))) for _ in range(DRAWS))
    edge = int((1 - LEVEL) / 2 * DRAWS)
    return Figure(statistic(values), drawn[edge], drawn[DRAWS - 1 - edge], len(values))


def gain(rows: Sequence[Row]) -> Figure:
    """Mean share of the reachable gain."""
    return bootstrapped([row.gain for row in rows], statistics.fmean)


def reached(rows: Sequence[Row], share: float = 0.9) -> tuple[int, float]:
    """How many runs came to hold a program with this share of the reachable gain, and their median calls to it."""
    found = [calls for row in rows if (calls := delivered(row, target(row, share))) is not None]
    return len(found), statistics.median(found) if found else math.nan


def target(row: Row, share: float) -> float:
    """The true score at a share of what can be reached."""
    return row.seed_score + share * (row.best_score - row.seed_score)


def below(rows: Sequence[Row]) -> int:
    """Runs that returned something worse than they were given."""
    return sum(row.final_score < row.seed_score - 1e-9 for row in rows)


def delivered(row: Row, score: float) -> int | None:
    """Calls until it could hand over a program of that score: the confirmation it would then still make included."""
    calls = row.calls_to(score)
    if calls is None:
        return None
    return min(row.calls, calls + row.confirm_calls)


@dataclass(frozen=True, slots=True)
class Versus:
    """Ours against a peer, paired by family and seed."""

    ratio: Figure
    """Median of our calls to the peer's final score over the peer's calls to it; never reached counts as infinite."""
    whole: Figure
    """The same over all calls that the peer made: its result is known no sooner."""
    never: int
    """Pairs in which ours never came to what the peer ended with."""
    idle: int
    """Pairs in which the peer gained next to nothing; not in the ratios."""
    more: Figure
    """Mean difference of the shares of the reachable gain, ours less the peer's, over all pairs."""


def versus(ours: Sequence[Row], theirs: Sequence[Row]) -> Versus:
    """The comparison over all pairs that both have."""
    known = {(row.family, row.seed): row for row in theirs}
    pairs = [(row, known[row.family, row.seed]) for row in ours if (row.family, row.seed) in known]
    telling = [(mine, other) for mine, other in pairs if other.gain >= LEAST]
    first: list[float] = []
    whole: list[float] = []
    for mine, other in telling:
        calls = delivered(mine, other.final_score)
        needed = other.calls_to(other.final_score) or other.calls
        first.append(math.inf if calls is None else calls / max(1, needed))
        whole.append(math.inf if calls is None else calls / max(1, other.calls))
    more = bootstrapped([mine.gain - other.gain for mine, other in pairs], statistics.fmean)
    middle = statistics.median
    return Versus(
        bootstrapped(first, middle), bootstrapped(whole, middle), sum(map(math.isinf, first)),
        len(pairs) - len(telling), more,
    )  # fmt: skip
