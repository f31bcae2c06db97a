"""Configurations as blocks of distances, one or two for each variable: what the additive kernel is made of."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from dspex.kernel.canonical import canonical
from dspex.kernel.ports import JSON
from dspex.kernel.space import Dimension, Space
from dspex.kernel.variables import Demos, Float, Integer, Subset, Text
from dspex.optimization.surrogates.elicited import demonstration_features, members, overlap, text_features
from dspex.optimization.surrogates.ports import Point

Array = NDArray[np.float64]
Form = Literal["same", "decay", "bell", "matern"]
NUMBERS = 4.0
"""How many changes of a choice moving a number through all of its range comes to."""
FAR = 6
"""Changes of a text after which its descendant has nothing of it left."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """How far apart configurations are in one respect: `inf` where they have nothing to do with each other.

    `same`: equal or not; a constant apart, this is Hamming with the correlation that its share of the variance implies.
    `decay`: rho^distance. `bell`: exp(-d^2 / 2 l^2). `matern`: Matern 5/2.
    """

    name: str
    form: Form
    distance: Array


def blocks_of(space: Space, points: Sequence[Point]) -> list[Block]:
    """The blocks in which these differ. An inactive variable is equal to an inactive one and unlike any other."""
    found: list[Block] = []
    for dimension in space:
        given = [point.values.get(dimension.path) if dimension.path in point.values else _INACTIVE for point in points]
        found += _of(dimension, given, points)
    differing = [block for block in found if block.distance.max(initial=0.0) > 0]
    return [*differing, _together(differing)] if len(differing) > 1 else differing


def _together(blocks: Sequence[Block]) -> Block:
    """All variables at once: what they do together, where a sum of parts cannot say it."""
    total = np.zeros_like(blocks[0].distance)
    for block in blocks:
        if not block.name.endswith("/features"):
            scale = NUMBERS if block.form == "matern" else 1.0
            total += np.where(np.isinf(block.distance), FAR, scale * block.distance)
    return Block("together", "decay", total)


_INACTIVE = object()


def _of(dimension: Dimension, given: Sequence[object], points: Sequence[Point]) -> list[Block]:
    variable, name = dimension.variable, dimension.path
    active = np.array([item is not _INACTIVE for item in given])
    values = cast(Sequence[JSON], given)  # what is inactive is masked below, whatever the distance says of it
    if isinstance(variable, Float | Integer):
        places = np.array(
            [_place(variable, value) if here else 0.0 for value, here in zip(values, active, strict=True)]
        )
        return [Block(name, "matern", _masked(np.abs(places[:, None] - places[None, :]), active))]
    if isinstance(variable, Text):
        texts = [value if isinstance(value, str) else "" for value in values]
        features = np.array([text_features(text) for text in texts])
        lineage = _lineage(texts, points)
        return [
            Block(f"{name}/lineage", "decay", _masked(lineage, active)),
            Block(f"{name}/features", "bell", _masked(_apart(features), active)),
        ]
    if isinstance(variable, Demos | Subset):
        lists: list[list[JSON]] = [list(value) if here else [] for value, here in zip(values, active, strict=True)]
        found = [Block(f"{name}/members", "decay", _masked(_unshared(lists), active))]
        if isinstance(variable, Demos):
            shown = cast(list[list[Mapping[str, JSON]]], lists)
            features = np.array([demonstration_features(item, variable.max) for item in shown])
            found.append(Block(f"{name}/features", "bell", _masked(_apart(features), active)))
        return found
    codes = _codes([canonical(value) if here else "" for value, here in zip(values, active, strict=True)])
    return [Block(name, "same", _masked((codes[:, None] != codes[None, :]).astype(np.float64), active))]


def _masked(distance: Array, active: NDArray[np.bool_]) -> Array:
    both, none = active[:, None] & active[None, :], ~active[:, None] & ~active[None, :]
    return np.where(both, distance, np.where(none, 0.0, math.inf))


def _place(variable: Float | Integer, value: JSON) -> float:
    """Where a number lies in its range, 0..1."""
    low, high, at = float(variable.low), float(variable.high), float(value)
    if variable.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low) if high > low else 0.0


def _codes(values: Sequence[str]) -> NDArray[np.int64]:
    known: dict[str, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values])


def _apart(features: Array) -> Array:
    difference = features[:, None, :] - features[None, :, :]
    found: Array = np.sqrt((difference**2).sum(axis=2))
    return found


def _unshared(lists: Sequence[Sequence[JSON]]) -> Array:
    sets = [members(item) for item in lists]
    distance = np.zeros((len(sets), len(sets)))
    for i, one in enumerate(sets):
        for j in range(i):
            distance[i, j] = distance[j, i] = 1 - overlap(one, sets[j])
    return distance


def _lineage(texts: Sequence[str], points: Sequence[Point]) -> Array:
    """How many rewritings lie between two texts: each is one from the texts of the parents of who had it first."""
    codes = _codes(texts)
    near: list[set[int]] = [set() for _ in range(int(codes.max(initial=-1)) + 1)]
    known: set[int] = set()
    for place, point in enumerate(points):
        here = int(codes[place])
        if here not in known:
            known.add(here)
            for parent in point.parents:
                other = int(codes[parent])
                if other != here:
                    near[here].add(other)
                    near[other].add(here)
    apart = np.array([_steps(start, near) for start in range(len(near))])
    return apart[codes[:, None], codes[None, :]]


def _steps(start: int, near: Sequence[set[int]]) -> list[float]:
    found = [math.inf] * len(near)
    found[start] = 0.0
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for other in sorted(near[here]) if found[here] < FAR else ():
            if math.isinf(found[other]):
                found[other] = found[here] + 1
                queue.append(other)
    return found
