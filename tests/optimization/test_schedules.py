"""What every schedule keeps to, driven over made-up scores, and what is special to each."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex.clients.budget import Budget
from dspex.errors import UnknownNameError
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import JSON
from dspex.kernel.variables import Float
from dspex.optimization.deciding import Schedule, SearchView
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.ports import Lab
from dspex.optimization.problem import MIN_VAL, Problem
from dspex.optimization.rows import Candidate, Evaluation, Pair, Round
from dspex.optimization.schedules.response import ByResponse, fitted
from dspex.optimization.schedules.table import SCHEDULES, schedule_named
from tests.optimization.simulators import program, rows, share

Truth = Callable[[str, str], float | None]
"""(candidate, example) to its score; None where infrastructure fails."""


@dataclass
class Driven:
    """A schedule carried over a made-up search, and all that it did."""

    problem: Problem
    ledger: MemoryLedger
    schedule: Schedule
    asked: list[Pair] = field(default_factory=list[Pair])
    memo: JSON = None
    rounds: int = 0

    def view(self, affordable: float = math.inf) -> SearchView:
        return SearchView(self.problem, self.ledger, cast(Lab, None), self.ledger.folded, None, affordable)


def driven(name: str, truth: Truth, budget: int, width: int = 3, top: int = 40, val: int = 48) -> Driven:
    """The schedule of that name, with new candidates for as long as it wants any, until the budget is gone."""
    problem = Problem(
        program(temperature=Float(0, 1)), tuple(rows(10)), tuple(rows(val, 100)), tuple(rows(10, 900)),
        as_metric(ExactMatch("label")), Budget(calls=1),
    )  # fmt: skip
    it = Driven(problem, MemoryLedger(), schedule_named(name)(width, top))
    asyncio.run(_carried(it, truth, budget))
    return it


async def _carried(it: Driven, truth: Truth, budget: int) -> None:
    seed = Candidate(it.problem.seed_id, {}, "seed", (), "", 0)
    await _evaluated(it, [(seed.id, *key) for key in it.problem.keys[:MIN_VAL]], (seed,), truth)
    made, still = 0, 0
    while still < 3:
        search = it.view(budget - len(it.asked))
        before = it.memo
        after = it.schedule.fold(search, before)
        assert after == it.schedule.fold(search, before), "a fold is a pure function"
        judged = it.schedule.judged(before, after)
        assert all(0 <= chance <= 1 for chance in judged.values())
        room = it.schedule.room(search, after)
        fresh = [Candidate(f"c{made + index:03}", {}, "test", (), "", search.number) for index in range(room)]
        made += room
        draft = it.schedule.plan(search, after, [item.id for item in fresh])
        assert draft == it.schedule.plan(search, after, [item.id for item in fresh]), "a plan is a pure function"
        assert json.loads(json.dumps(draft.memo)) == draft.memo
        assert set(draft.taken) <= {item.id for item in fresh}
        _kept_to(it, draft.pairs, set(draft.taken), search.affordable)
        still = 0 if draft.pairs or draft.memo != after else still + 1
        it.memo = draft.memo
        it.rounds += 1
        assert it.rounds < 400, "it ends"
        await _evaluated(it, draft.pairs, tuple(item for item in fresh if item.id in draft.taken), truth)
    it.memo = it.schedule.fold(it.view(0), it.memo)


def _kept_to(it: Driven, pairs: Sequence[Pair], taken: set[str], affordable: float) -> None:
    assert len(pairs) <= affordable
    assert len(set(pairs)) == len(pairs), "no pair twice in a round"
    assert not any(it.ledger.holds(pair) for pair in pairs), "nothing that has a score is asked again"
    assert {pair[0] for pair in pairs} <= set(it.ledger.candidates) | taken
    assert {pair[1:] for pair in pairs} <= set(it.problem.keys[: it.schedule.top])
    assert taken <= {pair[0] for pair in pairs}, "what is taken is evaluated"


async def _evaluated(it: Driven, pairs: Sequence[Pair], fresh: tuple[Candidate, ...], truth: Truth) -> None:
    number = len(it.ledger.rounds)
    await it.ledger.commit(Round(number, tuple(pairs), fresh))
    for pair in pairs:
        await it.ledger.record(Evaluation(*pair, number, truth(pair[0], pair[1])))
    await it.ledger.fold(number)
    if number:
        it.asked += pairs


def skilled(candidate: str, example: str) -> float:
    """Candidates of skill 0..1, and examples of which some are hard."""
    skill = 0.3 if not candidate.startswith("c") else share(candidate)
    return float(share("hard", example) * 0.6 + share(candidate, example) * 0.4 < skill)


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000), budget=st.integers(0, 700), width=st.integers(1, 6), top=st.integers(8, 48),
    graded=st.booleans(), failing=st.sampled_from([0.0, 0.1, 1.0]),
)  # fmt: skip
def test_every_schedule_keeps_the_contract(name: str, **given: Any) -> None:
    def truth(candidate: str, example: str) -> float | None:
        if candidate.startswith("c") and share("fails", candidate, example) < given["failing"]:
            return None
        level = share(given["seed"], candidate) + share(given["seed"], candidate, example)
        return round(level / 2, 2) if given["graded"] else float(level > 1)

    results: list[Any] = []
    for _ in range(2):
        it = driven(name, truth, given["budget"], given["width"], given["top"])
        ranking = it.schedule.ranking(it.view())
        finalists = it.schedule.finalists(it.view(), it.memo)
        scored = {item for item in it.ledger.candidates if it.ledger.scores(item)}
        assert it.schedule.leader(it.view(), it.memo) in scored
        assert it.problem.seed_id in ranking
        assert len(set(ranking)) == len(ranking)
        assert set(ranking) <= scored
        assert set(finalists.best_first) <= scored - {it.problem.seed_id}
        assert len(finalists.best_first) <= finalists.contenders
        results.append((it.asked, it.memo, ranking, finalists))
    assert results[0] == results[1], "the same scores give the same search"


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_ends_with_a_good_candidate(name: str) -> None:
    it = driven(name, skilled, 800)
    leader = it.schedule.leader(it.view(), it.memo)
    assert share(leader) > 0.75
    assert leader in it.schedule.finalists(it.view(), it.memo).best_first


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_seed_without_a_mistake_is_asked_the_rest_before_anything_is_proposed(name: str) -> None:
    it = driven(name, lambda candidate, example: 1.0, 500)
    assert {pair[0] for pair in it.asked[:32]} == {it.problem.seed_id}


def counts(it: Driven) -> dict[str, int]:
    return {item: len(it.ledger.scores(item)) for item in it.ledger.candidates}


def test_full_evaluates_every_candidate_on_everything() -> None:
    it = driven("full", skilled, 500)
    assert set(counts(it).values()) == {40}
    assert len(counts(it)) == 1 + (500 - 32) // 40


def test_halving_keeps_the_better_half_on_each_rung() -> None:
    it = driven("halving", skilled, 10_000, width=16, top=40)
    first = [f"c{index:03}" for index in range(16)]
    found = counts(it)
    assert sorted((found[item] for item in first), reverse=True) == [40, 40, 32, 32] + [16] * 4 + [8] * 8
    kept = {item for item in first if found[item] > 8}
    keys = it.problem.keys[:8]
    means = {item: sum(it.ledger.scores(item)[key] for key in keys) for item in first}
    assert min(means[item] for item in kept) >= max(means[item] for item in first if item not in kept)


def test_a_bracket_fits_the_budget() -> None:
    small, large = (driven("halving", skilled, budget, width=2, top=40) for budget in (150, 2000))
    assert len(small.ledger.candidates) < len(large.ledger.candidates)
    assert max(count for item, count in counts(small).items() if item != small.problem.seed_id) == 40


def test_a_misspelt_schedule_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'halving'"):
        schedule_named("halfing")


def test_item_response_asks_what_tells_and_answers_of_the_incumbent_first() -> None:
    """Half of the examples are always right, whoever is asked: they are asked less often below the top."""

    def truth(candidate: str, example: str) -> float:
        return 1.0 if share("dull", example) < 0.5 else float(share(candidate, example) < 0.2 + 0.6 * share(candidate))

    it = driven("response", truth, 700, width=4, top=48)
    challengers = [item for item, count in counts(it).items() if item.startswith("c") and count < 48]
    later = challengers[len(challengers) // 2 :]
    asked = [example for item in later for example, _ in it.ledger.scores(item)]
    assert len(later) >= 8
    assert sum(share("dull", example) < 0.5 for example in asked) < 0.3 * len(asked)
    leader = it.ledger.scores(it.schedule.leader(it.view(), it.memo))
    assert all(key in leader for item in challengers for key in it.ledger.scores(item))


def test_candidates_asked_other_examples_are_ranked_by_ability() -> None:
    def truth(candidate: str, example: str) -> float:
        return float(
            share("hard", example) * 0.9 < (0.35 if not candidate.startswith("c") else 0.75 * share(candidate))
        )

    it = driven("response", truth, 500, width=3, top=48)
    ranking = [item for item in it.schedule.ranking(it.view()) if item.startswith("c")]
    assert min(share(item) for item in ranking[:3]) > 0.8


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.integers(60, 400), st.integers(1, 47))
def test_the_examples_of_every_challenger_are_those_that_sorting_for_it_alone_gives(
    seed: int, budget: int, size: int
) -> None:
    """The order is made once for a round: what has been asked, what has failed, and ties are kept apart for each."""

    def truth(candidate: str, example: str) -> float | None:
        drawn = share(f"{seed}/{candidate}", example)
        return None if drawn > 0.95 else float(drawn < 0.3 + 0.5 * share(example))

    it = driven("response", truth, budget, width=4, top=48)
    search, every = it.view(), it.problem.keys[:48]
    fit, incumbent = fitted(search, 48), it.schedule.leader(search, it.memo)
    level, free = fit.ability(incumbent)[0], it.ledger.scores(incumbent)
    for challenger in it.ledger.candidates:
        has = it.ledger.scores(challenger)
        kept = [key for key in every if key in has]
        rest = [key for key in every if key not in has and not it.ledger.failures((challenger, *key))]
        rest.sort(key=lambda key: -round(fit.information(level, key) / (1 if key in free else 2), 9))
        found = ByResponse(48).keys(search, incumbent, challenger, size)
        assert list(found) == [*kept, *rest[: max(0, size - len(kept))]]
