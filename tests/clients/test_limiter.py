"""The limiter: how many at once, how many in a minute, shared by all."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex.clients.limiter import Limiter, Limits, limiter_for
from dspex.errors import ConfigurationError
from dspex.kernel.ports import Request
from tests.clients.clock import Clock

QUESTION = Request("x/y", [])
SIZED = Request("x/y", [{"role": "user", "content": "x" * 288}], {"max_tokens": 100})
"""200 tokens: 288 / 3 + 4 of prompt, 100 of answer."""


async def turns(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def test_never_more_than_so_many_at_once_and_first_come_first_served() -> None:
    async def crowd() -> None:
        limiter = Limiter(Limits(concurrency=3))
        order: list[int] = []
        most = 0

        async def call(number: int) -> None:
            nonlocal most
            await limiter.enter(QUESTION)
            order.append(number)
            most = max(most, limiter.active)
            await turns()
            limiter.leave()

        await asyncio.gather(*(call(number) for number in range(20)))
        assert order == list(range(20))
        assert (most, limiter.active) == (3, 0)

    asyncio.run(crowd())


def test_whoever_gives_up_waiting_takes_nobodys_place() -> None:
    async def impatient() -> None:
        limiter = Limiter(Limits(concurrency=1))
        await limiter.enter(QUESTION)
        waiting = [asyncio.create_task(limiter.enter(QUESTION)) for _ in range(4)]
        await turns()
        waiting[0].cancel()  # still in the queue
        await turns()
        limiter.leave()
        waiting[1].cancel()  # has just been given the place
        await turns()
        assert waiting[1].cancelled()
        assert waiting[2].done()
        assert not waiting[3].done()
        limiter.leave()
        await waiting[3]
        limiter.leave()
        assert limiter.active == 0

    asyncio.run(impatient())


def test_no_minute_holds_more_requests_than_allowed() -> None:
    async def hurry() -> list[float]:
        clock = Clock(0)
        limiter = Limiter(Limits(requests_per_minute=3), clock=clock, sleep=clock.sleep)
        sent: list[float] = []
        for _ in range(8):
            await limiter.enter(QUESTION)
            sent.append(clock.now)
            limiter.leave()
            clock.now += 10
        return sent

    assert asyncio.run(hurry()) == [0, 10, 20, 60, 70, 80, 120, 130]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(requests_per_second=2), [0, 0, 1, 1, 2]),
        (Limits(requests_per_second=0.5), [0, 2, 4, 6, 8]),
        (Limits(requests_per_second=2, requests_per_minute=3), [0, 0, 1, 60, 60]),
    ],
)
def test_a_rate_by_the_second_holds_beside_the_one_by_the_minute(limits: Limits, expected: list[float]) -> None:
    async def hurry() -> list[float]:
        clock = Clock(0)
        limiter = Limiter(limits, clock=clock, sleep=clock.sleep)
        sent: list[float] = []
        for _ in range(5):
            await limiter.enter(QUESTION)
            sent.append(clock.now)
            limiter.leave()
        return sent

    assert asyncio.run(hurry()) == expected


def test_no_minute_holds_more_tokens_than_allowed() -> None:
    async def hurry() -> list[float]:
        clock = Clock(0)
        limiter = Limiter(Limits(tokens_per_minute=500), clock=clock, sleep=clock.sleep)
        sent: list[float] = []
        for _ in range(5):
            await limiter.enter(SIZED)
            sent.append(clock.now)
            limiter.leave()
        return sent

    assert asyncio.run(hurry()) == [0, 0, 60, 60, 120]


def test_a_call_beyond_the_rate_by_itself_is_refused_and_holds_no_place() -> None:
    limiter = Limiter(Limits(concurrency=1, tokens_per_minute=150))
    with pytest.raises(ConfigurationError, match="needs up to 200 tokens, and the limit is 150 tokens a minute"):
        asyncio.run(limiter.enter(SIZED))
    assert limiter.active == 0


def test_cancelling_the_wait_for_the_rate_gives_the_place_back() -> None:
    async def cancelled() -> None:
        limiter = Limiter(Limits(concurrency=1, requests_per_minute=1))
        await limiter.enter(QUESTION)
        limiter.leave()
        task = asyncio.create_task(limiter.enter(QUESTION))
        await turns()
        assert limiter.active == 1
        task.cancel()
        await turns()
        assert limiter.active == 0

    asyncio.run(cancelled())


@settings(deadline=None)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=40), st.integers(1, 5), st.integers(200, 900))
def test_rates_hold_in_every_window_for_every_arrival(pauses: list[float], requests: int, tokens: int) -> None:
    async def arrivals() -> list[float]:
        clock = Clock(0)
        limits = Limits(requests_per_minute=requests, tokens_per_minute=tokens)
        limiter = Limiter(limits, clock=clock, sleep=clock.sleep)
        sent: list[float] = []
        for pause in pauses:
            clock.now += pause
            await limiter.enter(SIZED)
            sent.append(clock.now)
            limiter.leave()
        return sent

    sent = asyncio.run(arrivals())
    most = min(requests, tokens // 200)
    assert all(late - early >= 60 - 1e-6 for early, late in zip(sent, sent[most:], strict=False))


def test_new_limits_hold_at_once_for_those_who_wait() -> None:
    async def raised() -> None:
        limiter = Limiter(Limits(concurrency=1))
        await limiter.enter(QUESTION)
        waiting = [asyncio.create_task(limiter.enter(QUESTION)) for _ in range(2)]
        await turns()
        limiter.limits = Limits(concurrency=2)
        await turns()
        assert [task.done() for task in waiting] == [True, False]
        limiter.limits = Limits()
        await asyncio.gather(*waiting)
        assert limiter.active == 3

    asyncio.run(raised())


def test_threads_with_loops_of_their_own_share_it() -> None:
    limiter = Limiter(Limits(concurrency=2))
    over: list[int] = []

    async def crowd() -> None:
        async def call() -> None:
            for _ in range(25):
                await limiter.enter(QUESTION)
                if limiter.active > 2:
                    over.append(limiter.active)
                await asyncio.sleep(0)
                limiter.leave()

        await asyncio.gather(*(call() for _ in range(4)))

    threads = [threading.Thread(target=lambda: asyncio.run(crowd())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [thread.is_alive() for thread in threads] == [False] * 3
    assert (over, limiter.active) == ([], 0)


def test_a_loop_that_ended_while_waiting_keeps_no_place() -> None:
    limiter = Limiter(Limits(concurrency=1))
    asyncio.run(limiter.enter(QUESTION))
    gone = asyncio.new_event_loop()
    task = gone.create_task(limiter.enter(QUESTION))
    gone.run_until_complete(turns())
    gone.close()

    async def later() -> None:
        limiter.leave()
        await limiter.enter(QUESTION)
        limiter.leave()

    asyncio.run(later())
    assert limiter.active == 0
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # what asyncio says of it is no fault here


def test_the_same_address_and_key_share_one_limiter_as_long_as_it_is_used() -> None:
    one = limiter_for("http://a KEY", Limits(concurrency=2))
    assert limiter_for("http://a KEY") is one
    assert limiter_for("http://a OTHER") is not one
    assert one.limits.concurrency == 2
    limiter_for("http://a KEY", Limits(concurrency=5))
    assert one.limits.concurrency == 5
    del one
    gc.collect()
    assert limiter_for("http://a KEY").limits == Limits()
