"""How near texts are by their words, and which few of many stand for all of them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from operator import eq
from random import Random

from dspex.kernel.canonical import canonical
from dspex.kernel.ports import JSON
from dspex.optimization.stages import Worked

FAINT = 0.03
"""Likeness below this is none."""
ELIGIBLE, FEW = 0.6, 24
"""The share of a pool that a set is chosen from, and the size below which it is all of it."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Pool:
    """Worked examples and how well each stands for each other: the cosine of their inputs' words (rare words count
    more), times the share of outputs they have in common."""

    items: tuple[Worked, ...]
    near: tuple[tuple[tuple[int, float], ...], ...]
    """For each item, (index, likeness in 0..1) of those it stands for, itself among them."""
    texts: tuple[str, ...]
    """Each item's values as canonical JSON."""


def pool_of(items: Sequence[Worked], inputs: Sequence[str], outputs: Sequence[str]) -> Pool:
    """A pool of demonstrations with these fields. Quadratic in their number: give at most a few hundred."""
    rows = [item.values for item in items]
    bags = [set(_words(item, inputs)) for item in rows]
    rarity = Counter(word for bag in bags for word in bag)
    weights = {word: math.log(1 + len(items) / count) ** 2 for word, count in rarity.items()}
    norms = [math.sqrt(sum(map(weights.__getitem__, bag))) or 1.0 for bag in bags]
    telling = [name for name in outputs if _tells(rows, name)]
    answers = [[canonical(item.get(name)) for name in telling] for item in rows]
    near: list[list[tuple[int, float]]] = [[(index, 1.0)] for index in range(len(items))]
    for i, bag in enumerate(bags):
        for j in range(i):
            agreed = sum(map(eq, answers[i], answers[j])) / len(telling) if telling else 1.0
            shared = bag & bags[j] if agreed else ()
            likeness = agreed * sum(map(weights.__getitem__, shared)) / (norms[i] * norms[j])
            if likeness > FAINT:
                near[i].append((j, likeness))
                near[j].append((i, likeness))
    return Pool(tuple(items), tuple(map(tuple, near)), tuple(canonical(row) for row in rows))


def representatives(
    pool: Pool, size: int, rng: Random, weights: Sequence[float] | None = None, kept: Sequence[int] = ()
) -> list[int]:
    """`size` items that stand for the weighted pool: greedy facility location, `kept` already in.

    Each time the item is taken that raises most the sum over the pool of the likeness to the nearest taken one. Weights
    are shaken and only a part of the pool is eligible, so that another `rng` gives another good set.
    """
    count = len(pool.items)
    shaken = [(1.0 if weights is None else weights[i]) * (0.5 + rng.expovariate(1.0)) for i in range(count)]
    best = [0.0] * count
    taken: list[int] = []

    def gain(index: int) -> float:
        total = 0.0
        for j, likeness in pool.near[index]:
            if (rise := likeness - best[j]) > 0.0:
                total += shaken[j] * rise
        return total

    def take(index: int) -> None:
        taken.append(index)
        for j, likeness in pool.near[index]:
            best[j] = max(best[j], likeness)

    for index in kept:
        take(index)
    eligible = [i for i in range(count) if i not in taken and (count < FEW or rng.random() < ELIGIBLE)]
    # A gain only falls as more is taken (Minoux 1978): one that is still on top after being renewed is the largest.
    heap = [(-gain(index), index) for index in eligible]
    heapify(heap)
    while heap and len(taken) < size:
        _, index = heappop(heap)
        renewed = -gain(index)
        if heap and (renewed, index) > heap[0]:
            heappush(heap, (renewed, index))
        else:
            take(index)
    return taken


def _tells(items: Sequence[Mapping[str, JSON]], name: str) -> bool:
    """Whether a field has few distinct values: a class rather than a text."""
    distinct = {canonical(item.get(name)) for item in items}
    return 1 < len(distinct) <= max(2, len(items) // 3)


def _words(item: Mapping[str, JSON], names: Sequence[str]) -> list[str]:
    values = [item[name] for name in names if item.get(name) is not None]
    text = " ".join(value if isinstance(value, str) else json.dumps(value) for value in values)
    return [word[:8] for word in _WORD.findall(text.lower())]
