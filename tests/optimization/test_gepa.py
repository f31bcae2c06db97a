"""GEPA as published, step by step, and its proposers under the race."""

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
from dspex.kernel.ports import Request, Score
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from dspex.kernel.variables import Demos, Float, Text
from dspex.optimization.batches import filled_batch
from dspex.optimization.champions import champions, drawn, undominated
from dspex.optimization.deciding import SearchView
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.lineage import Descent, merge_of, telling
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Candidate, Evaluation, Round
from dspex.optimization.strategies.gepa import Gepa, Standing, Trial, metric_calls
from tests.optimization.searching import found_alike, searched
from tests.optimization.simulators import (
    CLUE,
    HINT,
    RULE,
    answered,
    counted,
    hinted,
    is_proposal,
    program,
    relay,
    relayed,
    rows,
    runtime,
    share,
    splits,
    text_in,
)

LIGHT = Gepa(preset="light")


def classic(model: Any = hinted, given: Any = None, calls: int = 3000, **more: Any) -> OptimizationResult:
    """A search by GEPA as published, the light form unless told otherwise."""
    return searched(given or program(instructions=Text()), model, calls, **{"strategy": LIGHT, **more})


@pytest.mark.parametrize(
    ("components", "val", "preset", "calls"),
    [(1, 50, "light", 580), (2, 100, "medium", 1740), (1, 20, "heavy", 1175), (3, 40, "light", 1435)],
)
def test_its_budget_is_the_published_arithmetic(components: int, val: int, preset: Any, calls: int) -> None:
    assert metric_calls(components, val, preset) == calls


def test_it_ends_by_its_own_count_which_includes_what_the_ledger_had() -> None:
    result = classic()
    limit = metric_calls(1, 48, "light")
    assert result.stopped == f"its own count of {limit} evaluations is reached"
    counts = [item.memo["calls"] for item in result.ledger.rounds[1:] if item.purpose == "search"]
    assert counts[0] == 48
    assert counts == sorted(counts)
    assert limit - 51 <= counts[-1]
    assert f"gepa as published (light): {counts[-1]} of {limit} evaluations by its own count" in result.notes


def test_the_seed_program_is_scored_on_all_of_val_first() -> None:
    result = classic()
    asked = [pair for item in result.ledger.rounds[:2] for pair in item.pairs]
    assert sorted(asked) == sorted((pair[0], item.id, 0) for item in splits()[1] for pair in asked[:1])


def test_a_minibatch_is_three_of_an_epoch_that_is_filled_up_with_what_was_asked_least() -> None:
    train = [f"e{number}" for number in range(10)]
    asked = [item for number in range(8) for item in filled_batch(train, 3, number, seed=5)]
    assert all(len(filled_batch(train, 3, number, seed=5)) == 3 for number in range(8))
    for epoch in (asked[:12], asked[12:]):
        assert set(epoch) == set(train)
        assert epoch[:10] != train
    assert asked[:12] != asked[12:]
    extra = asked[10:12] + asked[22:24]
    assert len(set(extra)) == 4, "what fills up one epoch is not what filled up the one before"
    assert max(Counter(asked).values()) == 3


def test_fronts_are_by_example_and_programs_that_others_make_superfluous_are_taken_out() -> None:
    scores = {
        "a": {("x", 0): 1.0, ("y", 0): 0.0, ("z", 0): 0.2},
        "b": {("x", 0): 1.0, ("y", 0): 1.0, ("z", 0): 0.1},
        "c": {("x", 0): 0.0, ("y", 0): 0.0, ("z", 0): 0.9},
    }
    found = champions(scores, [("x", 0), ("y", 0), ("z", 0), ("unasked", 0)])
    assert found == [{"a", "b"}, {"b"}, {"c"}]
    assert undominated(found, ["c", "a", "b"]) == {"b": 2, "c": 1}


def test_of_two_equal_programs_one_stays() -> None:
    assert undominated([frozenset("ab"), frozenset("ab")], ["a", "b"]) == {"b": 2}


def test_a_parent_is_drawn_in_proportion_to_its_fronts() -> None:
    rng = Random(0)
    counts = Counter(drawn({"b": 3, "c": 1}, rng) for _ in range(4000))
    assert 0.72 < counts["b"] / 4000 < 0.78


def proposals(seen: list[Request]) -> list[str]:
    return [item.messages[-1]["content"] for item in seen if is_proposal(item)]


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_reflective_record_has_inputs_the_answer_and_the_feedback_and_no_label() -> None:
    model, seen = counted(hinted)
    classic(model)
    shown = records(proposals(seen)[0])
    assert len(shown) == 3
    assert all(set(item) <= {"inputs", "answered", "feedback"} for item in shown)
    assert any(item["feedback"].startswith("label: expected") for item in shown)
    assert all(item["answered"]["label"] for item in shown)


def test_without_feedback_a_record_gives_the_score_and_the_report_says_so() -> None:
    def silent(example: Example, state: State) -> Score:
        return Score(float(state["label"] == example["label"]))

    model, seen = counted(hinted)
    result = classic(model, metric=silent)
    assert {item["feedback"] for text in proposals(seen) for item in records(text)} == {"score 0.00", "score 1.00"}
    assert any("no feedback in words, so gepa goes by the scores" in note for note in result.notes)


def test_an_answer_that_cannot_be_read_is_a_record() -> None:
    def mute(request: Request) -> str:
        return hinted(request) if is_proposal(request) or share(text_in(request)) > 0.6 else "I would rather not say"

    model, seen = counted(mute)
    classic(model, calls=600)
    unread = [item for text in proposals(seen) for item in records(text) if "no usable answer" in item["feedback"]]
    assert unread
    assert all("answered" not in item and item["inputs"]["text"] for item in unread)


def children(result: OptimizationResult) -> list[Candidate]:
    return [item for item in result.ledger.candidates.values() if item.operator != "seed"]


def batch_sums(result: OptimizationResult, child: Candidate) -> tuple[float, float]:
    """Scores of child and parent on the minibatch of the round that the child came with."""
    asked = [example for who, example, _ in result.ledger.rounds[child.round].pairs if who == child.id]
    ours, theirs = result.ledger.scores(child.id), result.ledger.scores(child.parents[0])
    return sum(ours[item, 0] for item in asked), sum(theirs[item, 0] for item in asked)


def on_val(result: OptimizationResult, candidate: str) -> int:
    known = result.ledger.scores(candidate)
    return sum((item.id, 0) in known for item in splits()[1])


def varied(request: Request) -> str:
    """Right by luck of the wording; every proposal is another wording."""
    if is_proposal(request):
        return f"<instructions>Version {share(request.messages[-1]['content'], request.sample)}.</instructions>"
    text = text_in(request)
    return answered(text, share(text, request.messages[0]["content"]) < 0.6)


def test_only_a_child_that_is_strictly_better_on_the_minibatch_is_scored_on_all_of_val() -> None:
    result = classic(varied)
    made = children(result)
    first_seen = [(batch_sums(result, item), on_val(result, item.id)) for item in made if len(item.parents) == 1]
    assert {ours > theirs for (ours, theirs), _ in first_seen} == {True, False}
    assert any(ours == theirs for (ours, theirs), _ in first_seen)
    for (ours, theirs), size in first_seen:
        assert size == (48 if ours > theirs else 0)


def test_the_best_mean_on_val_goes_to_confirmation() -> None:
    result = classic(varied)
    pool = [row for row in result.tried if row.n == 48]
    best = max(pool, key=lambda row: row.score)
    assert len(pool) > 3
    assert result.ledger.rounds[-1].memo["winner"] == best.id
    assert result.ledger.rounds[-1].memo["contenders"] == len(pool) - 1


def test_a_parent_without_a_mistake_is_not_reflected_on() -> None:
    def right(request: Request) -> str:
        return answered(text_in(request), "sample 1000 " not in text_in(request))

    model, seen = counted(right)
    result = classic(model)
    assert proposals(seen) == []
    assert result.stopped.startswith("its own count")
    assert result.reason.startswith("the seed program is kept")


def test_components_take_turns() -> None:
    def fixed(request: Request) -> str:
        if is_proposal(request):
            return varied(request)
        return f"[[clue]]\nnone\n\n{answered(text_in(request), share(text_in(request)) < 0.6)}"

    result = searched(relay(instructions=Text()), fixed, 700, strategy=LIGHT)
    seed = result.ledger.rounds[0].candidates[0]
    made = children(result)
    assert {item.parents for item in made} == {(seed.id,)}
    changed = [[path for path in seed.values if item.values[path] != seed.values[path]] for item in made]
    assert len(changed) > 20
    assert all(paths == [f"{('clue', 'label')[place % 2]}.instructions"] for place, paths in enumerate(changed))


LINEAGE: dict[str, tuple[tuple[str, ...], dict[str, str], float]] = {
    "root": ((), {"p": "0", "q": "0"}, 0.3),
    "left": (("root",), {"p": "1", "q": "0"}, 0.5),
    "right": (("root",), {"p": "0", "q": "1"}, 0.6),
    "leaf": (("left",), {"p": "2", "q": "0"}, 0.7),
    "twig": (("left",), {"p": "1", "q": "2"}, 0.7),
}


def descent(**means: float) -> Descent:
    return Descent(
        {who: parents for who, (parents, _, _) in LINEAGE.items()},
        {who: values for who, (_, values, _) in LINEAGE.items()},
        {who: means.get(who, mean) for who, (_, _, mean) in LINEAGE.items()},
        ("p", "q"),
    )


def test_a_merge_takes_each_component_from_who_changed_it() -> None:
    found = merge_of(descent(), ["leaf", "right"], Random(0))
    assert found is not None
    assert (found.ancestor, found.values, found.taken) == ("root", {"p": "2", "q": "1"}, ("leaf", "right"))


def test_there_is_no_merge_with_an_ancestor_or_below_one_that_is_better() -> None:
    assert merge_of(descent(), ["left", "twig"], Random(0)) is None
    assert merge_of(descent(root=0.65), ["leaf", "right"], Random(0)) is None
    assert merge_of(descent(), ["leaf"], Random(0)) is None


def test_a_merge_that_is_known_is_not_made_again() -> None:
    assert merge_of(descent(), ["leaf", "right"], Random(0), lambda merge: merge.ancestor == "root") is None


def test_where_both_changed_a_component_the_better_one_has_it() -> None:
    both = Descent(
        {"root": (), "one": ("root",), "other": ("root",)},
        {"root": {"p": "0", "q": "0"}, "one": {"p": "1", "q": "1"}, "other": {"p": "2", "q": "0"}},
        {"root": 0.1, "one": 0.5, "other": 0.4},
        ("p", "q"),
    )
    found = merge_of(both, ["one", "other"], Random(0))
    assert found is not None
    assert found.values == {"p": "1", "q": "1"}


def test_a_merge_is_tried_on_examples_that_tell_its_sides_apart() -> None:
    first = {f"e{number}": float(number < 8) for number in range(20)}
    second = {f"e{number}": float(number >= 4) for number in range(20)}
    chosen = telling(first, second, 5, Random(1))
    assert len(set(chosen)) == 5
    ahead = [first[item] - second[item] for item in chosen]
    assert (ahead.count(1.0), ahead.count(-1.0), ahead.count(0.0)) == (2, 2, 1)
    assert len(telling({"a": 1.0, "b": 1.0}, {"a": 1.0}, 5, Random(0))) == 1


def test_lineages_are_merged_and_a_merge_as_good_as_its_sides_is_accepted() -> None:
    result = searched(relay(instructions=Text()), relayed, 4000, strategy=Gepa(), seed=3)
    merges = [item for item in children(result) if item.operator == "merge"]
    assert merges
    assert len({item.id for item in merges}) == len(merges)
    for item in merges:
        asked = [example for _, example, _ in result.ledger.rounds[item.round].pairs]
        ours, *sides = [result.ledger.scores(who) for who in (item.id, *item.parents)]
        sums = [sum(scores[example, 0] for example in asked) for scores in (ours, *sides)]
        assert len(asked) == 5
        assert on_val(result, item.id) == (48 if sums[0] >= max(sums[1:]) else 5)
    assert CLUE in result.program.values["clue.instructions"]
    assert RULE in result.program.values["label.instructions"]
    assert result.improved


@pytest.mark.parametrize(
    ("parents", "child", "accepted"),
    [(("one", "other"), [1, 0, 1, 1, 0], True), (("one", "other"), [1, 0, 1, 0, 0], False),
     (("one",), [1, 0, 1, 1, 0], False), (("one",), [1, 0, 1, 1, 1], True)],
)  # fmt: skip
def test_a_merge_must_be_as_good_as_its_sides_and_a_rewritten_child_better(
    parents: tuple[str, ...], child: list[int], accepted: bool
) -> None:
    given = program(instructions=Text())
    problem = Problem(given, tuple(rows(9)), tuple(rows(9, 50)), (), as_metric(ExactMatch("label")), Budget(calls=1))
    examples = [item.id for item in problem.val][:5]
    trial = Trial("child", parents, tuple(examples))
    memo = Standing(iteration=1, calls=9, pool={"one": [], "other": []}, turns={"one": 0, "other": 0}, trial=trial)
    ledger = MemoryLedger()

    async def scenario() -> Round | str:
        names = ("one", "other", "child")
        made = tuple(Candidate(name, {"label.instructions": name}, "test", (), "", 0) for name in names)
        await ledger.commit(Round(0, (), made))
        for name, scores in (("one", [1, 0, 1, 1, 0]), ("other", [0, 1, 0, 1, 0]), ("child", child)):
            for example, score in zip(examples, scores, strict=True):
                await ledger.record(Evaluation(name, example, 0, 0, float(score)))
        await ledger.fold(0)
        lab = Laboratory(problem, ledger, runtime(hinted), SearchOptions())
        return await Gepa().next_round(SearchView(problem, ledger, lab, 1, memo.written()))

    decided = asyncio.run(scenario())
    assert isinstance(decided, Round)
    val = {("child", item.id, 0) for item in problem.val[5:]}
    assert (set(decided.pairs) == val and decided.memo["trial"]["stage"] == "val") is accepted


def test_numbers_and_demonstrations_stay_as_they_are() -> None:
    given = program(instructions=Text(), temperature=Float(0, 1), demos=Demos(2))
    result = classic(given=given, calls=400)
    rest = {json.dumps({**item.values, "label.instructions": None}) for item in result.ledger.candidates.values()}
    assert len(rest) == 1
    assert len(result.ledger.candidates) > 1


def test_a_program_without_texts_is_refused() -> None:
    with pytest.raises(VariableError, match=r"rewrites texts.*instructions=Text"):
        classic(given=program(temperature=Float(0, 1)))


def test_the_budget_ends_it_where_it_comes_first() -> None:
    model, seen = counted(varied)
    result = classic(model, calls=260)
    assert result.stopped == "the search's share of the budget is spent"
    assert 200 < len(seen) <= 260


@pytest.mark.parametrize("calls", [200, 420])
def test_it_finds_the_same_at_any_concurrency_and_however_often_it_is_killed(calls: int) -> None:
    found_alike(relay(instructions=Text()), relayed, calls, strategy="gepa", schedule="classic")


def test_so_it_does_with_many_parents_to_draw_from() -> None:
    result = found_alike(program(instructions=Text()), varied, 500, strategy=LIGHT)
    assert len({item.parents for item in children(result)}) > 3


@pytest.mark.parametrize("calls", [200, 420])
def test_so_do_its_proposers_under_the_race(calls: int) -> None:
    found_alike(relay(instructions=Text()), relayed, calls, strategy="gepa")


def test_under_the_race_both_stages_are_repaired() -> None:
    result = searched(relay(instructions=Text()), relayed, 2500, strategy="gepa", seed=3)
    assert result.improved
    assert CLUE in result.program.values["clue.instructions"]
    assert RULE in result.program.values["label.instructions"]
    operators = {item.operator for item in result.ledger.candidates.values()}
    assert operators == {"seed", "pareto", "merge"}


def test_the_hint_is_found_confirmed_and_shipped_both_ways() -> None:
    for schedule in ("classic", None):
        result = searched(program(instructions=Text()), hinted, 1500, strategy="gepa", schedule=schedule)
        assert result.improved
        assert HINT in result.program.values["label.instructions"]
