"""A budget that several runs keep together: a part of it is held by each process, and spent there call by call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from dspex.clients.budget import ONE_CALL, Budget, bound, most
from dspex.clients.budget_shares import DRIFT, NOTHING, VALID_SECONDS, BudgetShares, Claim, Sums, limited
from dspex.clients.elapsed import elapsed
from dspex.clients.prices import Prices
from dspex.errors import ConfigurationError, DspexError, SharedBudgetError
from dspex.kernel.ports import BudgetAccount, Request, Reservation, Usage

TEND_SECONDS = 2.0
"""So often a process says what it has spent, and gives back what it does not need."""
_AGAIN_SECONDS = 0.25
_A_CALL = Sums(calls=1)
FREE = Reservation(0, 0, 0.0)
"""Of a call that nothing had to be reserved for."""


@dataclass(slots=True)
class _Place:
    request: Request
    wanted: Reservation
    future: asyncio.Future[None]


class SharedAccount:
    """A `BudgetAccount` over a share, for one event loop. Free of cost where nothing is shared.

    Where the next call does not fit what is left for all, `reserve` raises SharedBudgetError; while only what others
    hold stands in the way it waits for them to give it back.
    """

    def __init__(
        self,
        shares: BudgetShares,
        prices: Prices | None = None,
        *,
        clock: Callable[[], float] = elapsed,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shares, self._prices, self._clock, self._sleep = shares, prices or Prices(), clock, sleep
        self.budget: Budget | None = None
        self._spent, self._reserved, self._left = NOTHING, NOTHING, NOTHING
        self._unheard, self._told = NOTHING, NOTHING
        self._low = NOTHING
        self._valid = 0.0
        self._active, self._frozen, self._looking = False, False, False
        self._waiting: deque[_Place] = deque()
        self._claiming: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin: what the run has spent is told from its rows."""
        await self._look()
        self._tending = asyncio.create_task(self._tend())

    async def aclose(self) -> None:
        """Say what was spent, and give the rest back. Raises StorageError; the rest then expires."""
        for task in (self._tending, self._claiming):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self.budget is not None:
            await self._shares.claim(Claim(self._spent, self._reserved, unheard=self._unheard))

    async def reserve(self, request: Request) -> Reservation:
        if self.budget is None:
            return FREE
        wanted = _bound(request, self.budget, self._prices)
        sums = _sums(wanted)
        self._active = True
        # A sending that was not heard of is told to the store before anything is sent after it: a row says of a call
        # only that it was sent last, and would say no more if the process died.
        told = self._unheard == self._told
        ready = told and not self._frozen and not self._waiting and self._clock() < self._valid
        if ready and sums.within(self._left, self.budget):
            self._hold(sums)
            if not self._low.within(self._left, self.budget):
                self._claim()  # ahead of need
            return wanted
        place = _Place(request, wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        self._claim()
        try:
            await place.future
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not place.future.cancelled() and place.future.exception() is None:
                self.release(wanted)
            raise
        return wanted

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        if reservation is FREE and self.budget is None and not self._looking:
            return
        heard, usage = usage is not None, most(reservation) if usage is None else usage
        used = Sums(usage.calls, usage.input_tokens + usage.output_tokens, usage.usd or 0.0)
        self._spent += used
        if not heard:
            self._unheard += used
        self._left -= used
        self.release(reservation)

    def release(self, reservation: Reservation) -> None:
        sums = _sums(reservation)
        self._reserved -= sums
        self._left += sums

    def _hold(self, sums: Sums) -> None:
        self._reserved += sums
        self._left -= sums

    def _claim(self, *, keep: bool = True) -> None:
        if self._claiming is None:
            self._claiming = asyncio.create_task(self._serve(keep))

    async def _serve(self, keep: bool) -> None:
        """Claim once, and again until nobody waits."""
        try:
            while True:
                await self._renew(keep)
                self._hand_out()
                if not self._waiting:
                    return
                await self._sleep(_AGAIN_SECONDS)
        except Exception as error:  # where nobody waits, the next that has to will hear of it
            waiting, self._waiting = self._waiting, deque()
            for place in waiting:
                if not place.future.done():
                    place.future.set_exception(error)
        finally:
            self._claiming = None

    async def _renew(self, keep: bool) -> None:
        """Say what is spent, and what is kept: with what is left here, or where that is not enough or not needed,
        without it. Then nobody may take of it until the answer is there."""
        asked, spent, unheard = self._clock(), self._spent, self._unheard
        wanted = _sums(self._waiting[0].wanted) if self._waiting else _A_CALL if keep else NOTHING
        self._frozen = bool(self._waiting) or not keep
        spare = NOTHING if self._frozen else self._left
        if self._frozen:
            self._left = NOTHING  # also where no answer comes: the store may have heard
        try:
            share = await self._shares.claim(Claim(spent, self._reserved, wanted, spare, unheard))
        finally:
            self._frozen = False
        self.budget, self._told = share.budget, unheard
        self._left = share.held - (self._spent - spent) - self._reserved
        self._low = Sums(self._left.calls // 4, self._left.tokens // 4, self._left.usd / 4)
        self._valid = asked + VALID_SECONDS
        if share.budget is not None and self._waiting:
            _check(share.budget, share.spent, self._waiting[0])

    def _hand_out(self) -> None:
        """To those who wait, unless the answer came so late that it may have been taken away again."""
        if self.budget is not None and (self._clock() >= self._valid or self._unheard != self._told):
            return
        while self._waiting and (self.budget is None or _sums(self._waiting[0].wanted).within(self._left, self.budget)):
            place = self._waiting.popleft()
            if not place.future.done():
                self._hold(_sums(place.wanted))
                place.future.set_result(None)

    async def _tend(self) -> None:
        """Tell now and then what was spent, and give back what nobody came for; see whether a budget is shared now."""
        while True:
            await self._sleep(TEND_SECONDS)
            active, self._active = self._active, False
            if self.budget is None:
                with suppress(DspexError):  # a store that is gone shows elsewhere
                    await self._look()
            elif active or self._left != NOTHING or self._reserved != NOTHING:
                self._claim(keep=active)

    async def _look(self) -> None:
        self._looking, spent, unheard = True, self._spent, self._unheard
        try:
            share = await self._shares.open()
        finally:
            self._looking = False
        self.budget, self._spent, self._left = share.budget, share.own + (self._spent - spent), NOTHING - self._reserved
        self._unheard, self._told = share.unheard + (self._unheard - unheard), share.unheard


def _check(budget: Budget, spent: Sums, first: _Place) -> None:
    """Raise SharedBudgetError where the first that waits can never go."""
    wanted = _sums(first.wanted)
    for unit in limited(budget):
        limit, gone, more = (getattr(item, unit) for item in (budget, spent, wanted))
        if gone + more > limit + DRIFT:
            raise SharedBudgetError(_refusal(unit, limit, gone, more, first.request.model))


def _bound(request: Request, budget: Budget, prices: Prices) -> Reservation:
    """The most that it can take. Raises SharedBudgetError where nobody can tell: the run began before this budget was
    set, and rests."""
    try:
        return bound(request, budget, prices)
    except ConfigurationError as error:
        raise SharedBudgetError(
            "the budget that all runs of the store share was set after this run was made, which cannot keep it: "
            f"{error}. Set one in calls (`dspex db budget --calls N`) or none (`dspex db budget --none`), and resume "
            "the run; or fork it, where all its steps have a limit: the proposals of a fork get one; or begin another"
        ) from error


def _sums(reservation: Reservation) -> Sums:
    return Sums(reservation.calls, reservation.tokens, reservation.usd)


def _refusal(unit: str, limit: float, spent: float, wanted: float, model: str) -> str:
    if unit == "usd":
        said = f"${spent:.6f} of ${limit:g} is spent, and the next call to {model} may cost ${wanted:.6f}"
    elif unit == "tokens":
        said = f"{spent:,} of {limit:,} tokens are spent, and the next call to {model} may take {wanted:,}"
    else:
        said = f"{spent:,} of {limit:,} calls are made"
    return (
        f"the budget that all runs of the store share is used up: {said}. "
        f"Set another with `dspex db budget --{unit} N`, and resume the run"
    )


@dataclass(frozen=True, slots=True)
class _Both(Reservation):
    own: Reservation = ONE_CALL
    shared: Reservation = ONE_CALL


@dataclass(frozen=True, slots=True)
class Joint:
    """Two accounts as one: every attempt is reserved in both."""

    own: BudgetAccount
    shared: BudgetAccount

    async def reserve(self, request: Request) -> Reservation:
        own = await self.own.reserve(request)
        try:
            shared = await self.shared.reserve(request)
        except BaseException:
            self.own.release(own)
            raise
        return _Both(own.calls, own.tokens, own.usd, own, shared)

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        assert isinstance(reservation, _Both)
        self.own.settle(reservation.own, usage)
        self.shared.settle(reservation.shared, usage)

    def release(self, reservation: Reservation) -> None:
        assert isinstance(reservation, _Both)
        self.own.release(reservation.own)
        self.shared.release(reservation.shared)
