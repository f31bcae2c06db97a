"""How many calls may be on the wire at once, and how many may leave in a minute: shared by the whole process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from threading import Lock, RLock
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field

from dspex.clients.tokens import answer_tokens, prompt_tokens
from dspex.clients.waking import Waiter, waiter, wake
from dspex.errors import ConfigurationError
from dspex.kernel.ports import Request

WINDOW = 60.0
"""Seconds in a minute, by which rates are given."""


class Limits(BaseModel):
    """What a provider allows one key. None: no limit known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int | None = Field(default=None, ge=1)
    """Calls on the wire at once."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Tokens of prompt and of the longest answer asked for, which is how providers count them."""


class Limiter:
    """Keeps `limits`: never more than so many calls at once, never more than so much in any 60 seconds.

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
        self._requests = Window(None)
        self._tokens = Window(None)
        self.limits = limits or Limits()

    @property
    def limits(self) -> Limits:
        """What is kept. Assigning holds from the next call on."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        with self._lock:
            self._limits = limits
            self._requests.size, self._tokens.size = limits.requests_per_minute, limits.tokens_per_minute
            self._free = limits.concurrency is None
            self._unmetered = limits.requests_per_minute is None and limits.tokens_per_minute is None
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
        if not self._unmetered:
            try:
                await self._rate(request)
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

    async def _rate(self, request: Request) -> None:
        with self._lock:
            now = self._clock()
            size = 0 if self._tokens.size is None else self._size(request, self._tokens.size)
            start = self._tokens.earliest(size, self._requests.earliest(1, now))
            self._requests.book(1, start)
            self._tokens.book(size, start)
        if start > now:
            await self._sleep(start - now)

    def _size(self, request: Request, most: float) -> int:
        size = prompt_tokens(request) + (answer_tokens(request) or 0)
        if size > most:
            raise ConfigurationError(
                f"a call to {request.model} needs up to {size} tokens, and the limit is {most:g} tokens a minute: "
                "lower max_tokens or raise tokens_per_minute"
            )
        return size


class Window:
    """Books amounts so that no 60 seconds hold more than `size` of them; None books nothing."""

    def __init__(self, size: float | None) -> None:
        self.size = size
        self._booked: deque[tuple[float, int]] = deque()
        self._sum = 0

    def earliest(self, amount: int, now: float) -> float:
        """The earliest time, `now` or later, at which `amount` may go: after all that is booked, in its turn."""
        if self.size is None:
            return now
        start = max(now, self._booked[-1][0]) if self._booked else now
        while self._booked and (self._booked[0][0] + WINDOW <= start or self._sum + amount > self.size):
            when, gone = self._booked.popleft()
            self._sum -= gone
            start = max(start, when + WINDOW)
        return start

    def book(self, amount: int, start: float) -> None:
        """Count `amount` as gone at `start`, which is not before `earliest`."""
        if self.size is not None:
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
