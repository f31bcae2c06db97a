"""The families of simulated worlds, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from benchmarks.optimizers.families.demonstrations import Demonstrations
from benchmarks.optimizers.families.rules import Inferred, Rules
from benchmarks.optimizers.worlds import World

FAMILIES: Mapping[str, type[World]] = {item.family: item for item in (Rules, Inferred, Demonstrations)}


@lru_cache(maxsize=64)
def world(family: str, seed: int) -> World:
    """The world of a family and a seed; the same wherever it is asked for."""
    return FAMILIES[family](seed)
