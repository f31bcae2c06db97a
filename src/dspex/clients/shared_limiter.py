"""A limiter whose rates are kept together with other processes: leased in chunks, handed out here call by call."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dspex.clients.elapsed import elapsed
from dspex.clients.limiter import Limiter, Rate, Unit, amounts_of
from dspex.clients.rate_leases import Amounts, Ask, Lease, RateLeases, Used
from dspex.errors import DspexError
from dspex.kernel.ports import Request

HOLD_SECONDS = 0.5
"""What is leased ahead lasts about so long: a busy process asks two or three times a second, however many its calls."""
SHORT_SECONDS = 0.05
"""For what leaves at once. Longer where the store took longer to answer."""
_LONGEST_HOLD = 5.0
_PARTS = 8
"""A chunk of a rate that is used up is at least one of so many parts of it, or else it would come back in crumbs."""
_AHEAD = 0.3
"""With less than this share of a chunk left, the next is asked for, so that nobody has to wait for it."""


@dataclass(slots=True)
class _Chunk:
    """A lease by this process's clock, and what is left of it."""

    lease: Lease
    start: float
    until: float
    requests: int
    tokens: int
    last: float

    def fits(self, amounts: Amounts, now: float) -> bool:
        if not self.start <= now < self.until:
            return False
        return self.requests >= amounts["requests"] and self.tokens >= amounts["tokens"]

    def take(self, amounts: Amounts, now: float) -> None:
        self.requests -= amounts["requests"]
        self.tokens -= amounts["tokens"]
        self.last = now

    def over(self, now: float) -> Used:
        given = self.lease.amounts
        left: dict[Unit, int] = {"requests": self.requests, "tokens": self.tokens}
        used: dict[Unit, int] = {unit: given[unit] - left[unit] for unit in given}
        return Used(self.lease.number, used, max(0.0, now - self.last))


@dataclass(slots=True)
class _Place:
    amounts: Amounts
    future: asyncio.Future[float]
    """Until when it may leave."""


class SharedRate:
    """One provider's rates in this process, for one event loop.

    What it may let out it has leased; what it did not let out it gives back. Whatever it does not hear of in time it
    lets expire, by its own clock and early rather than late, so no two machines need the same time.
    """

    def __init__(
        self,
        name: str,
        limiter: Limiter,
        leases: RateLeases,
        *,
        clock: Callable[[], float] = elapsed,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name, self._limiter, self._leases = name, limiter, leases
        self._clock, self._sleep = clock, sleep
        self._chunk: _Chunk | None = None
        self._over: list[Used] = []
        self._waiting: deque[_Place] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._short = SHORT_SECONDS
        self._pace, self._taken, self._since = 0.0, 0, clock()
        self._size = 0.0

    async def take(self, request: Request) -> None:
        """Wait until the call may leave. Raises ConfigurationError where alone it is beyond a rate, StorageError."""
        amounts = amounts_of(request, self._limiter.rates)
        now = self._clock()
        self._taken += 1
        self._size += (amounts["tokens"] - self._size) / 16
        chunk = self._chunk
        if chunk is not None and not self._waiting and chunk.fits(amounts, now):
            chunk.take(amounts, now)
            if chunk.requests < _AHEAD * chunk.lease.amounts["requests"]:
                self._ask()
            return
        place = self._queued(amounts)
        try:
            # A process that was stopped, or is busy with something else, gets on late: the time is another's then.
            while await place.future <= self._clock():
                self._short = min(_LONGEST_HOLD, self._short * 2)
                place = self._queued(amounts, again=True)
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            raise

    def _queued(self, amounts: Amounts, *, again: bool = False) -> _Place:
        place = _Place(amounts, asyncio.get_running_loop().create_future())
        if again:
            self._waiting.appendleft(place)
        else:
            self._waiting.append(place)
        self._ask()
        return place

    async def aclose(self) -> None:
        """Give back what is left. Whoever still waits is cancelled."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        for place in self._waiting:
            place.future.cancel()
        self._retire(self._clock())
        await self._tell()

    def _ask(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        """Lease and hand out until nobody waits."""
        try:
            await asyncio.sleep(0)  # so that all who come at the same time are counted
            while True:
                await self._renew()
                self._hand_out()
                if not self._waiting:
                    break
        except BaseException as error:
            self._fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._asking = None
        if (chunk := self._chunk) is not None:
            asyncio.get_running_loop().call_later(chunk.until - self._clock() + 0.001, self._ended, chunk)

    def _fail(self, error: BaseException) -> None:
        waiting, self._waiting = self._waiting, deque()
        for place in waiting:
            if not place.future.done() and isinstance(error, Exception):
                place.future.set_exception(error)
            else:
                place.future.cancel()

    def _ended(self, chunk: _Chunk) -> None:
        """Nobody came for the rest of the last chunk."""
        if self._chunk is chunk and self._asking is None:
            self._asking = asyncio.create_task(self._give_back())

    async def _give_back(self) -> None:
        try:
            self._retire(self._clock())
            with suppress(DspexError):  # what the store does not hear of expires there
                await self._tell()
        finally:
            self._asking = None
        if self._waiting:
            self._ask()

    async def _renew(self) -> None:
        """The next chunk, once it has begun. While the one before lasts, calls go on taking from it."""
        asked = self._clock()
        chunk = self._chunk
        if chunk is not None and (self._waiting or asked >= chunk.until):
            self._retire(asked)
        over = tuple(self._over)
        lease = await self._leases.lease(self._name, self._wish(asked, over))
        del self._over[: len(over)]
        heard = self._clock()
        # Its beginning by the latest, its end by the earliest that it can be.
        start, until = heard + lease.start, asked + lease.until
        self._short = min(_LONGEST_HOLD, self._short * 2) if until <= start else max(SHORT_SECONDS, self._short * 0.9)
        if start > heard:
            try:
                await self._sleep(start - heard)
            except asyncio.CancelledError:
                self._over.append(Used(lease.number, {"requests": 0, "tokens": 0}, 0.0))
                raise
        self._retire(self._clock())
        amounts = lease.amounts
        self._chunk = _Chunk(lease, start, until, amounts["requests"], amounts["tokens"], start)

    def _wish(self, now: float, over: Sequence[Used]) -> Ask:
        """Enough for those who wait and, where calls flow, for those who come within the next moment."""
        rates = self._limiter.rates
        if now - self._since >= HOLD_SECONDS:
            self._pace = self._taken / (now - self._since)
            self._taken, self._since = 0, now
        expected = math.ceil(max(self._pace * HOLD_SECONDS, self._taken - len(self._waiting)))
        first: Amounts = self._waiting[0].amounts if self._waiting else {"requests": 1, "tokens": math.ceil(self._size)}
        waiting = sum(place.amounts["tokens"] for place in self._waiting)
        most: dict[Unit, int] = {
            "requests": max(1, len(self._waiting) + expected),
            "tokens": max(first["tokens"], waiting + math.ceil(expected * self._size)),
        }
        least: Amounts = {unit: max(amount, _worthwhile(rates, unit, most[unit])) for unit, amount in first.items()}
        return Ask(rates, least, most, max(HOLD_SECONDS, self._short) if expected else self._short, over)

    def _hand_out(self) -> None:
        chunk, now = self._chunk, self._clock()
        while chunk is not None and self._waiting and chunk.fits(self._waiting[0].amounts, now):
            place = self._waiting.popleft()
            if not place.future.done():
                chunk.take(place.amounts, now)
                place.future.set_result(chunk.until)

    async def _tell(self) -> None:
        if over := tuple(self._over):
            await self._leases.give_back(self._name, over)
            del self._over[: len(over)]

    def _retire(self, now: float) -> None:
        if self._chunk is not None:
            self._over.append(self._chunk.over(now))
            self._chunk = None


def _worthwhile(rates: Iterable[Rate], unit: Unit, wanted: int) -> int:
    """A chunk that is worth waiting for: a rate that is used up would otherwise come back in crumbs."""
    return min([wanted, *(int(rate.most / _PARTS) for rate in rates if rate.unit == unit)])


class SharedLimiter:
    """A process's limiter, whose places it keeps, over a rate that others share."""

    def __init__(self, own: Limiter, rate: SharedRate) -> None:
        self._own, self._rate = own, rate

    async def enter(self, request: Request) -> None:
        """Wait for a place, then for the rates: this process's own, and those of all."""
        await self._own.enter(request)
        if self._own.rates:
            try:
                await self._rate.take(request)
            except BaseException:
                self._own.leave()
                raise

    def leave(self) -> None:
        self._own.leave()


class SharedLimits:
    """The rates that this process shares with the others of a store; of one event loop."""

    def __init__(self, leases: RateLeases) -> None:
        self._leases = leases
        self._rates: dict[str, tuple[Limiter, SharedRate]] = {}

    def over(self, own: Limiter, name: str) -> SharedLimiter:
        """The limiter for what is known to all as `name`."""
        found = self._rates.get(name)
        if found is None or found[0] is not own:
            found = self._rates[name] = (own, SharedRate(name, own, self._leases))
        return SharedLimiter(own, found[1])

    async def aclose(self) -> None:
        """Give back what was leased and not used."""
        for _, rate in self._rates.values():
            await rate.aclose()
