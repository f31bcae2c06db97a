"""How near texts are by their words, and which few of many stand for all of them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dspex.kernel.ports import JSON

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Pool:
    """Worked examples and how well each stands for each other: the cosine of their inputs' words (rare words count
    more), times the share of outputs they have in common."""

    items: tuple[Mapping[str, JSON], ...]
    likeness: tuple[tuple[float, ...], ...]
    """`likeness[i][j]` in 0..1."""


def pool_of(items: Sequence[Mapping[str, JSON]], inputs: Sequence[str], outputs: Sequence[str]) -> Pool:
    """A pool of demonstrations with these fields. Quadratic in their number: give at most a few hundred."""
    bags = [Counter(_words(item, inputs)) for item in items]
    rarity = Counter(word for bag in bags for word in bag)
    vectors = [{word: math.log(1 + len(items) / rarity[word]) for word in bag} for bag in bags]
    norms = [math.sqrt(sum(weight * weight for weight in vector.values())) or 1.0 for vector in vectors]
    telling = [name for name in outputs if _tells(items, name)]
    answers = [[json.dumps(item.get(name), sort_keys=True) for name in telling] for item in items]
    rows: list[list[float]] = [[0.0] * len(items) for _ in items]
    for i, vector in enumerate(vectors):
        rows[i][i] = 1.0
        for j in range(i):
            other = vectors[j]
            small, large = (vector, other) if len(vector) < len(other) else (other, vector)
            dot = sum(weight * large[word] for word, weight in small.items() if word in large)
            if dot and telling:
                dot *= sum(a == b for a, b in zip(answers[i], answers[j], strict=True)) / len(telling)
            rows[i][j] = rows[j][i] = dot / (norms[i] * norms[j])
    return Pool(tuple(items), tuple(map(tuple, rows)))


def representatives(
    pool: Pool, size: int, rng: Random, weights: Sequence[float] | None = None, kept: Sequence[int] = ()
) -> list[int]:
    """`size` items that stand for the weighted pool: greedy facility location, `kept` already in.

    Each time the item is taken that raises most the sum over the pool of the likeness to the nearest taken one. Weights
    are shaken and only a part of the pool is eligible, so that another `rng` gives another good set.
    """
    count = len(pool.items)
    shaken = [(1.0 if weights is None else weights[i]) * rng.expovariate(1.0) for i in range(count)]
    best = [max((pool.likeness[i][k] for k in kept), default=0.0) for i in range(count)]
    taken = list(kept)
    while len(taken) < min(size, count):
        eligible = [i for i in range(count) if i not in taken and (rng.random() < 0.6 or count < 12)]
        if not eligible:
            continue
        gains = {i: sum(map(_gain, shaken, pool.likeness[i], best)) for i in eligible}
        choice = max(eligible, key=lambda i: (gains[i], -i))
        taken.append(choice)
        best = [max(a, b) for a, b in zip(best, pool.likeness[choice], strict=True)]
    return taken


def _gain(weight: float, likeness: float, best: float) -> float:
    return weight * (likeness - best) if likeness > best else 0.0


def _tells(items: Sequence[Mapping[str, JSON]], name: str) -> bool:
    """Whether a field has few distinct values: a class rather than a text."""
    distinct = {json.dumps(item.get(name), sort_keys=True) for item in items}
    return 1 < len(distinct) <= max(2, len(items) // 3)


def _words(item: Mapping[str, JSON], names: Sequence[str]) -> list[str]:
    values = [item[name] for name in names if item.get(name) is not None]
    text = " ".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    return [word[:8] for word in _WORD.findall(text.lower())]
