"""The watch for outages."""

from __future__ import annotations

import pytest

from dspex.clients.outage import OutageWatch
from dspex.errors import (
    BudgetExceededError,
    ConnectionFailedError,
    ContextLengthError,
    OutageError,
    ParseError,
    ServerError,
)
from dspex.kernel.state import State, StepError
from tests.clients.clock import Clock


def failing(watch: OutageWatch, clock: Clock, times: int, error: Exception, apart: float = 1.0) -> None:
    for _ in range(times):
        clock.now += apart
        watch.failed(error)


def test_enough_failures_over_enough_time_are_an_outage() -> None:
    clock = Clock()
    watch = OutageWatch(seconds=5, failures=3, clock=clock)
    failing(watch, clock, 5, ServerError("HTTP 503"))
    clock.now += 1
    with pytest.raises(OutageError, match=r"6 calls in a row failed over 5 s, the last with: HTTP 503\. .* is kept"):
        watch.failed(ServerError("HTTP 503"))


def test_many_failures_at_once_are_not() -> None:
    clock = Clock()
    failing(OutageWatch(seconds=5, failures=3, clock=clock), clock, 100, ServerError("x"), apart=0.01)


def test_few_failures_far_apart_are_not() -> None:
    clock = Clock()
    failing(OutageWatch(seconds=5, failures=3, clock=clock), clock, 2, ServerError("x"), apart=60)


@pytest.mark.parametrize(
    "sign",
    [None, ParseError("nonsense"), ContextLengthError("too long"), StepError("s", State({}, {}), ParseError(""))],
)
def test_any_answer_at_all_ends_the_row(sign: Exception | None) -> None:
    clock = Clock()
    watch = OutageWatch(seconds=5, failures=3, clock=clock)
    for _ in range(4):
        failing(watch, clock, 5, ConnectionFailedError("x"))
        watch.ok() if sign is None else watch.failed(sign)


@pytest.mark.parametrize(
    "error", [BudgetExceededError("used up"), ValueError("a bug"), StepError("s", State({}, {}), KeyError("k"))]
)
def test_what_is_no_model_call_says_nothing_either_way(error: Exception) -> None:
    clock = Clock()
    watch = OutageWatch(seconds=5, failures=3, clock=clock)
    failing(watch, clock, 50, error)
    failing(watch, clock, 2, ServerError("x"))
    failing(watch, clock, 50, error)
    with pytest.raises(OutageError, match="3 calls in a row"):
        watch.failed(StepError("s", State({}, {}), ServerError("x")))
