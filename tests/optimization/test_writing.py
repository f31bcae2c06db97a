"""Texts of a round are written while the rest of it is evaluated: it takes no time, and changes nothing but that."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.clients.scripted import ScriptedLM
from dspex.configuration.runtimes import runtime
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import JSON, Event, Request, Runtime, Usage
from dspex.kernel.variables import Demos, Text
from dspex.optimization.deciding import ScheduleOf, SearchView, Turn
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.proposers.crossover import Crossover
from dspex.optimization.proposers.reflection import Reflection
from dspex.optimization.proposers.sampling import RandomDraws
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Proposal, Round
from dspex.optimization.runner import optimize
from dspex.optimization.schedules.halving import halving
from dspex.optimization.schedules.racing import Race
from dspex.optimization.strategies.portfolio import Portfolio
from dspex.optimization.writing import dearest
from dspex.testing.strategies import check_proposer
from tests.optimization.simulators import hinted, is_proposal, program, share, splits

WRITER = Reflection()


def portfolio(schedule: ScheduleOf = Race) -> Portfolio:
    return Portfolio("writing", (WRITER, Crossover(), RandomDraws()), width=4, schedule=schedule)


class Model:
    """Answers after waits that differ by `pattern`, and knows what it was sent, and during which round."""

    def __init__(self, pattern: int = 0, cache: str = "memory") -> None:
        self.pattern, self.sent, self.under_way = pattern, Counter[str](), -1
        self.asked: list[int] = []
        """For each request for a text, the round that was being evaluated; -1: one was being decided."""
        self.runtime: Runtime = runtime(lm=ScriptedLM(self.answer, model="scripted/one"), cache=cache, file="none")

    async def answer(self, request: Request) -> str:
        self.sent[str(request)] += 1
        if is_proposal(request):
            self.asked.append(self.under_way)
        said = hinted(request)
        if is_proposal(request):  # another text each time
            said = said.replace("</", f" ({share(*(item['content'] for item in request.messages)):.6f})</")
        for _ in range(int(share(self.pattern, str(request)) * 30) if self.pattern else 0):
            await asyncio.sleep(0)
        return said

    def watch(self, event: Event) -> None:
        if event.kind in ("round.started", "round.finished"):
            self.under_way = int(event.where) if event.kind == "round.started" else -1


def searched(model: Model, ledger: MemoryLedger, **more: Any) -> OptimizationResult:
    given: dict[str, Any] = {"strategy": portfolio(), "budget": Budget(calls=500), "seed": 5, **more}
    train, val, confirm = splits(24, 32, 24)
    found = program(instructions=Text(), demos=Demos(2), max_tokens=20)
    return asyncio.run(
        optimize(
            found, train, val, ExactMatch("label"), model.runtime, confirm=confirm, ledger=ledger,
            on_event=model.watch, **given,
        )
    )  # fmt: skip


def drafts(round: Round) -> Mapping[str, Any] | None:
    memo: Mapping[str, Any] = round.memo or {}
    found: Mapping[str, Any] | None = memo.get("drafts")
    return found


def found(ledger: MemoryLedger, result: OptimizationResult) -> Any:
    scores = {item: dict(ledger.scores(item)) for item in ledger.candidates}
    return scores, ledger.rounds, ledger.settled, result.program, result.stopped


@pytest.mark.parametrize("schedule", [Race, halving])
def test_only_texts_beside_which_nothing_goes_on_are_waited_for(schedule: ScheduleOf) -> None:
    model, ledger = Model(), MemoryLedger()
    searched(model, ledger, strategy=portfolio(schedule))
    written = [drafts(item) for item in ledger.rounds if drafts(item)]
    texts = sum(len(item["reflection"]["parents"]) for item in written if item)
    beside = [number for number in model.asked if number >= 0]
    assert len(written) > 2 if schedule is Race else not written
    assert len(beside) == WRITER.passes * texts
    if schedule is Race:
        first, last = model.asked.index(beside[0]), len(model.asked) - model.asked[::-1].index(beside[-1])
        assert set(model.asked[:first]) == {-1}, "the seed program alone has nothing that goes on"
        assert model.asked[first:last] == beside, "somebody waits for a text between the first and the last round"


def test_what_was_written_joins_the_round_that_is_folded_after_it() -> None:
    ledger = MemoryLedger()
    searched(Model(), ledger)
    joined = 0
    for before, after in zip(ledger.rounds[1:], ledger.rounds[2:], strict=False):
        asked = drafts(before)
        if not asked or all(item.operator != WRITER.name for item in after.candidates):
            continue  # nothing new came of it
        joined += 1
        assert {item.operator for item in after.candidates} == {WRITER.name}
        assert {item.parents for item in after.candidates} <= {(parent,) for parent in asked[WRITER.name]["parents"]}
        assert after.calls
        one, both = (item.memo["schedule"]["running"] for item in (before, after))
        assert both[: len(one)] == one, "the first part was folded without the second"
        assert [lane["candidate"] for lane in both[len(one) :]] == [item.id for item in after.candidates]
        assert (before.memo["arms"], before.memo["stale"]) == (after.memo["arms"], after.memo["stale"])
    assert joined > 2


@pytest.mark.parametrize("budget", [*({"calls": size} for size in range(120, 300, 12)), {"tokens": 40_000}])
def test_how_a_search_ends_does_not_hang_on_what_is_answered_first(budget: dict[str, int]) -> None:
    every: list[Any] = []
    for pattern, concurrency in ((0, 1), (1, 4), (2, 16), (3, 16)):
        model, ledger = Model(pattern), MemoryLedger()
        options = SearchOptions(concurrency=concurrency, proposer_settings={"max_tokens": 100})
        result = searched(model, ledger, budget=Budget(**budget), options=options)
        assert max(model.sent.values()) == 1, "the same was asked twice"
        assert result.usage.calls == sum(model.sent.values())
        every.append(found(ledger, result)[:-1] if "tokens" in budget else found(ledger, result))
    assert all(item == every[0] for item in every)


def test_nothing_is_written_for_a_round_that_the_budget_does_not_pay_for() -> None:
    for calls in range(150, 500, 50):
        ledger = MemoryLedger()
        searched(Model(), ledger, budget=Budget(calls=calls))
        search = [item for item in ledger.rounds if item.purpose == "search"]
        assert not drafts(search[-1]), f"with {calls} calls texts were written that no round took"


class Died(BaseException):
    """Plays the end of a process."""


class Dying(MemoryLedger):
    """Its process ends once: when a round is folded, or just before, or when the round is half evaluated."""

    def __init__(self, at: int, when: str) -> None:
        super().__init__()
        self.at, self.when, self.rows = at, when, 0

    def die(self, number: int, when: str) -> None:
        if (number, when) == (self.at, self.when):
            self.at = -2
            raise Died

    async def record(self, evaluation: Any) -> None:
        await super().record(evaluation)
        self.rows += evaluation.round == self.at
        if self.rows == len(self.rounds[-1].pairs) // 2:
            self.die(evaluation.round, "half")

    async def fold(self, number: int) -> None:
        self.die(number, "unfolded")
        await super().fold(number)
        self.die(number, "folded")


@pytest.mark.parametrize("when", ["half", "unfolded", "folded"])
def test_killed_in_any_round_it_asks_for_the_same_texts_again(when: str) -> None:
    whole, model = MemoryLedger(), Model(0, "none")  # each process pays anew: what a store remembers, others test
    expected = found(whole, searched(model, whole))
    deaths = 0
    for at in range(1, len(whole.rounds) - 1):
        ledger, again = Dying(at, when), Model(2, "none")
        with suppress(Died):
            searched(again, ledger)
        deaths += ledger.at == -2
        assert found(ledger, searched(again, ledger)) == expected
        assert set(again.sent) == set(model.sent), "another text was asked for"
    assert deaths > 4, "it was hardly killed"


def test_what_asking_for_a_round_takes_is_counted_in_evaluations() -> None:
    rounds = [Round(0, ()), Round(1, (), usage=Usage(4, 900, 100)), Round(2, (), usage=Usage(8, 500, 100))]
    both, price = Budget(calls=1000, tokens=100_000), {"calls": 2.0, "tokens": 100.0, "usd": 0.0}
    assert dearest(rounds, price, both) == 10.0
    assert dearest(rounds, price, Budget(calls=1000)) == 4.0
    assert dearest(rounds, {}, both) == 0.0


class Peeking:
    """A writer that looks at what came after its draft."""

    name = "peeking"
    needs = frozenset({"text"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        return await self.write(turn.search, await self.draft(turn))

    async def draft(self, turn: Turn) -> JSON:
        return {"parent": turn.parents[0].id, "number": turn.rng.random()}

    async def write(self, search: SearchView, draft: JSON) -> list[Proposal]:
        parent = search.ledger.candidates[draft["parent"]]
        text = f"Name the colour, version {draft['number']} of {search.ledger.folded}."
        return [Proposal({**parent.values, "label.instructions": text}, self.name, (parent.id,))]


def test_a_writer_that_looks_at_what_came_after_its_draft_is_told_so() -> None:
    with pytest.raises(AssertionError, match="carried on after round"):
        check_proposer(Peeking)  # type: ignore[arg-type]  # its names are no properties
