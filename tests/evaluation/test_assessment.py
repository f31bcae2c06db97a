"""One answer scored; which failures are zeros and which say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dspex.clients.scripted import Answer
from dspex.errors import (
    AuthenticationError,
    BudgetExceededError,
    ContextLengthError,
    DspexError,
    LMTimeoutError,
    OutageError,
    RateLimitError,
    RefusedError,
    ServerError,
)
from dspex.evaluation.assessment import Assessment, assess
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Completion, Metric, Request
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from tests.evaluation.programs import always, raising, right, route, runtime, section, tickets


def assessed(script: Callable[[Request], Answer] = right, metric: Metric | None = None, number: int = 0) -> Assessment:
    example = tickets(6)[number]
    return asyncio.run(assess(route(), example, metric or ExactMatch("team"), runtime(script)))


def test_a_right_answer() -> None:
    found = assessed(number=1)
    assert (found.score, found.error, found.feedback, found.scored) == (1.0, None, None, True)
    assert found.outputs == {"team": "technical"}
    assert found.usage.calls == 1
    assert [record.step for record in found.history] == ["predict"]
    assert found.example == tickets(6)[1].id
    assert found.seconds > 0


def test_a_wrong_answer_is_a_zero_without_an_error() -> None:
    found = assessed(always(section(team="account")))
    assert (found.score, found.error_kind) == (0.0, None)
    assert found.feedback == "team: expected 'billing', got 'account'"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (always("I do not know"), "parse"),
        (always(Completion("[[team]]\nbil", "length")), "cut_off"),
        (always(Completion("", "refused")), "refused"),
        (raising(RefusedError("no")), "refused"),
        (raising(ContextLengthError("too long")), "context_length"),
    ],
)
def test_an_unusable_answer_is_a_zero_with_its_kind(script: Callable[[Request], Answer], kind: str) -> None:
    found = assessed(script)
    assert (found.score, found.error_kind, found.outputs) == (0.0, kind, None)
    assert found.error
    assert found.feedback
    assert found.feedback.startswith("no usable answer: ")
    assert found.history


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimitError("429"), "rate_limit"),
        (LMTimeoutError("late"), "timeout"),
        (ServerError("500"), "server"),
        (AuthenticationError("key"), "authentication"),
        (BudgetExceededError("spent"), "budget"),
        (OutageError("down"), "outage"),
    ],
)
def test_a_failure_of_infrastructure_is_no_score(error: DspexError, kind: str) -> None:
    found = assessed(raising(error))
    assert (found.score, found.scored, found.error_kind) == (None, False, kind)
    assert str(error) in (found.error or "")


def test_a_failure_of_the_metric_is_no_score_and_keeps_the_answer() -> None:
    def broken(example: Example, state: State) -> float:
        raise RuntimeError("nothing works")

    found = assessed(metric=broken)
    assert (found.score, found.error_kind) == (None, "metric")
    assert "metric 'broken' raised RuntimeError: nothing works" in (found.error or "")
    assert found.outputs == {"team": "billing"}
    assert found.usage.calls == 1


def test_a_row_that_does_not_fit_is_no_score() -> None:
    found = asyncio.run(assess(route(), Example.of({"ticket": 3, "team": "billing"}), ExactMatch("team"), runtime()))
    assert (found.score, found.error_kind, found.usage.calls) == (None, "input", 0)


def test_another_sample_is_another_draw() -> None:
    asked: list[int] = []

    def script(request: Request) -> str:
        asked.append(request.sample)
        return section(team="billing")

    asyncio.run(assess(route(), tickets(1)[0], ExactMatch("team"), runtime(script), sample=3))
    assert asked == [3]


class BooksLostError(DspexError):
    """Stands for a store that cannot be written: an error of whoever keeps the books."""

    infrastructure = True
    fatal = True


def test_a_fatal_error_is_never_what_came_of_an_example() -> None:
    with pytest.raises(BooksLostError, match="disk is full"):
        assessed(raising(BooksLostError("the disk is full")))

    async def metric(example: Example, state: State) -> float:
        raise BooksLostError("the disk is full")

    with pytest.raises(BooksLostError, match="disk is full"):
        assessed(metric=metric)
