"""The offline model is improved for real: what is found holds on data that nobody has seen."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Literal

from dspex.adapters import ADAPTERS
from dspex.clients.budget import Budget
from dspex.clients.embedded.lexical import Lexical
from dspex.evaluation.assessment import assess
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.metrics import ExactMatch, Weighted
from dspex.evaluation.statistics import PairedDifference, paired
from dspex.kernel.ports import LM, Completion, Message, Metric, Request, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.variables import Choice, Demos, Text
from dspex.modules.prediction import predict
from dspex.modules.registry import builtin_registry
from dspex.optimization.runner import optimize

TICKETS = Path(__file__).parents[2] / "src" / "dspex" / "cli" / "demo" / "tickets.jsonl"


class Route(Signature):
    """Route a support ticket to the team that can solve its main topic."""

    ticket: str = Input()
    team: Literal["billing", "technical", "account", "shipping", "sales"] = Output()


class Urgency(Signature):
    """Say how soon the team must answer the ticket."""

    ticket: str = Input()
    team: str = Input()
    urgency: Literal["low", "normal", "high"] = Output()


MISLEADING = """Route a support ticket to the team that can solve its main topic.
- shipping: invoice, charged, refund, bill, payment
- sales: router, wifi, app, error, crash
- billing: password, login, email, account
- technical: parcel, delivery, package, tracking
- account: price, quote, discount, upgrade"""
"""Every rule names another team than the one that can help."""
SHORT, LONG = "embedded/short", "embedded/lexical"


class Contexts(Lexical):
    """`embedded/lexical`, and `embedded/short`: the same with a context of 1600 characters, in which what comes first
    is forgotten when the prompt is longer, so that it profits little from long instructions."""

    async def complete(self, request: Request) -> Completion:
        if request.model == SHORT:
            room, kept = 1600, list[Message]()
            for message in reversed(request.messages):
                text = str(message["content"])[-room:] if room else ""
                room -= len(text)
                kept.append({**message, "content": text})
            request = replace(request, model=LONG, messages=tuple(reversed(kept)))
        return await super().complete(request)


def offline(lm: LM | None = None) -> Runtime:
    return Runtime(lm=lm or Lexical(), model="embedded/lexical", adapters=ADAPTERS, modules=builtin_registry())


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


def test_a_program_whose_instructions_mislead_is_put_right() -> None:
    async def scenario() -> None:
        train, val, test = Dataset.load(TICKETS).split(0.4, 0.3, 0.3, seed=1, by="team")
        ready, metric = offline(), ExactMatch("team")
        given = Program(name="route", pipeline=(predict(Route, instructions=Text(MISLEADING)),))
        unled = Program(name="route", pipeline=(predict(Route),))
        result = await optimize(given, train, val, metric, ready, budget=Budget(calls=900), seed=1)
        assert result.improved
        seed, plain, best = [await scores(item, test, metric, ready) for item in (given, unled, result.program)]
        assert sum(seed) < 0.5 * sum(plain), "the instructions do mislead"
        assert paired(seed, best).interval.low > 0.3
        assert paired(plain, best).interval.low > 0.2, "it learnt the rules, too, and did not only drop the wrong ones"

    asyncio.run(scenario())


def test_a_program_of_two_stages_with_models_of_their_own_gets_better_in_both() -> None:
    async def scenario() -> None:
        shares = (0.4, 0.2, 0.15, 0.25)
        train, val, confirm, test = Dataset.load(TICKETS).split(*shares, seed=3, by=("team", "urgency"))
        ready, fields = offline(Contexts()), (ExactMatch("team"), ExactMatch("urgency"))
        metric = Weighted(*((item, 1.0) for item in fields))
        open_ = {"instructions": Text(), "demos": Demos(4), "model": Choice(SHORT, LONG)}
        steps = (predict(Route, name="route", **open_), predict(Urgency, name="urgency", **open_))
        given = Program(name="desk", pipeline=steps)
        result = await optimize(given, train, val, metric, ready, confirm=confirm, budget=Budget(calls=3000), seed=3)
        assert result.improved
        moved: list[PairedDifference] = []
        for measure in (metric, *fields):
            seed, best = [await scores(item, test, measure, ready) for item in (given, result.program)]
            moved.append(paired(seed, best))
        assert moved[0].difference > 0.1
        assert moved[0].interval.low > 0
        assert all(item.difference > 0 for item in moved[1:]), "a stage was not improved"
        assert LONG in [result.program.values[f"{name}.model"] for name in ("route", "urgency")]

    asyncio.run(scenario())
