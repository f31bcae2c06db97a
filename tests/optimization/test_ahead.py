"""Slots that a round leaves free work ahead of the next: it costs at most its share, and changes nothing found."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.clients.scripted import ScriptedLM
from dspex.configuration.runtimes import runtime
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Request, Usage
from dspex.kernel.program import Program
from dspex.kernel.shorthand import signature
from dspex.kernel.variables import Demos, Text
from dspex.modules.prediction import predict
from dspex.optimization.booking import Booking, less
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import AHEAD, Candidate, Evaluation, Pair, Round, Trace
from dspex.optimization.runner import optimize
from dspex.optimization.slots import Slots
from tests.optimization.simulators import Colour, guidance, hinted, is_proposal, share, splits

NOTE = "Say what stands out."


class Watching(MemoryLedger):
    """Knows what was evaluated ahead, and what of it a round has asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.early: list[Pair] = []
        self.taken: list[Pair] = []

    async def record(self, evaluation: Evaluation) -> None:
        if evaluation.round == AHEAD:
            self.early.append(evaluation.pair)
        assert evaluation.round == AHEAD or not self.is_ahead(evaluation.pair), "it is there, and was bought again"
        await super().record(evaluation)

    async def adopt(self, pairs: Iterable[Pair], round: int) -> None:
        pairs = list(pairs)
        self.taken += [pair for pair in pairs if self.is_ahead(pair)]
        await super().adopt(pairs, round)


def searched(pattern: int, options: SearchOptions, budget: Budget, ledger: MemoryLedger, steps: int) -> Any:
    """The result of a search whose calls take as long as `pattern` says, and the requests that were sent."""
    sent: Counter[str] = Counter()

    async def model(request: Request) -> str:
        sent[str(request)] += 1
        for _ in range(int(share(pattern, request.messages[-1]["content"], guidance(request)) * 30) if pattern else 0):
            await asyncio.sleep(0)
        if not is_proposal(request) and NOTE in guidance(request):
            return "[[note]]\nnothing much\n\n[[end]]"
        return hinted(request)

    note = predict(signature("text -> note"), name="note", instructions=NOTE, max_tokens=20)
    label = predict(Colour, name="label", instructions=Text(), demos=Demos(2), max_tokens=20)
    program = Program(name="colours", pipeline=(note, label)[2 - steps :])
    train, val, confirm = splits(16, 32, 24)
    ready = runtime(lm=ScriptedLM(model, model="scripted/colours"), cache="memory", file="none")
    arguments: dict[str, Any] = {"confirm": confirm, "budget": budget, "options": options, "ledger": ledger, "seed": 3}
    result = asyncio.run(optimize(program, train, val, ExactMatch("label"), ready, **arguments))
    return result, sent


def found(result: OptimizationResult, ledger: MemoryLedger) -> Any:
    """All that a search decides and finds."""
    scores = {item: dict(ledger.scores(item)) for item in ledger.candidates}
    return scores, ledger.rounds, ledger.settled, result.program, result.verdict, result.stopped


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(
    "budget", [Budget(calls=260), Budget(calls=700), Budget(tokens=120_000), Budget(tokens=130_000)]
)
def test_what_is_found_does_not_depend_on_what_was_begun_ahead(budget: Budget, steps: int) -> None:
    every: list[Any] = []
    taken = 0
    for pattern, concurrency in ((0, 1), (1, 16), (2, 5), (3, 16)):
        options = SearchOptions(concurrency=concurrency, ahead=0.1, proposer_settings={"max_tokens": 100})
        ledger = Watching()
        result, sent = searched(pattern, options, budget, ledger, steps)
        assert max(sent.values()) == 1, "the same was asked twice"
        assert result.usage.calls == sum(sent.values())
        assert result.unwanted == len(set(ledger.early) - set(ledger.taken))
        if budget.calls is not None:
            assert result.usage.calls <= budget.calls
        taken += len(ledger.taken)
        every.append(found(result, ledger))
    assert taken, "nothing that was begun ahead was ever asked for, so nothing was tried here"
    assert all(item == every[0] for item in every)


def test_ahead_of_nothing_where_it_is_switched_off() -> None:
    ledger = Watching()
    result, _ = searched(1, SearchOptions(ahead=0.0), Budget(calls=300), ledger, 1)
    assert (ledger.early, result.unwanted) == ([], 0)


def test_what_is_ahead_is_seen_by_nobody_until_a_round_asks_for_it() -> None:
    async def scenario() -> None:
        ledger = MemoryLedger()
        pair, other = ("s", "a", 0), ("s", "b", 0)
        await ledger.commit(Round(0, (pair,), (Candidate("s", {}, "seed", (), "", 0),)))
        for example in ("a", "b"):
            await ledger.record(Evaluation("s", example, 0, AHEAD, 1.0, usage=Usage(calls=1)))
        assert (ledger.holds(pair), ledger.is_ahead(pair), ledger.glimpse(pair)) == (False, True, 1.0)
        assert (await ledger.read(pair), ledger.asked.calls, ledger.usage.calls) == (None, 0, 2)
        await ledger.adopt([pair], 0)
        assert (ledger.holds(pair), ledger.is_ahead(pair), ledger.asked.calls) == (True, False, 1)
        await ledger.fold(0)
        assert (dict(ledger.scores("s")), ledger.settled.calls) == ({("a", 0): 1.0}, 1)
        assert (ledger.holds(other), ledger.unwanted) == (False, 1)

    asyncio.run(scenario())


def row(example: str, *steps: tuple[str, int]) -> Evaluation:
    """A row whose calls were charged with so many tokens; 0: answered from memory."""
    usages = [Usage(1, tokens) if tokens else Usage(cached_calls=1, saved_tokens=5) for _, tokens in steps]
    trace = tuple(Trace("s", {}, {}, None, call, usage) for (call, _), usage in zip(steps, usages, strict=True))
    return Evaluation("s", example, 0, 0, 1.0, usage=sum(usages, Usage()), trace=trace)


def test_a_shared_call_is_booked_with_the_first_in_order_whoever_made_it() -> None:
    for first, second in ((5, 0), (0, 5)):
        booking = Booking()
        rows = [row("a", ("shared", first), ("own", 3)), row("b", ("shared", second), ("other", 4))]
        for item in reversed(rows):
            booking.learn(item.trace)
        assert [booking.booked(item).usage for item in rows] == [
            Usage(2, 8),
            Usage(1, 4, cached_calls=1, saved_tokens=5),
        ]


def test_a_call_that_was_bought_elsewhere_stays_free() -> None:
    booking, free = Booking(), row("a", ("elsewhere", 0))
    booking.learn(free.trace)
    assert booking.booked(free).usage == free.usage
    assert less(Usage(1, 2, 3, None), Usage(2, 1)).calls == 0


def test_slots_hold_no_more_than_there_are_and_say_how_long_they_stood_empty() -> None:
    async def scenario() -> None:
        slots, inside, most = Slots(2), 0, 0

        async def one() -> None:
            nonlocal inside, most
            async with slots:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(one() for _ in range(7)))
        assert most == 2
        assert 0.0 <= slots.idle_share <= 1.0

    asyncio.run(scenario())
