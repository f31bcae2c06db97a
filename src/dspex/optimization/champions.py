"""The champions of single examples: a candidate that is best on some of them may be worth going on from.

After GEPA (arXiv 2507.19457).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

Key = tuple[str, int]
"""(example, sample)."""
Scores = Mapping[str, Mapping[Key, float]]
"""Candidate to what it scored, in 0..1."""


def champions(scores: Scores, keys: Sequence[Key]) -> list[frozenset[str]]:
    """For each key that any candidate has a score on, the candidates with the best score there."""
    found: list[frozenset[str]] = []
    for key in keys:
        here = {who: has[key] for who, has in scores.items() if key in has}
        if here:
            best = max(here.values())
            found.append(frozenset(who for who, score in here.items() if score == best))
    return found


def undominated(given: Sequence[frozenset[str]], worst_first: Sequence[str]) -> dict[str, int]:
    """Candidate to the number of examples it is a champion of, best first, without those that others make superfluous.

    One after the other, the worst first, a candidate is taken out where each of its examples has another champion left.
    """
    left = [who for who in worst_first if any(who in others for others in given)]
    searching = True
    while searching:
        searching = False
        for who in left:
            rest = set(left) - {who}
            if all(others & rest for others in given if who in others):
                left.remove(who)
                searching = True
                break
    return {who: sum(who in others for others in given) for who in reversed(left)}


def drawn(weights: Mapping[str, int], rng: Random) -> str:
    """One of them, in proportion to the number of examples it is best on."""
    return rng.choices(list(weights), list(weights.values()))[0]
