"""BEACON against chance, on a mixed space whose surface is not of the surrogate's own form."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from dspex.clients.budget import Budget
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Request
from dspex.kernel.space import Configuration
from dspex.kernel.variables import Choice, Float
from dspex.optimization.options import SearchOptions
from dspex.optimization.runner import optimize
from tests.optimization.simulators import answered, program, runtime, share, splits, text_in

MODELS = tuple(f"scripted/{name}" for name in "abcdef")
SPACE = program(
    model=Choice(*MODELS), temperature=Float(0, 1, default=1), top_p=Float(0, 1, default=1),
    presence_penalty=Float(0, 1, default=1), seed=Choice(3, 2, 1, 0),
)  # fmt: skip
NAMES = ("model", "temperature", "top_p", "presence_penalty", "seed")


def right(given: Mapping[str, Any], world: int) -> float:
    """The share of right answers: a peak at the same place for all models, of another height, with a cliff behind it.

    What the variables do is multiplied, and the surrogate is a sum.
    """
    level = 0.5 + 0.45 * share(world, given["model"])
    for name in ("temperature", "top_p", "presence_penalty"):
        level *= 1 - 0.8 * min(1.0, abs(given[name] - 0.8 * share(world, name)))
    level *= 1.0 if given["seed"] == int(4 * share(world, "seed")) else 0.75
    return 0.05 + level * (0.8 if given["temperature"] > 0.8 else 1.0)


def of(values: Configuration, world: int) -> float:
    """The same of a configuration."""
    return right({name: values[f"label.{name}"] for name in NAMES}, world)


def reached(strategy: str, world: int) -> float:
    """The true score of what the search brings to confirmation, or of the seed program."""

    def model(request: Request) -> str:
        given = {"model": request.model, **request.settings}
        level = right(given, world)
        text = text_in(request)
        return answered(text, 0.7 * share(world, text) + 0.3 * share(world, text, str(sorted(given.items()))) < level)

    train, val, confirm = splits(10, 64, 8)
    found: Any = asyncio.run(
        optimize(SPACE, train, val, ExactMatch("label"), runtime(model), strategy=strategy, confirm=confirm,
                 budget=Budget(calls=900), seed=world, options=SearchOptions(headroom=False))
    )  # fmt: skip
    return of((found.winner or found.seed_program).values, world)


def test_it_finds_more_than_random_draws_with_the_same_calls() -> None:
    worlds = range(2)
    ours, theirs = ([reached(name, world) for world in worlds] for name in ("beacon", "random"))
    assert fmean(ours) > fmean(theirs) + 0.15
