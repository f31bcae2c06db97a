"""Minibatches of training examples, as published algorithms draw them: a function of the seed and their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random


def epoch_of(train: Sequence[str], seed: int, epoch: int) -> list[str]:
    """All of train in the order of an epoch."""
    order = list(train)
    Random(f"{seed}/epoch/{epoch}").shuffle(order)
    return order


def filled_batch(train: Sequence[str], size: int, number: int, seed: int) -> list[str]:
    """GEPA's: one after the other through an epoch, which is filled up to whole minibatches with what was asked least
    so far."""
    per_epoch = -(-len(train) // size)
    counts: Counter[str] = Counter()
    order: list[str] = []
    # Without a remainder no epoch depends on those before it.
    first = 0 if len(train) % size else number // per_epoch
    for epoch in range(first, number // per_epoch + 1):
        order = epoch_of(train, seed, epoch)
        counts.update(order)
        while len(order) < per_epoch * size:
            least = min(order[: len(train)], key=lambda item: counts[item])
            order.append(least)
            counts[least] += 1
    start = number % per_epoch * size
    return order[start : start + size]


def whole_batch(train: Sequence[str], size: int, number: int, seed: int) -> list[str]:
    """SIMBA's: one after the other through an epoch; what is left of it is too short, and passed over."""
    size = min(size, len(train))
    per_epoch = len(train) // size
    start = number % per_epoch * size
    return epoch_of(train, seed, number // per_epoch)[start : start + size]
