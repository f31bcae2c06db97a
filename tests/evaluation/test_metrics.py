"""The built-in metrics, and what is made of a user's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import pytest

from dspex.errors import DataError, DspexError, MetricError, UnknownNameError
from dspex.evaluation.metrics import (
    Contains,
    ExactMatch,
    FieldMetric,
    NormalizedMatch,
    NumericTolerance,
    TokenF1,
    Weighted,
)
from dspex.evaluation.scoring import as_metric, checked_score
from dspex.kernel.ports import Score
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from tests.evaluation.programs import route, tickets


def scored(metric: Any, expected: Any, given: Any) -> Score:
    return asyncio.run(as_metric(metric)(Example("1", {"a": expected}), State({}, {"a": given})))


@pytest.mark.parametrize(
    ("metric", "expected", "given", "value"),
    [
        (ExactMatch("a"), "billing", "billing", 1.0),
        (ExactMatch("a"), "billing", "Billing", 0.0),
        (ExactMatch("a"), 1, 1.0, 1.0),
        (ExactMatch("a"), 1, True, 0.0),
        (ExactMatch("a"), [{"x": 1}], [{"x": 1}], 1.0),
        (ExactMatch("a"), None, None, 1.0),
        (NormalizedMatch("a"), "The Beatles!", "beatles", 1.0),
        (NormalizedMatch("a"), "snake_case", "Snake case", 1.0),
        (NormalizedMatch("a"), ["UK", "United Kingdom"], "the united kingdom.", 1.0),
        (NormalizedMatch("a"), "theory", "ory", 0.0),
        (NormalizedMatch("a"), "ﬁn", "fin", 1.0),
        (NormalizedMatch("a"), 3, "3", 1.0),
        (TokenF1("a"), "the cat sat", "cat sat down", 0.8),
        (TokenF1("a"), "a a b", "b b", 0.0 + 2 * 1 / (1 + 2)),
        (TokenF1("a"), "", "", 1.0),
        (TokenF1("a"), "x", "", 0.0),
        (TokenF1("a"), ["x", "y z"], "z y", 1.0),
        (TokenF1("a"), [], "x", 0.0),
        (Contains("a"), "Berlin", "It is in BERLIN.", 1.0),
        (Contains("a", case=True), "Berlin", "It is in BERLIN.", 0.0),
        (Contains("a"), ["one", "two", "three"], "two and three", 2 / 3),
        (Contains("a"), [], "x", 1.0),
        (NumericTolerance("a"), 3, 3.0, 1.0),
        (NumericTolerance("a", absolute=0.5), 3, 3.5, 1.0),
        (NumericTolerance("a", absolute=0.5), 3, 3.51, 0.0),
        (NumericTolerance("a", relative=0.1), -100, "-109", 1.0),
        (NumericTolerance("a", relative=0.1), 100, "about 100", 0.0),
        (NumericTolerance("a"), "7", 7, 1.0),
        (NumericTolerance("a"), 1, True, 0.0),
        (NumericTolerance("a"), 1, "nan", 0.0),
        (NumericTolerance("a"), 1, None, 0.0),
    ],
)
def test_values(metric: FieldMetric, expected: Any, given: Any, value: float) -> None:
    score = scored(metric, expected, given)
    assert score.value == pytest.approx(value)
    assert (score.feedback is None) is (value == 1)


def test_feedback_says_what_was_expected() -> None:
    assert scored(ExactMatch("a"), "billing", "account").feedback == "a: expected 'billing', got 'account'"


def test_the_expected_field_may_have_another_name() -> None:
    metric = as_metric(ExactMatch("team", expected="label"))
    score = asyncio.run(metric(Example("1", {"label": "x"}), State({}, {"team": "x"})))
    assert score.value == 1
    assert metric.columns == ("label",)


def test_a_row_without_the_expected_field_is_the_datas_fault() -> None:
    with pytest.raises(DataError, match="example 1 has no field 'team', which metric ExactMatch"):
        asyncio.run(as_metric(ExactMatch("team"))(Example("1", {"tema": 1}), State({}, {"team": "x"})))
    with pytest.raises(DataError, match="'a' is 'some', which is not a number"):
        scored(NumericTolerance("a"), "some", 3)


@pytest.mark.parametrize(
    ("metric", "example", "message"),
    [
        (ExactMatch("teem"), {"ticket": "x", "team": "billing"}, "unknown output 'teem' in metric ExactMatch('teem') "
         "of program 'route'; did you mean 'team'?"),
        (ExactMatch("team"), {"ticket": "x", "tem": "billing"}, "has no field 'team', which metric ExactMatch('team') "
         "compares with; did you mean 'tem'?"),
        (ExactMatch("team"), {"ticket": "x", "team": 3}, "'team' is 3, a int, but the program gives 'team' as string"),
        (TokenF1("tam"), {"ticket": "x", "team": "y"}, "did you mean 'team'?"),
        (Weighted((ExactMatch("team"), 1), (Contains("tem"), 1)), {"team": "y"}, "did you mean 'team'?"),
    ],
)  # fmt: skip
def test_fields_are_checked_against_program_and_data(metric: Any, example: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, UnknownNameError)) as caught:
        as_metric(metric).check(route(), Example("1", example))
    assert message in str(caught.value)


def test_a_field_that_fits_passes_the_check() -> None:
    for metric in (ExactMatch("team"), Weighted((ExactMatch("team"), 1), (lambda example, state: 1, 2))):
        as_metric(metric).check(route(), tickets(1)[0])


def test_weighted_is_the_weighted_mean_with_details() -> None:
    async def half(example: Example, state: State) -> Score:
        return Score(0.5, "half right")

    def whole(example: Example, state: State) -> bool:
        return True

    metric = Weighted((ExactMatch("a"), 2), (half, 1), (whole, 1))
    score = scored(metric, "x", "y")
    assert score.value == pytest.approx((0 * 2 + 0.5 + 1) / 4)
    assert score.details == {"ExactMatch('a')": 0.0, "half": 0.5, "whole": 1.0}
    assert score.feedback == "a: expected 'x', got 'y'\nhalf right"
    assert as_metric(metric).name == "Weighted(ExactMatch('a'), half, whole)"


def one(example: Example) -> float:
    return 1.0


def three(example: Example, state: State, trace: object) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Weighted, "no parts"),
        (lambda: Weighted((ExactMatch("a"), 0)), "weight of ExactMatch('a') is 0"),
        (lambda: Weighted((ExactMatch("a"), float("nan"))), "is nan"),
        (lambda: Weighted((ExactMatch("a"), 1), (ExactMatch("a"), 1)), "two parts named"),
        (lambda: NumericTolerance("a", absolute=-1), "absolute is -1"),
        (
            lambda: as_metric("exact"),
            "a metric is a function of (example, state) that returns a score in 0..1, not 'exact'",
        ),
        (lambda: as_metric(None), "not None (NoneType)"),
        (lambda: as_metric(ExactMatch), "ExactMatch is a class; pass one of it"),
        (
            lambda: as_metric(one),
            "takes (example: 'Example') -> 'float'; a metric takes two arguments, (example, state)",
        ),
        (lambda: as_metric(three), "takes (example: 'Example', state: 'State', trace: 'object')"),
    ],
)
def test_what_cannot_be_a_metric_is_refused_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(MetricError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize("verdict", [None, "1", float("nan"), 1.5, -0.1, [1], Score(7), Score(float("inf")), object()])
def test_nonsense_is_refused_naming_metric_and_verdict(verdict: Any) -> None:
    with pytest.raises(MetricError, match=r"metric 'grade' returned .*; return a number in 0\.\.1"):
        checked_score(verdict, "grade")


@pytest.mark.parametrize(
    ("verdict", "value"), [(True, 1.0), (False, 0.0), (1, 1.0), (0.25, 0.25), (Score(1), 1.0), (Fraction(1, 4), 0.25)]
)
def test_every_kind_of_number_is_a_score(verdict: Any, value: float) -> None:
    score = checked_score(verdict, "grade")
    assert score.value == value
    assert type(score.value) is float


def test_a_users_function_runs_on_a_thread_and_an_async_one_on_the_loop() -> None:
    seen: list[str] = []

    def plain(example: Example, state: State) -> float:
        seen.append(threading.current_thread().name)
        return 1.0

    async def asynchronous(example: Example, state: State) -> float:
        seen.append(threading.current_thread().name)
        return 1.0

    for metric in (plain, asynchronous, ExactMatch("a")):
        assert scored(metric, "x", "x").value == 1.0
    assert seen[0] != threading.current_thread().name
    assert seen[1] == threading.current_thread().name
    assert [as_metric(item).calling for item in (plain, asynchronous, ExactMatch("a"))] == ["thread", "async", "inline"]


def test_a_plain_function_that_returns_an_awaitable_is_awaited() -> None:
    async def later() -> float:
        return 0.5

    def plain(example: Example, state: State) -> Awaitable[float]:
        return later()

    assert scored(plain, "x", "x").value == 0.5


def test_a_metric_that_raises_what_would_end_the_loop_fails_alone() -> None:
    def interrupts(example: Example, state: State) -> float:
        raise KeyboardInterrupt

    with pytest.raises(MetricError, match=r"raised RuntimeError: KeyboardInterrupt \(test_metrics.py, line \d+\)"):
        scored(interrupts, 1, 1)


def test_a_metric_that_raises_says_where() -> None:
    def broken(example: Example, state: State) -> float:
        return len(state["b"])

    with pytest.raises(MetricError, match=r"metric 'broken' raised UnknownNameError: .* on example 1"):
        scored(broken, "x", "y")

    def worse(example: Example, state: State) -> float:
        return 1 / 0

    with pytest.raises(MetricError, match=r"raised ZeroDivisionError: .* \(test_metrics.py, line \d+\)"):
        scored(worse, "x", "y")
    assert issubclass(MetricError, DspexError)


def test_a_metric_of_a_field_that_compares_nothing_is_refused_when_it_is_made() -> None:
    class Unfinished(FieldMetric):
        """Has no `compare`."""

    with pytest.raises(TypeError, match=r"Unfinished.*compare"):
        Unfinished("team")  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]  # which is the point
