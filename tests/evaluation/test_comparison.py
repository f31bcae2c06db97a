"""Two evaluations compared, in memory and from files."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from dspex.clients.scripted import Answer
from dspex.errors import ConfigurationError, DataError, RateLimitError
from dspex.evaluation.comparison import compare
from dspex.evaluation.evaluator import evaluate
from dspex.evaluation.metrics import Contains, ExactMatch
from dspex.evaluation.result import Evaluation
from dspex.kernel.ports import Metric, Request
from tests.evaluation.programs import TEAMS, number_in, right, route, runtime, section, tickets

METRIC = ExactMatch("team")


def evaluation(
    wrong: set[int], failed: frozenset[int] = frozenset(), *, samples: int = 1, sink: Path | None = None,
    metric: Metric = METRIC,
) -> Evaluation:  # fmt: skip
    def script(request: Request) -> Answer:
        number = number_in(request)
        if number in failed:
            raise RateLimitError("429")
        return section(team=TEAMS[(number + 1) % 3]) if number in wrong and request.sample == 0 else right(request)

    return asyncio.run(
        evaluate(route(), tickets(20), metric, runtime(script), samples=samples, sink=sink, concurrency=3)
    )


def test_pairs_are_matched_by_example_and_sorted_by_change() -> None:
    found = compare(evaluation({0, 1, 2, 3, 4, 5}), evaluation({0, 9}))
    ids = [item.id for item in tickets(20)]
    assert (found.n, found.score_first, found.score_second) == (20, 0.7, 0.9)
    assert found.difference == pytest.approx(0.2)
    assert {item.example for item in found.improved} == {ids[n] for n in (1, 2, 3, 4, 5)}
    assert [(item.example, item.before, item.after) for item in found.regressed] == [(ids[9], 1.0, 0.0)]
    assert found.ties == 14
    assert found.interval.method == "newcombe"
    assert found.mcnemar_p == pytest.approx(14 / 64)
    assert found.p_better == pytest.approx(120 / 128)
    assert found.unpaired == 0
    assert "5 improved, 1 regressed, 14 the same" in found.summary()
    assert json.loads(json.dumps(found.to_dict()))["regressed"][0]["example"] == ids[9]


def test_what_only_one_scored_is_left_out_and_said() -> None:
    found = compare(evaluation({0}, frozenset({1, 2})), evaluation({0}, frozenset({2, 3})))
    assert (found.n, found.unpaired, found.difference) == (17, 2, 0)
    assert "left out: 2 scored by one of them only" in found.summary()


def test_samples_are_averaged_before_examples_are_compared() -> None:
    found = compare(evaluation({0, 1}, samples=2), evaluation({1}, samples=2))
    assert found.n == 20
    assert [(item.before, item.after) for item in found.improved] == [(0.5, 1.0)]
    assert found.mcnemar_p is None


def test_files_compare_as_what_wrote_them(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    direct = compare(evaluation({0, 1}, sink=one), evaluation({1}, sink=two))
    assert compare(one, str(two)) == direct
    with pytest.raises(DataError, match="cannot be read"):
        compare(one, tmp_path / "three.jsonl")


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"scored by ExactMatch\('team'\), the second by Contains\('team'\)"):
        compare(evaluation(set()), evaluation(set(), metric=Contains("team")))
    everything = frozenset(range(20))
    with pytest.raises(ConfigurationError, match="no example was scored in both"):
        compare(evaluation(set(), everything - {0}), evaluation(set(), frozenset({0})))
