"""What every strategy keeps to: the same answers give the same search, whatever runs at once and however it dies."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Request
from dspex.kernel.program import Program
from dspex.kernel.variables import Choice, Demos, Float, Text
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Round
from dspex.optimization.runner import optimize
from dspex.optimization.strategies.table import CLASSIC, STRATEGIES, strategy_named
from tests.optimization.simulators import (
    HINT,
    answered,
    guidance,
    is_proposal,
    program,
    runtime,
    share,
    splits,
    text_in,
)

FORMS = [
    (name, schedule)
    for name, recipe in STRATEGIES.items()
    for schedule in ((None, CLASSIC) if recipe.classic else (None,))
]


async def knowing(request: Request) -> str:
    """Better with the hint, with demonstrations and near a temperature of 0.3; after a wait that differs."""
    for _ in range(int(share(request.messages[-1]["content"], request.sample) * 12)):
        await asyncio.sleep(0)
    if is_proposal(request):
        number = int(share(request.messages[-1]["content"], request.sample) * 1000)
        return f"<instructions>Name the colour, {HINT if number % 3 == 0 else 'well'} ({number}).</instructions>"
    if "[[" not in guidance(request):
        return f"Short texts about samples, {int(share(request.messages[-1]['content']) * 100)}."
    skill = 0.35 + 0.3 * (HINT in guidance(request)) + 0.15 * (len(request.messages) > 2)
    skill -= 0.2 * abs(float(request.settings.get("temperature", 0.3)) - 0.3)
    text = text_in(request)
    return answered(text, share(text, request.sample) < skill)


MODELS = Choice("scripted/one", "scripted/two", "scripted/three")
GIVEN = program(instructions=Text(), demos=Demos(2), temperature=Float(0, 1), model=MODELS)


def searched(form: tuple[str, str | None], calls: int = 700, given: Program = GIVEN, **more: Any) -> OptimizationResult:
    name, schedule = form
    train, val, confirm = splits(30, 40, 40)
    ready, metric = runtime(more.pop("model", knowing)), ExactMatch("label")
    return asyncio.run(
        optimize(
            given, train, val, metric, ready, confirm=confirm, strategy=name, schedule=schedule,
            budget=Budget(calls=calls), **more,
        )
    )  # fmt: skip


def kept(ledger: MemoryLedger) -> list[Any]:
    """Everything in a ledger that does not depend on the clock."""
    rows = [replace(item, seconds=0.0) for item in ledger.evaluations()]
    return [rows, list(ledger.candidates.values()), ledger.rounds]


@pytest.mark.parametrize("form", FORMS)
def test_concurrency_changes_nothing(form: tuple[str, str | None]) -> None:
    found: list[Any] = []
    for concurrency in (1, 16):
        ledger = MemoryLedger()
        result = searched(form, ledger=ledger, options=SearchOptions(concurrency=concurrency), seed=2)
        found.append((kept(ledger), result.program, result.reason, result.stopped))
    assert found[0] == found[1]
    assert len(found[0][0][2]) > 2, "it did search"


class Interrupted(BaseException):
    """Plays the end of a process."""


class Dying(MemoryLedger):
    """A ledger whose process ends once a certain round is committed, and again once a half of it is evaluated."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at, self.left = at, -1

    async def commit(self, round: Round) -> None:
        await super().commit(round)
        if round.number == self._at:
            self.left = len(round.pairs) // 2
            raise Interrupted

    async def record(self, evaluation: Any) -> None:
        await super().record(evaluation)
        self.left -= 1
        if self.left == 0:
            raise Interrupted


@pytest.mark.parametrize("form", FORMS)
def test_a_search_that_dies_in_any_round_ends_as_the_one_that_does_not(form: tuple[str, str | None]) -> None:
    memory: dict[str, str] = {}

    async def remembered(request: Request) -> str:
        key = json.dumps([request.messages, dict(request.settings), request.sample])
        if key not in memory:
            memory[key] = await knowing(request)
        return memory[key]

    whole = MemoryLedger()
    options = SearchOptions(concurrency=4)
    expected = searched(form, 400, ledger=whole, options=options, model=remembered)
    number = len(whole.rounds)
    for at in sorted({0, 1, 2, *range(3, number, max(1, number // 5)), number - 1}):
        ledger = Dying(at)
        result = carried(ledger, lambda it: searched(form, 400, ledger=it, options=options, model=remembered))
        assert kept(ledger) == kept(whole)
        assert (result.program, result.reason) == (expected.program, expected.reason)


def carried(ledger: Dying, search: Callable[[MemoryLedger], OptimizationResult]) -> OptimizationResult:
    """The result after as many processes as it takes."""
    for _ in range(4):
        try:
            return search(ledger)
        except Interrupted:
            continue
    raise AssertionError("it dies twice at most")


@pytest.mark.parametrize("form", FORMS)
def test_memos_are_small_and_json(form: tuple[str, str | None]) -> None:
    ledger = MemoryLedger()
    searched(form, ledger=ledger)
    for round in ledger.rounds:
        text = json.dumps(round.memo)
        assert json.loads(text) == round.memo
        assert len(text) < 6000


@pytest.mark.parametrize("name", [name for name, recipe in STRATEGIES.items() if not recipe.classic])
def test_what_was_never_published_has_no_classic_form(name: str) -> None:
    with pytest.raises(ConfigurationError, match="has no classic schedule; those that have one"):
        strategy_named(name, SearchOptions(), CLASSIC)


def test_auto_searches_the_same_whether_optuna_is_there_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found = MemoryLedger()
    searched(("auto", None), ledger=found)
    monkeypatch.setitem(sys.modules, "optuna", None)
    without = MemoryLedger()
    assert not any("left out" in note for note in searched(("auto", None), ledger=without).notes)
    assert kept(without) == kept(found)
