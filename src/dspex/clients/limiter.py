"""How many calls may be on the wire at once, and how many may leave in a while: shared by the whole process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock, RLock
from typing import Literal
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field

from dspex.clients.tokens import answer_tokens, prompt_tokens
from dspex.clients.waking import Waiter, waiter, wake
from dspex.errors import ConfigurationError
from dspex.kernel.ports import Request

Unit = Literal["requests", "tokens"]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `most` of a unit in any `seconds`."""

    unit: Unit
    most: float
    seconds: float


class Limits(BaseModel):
    """What a provider allows one key. None: no limit known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int | None = Field(default=None, ge=1)
    """Calls on the wire at once."""
    requests_per_second: float | None = Field(default=None, gt=0)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Tokens of prompt and of the longest answer asked for, which is how providers count them."""

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Those that are set; all are kept together."""
        found = (
            _rate("requests", self.requests_per_second, 1.0),
            _rate("requests", self.requests_per_minute, 60.0),
            _rate("tokens", self.tokens_per_minute, 60.0),
        )
        return tuple(rate for rate in found if rate is not None)


def _rate(unit: Unit, most: float | None, seconds: float) -> Rate | None:
    if most is None:
        return None
    # Half a request a second is one in two seconds.
    return Rate(unit, most, seconds) if most >= 1 or unit == "tokens" else Rate(unit, 1.0, seconds / most)


class Limiter:
    """Keeps `limits`: never more than so many calls at once, never more than so much in any second or minute.

    First come, first served. Safe on several event loops and threads. A place is held from `enter` to `leave`, which
    belong right around the call on the wire. A call that has a place and waits for its rate keeps the place: nobody
    behind it could be sent earlier anyway.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = RLock()
        self._active = 0
        self._waiting: deque[Waiter] = deque()
        self._windows: dict[tuple[Unit, float], Window] = {}
        self.limits = limits or Limits()

    @property
    def limits(self) -> Limits:
        """What is kept. Assigning holds from the next call on."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        with self._lock:
            self._limits = limits
            self.rates = limits.rates
            windows = self._windows
            self._windows = {(r.unit, r.seconds): windows.get((r.unit, r.seconds), Window(r)) for r in self.rates}
            for rate in self.rates:
                self._windows[rate.unit, rate.seconds].rate = rate
            self._free = limits.concurrency is None
            self._admit()

    @property
    def active(self) -> int:
        """Calls that have a place now."""
        return self._active

    async def enter(self, request: Request) -> None:
        """Wait for a place, then for the rate. Raises ConfigurationError where a call alone is beyond the rate."""
        with self._lock:
            if self._free or (self._active < (self._limits.concurrency or 0)):
                self._active += 1
                place = None
            else:
                place = waiter()
                self._waiting.append(place)
        if place is not None:
            await self._queue(place)
        if self.rates:
            try:
                await self._rated(request)
            except BaseException:
                self.leave()
                raise

    def leave(self) -> None:
        """Give the place to whoever waits longest."""
        with self._lock:
            self._active -= 1
            if self._waiting:
                self._admit()

    def _admit(self) -> None:
        while self._waiting and (self._free or self._active < (self._limits.concurrency or 0)):
            self._active += 1
            wake(self._waiting.popleft(), self._unclaimed)

    def _unclaimed(self) -> None:
        with self._lock:
            self._active -= 1
            self._admit()

    async def _queue(self, place: Waiter) -> None:
        try:
            await place
        except asyncio.CancelledError:
            with self._lock:
                if place in self._waiting:
                    self._waiting.remove(place)
                    granted = False
                else:
                    granted = place.done() and not place.cancelled()
            if granted:
                self.leave()
            raise

    async def _rated(self, request: Request) -> None:
        amounts = amounts_of(request, self.rates)
        with self._lock:
            now = start = self._clock()
            for window in self._windows.values():
                start = window.earliest(amounts[window.rate.unit], start)
            for window in self._windows.values():
                window.book(amounts[window.rate.unit], start)
        if start > now:
            await self._sleep(start - now)


def amounts_of(request: Request, rates: Iterable[Rate]) -> Mapping[Unit, int]:
    """What a call counts for in rates. Raises ConfigurationError where alone it is beyond one of them."""
    most = min((rate.most for rate in rates if rate.unit == "tokens"), default=None)
    if most is None:
        return _ONE
    size = prompt_tokens(request) + (answer_tokens(request) or 0)
    if size > most:
        raise ConfigurationError(
            f"a call to {request.model} needs up to {size} tokens, and the limit is {most:g} tokens a minute: "
            "lower max_tokens or raise tokens_per_minute"
        )
    return {"requests": 1, "tokens": size}


_ONE: Mapping[Unit, int] = {"requests": 1, "tokens": 0}


class Window:
    """Books amounts so that no `rate.seconds` hold more than `rate.most` of them."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._booked: deque[tuple[float, int]] = deque()
        self._sum = 0

    def earliest(self, amount: int, now: float) -> float:
        """The earliest time, `now` or later, at which `amount` may go: after all that is booked, in its turn."""
        most, seconds = self.rate.most, self.rate.seconds
        start = max(now, self._booked[-1][0]) if self._booked else now
        while self._booked and (self._booked[0][0] + seconds <= start or self._sum + amount > most):
            when, gone = self._booked.popleft()
            self._sum -= gone
            start = max(start, when + seconds)
        return start

    def book(self, amount: int, start: float) -> None:
        """Count `amount` as gone at `start`, which is not before `earliest`."""
        self._booked.append((start, amount))
        self._sum += amount


_limiters: WeakValueDictionary[str, Limiter] = WeakValueDictionary()
_limiters_lock = Lock()


def limiter_for(identity: str, limits: Limits | None = None) -> Limiter:
    """The one limiter of this process for `identity` (a provider's address and key), for as long as it is in use.

    Limits given here hold from now on for everyone who shares it, also for those who asked before.
    """
    with _limiters_lock:
        limiter = _limiters.get(identity)
        if limiter is None:
            limiter = _limiters[identity] = Limiter()
    if limits is not None and limits != limiter.limits:
        limiter.limits = limits
    return limiter
