"""Prices predicted from the stages that are not replayed, against what evaluations then consume."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.clients.call_store import MemoryCallStore
from dspex.clients.scripted import ScriptedLM
from dspex.clients.single_flight import Remember
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import LM, Capabilities, Completion, Request, Usage
from dspex.kernel.program import Program
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.variables import Choice, Text
from dspex.modules.prediction import predict
from dspex.optimization.deciding import SearchView
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.pricing import stage_prices
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Candidate, Evaluation, Pair, Round, Trace
from dspex.optimization.spending import price_of
from tests.optimization.simulators import answered, rows, runtime, text_in

SEED: dict[str, Any] = {}
FIRST = {"clue.instructions": "Look twice, then say the clue, as short as you can."}
LAST = {"label.instructions": "Decide by the clue."}
BIG = {"label.model": "scripted/big"}


class Clue(Signature):
    """Say which clue the text holds."""

    text: str = Input()
    clue: str = Output()


class Forgetful:
    """An `LM` with a memory of calls, or without."""

    def __init__(self, memory: bool) -> None:
        self.inner = ScriptedLM(two_stages)
        self.call = Remember(MemoryCallStore()).around(self.inner.complete) if memory else self.inner.complete

    async def complete(self, request: Request) -> Completion:
        return await self.call(request)

    def capabilities(self, model: str) -> Capabilities:
        return self.inner.capabilities(model)

    async def aclose(self) -> None:
        """Nothing to close."""


def two_stages(request: Request) -> str:
    last = request.messages[-1]["content"]
    if "[[label]]" in last:
        long = " indeed" * 30 if request.model == "scripted/big" else ""
        return answered("sample 1 weighs 1 grams", True).replace("[[end]]", f"{long}[[end]]")
    return f"[[clue]]\nthe clue of {text_in(request)}\n\n[[end]]"


def search(
    *tried: dict[str, Any], memory: bool = True, watched: bool = False
) -> tuple[SearchView, list[dict[str, float]]]:
    """A search that has evaluated these on eight examples each, one after the other, and what each consumed.

    `watched`: somebody asks for prices after each.
    """
    steps = (
        predict(Clue, name="clue", instructions=Text(), model="scripted/small"),
        predict("clue -> label: Literal['red', 'green', 'blue']", name="label", instructions=Text(),
                model=Choice("scripted/small", "scripted/big")),
    )  # fmt: skip
    problem = Problem(
        Program(name="two", pipeline=steps), tuple(rows(10)), tuple(rows(16, 100)), tuple(rows(10, 900)),
        as_metric(ExactMatch("label")), Budget(calls=1000),
    )  # fmt: skip
    ledger = MemoryLedger()
    lm: LM = Forgetful(memory)
    laboratory = Laboratory(problem, ledger, runtime(lm), SearchOptions(concurrency=2))
    found: list[dict[str, float]] = []

    async def carried() -> None:
        for number, values in enumerate(tried):
            whole = problem.completed(values)
            candidate = Candidate(problem.id_of(whole), whole, "test", (), "", number)
            pairs: tuple[Pair, ...] = tuple((candidate.id, *key) for key in problem.keys[:8])
            await ledger.commit(Round(number, pairs, (candidate,)))
            laboratory.round = number
            await laboratory.perform(pairs)
            await ledger.fold(number)
            found.append(await price_of(ledger, pairs))
            if watched:
                await stage_prices(SearchView(problem, ledger, laboratory, number + 1, None))

    asyncio.run(carried())
    return SearchView(problem, ledger, laboratory, len(tried), None), found


def predicted(view: SearchView, values: dict[str, Any]) -> dict[str, float]:
    return asyncio.run(stage_prices(view)).of(view.problem.completed(values))


def test_a_change_of_the_last_stage_pays_for_that_stage_alone() -> None:
    _, (_, paid) = search(SEED, LAST)
    view, (first,) = search(SEED)
    expected = predicted(view, LAST)
    assert (first["calls"], paid["calls"], expected["calls"]) == (2, 1, 1)
    assert expected["tokens"] == pytest.approx(paid["tokens"], rel=0.2)
    assert expected["tokens"] < 0.6 * first["tokens"]


def test_a_change_of_the_first_stage_pays_for_all() -> None:
    view, (first,) = search(SEED)
    assert predicted(view, FIRST) == pytest.approx(first, rel=0.01)


def test_both_beginnings_that_were_run_are_free() -> None:
    view, _ = search(SEED, FIRST)
    assert predicted(view, {**FIRST, **LAST})["calls"] == 1
    assert predicted(view, SEED)["calls"] == 0


def test_a_stage_costs_what_it_costs_with_its_model() -> None:
    view, (_, big) = search(SEED, BIG)
    both = predicted(view, {**BIG, **LAST}), predicted(view, LAST)
    assert both[0]["tokens"] == pytest.approx(big["tokens"], rel=0.2)
    assert both[0]["tokens"] > 1.3 * both[1]["tokens"]


def test_where_nothing_is_replayed_everything_is_paid() -> None:
    view, (_, paid) = search(SEED, LAST, memory=False)
    assert paid["calls"] == 2
    expected = predicted(view, {"label.instructions": "Decide by what comes first."})
    assert expected["calls"] == pytest.approx(2, abs=0.25)


def test_prices_are_the_same_whether_they_were_asked_for_all_along_or_at_the_end() -> None:
    tried = (SEED, FIRST, LAST, BIG, {**FIRST, **BIG})
    along, late = search(*tried, watched=True)[0], search(*tried)[0]
    first, second = (asyncio.run(stage_prices(view)) for view in (along, late))
    assert first == second
    assert first.replayed
    assert len(first.seen) > len(tried)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_process_that_takes_over_prices_a_stage_by_the_rows_that_were_folded_first(reverse: bool) -> None:
    """Whatever was answered first, and though by now there are rows that come earlier in val."""
    view, _ = search()
    problem, lab, values = view.problem, view.lab, view.problem.completed(SEED)
    seed = Candidate(problem.id_of(values), values, "seed", (), "", 0)

    async def carried(ledger: MemoryLedger, watched: bool, reverse: bool) -> dict[str, float]:
        problem.memory.clear()
        for number, keys in enumerate((problem.keys[8:], problem.keys[:8])):
            pairs: tuple[Pair, ...] = tuple((seed.id, *key) for key in keys)
            await ledger.commit(Round(number, pairs, (seed,)))
            for place, pair in sorted(enumerate(pairs), reverse=reverse):
                used = Usage(1, 100 * number + 10 * place)
                await ledger.record(Evaluation(*pair, number, 1.0, usage=used, trace=(Trace("clue", {}, {}),)))
            await ledger.fold(number)
            if watched:
                await stage_prices(SearchView(problem, ledger, lab, number + 1, None))
        return (await stage_prices(SearchView(problem, ledger, lab, 2, None))).whole(values)

    watched = asyncio.run(carried(MemoryLedger(), True, False))
    assert watched["tokens"] == 15, "the first four of the round that was folded first"
    assert asyncio.run(carried(MemoryLedger(), False, reverse)) == watched
