"""The families of simulated worlds, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from benchmarks.optimizers.families.demonstrations import Demonstrations
from benchmarks.optimizers.families.flat import Flat
from benchmarks.optimizers.families.models import Mixed, Models, Prices
from benchmarks.optimizers.families.parameters import Parameters
from benchmarks.optimizers.families.relay import Relay
from benchmarks.optimizers.families.rules import Inferred, Rules
from benchmarks.optimizers.families.stages import Stages
from benchmarks.optimizers.worlds import World

DEVELOPMENT: tuple[type[World], ...] = (Rules, Demonstrations, Parameters, Inferred, Stages)
"""Defaults may be chosen on these, with seeds below `REPORTED`: `auto` was, on the four with texts."""
HELD_OUT: tuple[type[World], ...] = (Relay, Models, Mixed, Prices, Flat)
"""Nothing is chosen on these."""
REPORTED = 100
"""The page is made from worlds with seeds from here on, of both kinds of families."""
FAMILIES: Mapping[str, type[World]] = {item.family: item for item in (*DEVELOPMENT, *HELD_OUT)}


@lru_cache(maxsize=64)
def world(family: str, seed: int) -> World:
    """The world of a family and a seed; the same wherever it is asked for."""
    return FAMILIES[family](seed)
