"""A process's part of shared rates: what is leased is handed out, given back or lost, and nothing else leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from dspex.clients.elapsed import elapsed
from dspex.clients.limiter import Limiter, Limits
from dspex.clients.rate_leases import Ask, Lease, Used
from dspex.clients.shared_limiter import SharedLimiter, SharedLimits, SharedRate
from dspex.errors import ConfigurationError, DspexError
from dspex.kernel.ports import Request
from tests.clients.clock import Clock

QUESTION = Request("x/y", [])
SIZED = Request("x/y", [{"role": "user", "content": "x" * 288}], {"max_tokens": 100})


class Leases:
    """Gives what is asked for; keeps what is given back."""

    def __init__(self, until: float = 60.0) -> None:
        self.until = until
        self.asks: list[Ask] = []
        self.given: list[Lease] = []
        self.over: list[Used] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def lease(self, name: str, ask: Ask) -> Lease:
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.asks.append(ask)
        self.over += ask.over
        self.given.append(Lease(len(self.asks), ask.most, 0.0, self.until))
        return self.given[-1]

    async def give_back(self, name: str, over: Sequence[Used]) -> None:
        self.over += over


async def sent(limiter: SharedLimiter, times: int, request: Request = QUESTION) -> None:
    for _ in range(times):
        await limiter.enter(request)
        limiter.leave()


def limiter_over(
    leases: Leases, clock: Callable[[], float] = elapsed, **limits: float
) -> tuple[SharedLimiter, SharedRate]:
    own = Limiter(Limits.model_validate(limits))
    rate = SharedRate("x", own, leases, clock=clock)
    return SharedLimiter(own, rate), rate


def test_everything_leased_is_accounted_for_once_and_the_store_is_asked_seldom() -> None:
    async def main() -> None:
        leases = Leases()
        limiter, rate = limiter_over(leases, requests_per_minute=100_000, tokens_per_minute=1_000_000_000)
        await asyncio.gather(*(sent(limiter, 250, SIZED) for _ in range(16)))
        await rate.aclose()
        assert sorted(used.number for used in leases.over) == [lease.number for lease in leases.given]
        assert sum(used.amounts["requests"] for used in leases.over) == 4000
        assert sum(used.amounts["tokens"] for used in leases.over) == 4000 * 200
        assert len(leases.asks) < 40, "never per call"

    asyncio.run(main())


def test_a_provider_without_a_rate_asks_for_nothing() -> None:
    async def main() -> None:
        leases = Leases()
        limiter, rate = limiter_over(leases, concurrency=2)
        await sent(limiter, 10)
        await rate.aclose()
        assert (leases.asks, leases.over) == ([], [])

    asyncio.run(main())


def test_what_nobody_came_for_is_given_back_when_its_time_is_over() -> None:
    async def main() -> None:
        leases = Leases(until=0.02)
        limiter, rate = limiter_over(leases, requests_per_minute=100)
        await asyncio.gather(*(sent(limiter, 2) for _ in range(4)))
        while len(leases.over) < len(leases.given):
            await asyncio.sleep(0)
        assert sum(used.amounts["requests"] for used in leases.over) == 8
        await rate.aclose()

    asyncio.run(main())


def test_a_lease_that_came_too_late_lets_nothing_out_and_the_next_is_asked_to_hold_longer() -> None:
    async def main() -> None:
        leases = Leases(until=-1.0)
        limiter, rate = limiter_over(leases, requests_per_minute=100)
        waiting = asyncio.create_task(sent(limiter, 1))
        while len(leases.asks) < 6:
            await asyncio.sleep(0)
        leases.until = 60.0
        await waiting
        await rate.aclose()
        late, last = leases.over[:-1], leases.over[-1]
        assert [used.amounts["requests"] for used in late] == [0] * len(late)
        assert last.amounts["requests"] == 1
        assert leases.asks[5].hold > leases.asks[0].hold

    asyncio.run(main())


def test_what_gets_on_after_its_lease_is_over_leaves_by_another() -> None:
    """As when a process is stopped right before it sends: others have its time by then."""

    async def main() -> None:
        leases, clock, left = Leases(), Clock(), list[tuple[str, int]]()
        limiter, rate = limiter_over(leases, clock, requests_per_minute=100)

        async def leaves(name: str, stopped: float) -> None:
            await limiter.enter(QUESTION)
            left.append((name, len(leases.asks)))
            clock.now += stopped

        await asyncio.gather(leaves("first", 61.0), leaves("second", 0.0), leaves("third", 0.0))
        await rate.aclose()
        assert sorted(left) == [("first", 1), ("second", 2), ("third", 2)]
        assert sum(used.amounts["requests"] for used in leases.over) == 5  # what was handed out too late is lost

    asyncio.run(main())


def test_a_store_that_fails_fails_the_call_and_holds_no_place() -> None:
    async def main() -> None:
        leases = Leases()
        leases.error = DspexError("the disk is full")
        limiter, rate = limiter_over(leases, requests_per_minute=100, concurrency=1)
        for _ in range(2):
            with pytest.raises(DspexError, match="the disk is full"):
                await limiter.enter(QUESTION)
        with pytest.raises(ConfigurationError, match="200 tokens"):
            await limiter_over(leases, tokens_per_minute=150)[0].enter(SIZED)
        leases.error = None
        await sent(limiter, 1)
        await rate.aclose()

    asyncio.run(main())


def test_whoever_gives_up_waiting_takes_nothing_and_closing_cancels_the_rest() -> None:
    async def main() -> None:
        leases = Leases()
        leases.gate.clear()
        limiter, rate = limiter_over(leases, requests_per_minute=100, concurrency=3)
        impatient, patient = (asyncio.create_task(limiter.enter(QUESTION)) for _ in range(2))
        for _ in range(5):
            await asyncio.sleep(0)
        impatient.cancel()
        leases.gate.set()
        await patient
        leases.gate.clear()
        rest = [asyncio.create_task(limiter.enter(QUESTION)) for _ in range(2)]
        for _ in range(5):
            await asyncio.sleep(0)
        await rate.aclose()
        await asyncio.wait(rest)
        assert sum(used.amounts["requests"] for used in leases.over) == 1 + sum(not task.cancelled() for task in rest)

    asyncio.run(main())


def test_models_of_one_provider_share_one_rate() -> None:
    async def main() -> None:
        leases, own = Leases(), Limiter(Limits(requests_per_minute=100))
        sharing = SharedLimits(leases)
        await asyncio.gather(*(sent(sharing.over(own, "x"), 1) for _ in range(3)))
        await sharing.aclose()
        assert sum(used.amounts["requests"] for used in leases.over) == 3
        assert len(leases.asks) == 1

    asyncio.run(main())
