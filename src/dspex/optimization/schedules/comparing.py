"""What every schedule asks of the ledger: chances and means on shared examples, rankings, what was never asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from dspex.evaluation.statistics import probability_better
from dspex.optimization.deciding import Finalists, SearchView
from dspex.optimization.rows import Pair

SHOWN = 0.95
"""P(better) above which a candidate on all examples counts as better."""
PRIOR = 12
"""A gain seen on n examples is believed n / (n + PRIOR) when candidates with different n are ranked."""

Key = tuple[str, int]


def chance_of(search: SearchView, challenger: str, other: str, keys: Sequence[Key]) -> float:
    """The probability that `challenger` is better than `other`, from those of `keys` that both have."""
    ours, theirs = search.ledger.scores(challenger), search.ledger.scores(other)
    shared = [key for key in keys if key in ours and key in theirs]
    known, memory = ("chance", challenger, other, len(shared)), search.problem.memory
    # Scores never change, and an early key that is missing may still come: only a gapless prefix is worth remembering.
    whole = len(shared) == len(keys) and keys == search.problem.keys[: len(keys)]
    if known not in memory or not whole:
        second, first = [ours[key] for key in shared], [theirs[key] for key in shared]
        found = probability_better(first, second, seed=search.problem.seed)
        if not whole:
            return found
        memory[known] = found
    remembered: float = memory[known]
    return remembered


def mean_of(search: SearchView, candidate: str, size: int) -> float:
    """Mean score in 0..1 over what the candidate has of the first `size` examples; 0 where it has none."""
    scores = search.ledger.scores(candidate)
    found = [scores[key] for key in search.problem.keys[:size] if key in scores]
    return sum(found) / len(found) if found else 0.0


def ahead(search: SearchView, challenger: str, other: str, size: int) -> float:
    """By how much the challenger is ahead on shared examples, at the least: a standard error below the mean."""
    ours, theirs = search.ledger.scores(challenger), search.ledger.scores(other)
    by = [ours[key] - theirs[key] for key in search.problem.keys[:size] if key in ours and key in theirs]
    if not by:
        return 0.0
    mean = sum(by) / len(by)
    return mean - math.sqrt(sum((item - mean) ** 2 for item in by) + 1.0) / len(by)


def missing(search: SearchView, candidates: Iterable[str], keys: Iterable[Key]) -> list[Pair]:
    """The pairs of these candidates that nobody has bought yet."""
    keys = tuple(keys)
    return [pair for who in candidates for key in keys if not search.ledger.holds(pair := (who, *key))]


def ranked(search: SearchView, top: int) -> list[str]:
    """Candidates by their gain over the seed program on shared examples, long records believed more than short ones."""
    gains = believed(search, top)
    return sorted(gains, key=lambda item: -gains[item])


def believed(search: SearchView, top: int) -> dict[str, float]:
    """The gain of each candidate over the seed program, shrunk towards 0 the more the fewer examples both have."""
    seed = search.problem.seed_id
    base = search.ledger.scores(seed)
    found = {seed: 0.0}
    for item in search.ledger.candidates:
        scores = search.ledger.scores(item)
        shared = [scores[key] - base[key] for key in search.problem.keys[:top] if key in scores and key in base]
        if shared and item != seed:
            found[item] = sum(shared) / (len(shared) + PRIOR)
    return found


def unasked_of_flawless(search: SearchView, incumbent: str, top: int) -> list[Pair]:
    """What is left to ask an incumbent that has made no mistake so far: perhaps there is nothing to gain."""
    scores = search.ledger.scores(incumbent)
    keys = search.problem.keys[:top]
    if any(scores.get(key, 1.0) < 1.0 for key in keys):
        return []
    return [pair for pair in missing(search, [incumbent], keys) if not search.ledger.failures(pair)]


def shown_better(search: SearchView, topped: Sequence[str], top: int) -> Finalists:
    """Those of `topped`, which are evaluated on all examples, that beat the seed program there; best first."""
    seed = search.problem.seed_id
    passed: list[str] = []
    for item in topped:
        decided = search.outcomes.decides(item, seed)
        chance = chance_of(search, item, seed, search.problem.keys[:top]) if decided is None else decided
        if chance > SHOWN:
            passed.append(item)
    return Finalists(tuple(sorted(passed, key=lambda item: -mean_of(search, item, top))), len(topped))


def best_of(search: SearchView, incumbent: str, others: Sequence[str], top: int) -> str:
    """The highest mean on all examples; the incumbent where nobody is above it."""
    return max((incumbent, *others), key=lambda item: mean_of(search, item, top))


def asked(search: SearchView, candidate: str) -> list[Key]:
    """The val examples that the candidate has a score on, in order."""
    has = search.ledger.scores(candidate)
    return [key for key in search.problem.keys if key in has]
