"""SIMBA as published, step by step, and its proposers under the race."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from random import Random
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.errors import VariableError
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Request
from dspex.kernel.program import Program
from dspex.kernel.variables import Demos, Float, Text
from dspex.modules.registry import builtin_registry
from dspex.optimization.batches import whole_batch
from dspex.optimization.buckets import Batch, Run, contrast_in, dropped, percentile, poisson, shown_by, softly, top
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rollouts import as_rollout
from dspex.optimization.rows import ROLLOUT, Candidate, Round
from dspex.optimization.strategies.simba import Simba, entrants, program_runs
from tests.optimization.searching import found_alike, searched
from tests.optimization.simulators import (
    HINT,
    asks_advice,
    counted,
    gold,
    program,
    relay,
    rows,
    runtime,
    splits,
    wavering,
)

GIVEN = program(instructions=Text(), demos=Demos(2))
SHORT = Simba(batch=10, candidates=3, steps=3)


def classic(model: Any = wavering, given: Program = GIVEN, calls: int = 3000, **more: Any) -> OptimizationResult:
    """A search by SIMBA as published, a short one unless told otherwise."""
    return searched(given, model, calls, **{"strategy": SHORT, **more})


def rounds(result: OptimizationResult, stage: str) -> list[Round]:
    """The rounds of one kind."""
    searching = [item for item in result.ledger.rounds if item.purpose == "search" and item.memo is not None]
    return [item for item in searching if item.memo["stage"] == stage]


def test_its_budget_is_the_published_arithmetic() -> None:
    assert program_runs(steps=8, batch=32, candidates=6, train=0) == 3328
    assert program_runs(steps=8, batch=32, candidates=6, train=100) == 3328 + 700


def test_a_whole_run_takes_no_more_than_that() -> None:
    result = classic()
    stages = ("rollouts", "candidates", "final")
    searching = [pair for stage in stages for item in rounds(result, stage) for pair in item.pairs]
    assert len(searching) <= program_runs(3, 10, 3, 40)
    assert len(rounds(result, "rollouts")) == len(rounds(result, "candidates")) == 3
    assert result.stopped.startswith("3 of 3 steps are done")
    assert any("3 of 3 steps" in note for note in result.notes)


def test_each_step_takes_the_next_of_a_shuffled_order_that_is_renewed_when_the_rest_is_short() -> None:
    train = [f"e{number}" for number in range(11)]
    first, second, third = (whole_batch(train, 4, number, seed=1) for number in range(3))
    assert len(set(first) | set(second)) == 8
    assert len(set(third)) == 4
    assert set(whole_batch(train, 32, 0, seed=1)) == set(train)


def test_every_example_is_run_by_programs_drawn_from_the_pool_at_temperature_1() -> None:
    model, seen = counted(wavering)
    result = classic(model, given=program(instructions=Text(), demos=Demos(2), temperature=Float(0, 0.5)))
    for item in rounds(result, "rollouts"):
        samples = Counter((example, sample) for _, example, sample in item.pairs)
        assert len(item.pairs) == 3 * 10
        assert set(samples.values()) == {1}
        assert {sample for _, sample in samples} == {ROLLOUT, ROLLOUT + 1, ROLLOUT + 2}
    hot = {item.settings.get("temperature") for item in seen if item.sample >= ROLLOUT}
    cold = {item.settings.get("temperature") for item in seen if item.sample < ROLLOUT and not asks_advice(item)}
    assert (hot, cold) == ({1.0}, {0.0})
    second = {who for who, _, _ in rounds(result, "rollouts")[1].pairs}
    assert len(second) > 1


def test_a_rollout_heats_every_step_that_calls_a_model_and_nothing_else() -> None:
    given = relay(instructions=Text(), temperature=Float(0, 0.5), max_tokens=7)
    hot = as_rollout(given, builtin_registry())
    assert [step.options["temperature"] for step in hot.pipeline] == [1.0, 1.0]
    assert [step.options["max_tokens"] for step in hot.pipeline] == [7, 7]
    assert {item.path for item in hot.space} == {"clue.instructions", "label.instructions"}


def test_the_ledger_keeps_rollouts_apart_from_the_candidates_own_runs() -> None:
    problem = Problem(GIVEN, tuple(rows(3)), tuple(rows(9, 50)), (), as_metric(ExactMatch("label")), Budget(calls=1))
    model, seen = counted(wavering)
    ledger = MemoryLedger()
    lab = Laboratory(problem, ledger, runtime(model), SearchOptions())

    async def scenario() -> None:
        await ledger.commit(Round(0, (), (Candidate(problem.seed_id, GIVEN.values, "seed", (), "", 0),)))
        example = problem.train[0].id
        for sample in (0, 1, ROLLOUT, ROLLOUT + 1, 0, ROLLOUT):
            await lab.evaluate([(problem.seed_id, example, sample)])

    asyncio.run(scenario())
    assert [(item.sample, item.settings.get("temperature")) for item in seen] == [
        (0, None), (1, None), (ROLLOUT, 1.0), (ROLLOUT + 1, 1.0),
    ]  # fmt: skip


def run(example: str, score: float, sample: int = 0) -> Run:
    return Run(("c", example, sample), score)


def test_buckets_are_ordered_by_how_much_their_runs_differ() -> None:
    batch = Batch.of(
        [
            *(run("same", 1.0, n) for n in range(3)),
            *(run("rare", float(n == 0), n) for n in range(3)),
            *(run("often", float(n != 0), n) for n in range(3)),
            *(run("near", 0.5 + 0.1 * n, n) for n in range(3)),
        ]
    )
    assert [bucket.best.pair[1] for bucket in batch.buckets] == ["rare", "often", "near", "same"]
    assert list(batch.buckets[0].spread) == pytest.approx([1.0, 1.0, 2 / 3])
    assert [item.score for item in batch.buckets[0].runs] == [1.0, 0.0, 0.0]


def test_percentiles_are_between_neighbours() -> None:
    assert percentile([0.0, 1.0, 2.0, 3.0, 4.0], 0.1) == pytest.approx(0.4)
    assert percentile([0.0, 1.0], 0.9) == pytest.approx(0.9)
    assert percentile([], 0.5) == 0.0


def bucketed(*scores: float, rest: list[float]) -> tuple[Batch, Any]:
    batch = Batch.of([*(run("it", score, n) for n, score in enumerate(scores)),
                      *(run(f"r{n}", score) for n, score in enumerate(rest))])  # fmt: skip
    return batch, next(bucket for bucket in batch.buckets if bucket.best.pair[1] == "it")


def test_a_run_among_the_worst_demonstrates_nothing() -> None:
    assert shown_by(*bucketed(0.2, 0.2, rest=[0.2] * 8 + [1.0] * 2)) is None
    good = shown_by(*bucketed(0.9, 0.2, rest=[0.2] * 8))
    assert good is not None
    assert good.score == 0.9


@pytest.mark.parametrize(
    ("scores", "rest", "expected"),
    [
        ((1.0, 0.0), [0.0, 1.0] * 5, (1.0, 0.0)),
        ((0.0, 0.0), [0.0, 1.0] * 5, None),
        ((1.0, 1.0), [0.0, 1.0] * 5, None),
        ((0.5, 0.5), [0.0, 1.0] * 5, (None, 0.5)),
        ((0.6, 0.4), [0.0, 1.0] * 5, (0.6, 0.4)),
    ],
)
def test_a_contrast_needs_a_good_and_a_bad_run(scores: Any, rest: list[float], expected: Any) -> None:
    found = contrast_in(*bucketed(*scores, rest=rest))
    if expected is None:
        assert found is None
    else:
        assert found is not None
        good, bad = (None if item is None else item.score for item in (found.good, found.bad))
        assert (good, bad) == expected


def test_programs_are_drawn_by_a_softmax_over_their_means() -> None:
    rng = Random(3)
    counts = Counter(softly({"a": 0.6, "b": 0.4}, ["a", "b"], 0.2, rng) for _ in range(4000))
    assert 0.70 < counts["a"] / 4000 < 0.76  # e / (1 + e) = 0.731


def test_the_first_program_takes_the_last_place_among_the_best_where_it_is_not_there() -> None:
    means = {"seed": 0.0, "a": 0.5, "b": 0.9, "c": 0.7}
    assert top(means, 3, "seed") == ["b", "c", "seed"]
    assert top(means, 2, "b") == ["b", "c"]
    assert top({"seed": 0.0}, 6, "seed") == ["seed"]


def test_demonstrations_are_dropped_by_a_poisson_number_and_one_at_least_where_the_step_is_full() -> None:
    assert dropped(0, 4, Random(0)) == set()
    sizes = [len(dropped(4, 4, rng)) for rng in map(Random, range(500))]
    assert min(sizes) == 1
    assert 1.2 < sum(sizes) / 500 < 1.5
    assert {len(dropped(1, 4, rng)) for rng in map(Random, range(200))} == {0, 1}
    draws = [poisson(0.5, rng) for rng in map(Random, range(4000))]
    assert 0.46 < sum(draws) / 4000 < 0.54


def children(result: OptimizationResult) -> list[Candidate]:
    return [item for item in result.ledger.candidates.values() if item.operator != "seed"]


def test_a_demonstration_is_what_a_good_run_took_and_gave() -> None:
    result = classic()
    made = [item for item in children(result) if item.operator == "demonstration"]
    assert made
    train = {str(item["text"]) for item in splits()[0]}
    for item in made:
        shown = item.values["label.demos"][-1]
        assert shown["text"] in train
        assert shown["label"] == gold(shown["text"])
        assert len(item.values["label.demos"]) <= 2


def test_advice_is_appended_to_the_instructions_it_is_for_after_a_blank_line() -> None:
    model, seen = counted(wavering)
    result = classic(model)
    made = [item for item in children(result) if item.operator == "advice"]
    assert made
    for item in made:
        before = result.ledger.candidates[item.parents[0]].values["label.instructions"] or "Name the colour."
        assert item.values["label.instructions"].startswith(f"{before}\n\n")
    asked = [item for item in seen if asks_advice(item)]
    text = asked[0].messages[-1]["content"]
    assert '"module": "label"' in text
    assert "score 1.00" in text
    assert "label: expected" in text
    assert '["label"]' in text


@pytest.mark.parametrize("answer", ["no idea", '{"discussion": "d", "module_advice": {"elsewhere": "x"}}', "{}"])
def test_a_strategy_that_has_nothing_to_say_proposes_nothing_and_costs_nothing(answer: str) -> None:
    def model(request: Request) -> str:
        return answer if asks_advice(request) else wavering(request)

    result = classic(model, given=program(instructions=Text()))
    assert children(result) == []
    assert rounds(result, "candidates") == []
    assert result.stopped == "no step has made a candidate"


def test_advice_without_the_name_of_a_module_is_for_the_only_one_or_for_where_the_runs_part() -> None:
    def plain(request: Request) -> str:
        if asks_advice(request):
            return json.dumps({"discussion": "d", "module_advice": HINT})
        if "[[label]]" not in request.messages[-1]["content"]:
            return "[[clue]]\nalways the same\n\n[[end]]"
        return wavering(request)

    for given in (program(instructions=Text()), relay(instructions=Text())):
        made = children(classic(plain, given=given))
        assert made
        assert all(item.values["label.instructions"].endswith(HINT) for item in made)
        assert all(item.values.get("clue.instructions") is None for item in made)


def test_there_are_at_most_one_more_candidates_a_step_than_programs_are_run() -> None:
    result = classic()
    assert {len(item.candidates) for item in rounds(result, "candidates")} == {4}
    for item in rounds(result, "candidates"):
        asked = {(example, sample) for _, example, sample in item.pairs}
        assert asked == {(example, 0) for example in item.memo["batch"]}


def test_candidates_join_the_pool_with_their_minibatch_mean_and_the_best_wins_the_step() -> None:
    result = classic()
    last = rounds(result, "final")[0]
    pool, winners = last.memo["pool"], last.memo["winners"]
    for item in rounds(result, "candidates"):
        made = [candidate.id for candidate in item.candidates]
        scores = {who: result.ledger.scores(who) for who in made}
        means = {who: sum(scores[who][example, 0] for example in item.memo["batch"]) / 10 for who in made}
        assert {who: pool[who] for who in made} == pytest.approx(means)
        assert pool[next(who for who in winners if who in made)] == max(means.values())
    assert pool[winners[0]] == 0.0
    assert len(winners) == 4


def test_winners_from_first_to_last_meet_on_all_of_train_and_the_best_goes_on() -> None:
    assert entrants([str(number) for number in range(9)], 6) == ["0", "1", "3", "4", "5", "7", "8"]
    assert entrants(["seed", "a"], 6) == ["seed", "a"]
    result = classic()
    last = rounds(result, "final")[0]
    means = {who: sum(result.ledger.scores(who)[item.id, 0] for item in splits()[0]) / 40 for who in last.memo["asked"]}
    best = max(means, key=lambda who: means[who])
    assert result.winner is not None
    assert result.ledger.rounds[-1].memo["winner"] == best
    assert result.improved


def test_steps_end_where_the_budget_must_pay_for_the_end() -> None:
    model, seen = counted(wavering)
    result = classic(model, calls=500)
    assert len(seen) <= 500
    assert 0 < len(rounds(result, "rollouts")) < 3
    assert len(rounds(result, "final")) == 1


def test_a_budget_for_no_step_says_so() -> None:
    result = classic(strategy="simba", schedule="classic", calls=300)
    assert "a step and the end take" in result.stopped
    assert "does not pay for that" in result.stopped


def test_each_step_of_a_program_gets_demonstrations_of_its_own() -> None:
    def model(request: Request) -> str:
        if "[[label]]" not in request.messages[-1]["content"]:
            return "[[clue]]\nsome clue\n\n[[end]]"
        return wavering(request)

    result = classic(model, given=relay(demos=Demos(2)))
    made = children(result)
    assert made
    for item in made:
        assert item.values["clue.demos"][-1].keys() == {"text", "clue"}
        assert item.values["label.demos"][-1].keys() == {"text", "clue", "label"}


def test_a_program_without_texts_and_demonstrations_is_refused() -> None:
    with pytest.raises(VariableError, match="takes neither"):
        classic(given=program(temperature=Float(0, 1)))


@pytest.mark.parametrize("schedule", ["classic", None])
def test_it_finds_the_same_at_any_concurrency_and_however_often_it_is_killed(schedule: str | None) -> None:
    strategy: Any = SHORT if schedule else "simba"
    found_alike(GIVEN, wavering, 500, strategy=strategy)


def test_under_the_race_what_helps_is_found_from_runs_that_differ() -> None:
    result = searched(GIVEN, wavering, 1500, strategy="simba")
    assert result.improved
    assert HINT in result.program.values["label.instructions"]
    assert result.program.values["label.demos"]
    assert {item.operator for item in children(result)} == {"demonstration", "advice"}


def test_advice_is_asked_of_the_proposer_model() -> None:
    model, seen = counted(wavering)
    searched(GIVEN, model, 600, strategy="simba", options=SearchOptions(proposer_model="scripted/writer"))
    assert {item.model for item in seen if asks_advice(item)} == {"scripted/writer"}
    assert json.dumps([item.model for item in seen if not asks_advice(item)]).count("writer") == 0
