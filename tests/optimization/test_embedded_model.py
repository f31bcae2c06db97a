"""The offline model is improved for real: what is found holds on data that nobody has seen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Literal

from dspex.adapters import ADAPTERS
from dspex.clients.budget import Budget
from dspex.clients.embedded.lexical import Lexical
from dspex.evaluation.assessment import assess
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.statistics import paired
from dspex.kernel.ports import Metric, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.variables import Demos, Text
from dspex.modules.prediction import predict
from dspex.modules.registry import builtin_registry
from dspex.optimization.runner import optimize

TICKETS = Path(__file__).parents[2] / "src" / "dspex" / "cli" / "demo" / "tickets.jsonl"


class Route(Signature):
    """Route a support ticket to the team that can solve its main topic."""

    ticket: str = Input()
    team: Literal["billing", "technical", "account", "shipping", "sales"] = Output()


def offline() -> Runtime:
    return Runtime(lm=Lexical(), model="embedded/lexical", adapters=ADAPTERS, modules=builtin_registry())


async def scores(given: Program, data: Dataset, metric: Metric, ready: Runtime) -> list[float]:
    return [(await assess(given, example, metric, ready)).score or 0.0 for example in data]


def test_a_program_gets_better_than_its_seed_and_than_random_demonstrations() -> None:
    async def scenario() -> None:
        train, val, test = Dataset.load(TICKETS).split(0.4, 0.3, 0.3, seed=1, by="team")
        ready, metric = offline(), ExactMatch("team")
        given = Program(name="route", pipeline=(predict(Route, instructions=Text(), demos=Demos(8)),))
        result = await optimize(given, train, val, metric, ready, budget=Budget(calls=900), seed=1)
        assert result.improved
        shown = [{name: item[name] for name in ("ticket", "team")} for item in Random(1).sample(list(train), 4)]
        four = Program(name="route", pipeline=(predict(Route, demos=shown),))
        seed, best, random = [await scores(item, test, metric, ready) for item in (given, result.program, four)]
        against_seed, against_random = paired(seed, best), paired(random, best)
        assert against_seed.difference > 0.15
        assert against_seed.interval.low > 0
        assert against_random.difference > 0.08
        assert against_random.interval.low > 0

    asyncio.run(scenario())
