"""Ask and tell: the same search, evaluated by whoever asks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import dspex
from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError, DspexError, MetricError, RequestError, UnknownNameError
from dspex.evaluation.metrics import ExactMatch
from dspex.hosting.asking import AsyncSearch
from dspex.kernel.ports import Score, Usage
from dspex.kernel.variables import Demos, Float, Text
from dspex.optimization.asking import Trial
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.rows import AHEAD
from dspex.optimization.runner import optimize
from tests.optimization.simulators import cool, counted, gold, hinted, is_proposal, program, runtime, share, splits

TEMPERED = program(temperature=Float(0, 1, default=1))


def search(given: Any = TEMPERED, model: Any = cool, calls: int = 400, **how: Any) -> dspex.Search:
    train, val, confirm = splits()
    how.setdefault("store", ":memory:")
    how.setdefault("strategy", "random")
    return dspex.Search(given, train, val, runtime(model), confirm=confirm, budget=Budget(calls=calls), **how)


def evaluated(trial: Trial) -> float:
    """What the model `cool` would score, reckoned by whoever asks."""
    off = abs(float(trial.program.values["label.temperature"]) - 0.3)
    return float(share(trial.inputs["text"]) < 0.95 - 0.7 * off)


def finished(held: dspex.Search, batch: int = 8) -> Any:
    while trials := held.ask(batch):
        for trial in trials:
            held.tell(trial, evaluated(trial))
    return held.result()


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_it_ends_where_the_search_that_evaluates_itself_does(batch: int) -> None:
    train, val, confirm = splits()
    itself = asyncio.run(
        optimize(
            TEMPERED, train, val, ExactMatch("label"), runtime(cool), strategy="random", confirm=confirm,
            budget=Budget(calls=400), options=SearchOptions(ahead=0.0),
        )
    )  # fmt: skip
    with search() as held:
        result = finished(held, batch)
    assert result.improved
    assert (result.program, result.reason, result.rounds) == (itself.program, itself.reason, itself.rounds)
    assert result.usage.calls == itself.usage.calls


@pytest.mark.parametrize(("ahead", "guesses"), [(None, False), (0.0, False), (0.1, True)])
def test_guesses_are_handed_out_only_where_a_share_of_the_budget_is_for_them(
    ahead: float | None, guesses: bool, tmp_path: Path
) -> None:
    with search(store=tmp_path / "told.db", options=SearchOptions(ahead=ahead, concurrency=64)) as held:
        for trial in held.ask(64):
            held.tell(trial, evaluated(trial))
        first, *others = held.ask(64)
        while others:  # the round is not over: one of its trials is out
            for trial in others:
                held.tell(trial, evaluated(trial))
            others = held.ask(64)
        with dspex.attach(held.id, store=tmp_path / "told.db") as run:
            assert any(row.round == AHEAD for row in run.evaluations()) is guesses
        held.tell(first, evaluated(first))


def test_a_store_keeps_what_was_told_and_another_process_carries_it_on(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    told: list[str] = []
    with search(store=store) as held:
        id = held.id
        for _ in range(9):
            for trial in held.ask(5):
                told.append(trial.id)
                held.tell(trial, evaluated(trial))
        out = held.ask(3)
        assert out
        with pytest.raises(ConfigurationError, match="the search is not over: 3 trials are out"):
            held.result()
    with dspex.attach(id, store=store) as run:
        assert run.status().state == "paused"
        assert run.status().evaluations == len(told)
    with dspex.Search.resume(id, runtime(cool), store=store) as held:
        again: list[str] = []
        while trials := held.ask(4):
            again += [trial.id for trial in trials]
            for trial in trials:
                held.tell(trial, evaluated(trial))
        result = held.result()
    assert not set(told) & set(again)
    assert {trial.id for trial in out} <= set(again)
    assert len(told) + len(again) <= 400
    with search() as held:
        assert finished(held).program == result.program
    with dspex.attach(id, store=store) as run:
        assert run.status().state == "completed"
    with pytest.raises(ConfigurationError, match=r"is completed; fork it"):
        dspex.Search.resume(id, runtime(cool), store=store)


def test_proposals_are_written_by_the_runtimes_model_and_see_what_was_told() -> None:
    counting, seen = counted(hinted)
    with search(program(instructions=Text(), demos=Demos(2)), counting, 600, strategy="auto") as held:
        while trials := held.ask(16):
            for trial in trials:
                hint = "second letter" in str(trial.program.values["label.instructions"])
                right = share(trial.inputs["text"]) < (0.9 if hint else 0.45)
                label = gold(trial.inputs["text"]) if right else "none"
                held.tell(trial, Score(float(right), None if right else "Count the letters."), outputs={"label": label})
        result = held.result()
    asked = [request.messages[-1]["content"] for request in seen]
    assert seen
    assert all(map(is_proposal, seen))
    assert any("Count the letters." in text for text in asked)
    assert result.improved
    assert result.usage.calls == len(seen) + result.evaluations <= 600
    shown = [item.values["label.demos"] for item in result.ledger.candidates.values()]
    assert any(shown)


def test_a_state_that_was_run_tells_all_of_itself() -> None:
    ready = runtime(cool)
    with search() as held:
        trial = held.ask()[0]
        state = dspex.run(trial.program, trial.inputs, ready)
        held.tell(trial, state["label"] == trial.example["label"], state=state)
        result = finished(held)
    assert isinstance(result.ledger, MemoryLedger)
    row = next(item for item in result.ledger.evaluations() if "/".join(map(str, item.pair)) == trial.id)
    assert row.usage == state.history[0].usage
    assert row.trace[0].outputs == dict(state.values)


@pytest.mark.parametrize(
    ("score", "more", "error", "message"),
    [
        (17, {}, MetricError, "returned 17"),
        (float("nan"), {}, MetricError, "nan"),
        ("good", {}, MetricError, "'good'"),
        (None, {}, ConfigurationError, "tell either a score or an error"),
        (0.5, {"error": "broken"}, ConfigurationError, "tell either a score or an error"),
    ],
)
def test_what_cannot_be_a_score_is_refused_and_the_trial_stays_out(
    score: Any, more: Any, error: type[DspexError], message: str
) -> None:
    with search() as held:
        trial = held.ask()[0]
        with pytest.raises(error, match=message):
            held.tell(trial, score, **more)
        held.tell(trial, 1)


def test_a_trial_that_is_not_out_is_refused() -> None:
    with search() as held:
        trial = held.ask()[0]
        with pytest.raises(UnknownNameError, match="trial"):
            held.tell("nothing/of/it", 1)
        held.tell(trial.id, 1)
        with pytest.raises(ConfigurationError, match="was told of already"):
            held.tell(trial, 0)
        with pytest.raises(ConfigurationError, match="at least one"):
            held.ask(0)


def test_an_evaluation_that_failed_is_no_zero() -> None:
    with search(calls=100) as held:
        lost = held.ask()[0]
        held.tell(lost, error="the robot fell over")
        while trials := held.ask(8):
            for trial in trials:
                if trial.id == lost.id:
                    held.tell(trial, error="it fell over again")
                else:
                    held.tell(trial, evaluated(trial))
        result = held.result()
    assert result.unevaluated == 1
    assert (lost.example.id, 0) not in result.ledger.scores(lost.candidate)


def test_where_every_evaluation_fails_the_search_ends_with_the_reason() -> None:
    with search() as held:
        for trial in held.ask(8):
            held.tell(trial, error="the robot fell over")
        with pytest.raises(RequestError, match="the robot fell over"):
            held.ask(8)


def test_no_more_are_out_than_the_search_allows_and_usage_counts_against_the_budget() -> None:
    with search(calls=64, options=SearchOptions(concurrency=4)) as held:
        first = held.ask(100)
        assert len(first) == 4
        assert held.ask(100) == []
        for trial in first:
            held.tell(trial, 0, usage=Usage(calls=3, usd=0.5))
        while trials := held.ask(100):
            for trial in trials:
                held.tell(trial, 0, usage=Usage(calls=3, usd=0.5))
        result = held.result()
    assert result.usage.calls == 3 * result.evaluations
    assert result.usage.calls <= 64 + 2 * 4
    assert result.usage.usd == 0.5 * result.evaluations


@pytest.mark.parametrize("budget", [Budget(usd=1), Budget(tokens=1000, calls=100)])
def test_a_budget_that_could_not_be_kept_is_refused(budget: Budget) -> None:
    train, val, confirm = splits()
    with pytest.raises(ConfigurationError, match=r"of dollars or tokens.*limit calls"):
        dspex.Search(TEMPERED, train, val, runtime(cool), confirm=confirm, budget=budget, store=":memory:")


def test_a_problem_that_is_wrong_shows_before_the_first_trial() -> None:
    with pytest.raises(ConfigurationError, match="nothing to search"):
        search(program())


def test_awaited_evaluations_may_run_at_the_same_time() -> None:
    train, val, confirm = splits()

    async def main() -> Any:
        how: Any = {"confirm": confirm, "budget": Budget(calls=400), "strategy": "random", "store": ":memory:"}
        async with await AsyncSearch.begin(TEMPERED, train, val, runtime(cool), **how) as held:

            async def one(trial: Trial) -> None:
                await asyncio.sleep(0)
                held.tell(trial, evaluated(trial))

            while trials := await held.ask(16):
                await asyncio.gather(*map(one, trials))
            return await held.result()

    assert asyncio.run(main()).improved
