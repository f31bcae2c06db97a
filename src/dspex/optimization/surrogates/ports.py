"""What a surrogate is asked and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from dspex.kernel.space import Configuration, Space


@dataclass(frozen=True, slots=True)
class Point:
    """A configuration, and those it was made from, by their place in the list of points."""

    values: Configuration
    parents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of a point."""

    value: float
    noise: float
    """Variance of the value."""


class Prediction(Protocol):
    """What a surrogate says of its points."""

    @property
    def alone(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and variance of each observation, noise included, from the others."""
        ...

    def draws(self, rng: Random, count: int) -> list[list[float]]:
        """So many joint draws of all points."""
        ...


class Surrogate(Protocol):
    """Predicts points from those that were observed. Deterministic, whatever number of threads the machine has."""

    def predict(
        self, space: Space, points: Sequence[Point], observed: Sequence[Observation], spread: float
    ) -> Prediction | None:
        """Of all points, the first of which were observed; `spread`: standard deviation of the values beforehand.

        None where the points do not differ in anything it looks at.
        """
        ...
