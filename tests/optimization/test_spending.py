"""What a search takes an evaluation to cost where some were answered from memory."""

from __future__ import annotations

import asyncio

from dspex.clients.call_store import MemoryCallStore
from dspex.clients.scripted import ScriptedLM
from dspex.clients.single_flight import Remember
from dspex.evaluation.evaluator import evaluate
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Capabilities, Completion, Request, Runtime, Usage
from dspex.kernel.variables import Demos, Text
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.rows import Evaluation
from dspex.optimization.spending import price_of
from tests.optimization.searching import searched
from tests.optimization.simulators import hinted, program, runtime, splits


class Remembering:
    """The simulated model behind a memory of calls."""

    def __init__(self) -> None:
        self.inner = ScriptedLM(hinted)
        self.call = Remember(MemoryCallStore()).around(self.inner.complete)

    async def complete(self, request: Request) -> Completion:
        return await self.call(request)

    def capabilities(self, model: str) -> Capabilities:
        return self.inner.capabilities(model)

    async def aclose(self) -> None:
        """Nothing to close."""


def opened(ready: Runtime) -> tuple[MemoryLedger, int]:
    """The ledger of a search, and how many calls it paid for."""
    ledger = MemoryLedger()
    result = searched(program(instructions=Text(), demos=Demos(2)), ready, 500, ledger=ledger, strategy="reflection")
    return ledger, result.usage.calls


def test_a_program_that_was_measured_before_is_searched_no_more_wastefully() -> None:
    plain, paid = opened(runtime(Remembering()))
    measured = runtime(Remembering())
    _, val, confirm = splits()
    asyncio.run(evaluate(program(instructions=Text(), demos=Demos(2)), [*val, *confirm], ExactMatch("label"), measured))
    found, less = opened(measured)
    assert [len(item.candidates) for item in found.rounds[:3]] == [len(item.candidates) for item in plain.rounds[:3]]
    assert less < paid, "what was measured is not paid for again"
    assert len(found.rounds) >= len(plain.rounds)


def prices(*used: Usage) -> dict[str, float]:
    """The price of evaluations that consumed this."""
    ledger = MemoryLedger()
    pairs = [("c", str(number), 0) for number in range(len(used))]

    async def found() -> dict[str, float]:
        for pair, usage in zip(pairs, used, strict=True):
            await ledger.record(Evaluation(*pair, 0, 1.0, usage=usage))
        return await price_of(ledger, pairs)

    return asyncio.run(found())


MEMORY = Usage(cached_calls=2, saved_tokens=50, saved_usd=0.5)


def test_answers_from_memory_say_nothing_of_the_next_price() -> None:
    assert prices(Usage(2, 30, 10, 0.25), MEMORY, MEMORY) == {"calls": 2, "tokens": 40, "usd": 0.25}


def test_where_all_is_from_memory_the_price_is_what_it_took_when_it_was_bought() -> None:
    assert prices(MEMORY, MEMORY) == {"calls": 2, "tokens": 50, "usd": 0.5}


def test_a_stage_that_is_replayed_stays_free() -> None:
    assert prices(Usage(1, 30, 10, 0.25, 1, 0, 50, 0.5)) == {"calls": 1, "tokens": 40, "usd": 0.25}


def test_what_calls_no_model_costs_nothing() -> None:
    assert prices(Usage(), Usage()) == {"calls": 0, "tokens": 0, "usd": 0}
