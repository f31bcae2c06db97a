"""The same seed finds the same whatever is answered first, with steps side by side and budgets that run out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.clients.prices import Prices
from dspex.clients.scripted import ScriptedLM
from dspex.configuration.runtimes import runtime
from dspex.errors import BudgetExceededError
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Completion, Message, Request, Usage
from dspex.kernel.program import Program
from dspex.kernel.variables import Text
from dspex.modules.flow import Steps, call
from dspex.modules.prediction import predict
from dspex.optimization.allowance import Allowance
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import optimize
from tests.optimization.simulators import Colour, hinted, is_proposal, rows, share

PRICE = {"input": 300.0, "output": 900.0}
LABEL = "text, note -> label: Literal['red', 'green', 'blue']"


async def both(steps: Steps, text: str) -> dict[str, Any]:
    """Two chains of two steps; which of them decides goes by the text."""

    async def chain(first: str, second: str) -> Any:
        return (await steps[second](text=text, note=(await steps[first](text=text))["note"]))["label"]

    labels = await asyncio.gather(chain("a", "b"), chain("c", "d"))
    return {"label": labels[share(text) < 0.5]}


SIDE_BY_SIDE = Program(
    name="colours",
    pipeline=(
        call(
            both,
            Colour,
            name="both",
            steps={
                "a": predict("text -> note", instructions=Text(), max_tokens=400),
                "b": predict(LABEL, instructions=Text(), max_tokens=200),
                "c": predict("text -> note", instructions="Say what stands out.", max_tokens=100),
                "d": predict(LABEL, instructions=Text(), max_tokens=400),
            },
        ),
    ),
)
AFTER_ONE_ANOTHER = Program(
    name="colours",
    pipeline=(
        predict("text -> note", name="note", instructions=Text(), max_tokens=400),
        predict(Colour, name="label", instructions=Text(), max_tokens=400),
    ),
)


def answer(request: Request) -> Completion:
    """As right as `hinted`, and of another length for each request, most far shorter than they may be."""
    chance = share(*(item["content"] for item in request.messages), request.sample)
    size = sum(len(item["content"]) for item in request.messages) // 4
    long = int(int(str(request.settings["max_tokens"])) * chance**2.5)
    usage = Usage(1, size, long, (PRICE["input"] * size + PRICE["output"] * long) / 1e6)
    noted = not is_proposal(request) and "[[label]]" not in request.messages[-1]["content"]
    return Completion(f"[[note]]\nas {chance:.3f}\n\n[[end]]" if noted else hinted(request), usage=usage)


def shuffled(pattern: int) -> ScriptedLM:
    """The same answers, in another order for each pattern; 0: as they are asked for."""

    async def model(request: Request) -> Completion:
        if pattern:
            for _ in range(int(share(pattern, request) * 40)):
                await asyncio.sleep(0)
        return answer(request)

    return ScriptedLM(model)


def found(given: dict[str, Any], pattern: int, concurrency: int, proposal: int) -> dict[str, Any]:
    """All that a search decides and finds. Sums of dollars differ in their last digit by who paid."""
    ledger = MemoryLedger()
    options = SearchOptions(
        concurrency=concurrency, headroom=False, outage_seconds=0.02, proposer_settings={"max_tokens": proposal}
    )

    async def main() -> OptimizationResult:
        ready = runtime(
            "oracle/colours", models={"oracle": shuffled(pattern)}, cache="memory", file="none", retries=0,
            prices={"oracle/colours": PRICE},
        )  # fmt: skip
        return await optimize(
            train=rows(12), val=rows(24, 1000), metric=ExactMatch("label"), runtime=ready, confirm=rows(24, 2000),
            options=options, ledger=ledger, **given,
        )  # fmt: skip

    result = asyncio.run(main())
    budget, used = given["budget"], result.usage
    assert budget.tokens is None or used.input_tokens + used.output_tokens <= budget.tokens
    assert budget.usd is None or (used.usd or 0.0) <= budget.usd
    last = ledger.rounds[-1]
    spent = [round(amount, 6) for amount in last.memo.get("spent", ())]
    return {
        "rounds": [item.pairs for item in ledger.rounds[: ledger.folded]],
        "confirmation": (last.pairs, spent) if last.purpose == "confirmation" else None,
        "rows": [
            (item.pair, item.score, replace(item.usage, usd=None, saved_usd=None))
            for item in ledger.evaluations()
            if item.round == last.number
        ],
        "result": (result.verdict, result.program, result.stopped, result.reason, result.notes),
    }


SEEDS = range(12)


@pytest.mark.parametrize("program", [SIDE_BY_SIDE, AFTER_ONE_ANOTHER], ids=["side by side", "after one another"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_search_finds_the_same_whatever_is_answered_first(program: Program, seed: int) -> None:
    rng = Random(seed)
    times = rng.uniform(1.5, 5) * (2 if program is SIDE_BY_SIDE else 1)
    budgets = {"tokens": int(25_000 * times), "usd": 14 * times, "calls": int(75 * times)}
    kind, strategy = rng.choice([*budgets]), rng.choice(["auto", "reflection"])
    given = {
        "program": program,
        "budget": Budget.model_validate({kind: budgets[kind]}),
        "strategy": strategy,
        "seed": seed,
    }
    proposal = rng.choice([99, 1500])
    courses = [(0, 16), (0, 1), *((rng.randrange(1, 9999), concurrency) for concurrency in (4, 16))]
    first, *others = (found(given, *course, proposal) for course in courses)
    for other in others:
        assert other == first


MOST = {"tokens": 1_100}


@pytest.mark.parametrize("pattern", range(8))
def test_which_of_two_chains_an_allowance_refuses_does_not_hang_on_who_is_sooner(pattern: int) -> None:
    """Each has two calls; after the first ones there is room for one more, of either."""
    sent: list[str] = []

    async def model(request: Request) -> Completion:
        said = request.messages[-1]["content"]
        sent.append(said)
        for _ in range(int(share(pattern, said) * 20)):
            await asyncio.sleep(0)
        return Completion("fine", usage=Usage(1, 5, 200 if said.endswith("1") else 300))

    async def main() -> list[Any]:
        lm = Allowance(ScriptedLM(model), MOST, Prices())

        async def chain(name: str) -> None:
            for number in (1, 2):
                message: Message = {"role": "user", "content": f"{name}{number}"}
                await lm.complete(Request("oracle/x", (message,), {"max_tokens": 500}))

        return list(await asyncio.gather(chain("a"), chain("b"), return_exceptions=True))

    ends = asyncio.run(main())
    assert sent == ["a1", "b1", "a2"]
    assert [type(end) for end in ends] == [type(None), BudgetExceededError]
