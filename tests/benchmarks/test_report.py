"""The benchmark page says what was measured, and does not flatter."""

from __future__ import annotations

import pytest

from benchmarks.demo_seeds import SeedRun, run_of, section
from benchmarks.measurements import EXPERIMENTS, Line, each, figure, quotient, slope
from benchmarks.report import HEADINGS, Circumstances, Figures, document, number, table
from benchmarks.run_all import NAMES, filled, medians_of

LINE = Line("a call", "us", figure("theirs", "cpu"), figure("ours", "cpu"), wanted=40, peer_then=400)
SHARE = Line("share", "%", figure("theirs", "share"), figure("ours", "share"), wanted=85, more=True)


@pytest.mark.parametrize(
    ("theirs", "ours", "verdict"),
    [
        (400.0, 40.0, "met"),
        (1000.0, 100.0, "met by ratio"),
        (1000.0, 101.0, "**not met**"),
        (None, 41.0, "**not met**"),
        (400.0, None, "not measured"),
    ],
)
def test_a_goal_is_met_in_figures_or_in_proportion(theirs: float | None, ours: float | None, verdict: str) -> None:
    assert Figures(LINE, theirs, ours).verdict == verdict


@pytest.mark.parametrize(("ours", "verdict"), [(85.0, "met"), (84.9, "**not met**")])
def test_a_share_is_not_excused_by_a_slow_machine(ours: float, verdict: str) -> None:
    assert Figures(SHARE, 1.0, ours).verdict == verdict


def test_the_ratio_says_how_many_times_better_ours_is() -> None:
    assert Figures(LINE, 300.0, 100.0).ratio == 3
    assert Figures(SHARE, 20.0, 80.0).ratio == 4
    assert Figures(LINE, 0.0, 100.0).ratio is None


def test_a_failed_measurement_stays_visible() -> None:
    medians = {"theirs": medians_of([{"cpu": 5.0}]), "ours": medians_of([{"failed": "it broke"}])}
    shown = table({"call": [filled(LINE, medians)]})
    assert "| a call | us | 5 | failed |" in shown
    assert "not measured" in shown


def test_medians_leave_failed_rows_out() -> None:
    assert medians_of([{"cpu": 1.0}, {"cpu": 9.0}, {"failed": "x", "cpu": 99.0}, {"cpu": 2}, {"ok": True}]) == {
        "cpu": 2
    }


def test_readings_derive_figures() -> None:
    medians = {"a": {"cpu": 10.0, "calls": 4.0}, "b": {"cpu": 2.0}}
    assert slope("a", "b", "cpu", 4)(medians) == 2
    assert quotient("a", "b", "cpu")(medians) == 5
    assert each("a", "cpu", "calls", 2)(medians) == 5
    assert quotient("a", "absent", "cpu")(medians) is None


def test_every_experiment_has_a_heading_and_a_name() -> None:
    for name, experiment in EXPERIMENTS.items():
        assert name.partition("-")[0] in HEADINGS
        assert name in NAMES
        assert experiment.once <= experiment.trials.keys()


def test_the_page_names_what_failed() -> None:
    found = Circumstances("2026-01-01", "2 cores", "3.11.0", {"dspy": "1"}, None, 3, 60.0)
    page = document({"call": [Figures(LINE, 1.0, 1.0)]}, "", ["call: ours: no server"], found)
    assert "## Measurements that failed\n\n- call: ours: no server" in page
    assert "failed" not in document({"call": [Figures(LINE, 1.0, 1.0)]}, "", [], found)


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "failed"), (1234.5, "1,234"), (0.2, "0.2"), (36.14, "36.1"), (4.0, "4")]
)
def test_numbers_are_short(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_a_seed_counts_where_its_interval_excludes_nought() -> None:
    found = {
        "seed_score": 0.5,
        "final_score": 0.7,
        "random_demos_score": 0.6,
        "interval": {"low": 0.1, "high": 0.3},
        "seconds": 9.0,
    }
    run = run_of(3, found)
    assert run == SeedRun(3, 50.0, 70.0, 60.0, 10.0, 30.0, 9.0)
    lost = SeedRun(4, 50.0, 52.0, 51.0, -3.0, 7.0, 61.0)
    text = section([run, lost])
    assert "excludes 0 on 1 of 2 (wanted: 2): **not met**" in text
    assert "The longest took 61 s (wanted: under 60): **not met**" in text
