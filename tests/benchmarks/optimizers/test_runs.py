"""Runs over HTTP from a session to a row, and the replay of a table."""

from __future__ import annotations

import json
from collections.abc import Generator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from benchmarks.optimizers import baselines, ours, replay
from benchmarks.optimizers.client import SessionClient
from benchmarks.optimizers.families import FAMILIES, world
from benchmarks.optimizers.outcomes import Table
from benchmarks.optimizers.plan import report, strategies_of
from benchmarks.optimizers.running import served
from tests.benchmarks.optimizers.prompts import question

TABLE = Table("toy", {"prompt": ["a", "b", "c", "d"]}, {("a",): 0.5, ("b",): 0.3, ("c",): 0.9, ("d",): 0.4}, ("a",))


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    with served() as address:
        yield address


def test_a_search_keeps_its_budget_and_tells_its_way(server: str) -> None:
    row = ours.run(server, "demonstrations", 1, "bootstrap", 400)
    assert row.calls <= 400
    assert row.refused == 0
    assert row.seed_score <= row.final_score <= row.best_score
    assert row.trajectory[-1] == (row.calls, row.final_score)
    assert [calls for calls, _ in row.trajectory] == sorted(calls for calls, _ in row.trajectory)


def test_the_server_refuses_what_is_beyond_the_budget_and_counts_it(server: str) -> None:
    session = SessionClient.opened(server, "rules", 1, 2)
    stage = world("rules", 1).stages[0]
    body = json.dumps(question(stage, world("rules", 1).splits["val"][0])).encode()

    def asked() -> int:
        request = Request(f"{session.models}/chat/completions", body, {"Content-Type": "application/json"})
        try:
            with urlopen(request) as reply:
                return int(reply.status)
        except HTTPError as error:
            with error:
                return error.code

    assert [asked() for _ in range(3)] == [200, 200, 400]
    assert session.counts()["calls"] == 2
    assert session.counts()["refused"] == 1


def test_without_a_reserve_the_leader_is_returned_unconfirmed(server: str) -> None:
    row = ours.run(server, "parameters", 2, "auto-no-reserve", 300)
    assert row.confirm_calls == 0
    assert row.final_score == row.trajectory[-1][1] > row.seed_score


def test_the_same_search_twice_is_the_same(server: str) -> None:
    first, second = (ours.run(server, "rules", 2, "auto", 300) for _ in range(2))
    # What was spent so far may differ: free slots work ahead, within a part of the budget.
    assert [score for _, score in first.trajectory] == [score for _, score in second.trajectory]
    assert (first.final_score, first.proposals) == (second.final_score, second.proposals)


@pytest.mark.parametrize("family", ["parameters", "mixed"])
def test_a_baseline_finds_something_and_keeps_the_budget(server: str, family: str) -> None:
    row = baselines.run(server, family, 1, "optuna-halving", 700)
    assert row.calls <= 700
    assert row.final_score > row.seed_score


def test_outcomes_are_drawn_around_the_tables_mean() -> None:
    drawn = [TABLE.right(("c",), example, 0) for example in range(4000)]
    assert abs(sum(drawn) / 4000 - 0.9) < 0.03
    assert drawn == [TABLE.right(("c",), example, 0) for example in range(4000)]


def test_regret_of_a_replay_ends_where_the_best_is_found() -> None:
    regrets = replay.search(TABLE, 0, replay.SEARCHES["race"])
    assert regrets[0] <= TABLE.best - TABLE.means[TABLE.start]
    assert regrets[-1] == 0
    assert replay.study(TABLE, 0, "optuna-random")[-1] == 0


def test_a_replay_says_where_ours_leaves_more_and_where_less() -> None:
    methods = {"auto": [[0.2, 0.2, 0.1, 0.0, 0.0]] * 3, "optuna-tpe": [[0.1, 0.2, 0.1, 0.0, 0.1]] * 3}
    page = replay.told({"prompts": methods})
    assert (
        "60 of a table: `auto` leaves significantly more than `optuna-tpe` at 100 (+10.0), and significantly less"
        in page
    )
    assert "less than `optuna-tpe` at 1600 (-10.0) calls." in page


def test_a_report_runs_peers_only_where_they_have_all_that_varies() -> None:
    jobs = report(seeds=1, flat=3)
    assert {job.family for job in jobs if job.theirs} == {name for name, item in FAMILIES.items() if item.shared}
    assert "optuna-tpe" in strategies_of("mixed")
    assert len({job.key for job in jobs}) == len(jobs)
