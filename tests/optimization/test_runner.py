"""A search from end to end, on models whose best prompt is known."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dspex
from dspex.clients.budget import Budget
from dspex.clients.outage import OutageWatch
from dspex.clients.scripted import ScriptedLM
from dspex.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    LMError,
    MetricError,
    OutageError,
    RequestError,
    ServerError,
    UnknownNameError,
    VariableError,
)
from dspex.evaluation.judge import JUDGE_TOKENS, Judge
from dspex.evaluation.metrics import ExactMatch, Weighted
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Completion, Event, Request, Score, Usage
from dspex.kernel.program import Program
from dspex.kernel.signature import Example, Input, Output, Signature
from dspex.kernel.state import State
from dspex.kernel.variables import Choice, Demos, Float, Text
from dspex.modules.flow import choose
from dspex.modules.prediction import chain_of_thought, predict
from dspex.optimization.deciding import Finalists, SearchView
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem, pose
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import Runner, Session
from dspex.optimization.strategies.table import strategy_of
from tests.optimization.searching import TIMING, Dying, Interrupted, rows_of, searched, uneven
from tests.optimization.simulators import (
    HINT,
    Colour,
    answered,
    careless,
    cool,
    counted,
    gold,
    hinted,
    is_proposal,
    program,
    runtime,
    share,
    splits,
    text_in,
)

Answer = Callable[[Request], str]


def test_instructions_that_help_are_found_confirmed_and_shipped() -> None:
    result = searched(program(instructions=Text()), hinted, strategy="reflection")
    assert HINT in result.program.values["label.instructions"]
    assert result.improved
    assert result.verdict is not None
    assert result.verdict.rule == "confirmed"
    assert result.verdict.gain > 0.3
    assert result.verdict.interval.excludes(0)
    assert [change.path for change in result.changes] == ["label.instructions"]


def test_a_typed_variable_is_searched() -> None:
    result = searched(program(temperature=Float(0, 1, default=1)), cool, strategy="random")
    assert result.improved
    assert abs(result.program.values["label.temperature"] - 0.3) < 0.25


def test_auto_searches_every_kind_of_variable() -> None:
    given = program(instructions=Text(), demos=Demos(3), temperature=Float(0, 1))
    result = searched(given, hinted, calls=2000)
    assert result.improved
    assert {item.operator for item in result.ledger.candidates.values()} >= {
        "seed", "reflection", "bootstrap", "random", "step", "crossover",
    }  # fmt: skip


def test_the_seed_is_kept_where_there_is_nothing_to_gain() -> None:
    kept = 0
    for seed in range(200):
        result = searched(program(instructions=Text(), temperature=Float(0, 1)), careless, calls=240, seed=seed)
        kept += not result.improved
        if not result.improved:
            assert result.program == result.seed_program
            assert result.changes == ()
            assert "the seed program is kept" in result.reason
    assert kept >= 190


@settings(max_examples=25, deadline=None)
@given(calls=st.integers(32, 400), concurrency=st.integers(1, 40), reask=st.booleans())
def test_the_budget_is_never_overspent(calls: int, concurrency: int, reask: bool) -> None:
    def model(request: Request) -> str:
        # With `reask`, some answers cannot be read, and the step asks again.
        spoilt = reask and not is_proposal(request) and share(text_in(request)) < 0.2 and len(request.messages) < 3
        return "no idea" if spoilt else hinted(request)

    counting, seen = counted(model)
    options = SearchOptions(concurrency=concurrency)
    result = searched(program(instructions=Text(), demos=Demos(2)), counting, calls, options=options)
    assert result.usage.calls == len(seen) <= calls


@pytest.mark.parametrize("calls", [100, 300, 700])
def test_concurrency_changes_nothing_but_the_time(calls: int) -> None:
    found: list[Any] = []
    for concurrency in (1, 16):
        ledger = MemoryLedger()
        given = program(instructions=Text(), demos=Demos(2), temperature=Float(0, 1))
        result = searched(given, uneven, calls, ledger=ledger, options=SearchOptions(concurrency=concurrency), seed=3)
        found.append((rows_of(ledger), result.to_dict() | TIMING))
    assert found[0] == found[1]


@pytest.mark.parametrize("tokens", [20_000, 60_000])
def test_where_the_price_of_calls_differs_concurrency_changes_nothing_that_counts(tokens: int) -> None:
    found: list[Any] = []
    for concurrency in (1, 16):
        ledger = MemoryLedger()
        given = program(instructions=Text(), demos=Demos(2), max_tokens=20)
        options = SearchOptions(concurrency=concurrency, proposer_settings={"max_tokens": 100})
        result = searched(given, uneven, budget=Budget(tokens=tokens), ledger=ledger, options=options, seed=3)
        scores = {item: dict(ledger.scores(item)) for item in ledger.candidates}
        found.append((scores, ledger.rounds, result.program, result.verdict, result.stopped))
    assert found[0] == found[1]


def test_the_same_seed_gives_the_same_and_another_seed_another_search() -> None:
    ledgers: list[MemoryLedger] = []
    for seed in (1, 1, 2):
        ledgers.append(MemoryLedger())
        searched(program(instructions=Text(), demos=Demos(2)), hinted, 300, ledger=ledgers[-1], seed=seed)
    assert rows_of(ledgers[0]) == rows_of(ledgers[1])
    assert rows_of(ledgers[0]) != rows_of(ledgers[2])


@pytest.mark.parametrize("writes", [1, 5, 9, 10, 11, 30, 60, 90, 120, 150, 180, 210, 225, 240])
def test_a_search_that_is_carried_on_ends_where_the_uninterrupted_one_does(writes: int) -> None:
    memory: dict[str, str] = {}

    def remembered(request: Request) -> str:
        key = json.dumps([request.messages, dict(request.settings), request.sample])
        return memory.setdefault(key, hinted(request))

    given = program(instructions=Text(), demos=Demos(2))
    options = SearchOptions(concurrency=4)
    whole = MemoryLedger()
    expected = searched(given, remembered, 260, ledger=whole, options=options)
    ledger = Dying(writes)
    with pytest.raises(Interrupted):
        searched(given, remembered, 260, ledger=ledger, options=options)
    result = searched(given, remembered, 260, ledger=ledger, options=options)
    assert rows_of(ledger) == rows_of(whole)
    assert (result.program, result.reason) == (expected.program, expected.reason)


def test_what_infrastructure_fails_is_tried_again_and_never_a_zero() -> None:
    failed: set[str] = set()

    def shaky(request: Request) -> str:
        text = text_in(request)
        if share(text, "hopeless") < 0.05 or (share(text, "shaky") < 0.3 and text not in failed):
            failed.add(text)
            raise ServerError("503 from the server")
        return answered(text, True)

    ledger = MemoryLedger()
    result = searched(program(temperature=Float(0, 1)), shaky, 400, strategy="random", ledger=ledger)
    assert failed
    assert {item.score for item in ledger.evaluations()} == {1.0}
    assert {item.error_kind for item in ledger.failed()} == {"server"}
    assert result.unevaluated > 0
    assert f"{result.unevaluated} pairs could not be evaluated" in result.report()


def test_an_outage_stops_the_search_and_the_ledger_carries_it_on() -> None:
    gone, calls = False, 0

    def model(request: Request) -> str:
        nonlocal gone, calls
        calls += 1
        if calls == 100:
            gone = True
        if gone:
            raise ServerError("503 from the server")
        return hinted(request)

    given, ledger = program(instructions=Text()), MemoryLedger()
    options = SearchOptions(concurrency=1, outage_seconds=0.0)
    with pytest.raises(OutageError, match=r"in a row failed over 0 s, the last with: .*503"):
        searched(given, model, 600, ledger=ledger, options=options, strategy="reflection")
    before = len(list(ledger.evaluations()))
    assert before > 50
    gone = False
    result = searched(given, model, 600, ledger=ledger, strategy="reflection")
    assert result.improved
    assert HINT in result.program.values["label.instructions"]


def test_a_blip_pauses_nothing_and_costs_no_pair() -> None:
    """Many calls fail, one after the other, for a moment; no pair is given up for that."""
    calls = 0

    def model(request: Request) -> str:
        nonlocal calls
        calls += 1
        if 100 <= calls < 150:
            raise ServerError("503 from the server")
        return hinted(request)

    ledger = MemoryLedger()
    options = SearchOptions(concurrency=8, outage_seconds=3.0)
    result = searched(program(instructions=Text()), model, 600, ledger=ledger, options=options)
    assert len(list(ledger.failed())) >= 40
    assert result.unevaluated == 0


def test_in_doubt_one_call_is_sent_before_all_others() -> None:
    gone, calls, back = True, 0, 0

    def model(request: Request) -> str:
        nonlocal calls
        calls += 1
        if gone:
            raise ServerError("503 from the server")
        return hinted(request)

    def answered_again() -> None:
        nonlocal back
        back += 1

    def once(ledger: MemoryLedger) -> OptimizationResult:
        train, val, confirm = splits()
        parts = {"train": train, "val": val, "confirm": confirm}
        problem = pose(
            program(instructions=Text()), parts, as_metric(ExactMatch("label")), Budget(calls=600), 0, runtime(model)
        )
        watch = OutageWatch(seconds=60.0)
        watch.doubt(answered_again)
        session = Session(watch=watch)
        return asyncio.run(
            Runner(problem, runtime(model), strategy_of("auto", SearchOptions()), ledger, session=session).run()
        )

    ledger = MemoryLedger()
    with pytest.raises(OutageError, match=r"still does not answer: .*503"):
        once(ledger)
    assert (calls, back) == (1, 0)
    gone = False
    once(ledger)
    assert back == 1


def test_a_wrong_key_ends_it_at_the_first_answer() -> None:
    def model(request: Request) -> str:
        raise AuthenticationError("401: the key is wrong; set SOME_KEY")

    counting, seen = counted(model)
    with pytest.raises(AuthenticationError, match="SOME_KEY"):
        searched(program(instructions=Text()), counting, options=SearchOptions(concurrency=1))
    assert len(seen) == 1


def test_a_metric_that_returns_nonsense_ends_it_at_the_first_answer() -> None:
    def nonsense(example: Example, state: State) -> float:
        return 17.0

    counting, seen = counted(hinted)
    with pytest.raises(MetricError, match="17"):
        searched(program(instructions=Text()), counting, metric=nonsense, options=SearchOptions(concurrency=1))
    assert len(seen) == 1


def test_a_metric_that_never_tells_anything_apart_is_reported() -> None:
    def blind(example: Example, state: State) -> bool:
        return False

    result = searched(program(instructions=Text()), hinted, 100, metric=blind)
    assert not result.improved
    assert any("the metric gave 0 every time" in note for note in result.notes)


def test_feedback_of_the_metric_reaches_the_proposer() -> None:
    def strict(example: Example, state: State) -> Score:
        right = state["label"] == example["label"]
        return Score(float(right), None if right else "Compare the second letters.")

    counting, seen = counted(hinted)
    searched(program(instructions=Text()), counting, 200, metric=strict, strategy="reflection")
    asked = [request.messages[-1]["content"] for request in seen if is_proposal(request)]
    assert asked
    assert all("Compare the second letters." in text for text in asked if "Mistakes made" in text)
    assert any("Mistakes made" in text for text in asked)
    assert all("Name the colour" in text for text in asked)


def test_proposals_count_against_the_budget_and_are_reported_apart() -> None:
    counting, seen = counted(hinted)
    result = searched(program(instructions=Text()), counting, 400, strategy="reflection")
    assert result.proposing.calls == sum(map(is_proposal, seen)) > 0
    assert result.usage.calls == len(seen)


def test_confirm_is_touched_once_by_the_seed_and_the_winner_alone() -> None:
    train, val, confirm = splits()
    ledger = MemoryLedger()
    searched(program(instructions=Text()), hinted, splits=(train, val, confirm), ledger=ledger, strategy="reflection")
    ids = {item.id for item in confirm}
    touched = [pair for round in ledger.rounds for pair in round.pairs if pair[1] in ids]
    assert {round.number for round in ledger.rounds if any(pair[1] in ids for pair in round.pairs)} == {
        len(ledger.rounds) - 1
    }
    assert len(touched) == len(set(touched)) == 2 * len(confirm)
    assert all(item.example not in ids or item.round == len(ledger.rounds) - 1 for item in ledger.evaluations())


def test_a_budget_that_cannot_pay_for_the_first_rung_says_so() -> None:
    with pytest.raises(BudgetExceededError, match=r"budget of 600 \d{3} are spent"):
        searched(program(instructions=Text(), max_tokens=20), hinted, budget=Budget(tokens=600))


def test_what_the_budget_could_no_longer_pay_for_is_not_a_failure_of_infrastructure() -> None:
    options = SearchOptions(proposer_settings={"max_tokens": 100}, ahead=0.0)
    given = program(instructions=Text(), max_tokens=2_500)  # more than a round may reserve beyond its share
    kinds: set[str | None] = set()
    for seed in range(5):  # in some of them the budget ends within a round
        ledger = MemoryLedger()
        result = searched(given, uneven, budget=Budget(tokens=30_000), options=options, seed=seed, ledger=ledger)
        kinds |= {item.error_kind for item in ledger.failed()}
        assert result.unevaluated == 0
    assert kinds == {"budget"}


def test_too_few_calls_to_compare_anything_are_refused_unpaid() -> None:
    counting, seen = counted(hinted)
    with pytest.raises(ConfigurationError, match=r"a budget of 31 calls is too small.*take 32 calls"):
        searched(program(instructions=Text()), counting, 31)
    assert seen == []


def test_a_step_whose_answers_the_budget_could_not_bound_is_refused_unpaid() -> None:
    """Also where another step comes before it."""
    counting, seen = counted(hinted)
    first = predict("text -> draft", name="first", instructions=Text(), max_tokens=20)
    given = Program(name="two", pipeline=(first, predict("text, draft -> label", name="second")))
    wanted = r"step 'second': a budget in tokens needs.*an option of step 'second': max_tokens: 1000"
    with pytest.raises(ConfigurationError, match=wanted):
        searched(given, counting, budget=Budget(tokens=60_000))
    assert seen == []


@pytest.mark.parametrize(("budget", "limits"), [(Budget(tokens=400_000), {8_000}), (Budget(calls=200), {None})])
def test_proposals_have_a_limit_where_the_budget_needs_one(budget: Budget, limits: set[int | None]) -> None:
    counting, seen = counted(hinted)
    result = searched(program(instructions=Text(), max_tokens=20), counting, budget=budget)
    asked = [item.settings.get("max_tokens") for item in seen]
    assert result.proposing.calls > 0
    assert {item for item in asked if item != 20} == limits


def graded(request: Request) -> str:
    """`hinted`, whose answers get the best grade where they are right."""
    if "criteria" not in request.messages[-1]["content"]:
        return hinted(request)
    text = text_in(request)
    right = gold(text) in request.messages[-1]["content"].partition("answer")[2]
    return f"[[reason]]\nas it is\n\n[[grade]]\n{5 if right else 1}\n\n[[end]]"


def test_a_judge_has_a_limit_that_a_budget_in_tokens_can_keep() -> None:
    counting, seen = counted(graded)
    given = program(instructions=Text(), max_tokens=20)
    result = searched(given, counting, budget=Budget(tokens=600_000), metric=Judge("the right colour"))
    assert {item.settings.get("max_tokens") for item in seen} == {20, JUDGE_TOKENS, 8_000}
    assert result.improved
    assert result.usage.input_tokens + result.usage.output_tokens <= 600_000


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("more", "budget", "said"),
    [
        (
            {"max_tokens": None},
            Budget(tokens=60_000),
            r"a budget in tokens needs.*\(Judge\(\.\.\., max_tokens=4000\)\)",
        ),
        ({"model": "other/judge"}, Budget(usd=1.0), "needs the price of other/judge"),
    ],
)
def test_a_judge_that_the_budget_could_not_bound_is_refused_unpaid(
    weighted: bool, more: dict[str, Any], budget: Budget, said: str
) -> None:
    counting, seen = counted(graded)
    judge = Judge("the right colour", **more)
    metric = Weighted((ExactMatch("label"), 1), (judge, 1)) if weighted else judge
    with pytest.raises(ConfigurationError, match="step 'judge': .*" + said):
        searched(program(instructions=Text(), max_tokens=20), counting, budget=budget, metric=metric)
    assert seen == []


def test_a_budget_without_any_limit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no limit"):
        searched(program(instructions=Text()), hinted, budget=Budget())


def test_a_judges_calls_come_out_of_the_same_budget() -> None:
    def model(request: Request) -> str:
        if judges(request):
            return f"[[reason]]\nfine\n\n[[grade]]\n{4 if share(text_in(request)) < 0.5 else 3}\n\n[[end]]"
        return hinted(request)

    def judges(request: Request) -> bool:
        return "[[grade]]" in request.messages[-1]["content"]

    counting, seen = counted(model)
    judge = Judge("Say whether the label is right.")
    result = searched(program(instructions=Text()), counting, 600, metric=judge)
    assert result.usage.calls == len(seen) <= 600
    assert sum(map(judges, seen)) > 100


def test_a_program_of_two_steps_is_searched_in_both() -> None:
    class Clue(Signature):
        """Say which clue the text holds."""

        text: str = Input()
        clue: str = Output()

    def model(request: Request) -> str:
        if is_proposal(request):
            return hinted(request)
        if "[[clue]]" in request.messages[-1]["content"] and "[[label]]" not in request.messages[-1]["content"]:
            return f"[[clue]]\nthe clue of {text_in(request)}\n\n[[end]]"
        return hinted(request)

    steps = (
        predict(Clue, name="clue", instructions=Text(), demos=Demos(2)),
        predict("clue -> label: Literal['red', 'green', 'blue']", name="label", instructions=Text(), demos=Demos(2)),
    )
    result = searched(Program(name="two", pipeline=steps), model, 3000)
    assert result.improved
    assert HINT in result.program.values["label.instructions"]
    demos = [item.values["clue.demos"] for item in result.ledger.candidates.values() if item.values["clue.demos"]]
    assert demos
    assert all(shown["clue"] == f"the clue of {shown['text']}" for found in demos for shown in found)


def test_the_choice_of_a_module_is_searched() -> None:
    def model(request: Request) -> str:
        reasons = "[[reasoning]]" in request.messages[-1]["content"]
        text = text_in(request)
        head = "[[reasoning]]\nlet me see\n\n" if reasons else ""
        return head + answered(text, share(text) < (0.9 if reasons else 0.4))

    step = choose(predict(Colour, temperature=Float(0, 1)), chain_of_thought(Colour), name="label")
    result = searched(Program(name="c", pipeline=(step,)), model, 900, strategy="random")
    assert result.improved
    assert result.program.values == {"label.choice": "chain_of_thought"}


def test_dollars_over_an_unknown_price_are_refused_before_the_first_call() -> None:
    counting, seen = counted(hinted)
    with pytest.raises(ConfigurationError, match="price of unheard/of"):
        searched(program(instructions=Text(), model="unheard/of", max_tokens=9), counting, budget=Budget(usd=1))
    assert seen == []


@pytest.mark.parametrize(("failure", "raised"), [(ServerError, OutageError), (RequestError, RequestError)])
def test_a_seed_program_that_cannot_be_evaluated_at_all_is_an_error(
    failure: type[LMError], raised: type[Exception]
) -> None:
    def model(request: Request) -> str:
        raise failure("the server says no")

    with pytest.raises(raised, match="the server says no"):
        searched(program(instructions=Text()), model, options=SearchOptions(outage_seconds=0.0))


def test_a_finished_search_is_not_run_again() -> None:
    ledger = MemoryLedger()
    first = searched(program(instructions=Text()), hinted, 300, ledger=ledger)
    counting, seen = counted(hinted)
    again = searched(program(instructions=Text()), counting, 300, ledger=ledger)
    assert seen == []
    assert (again.program, again.verdict) == (first.program, first.verdict)


def test_a_perfect_program_ends_the_search() -> None:
    def right(request: Request) -> str:
        return answered(text_in(request), True)

    result = searched(program(instructions=Text()), right, 500)
    assert result.stopped == "the best candidate has full marks on val"
    assert not result.improved
    assert result.usage.calls < 250


def test_a_space_that_is_used_up_ends_the_search() -> None:
    result = searched(program(presence_penalty=Choice(0, 1)), careless, 2000, strategy="random")
    assert result.stopped == "nothing is left to try"
    assert len(result.tried) == 2


@pytest.mark.parametrize(
    ("strategy", "error", "message"),
    [
        ("bootstap", UnknownNameError, "did you mean 'bootstrap'"),
        ("bootstrap", VariableError, "varies demos.*has only float, text"),
    ],
)
def test_a_strategy_that_cannot_work_here_is_refused(strategy: str, error: type[Exception], message: str) -> None:
    counting, seen = counted(hinted)
    with pytest.raises(error, match=message):
        searched(program(instructions=Text(), temperature=Float(0, 1)), counting, strategy=strategy)
    assert seen == []


def test_events_tell_of_rounds_in_order_and_are_kept() -> None:
    heard: list[Event] = []
    ledger = MemoryLedger()
    result = searched(program(instructions=Text()), hinted, 900, on_event=heard.append, ledger=ledger)
    kinds = [event.kind for event in heard]
    assert (kinds[0], kinds[-1]) == ("run.started", "run.finished")
    assert kinds[1:-1] == ["round.started", "round.finished"] * result.rounds
    assert ledger.events == heard
    assert all(
        event.data["best_score"] is not None and event.data["calls"] <= 900
        for event in heard
        if event.kind == "round.finished"
    )


def test_the_report_shows_words_that_changed_gain_cost_and_what_was_tried() -> None:
    result = searched(program(instructions=Text()), hinted, strategy="reflection")
    text = result.report()
    assert f"colour: {HINT}." in text.replace("{+", "").replace("+}", "")
    assert "95% interval" in text
    assert f"{result.usage.calls} calls" in text
    assert "rewritten from what went wrong" in text
    data = json.loads(json.dumps(result.to_dict()))
    assert data["confirmation"]["rule"] == "confirmed"
    assert data["tried"][0]["gain"] > 0
    assert data["program"]["configuration"] == result.program.configuration


@dataclass(frozen=True)
class Asking:
    """A strategy that asks for proposals until the budget refuses one, so that its round never comes about."""

    name: str = "asking"

    def check(self, problem: Problem) -> None:
        """There is nothing that it could miss."""

    async def next_round(self, search: SearchView) -> str:
        for sample in itertools.count():
            await search.lab.ask([{"role": "user", "content": "<instructions>"}], temperature=1.0, sample=sample)
        raise AssertionError

    def leader(self, search: SearchView) -> str:
        return search.problem.seed_id

    def finalists(self, search: SearchView) -> Finalists:
        return Finalists()


def test_what_was_sent_again_for_a_round_that_did_not_come_about_is_told() -> None:
    sent = 0

    def model(request: Request) -> Completion:
        nonlocal sent
        sent += is_proposal(request)
        return Completion(hinted(request), usage=Usage(1, 10, 5, retries=2 * is_proposal(request)))

    result = searched(program(instructions=Text()), model, 60, strategy=Asking())
    assert sent > 10
    assert (result.usage.retries, result.proposing.retries, result.proposing.calls) == (2 * sent, 2 * sent, sent)
    assert result.verdict is None


DEAR = {"input": 0.1, "output": 0.4}


@pytest.mark.parametrize("named", ["proposer_model", "teacher_model"])
@pytest.mark.parametrize(
    ("other", "budget", "said"),
    [
        ("other/unknown", Budget(usd=1.0), "needs the price of other/unknown"),
        ("other/dear", Budget(usd=1.0), r"needs a limit on each answer"),
        ("opnai/gpt", Budget(usd=1.0), "opnai"),
    ],
)
def test_another_model_that_the_budget_could_not_bound_is_refused_unpaid(
    named: str, other: str, budget: Budget, said: str
) -> None:
    """The program's own model is free, so that its answers need no limit; the other one's do."""
    counting, seen = counted(hinted)
    models = {"scripted": ScriptedLM(counting), "other": ScriptedLM(counting)}
    ready = dspex.runtime("scripted/colours", models=models, file="none", prices={"other/dear": DEAR})
    given: dict[str, Any] = {named: other, "proposer_settings": {"max_tokens": None}}
    options = SearchOptions(**given)
    with pytest.raises(ConfigurationError, match=said) as refused:
        searched(program(instructions=Text()), ready, budget=budget, options=options)
    assert seen == []
    assert "opnai" in said or str(refused.value).startswith(f"the {named.replace('_', ' ')}: ")


def test_another_model_of_known_price_is_asked_under_a_budget_in_dollars() -> None:
    counting, seen = counted(hinted)
    models = {"scripted": ScriptedLM(hinted), "other": ScriptedLM(counting)}
    ready = dspex.runtime("scripted/colours", models=models, file="none", prices={"other/dear": DEAR})
    options = SearchOptions(proposer_model="other/dear", headroom=False)
    searched(program(instructions=Text()), ready, budget=Budget(usd=5.0), options=options)
    assert seen
