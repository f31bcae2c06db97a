"""Trying again: what is tried, how often, and how long it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dspex.clients.retry import Call, Retry, RetryPolicy
from dspex.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConnectionFailedError,
    ContextLengthError,
    LMError,
    LMTimeoutError,
    RateLimitError,
    RefusedError,
    RequestError,
    ServerError,
)
from dspex.kernel.ports import Completion, Event, Request, Usage
from tests.clients.clock import Clock

QUESTION = Request("x/y", [])


def failing(*errors: Exception) -> tuple[Call, list[Request]]:
    """A call that raises each of `errors` in turn, then answers; and the requests it got."""
    got: list[Request] = []

    async def call(request: Request) -> Completion:
        got.append(request)
        if len(got) <= len(errors):
            raise errors[len(got) - 1]
        return Completion("fine", usage=Usage(1, 2, 3, 0.5))

    return call, got


def run(
    call: Call, policy: RetryPolicy | None = None, chance: Callable[[], float] = lambda: 1.0
) -> tuple[Completion, list[float]]:
    clock = Clock()
    retry = Retry(policy or RetryPolicy(), sleep=clock.sleep, chance=chance)
    return asyncio.run(retry.around(call)(QUESTION)), clock.slept


def test_an_answer_at_once_is_passed_on_untouched() -> None:
    call, got = failing()
    completion, slept = run(call)
    assert (completion.usage.retries, slept, len(got)) == (0, [], 1)


@pytest.mark.parametrize(
    "error", [RateLimitError("x"), LMTimeoutError("x"), ConnectionFailedError("x"), ServerError("x")]
)
def test_what_may_pass_is_tried_again_and_counted(error: LMError) -> None:
    call, got = failing(error, error)
    completion, slept = run(call)
    assert completion == Completion("fine", usage=Usage(1, 2, 3, 0.5, retries=2))
    assert (slept, len(got)) == ([0.5, 1.0], 3)


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("x"),
        RequestError("x"),
        ContextLengthError("x"),
        RefusedError("x"),
        BudgetExceededError("x"),
        ValueError("x"),
    ],
)
def test_what_cannot_pass_is_raised_as_it_is(error: Exception) -> None:
    call, got = failing(error)
    with pytest.raises(type(error)) as caught:
        run(call)
    assert caught.value is error
    assert len(got) == 1


def test_a_failure_that_can_pass_may_be_followed_by_one_that_cannot() -> None:
    call, got = failing(ServerError("x"), AuthenticationError("revoked"))
    with pytest.raises(AuthenticationError, match=r"^revoked$"):
        run(call)
    assert len(got) == 2


def test_it_gives_up_after_so_many_attempts_and_says_so() -> None:
    call, got = failing(*[ServerError("HTTP 500", billed=True)] * 9)
    with pytest.raises(ServerError, match=r"^HTTP 500 \(gave up after 4 attempts\)$") as caught:
        run(call, RetryPolicy(attempts=4))
    assert len(got) == 4
    assert caught.value.billed


@pytest.mark.parametrize("last", [RateLimitError("busy"), AuthenticationError("revoked")])
def test_the_last_error_counts_as_billed_where_any_attempt_may_have_been(last: LMError) -> None:
    call, _ = failing(LMTimeoutError("slow", billed=True), last)
    with pytest.raises(type(last)) as caught:
        run(call, RetryPolicy(attempts=2))
    assert caught.value.billed


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    call, _ = failing(*[ServerError("x")] * 6)
    assert run(call, RetryPolicy(attempts=7, base=1, longest=5))[1] == [1, 2, 4, 5, 5, 5]
    call, _ = failing(*[ServerError("x")] * 6)
    assert run(call, RetryPolicy(attempts=7, base=1, longest=5), lambda: 0.0)[1] == [0.5, 1, 2, 2.5, 2.5, 2.5]


def test_a_retry_after_is_kept_in_full_and_spread_beyond_it() -> None:
    call, _ = failing(RateLimitError("x", retry_after=7), RateLimitError("x", retry_after=0))
    assert run(call, chance=lambda: 0.5)[1] == [7.25, 0.25]


def test_a_server_that_asks_for_too_long_is_not_waited_for() -> None:
    call, got = failing(RateLimitError("HTTP 429", retry_after=3600))
    with pytest.raises(
        RateLimitError, match="gave up after 1 attempt: the server asks to wait 3600 s, more than the 60 s"
    ):
        run(call)
    assert len(got) == 1


def test_every_retry_is_an_event() -> None:
    events: list[Event] = []
    call, _ = failing(ServerError("HTTP 500"))
    retry = Retry(observer=events.append, sleep=Clock().sleep, chance=lambda: 0.0)
    asyncio.run(retry.around(call)(QUESTION))
    assert events == [Event("call.retried", "x/y", {"attempt": 1, "seconds": 0.25, "error": "HTTP 500"})]


def test_cancelling_the_wait_ends_it() -> None:
    async def cancelled() -> None:
        call, got = failing(*[ServerError("x")] * 9)
        task = asyncio.ensure_future(Retry(RetryPolicy(base=3600)).around(call)(QUESTION))
        while not got:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(got) == 1

    asyncio.run(cancelled())
