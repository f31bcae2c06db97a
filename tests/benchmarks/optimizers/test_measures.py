"""Rows become figures: shares, calls to a score, comparisons paired by world."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from benchmarks.optimizers import measures, tables
from benchmarks.optimizers.rows import Row, append, latest, load

ROW = Row(
    "rules",
    1,
    "auto",
    1500,
    1000,
    20,
    0.4,
    0.8,
    0.9,
    ((100, 0.4), (300, 0.7), (500, 0.6), (700, 0.8), (1000, 0.8)),
    1.0,
)


def test_calls_to_a_score_count_from_where_it_is_held_for_good() -> None:
    assert ROW.calls_to(0.4) == 100
    assert ROW.calls_to(0.65) == 700
    assert ROW.calls_to(0.81) is None


def test_a_confirmation_is_added_but_never_beyond_the_end() -> None:
    row = replace(ROW, confirm_calls=80)
    assert measures.delivered(row, 0.4) == 180
    assert measures.delivered(replace(row, confirm_calls=500), 0.8) == 1000


def test_the_share_of_the_gain_is_of_what_can_be_reached() -> None:
    assert math.isclose(ROW.gain, 0.8)
    assert replace(ROW, final_score=0.3).gain < 0
    assert replace(ROW, best_score=0.4).gain == 0


def test_comparisons_are_paired_and_never_reached_is_infinite() -> None:
    peer = replace(ROW, strategy="dspy-x", calls=1400, final_score=0.6, trajectory=((700, 0.6), (1400, 0.6)))
    better = replace(peer, seed=2, final_score=0.85, trajectory=((700, 0.85), (1400, 0.85)))
    idle = replace(peer, seed=3, final_score=0.4, trajectory=((1400, 0.4),))
    found = measures.versus([replace(ROW, seed=seed) for seed in (1, 2, 3, 4)], [peer, better, idle])
    assert (found.more.n, found.ratio.n, found.never, found.idle) == (3, 2, 1, 1)
    assert math.isinf(found.ratio.high)
    assert found.ratio.low == 300 / 700
    assert found.whole.low == 300 / 1400
    assert "never" in tables.ratio(found.ratio)


def test_runs_below_the_seed_are_counted() -> None:
    assert measures.below([ROW, replace(ROW, final_score=0.39), replace(ROW, final_score=0.4)]) == 1


def test_rows_last_and_the_last_of_equal_runs_counts(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    older = replace(ROW, code="older")
    for row in (ROW, replace(ROW, seed=2), older, replace(ROW, calls=900)):
        append(file, row)
    kept = load(file)
    assert kept == [replace(ROW, seed=2), older, replace(ROW, calls=900)]
    assert latest(kept) == [replace(ROW, seed=2), replace(ROW, calls=900)]
    assert load(tmp_path / "none.jsonl") == []
