"""The race, fed with made-up scores: who is dropped, waits, goes on, leads."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from dspex.clients.budget import Budget
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.variables import Float
from dspex.optimization.deciding import SearchView
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.ports import Lab
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Candidate, Evaluation, Pair, Round
from dspex.optimization.schedules.racing import Lane, Race, Standing
from tests.optimization.simulators import program, rows

VAL = 80
Scores = Mapping[str, Sequence[float]]
"""Candidate to its scores on the first so many val examples; `seed` is the seed program."""


def search_of(scores: Scores, affordable: float = math.inf) -> SearchView:
    """A search whose ledger has these scores."""
    problem = Problem(
        program(temperature=Float(0, 1)), tuple(rows(10)), tuple(rows(VAL, 100)), tuple(rows(10, 900)),
        as_metric(ExactMatch("label")), Budget(calls=1),
    )  # fmt: skip
    ledger = MemoryLedger()

    async def fill() -> None:
        names = {name: problem.seed_id if name == "seed" else name for name in scores}
        candidates = tuple(Candidate(id, {}, "test", (), "", 0) for id in names.values())
        pairs: list[Pair] = []
        for name, values in scores.items():
            pairs += [(names[name], item.id, 0) for item, _ in zip(problem.val, values, strict=False)]
        await ledger.commit(Round(0, tuple(pairs), candidates))
        for pair, score in zip(pairs, [score for values in scores.values() for score in values], strict=True):
            await ledger.record(Evaluation(*pair, 0, score))
        await ledger.fold(0)

    asyncio.run(fill())
    return SearchView(problem, ledger, cast(Lab, None), 1, None, affordable)


def ahead(wins: int, losses: int, n: int) -> tuple[list[float], list[float]]:
    """Scores of incumbent and challenger on n examples."""
    ties = n - wins - losses
    return [0.0] * wins + [1.0] * losses + [1.0] * ties, [1.0] * wins + [0.0] * losses + [1.0] * ties


def after(wins: int, losses: int, rung: int, top: int = VAL) -> Standing:
    """The standing after challenger `a` was judged at `rung` against the seed."""
    race = Race(8, top)
    n = race.rungs[rung]
    incumbent, challenger = ahead(wins, losses, n)
    search = search_of({"seed": incumbent, "a": challenger})
    memo = Standing(search.problem.seed_id, running=(Lane("a", rung),)).written()
    return Standing.read(race.fold(search, memo), "")


@pytest.mark.parametrize(
    ("top", "rungs"),
    [(8, (8,)), (20, (8, 16, 20)), (64, (8, 16, 32, 64)), (80, (8, 16, 32, 64, 80)), (200, (8, 16, 32, 64, 200)),
     (256, (8, 16, 32, 64, 128, 256)), (1000, (8, 16, 32, 64, 128, 256, 1000))],
)  # fmt: skip
def test_the_ladder_ends_with_all_and_leaps_at_most_fourfold(top: int, rungs: tuple[int, ...]) -> None:
    assert Race(8, top).rungs == rungs


@pytest.mark.parametrize(
    ("wins", "losses", "where"),
    [(0, 4, "dropped"), (0, 3, "waiting"), (1, 4, "waiting"), (0, 1, "ready"), (0, 0, "ready"), (3, 0, "ready")],
)
def test_after_a_rung_a_challenger_is_dropped_waits_or_goes_on(wins: int, losses: int, where: str) -> None:
    found = after(wins, losses, 0)
    lanes = {key: [lane.candidate for lane in getattr(found, key)] for key in ("ready", "waiting")}
    assert lanes == {key: ["a"] if key == where else [] for key in ("ready", "waiting")}
    assert found.running == ()


@pytest.mark.parametrize(("wins", "losses", "leads"), [(12, 4, True), (9, 4, False), (4, 4, False)])
def test_at_the_top_only_a_clear_win_replaces_the_incumbent(wins: int, losses: int, leads: bool) -> None:
    found = after(wins, losses, 4)
    assert (found.incumbent == "a") == leads
    assert found.topped == ("a",)


@pytest.mark.parametrize(
    ("wins", "losses", "rung", "leads"), [(8, 0, 1, True), (4, 2, 1, False), (8, 0, 0, True), (3, 0, 0, False)]
)
def test_below_the_top_only_a_gain_that_shows_on_few_examples_leads(
    wins: int, losses: int, rung: int, leads: bool
) -> None:
    found = after(wins, losses, rung)
    assert (found.incumbent == "a") == leads
    assert found.topped == ()
    assert [lane.candidate for lane in found.ready] == ([] if leads else ["a"])
    before = Standing("seed", running=(Lane("a", 0),)).written()
    assert (Race(8, VAL).judged(before, found.written())["a"] == 1.0) == leads


def test_who_leads_early_is_asked_the_rest_before_the_end_and_may_be_confirmed() -> None:
    seed, best = [0.0] * VAL, [0.0, *[1.0] * (VAL - 1)]
    leads = {"incumbent": "a"}
    search = search_of({"seed": seed[:16], "a": best[:16]}, affordable=2 * (VAL - 16))
    memo = {**Standing(search.problem.seed_id).written(), **leads}
    race = Race(8, VAL)
    assert race.room(search, memo) == 0, "the budget that is left is owed to it"
    asked = race.plan(search, memo, []).pairs
    assert {candidate for candidate, _, _ in asked} == {"a", search.problem.seed_id}
    assert len(asked) == 2 * (VAL - 16)
    whole = search_of({"seed": seed, "a": best})
    assert race.finalists(whole, memo).best_first == ("a",)


def test_a_new_incumbent_is_met_by_everyone_still_in_the_race() -> None:
    seed, best = ahead(30, 2, VAL)
    search = search_of({"seed": seed, "a": best, "b": seed[:8], "c": best[:8]})
    memo = Standing(
        search.problem.seed_id, running=(Lane("a", 4),), ready=(Lane("b", 0, 0.5), Lane("c", 0, 0.5))
    ).written()
    found = Standing.read(Race(8, VAL).fold(search, memo), "")
    assert found.incumbent == "a"
    assert [lane.candidate for lane in found.ready] == ["c"]
    assert found.waiting == ()


def planned(standing: Mapping[str, Any], fresh: Sequence[str], scores: Scores, affordable: float = math.inf) -> Any:
    search = search_of(scores, affordable)
    memo = Standing(search.problem.seed_id, **standing).written()
    draft = Race(4, VAL).plan(search, memo, fresh)
    return draft, Standing.read(draft.memo, ""), search


def test_challengers_are_asked_what_the_incumbent_is_asked() -> None:
    draft, standing, search = planned({"ready": (Lane("a", 0),)}, ["b"], {"seed": [0.5] * 8, "a": [1.0] * 8})
    asked: dict[str, list[str]] = {}
    for candidate, example, sample in draft.pairs:
        assert sample == 0
        asked.setdefault(candidate, []).append(example)
    val = [item.id for item in search.problem.val]
    assert asked == {search.problem.seed_id: val[8:16], "a": val[8:16], "b": val[:8]}
    assert [(lane.candidate, lane.rung) for lane in standing.running] == [("a", 1), ("b", 0)]


def test_those_that_wait_go_on_only_when_there_is_room() -> None:
    scores = {"seed": [0.5] * 8, "w": [1.0] * 8}
    waits = {"waiting": (Lane("w", 0, 0.1),)}
    _, full, _ = planned(waits, ["b", "c", "d", "e"], scores)
    assert [lane.candidate for lane in full.waiting] == ["w"]
    _, roomy, _ = planned(waits, ["b", "c", "d"], scores)
    assert [lane.candidate for lane in roomy.running] == ["b", "c", "d", "w"]


def test_a_round_asks_no_more_than_the_budget_pays_for() -> None:
    draft, standing, _ = planned({}, ["b", "c", "d"], {"seed": [0.5] * 8}, affordable=17)
    assert len(draft.pairs) == 16
    assert [lane.candidate for lane in standing.running] == ["b", "c"]


def test_a_round_in_two_parts_asks_what_the_whole_would() -> None:
    scores = {"seed": [0.5] * 8, "w": [1.0] * 8}
    memo: dict[str, Any] = {"waiting": (Lane("w", 0, 0.1),), "ready": (Lane("a", 0),)}
    whole, state, _ = planned(memo, ["b", "c", "d"], {**scores, "a": [1.0] * 8})
    search = search_of({**scores, "a": [1.0] * 8})
    race, begun = Race(4, VAL), Standing(search.problem.seed_id, **memo).written()
    first = race.part(search, begun, ["b"], 2)
    second = race.join(search, first.memo, ["c", "d"])
    assert (*first.pairs, *second.pairs) == whole.pairs
    assert (first.taken, second.taken) == (("b",), ("c", "d"))
    assert Standing.read(second.memo, "") == state, "who waits waits, though a place seemed free"


def test_the_first_part_of_a_round_keeps_what_the_second_takes() -> None:
    search = search_of({"seed": [0.5] * 8}, 24)
    race, begun = Race(4, VAL), Standing(search.problem.seed_id).written()
    assert race.part(search, begun, ["b"], 2).taken == ("b",)
    assert race.part(search, begun, ["b"], 3).pairs == ()
    assert race.join(search, race.part(search, begun, ["b"], 2).memo, ["c", "d", "e", "f"]).taken == ("c", "d", "e")


def test_a_promoted_lane_the_budget_cannot_pay_for_stays_where_it_was() -> None:
    _, standing, _ = planned({"ready": (Lane("a", 1, 0.7),)}, [], {"seed": [0.5] * 16, "a": [1.0] * 16}, affordable=5)
    assert standing.ready == (Lane("a", 1, 0.7),)


def test_the_likeliest_go_on_first_and_fewer_on_each_rung() -> None:
    ready = tuple(Lane(name, 0, chance) for name, chance in (("a", 0.3), ("b", 0.9), ("c", 0.8), ("d", 0.4)))
    _, standing, _ = planned({"ready": ready}, [], {"seed": [0.5] * 8})
    assert [lane.candidate for lane in standing.running] == ["b", "c"]
    assert {lane.candidate for lane in standing.ready} == {"a", "d"}


def test_ranking_believes_long_records_more_than_short_ones() -> None:
    seed, good = ahead(40, 0, VAL)
    search = search_of({"seed": seed, "short": ([1.0] * 8)[:8], "long": good, "bad": [0.0] * 40 + [0.5] * 40})
    believed = Race(8, VAL).ranking(search)
    assert believed == ["long", "short", search.problem.seed_id, "bad"]


def test_finalists_beat_the_seed_on_all_of_val_best_first() -> None:
    seed, good = ahead(20, 2, VAL)
    better = [1.0] * VAL
    search = search_of({"seed": seed, "a": good, "b": better, "c": seed})
    memo = Standing(search.problem.seed_id, topped=("a", "b", "c")).written()
    found = Race(8, VAL).finalists(search, memo)
    assert (found.best_first, found.contenders) == (("b", "a"), 3)


def test_a_candidate_that_could_never_be_evaluated_is_out() -> None:
    search = search_of({"seed": [0.5] * 8})
    memo = Standing(search.problem.seed_id, running=(Lane("a", 0),)).written()
    found = Standing.read(Race(8, VAL).fold(search, memo), "")
    assert (found.ready, found.waiting) == ((), ())


def test_the_memo_survives_json() -> None:
    standing = Standing("s", (Lane("a", 1, 0.25),), (Lane("b", 0),), (), ("c",))
    assert Standing.read(standing.written(), "") == standing
