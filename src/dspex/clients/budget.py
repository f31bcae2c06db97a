"""What may be spent, and the account that keeps it: reserve before every attempt, settle after."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import RLock

from pydantic import BaseModel, ConfigDict, Field

from dspex.clients.prices import PRICES_DATE, Prices
from dspex.clients.tokens import answer_tokens, prompt_tokens
from dspex.clients.waking import Waiter, waiter, wake
from dspex.errors import BudgetExceededError, ConfigurationError
from dspex.kernel.ports import NO_USAGE, Request, Reservation, Usage


class Budget(BaseModel):
    """The most that may be spent. None: no limit. All that are set are kept together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: int | None = Field(default=None, ge=0)
    """Attempts that reached a model; answers from memory are free."""
    tokens: int | None = Field(default=None, ge=0)
    """Of prompts and answers together."""
    usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """From the opening of the account; the calls then under way are still awaited."""


@dataclass(frozen=True, slots=True)
class Balance:
    """An account at one moment. `None` in `left`: no limit."""

    budget: Budget
    spent: Usage
    reserved: Reservation
    seconds: float

    @property
    def left(self) -> dict[str, float | None]:
        """What a new call may still use, by the names of the budget."""
        budget, spent, reserved = self.budget, self.spent, self.reserved
        tokens = spent.input_tokens + spent.output_tokens + reserved.tokens
        return {
            "calls": None if budget.calls is None else max(0, budget.calls - spent.calls - reserved.calls),
            "tokens": None if budget.tokens is None else max(0, budget.tokens - tokens),
            "usd": None if budget.usd is None else max(0.0, budget.usd - (spent.usd or 0.0) - reserved.usd),
            "seconds": None if budget.seconds is None else max(0.0, budget.seconds - self.seconds),
        }


@dataclass(slots=True)
class Tally:
    """Running sums, cheap to add to."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def add(self, usage: Usage) -> None:
        """Count it, too; an unknown price adds no dollars."""
        self.calls += usage.calls
        self.tokens += usage.input_tokens + usage.output_tokens
        self.usd += usage.usd or 0.0


NOTHING = Tally()
ONE_CALL = Reservation()


class Account:
    """Keeps a `Budget`. Implements `BudgetAccount`; safe on several event loops and threads.

    `spent` and `seconds` are what an earlier account of the same work had used, for work that is carried on.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        prices: Prices | None = None,
        spent: Usage = NO_USAGE,
        seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        unheard: Tally | None = None,
    ) -> None:
        self.budget = budget
        self.unheard = unheard or Tally()
        """Of what is spent, what may have been billed without an answer: no other record says so. Given, it is added
        to."""
        self._prices = prices or Prices()
        self._clock, self._start = clock, clock() - seconds
        self._measured = budget.tokens is not None or budget.usd is not None
        self._lock = RLock()
        self._waiting: list[Waiter] = []
        self._held = Tally()
        self.rebook(spent)

    def change(self, budget: Budget) -> None:
        """Another budget from now on; calls that wait for a place in the old one are looked at again."""
        with self._lock:
            self.budget = budget
            self._measured = budget.tokens is not None or budget.usd is not None
            self._wake()

    def rebook(self, spent: Usage) -> None:
        """Count this as spent, whatever was counted before; reservations stay."""
        with self._lock:
            self._used = Tally(spent.calls, spent.input_tokens + spent.output_tokens, spent.usd or 0.0)
            self._cached = spent.cached_calls
            self._answered, self._retries, self._priced = spent.output_tokens, spent.retries, spent.usd is not None
            self._wake()

    def balance(self) -> Balance:
        """What is spent, reserved and left now."""
        with self._lock:
            used, held = self._used, self._held
            asked, usd = used.tokens - self._answered, used.usd if self._priced else None
            spent = Usage(used.calls, asked, self._answered, usd, self._cached, self._retries)
            reserved = Reservation(held.calls, held.tokens, held.usd)
            return Balance(self.budget, spent, reserved, self._clock() - self._start)

    def check(self, request: Request) -> Reservation:
        """The most that one attempt of `request` can cost: `bound`, by this budget."""
        return bound(request, self.budget, self._prices) if self._measured else ONE_CALL

    async def reserve(self, request: Request) -> Reservation:
        """Set aside what `check` says, waiting while only the reservations of others stand in the way."""
        reservation = self.check(request) if self._measured else ONE_CALL
        while True:
            with self._lock:
                if self._obstacle(reservation, self._held) is None:
                    self._hold(reservation, 1)
                    return reservation
                if (limit := self._obstacle(reservation, NOTHING)) is not None:
                    raise BudgetExceededError(self._refusal(limit, request, reservation))
                place = waiter()
                self._waiting.append(place)
            await place

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        heard, usage = usage is not None, most(reservation) if usage is None else usage
        with self._lock:
            if not heard:
                self.unheard.add(usage)
            self._used.add(usage)
            self._answered += usage.output_tokens
            self._retries += usage.retries
            self._priced = self._priced and usage.usd is not None
            self._hold(reservation, -1)

    def release(self, reservation: Reservation) -> None:
        with self._lock:
            self._hold(reservation, -1)

    def _hold(self, reservation: Reservation, sign: int) -> None:
        held = self._held
        held.calls += sign * reservation.calls
        held.tokens += sign * reservation.tokens
        # Sums of fractions drift; when nothing is reserved, it is exactly nothing.
        held.usd = held.usd + sign * reservation.usd if held.calls else 0.0
        if sign < 0 and self._waiting:
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for place in waiting:
            wake(place)

    def _obstacle(self, wanted: Reservation, held: Tally) -> str | None:
        """The limit that `wanted` would pass beside what is spent and what is held; None: it fits."""
        budget, used = self.budget, self._used
        if budget.calls is not None and used.calls + held.calls + wanted.calls > budget.calls:
            return "calls"
        if budget.tokens is not None and used.tokens + held.tokens + wanted.tokens > budget.tokens:
            return "tokens"
        if budget.usd is not None and used.usd + held.usd + wanted.usd > budget.usd:
            return "usd"
        if budget.seconds is not None and self._clock() - self._start >= budget.seconds:
            return "seconds"
        return None

    def _refusal(self, limit: str, request: Request, wanted: Reservation) -> str:
        used = self._used
        if limit == "seconds":
            return f"the budget of {self.budget.seconds:g} seconds is used up; raise seconds to go on"
        if limit == "calls":
            return f"the budget of {self.budget.calls} calls is used up; raise calls to go on"
        if limit == "tokens":
            return (
                f"the next call to {request.model} may take {wanted.tokens} tokens, and of the budget of "
                f"{self.budget.tokens} {used.tokens} are spent; raise tokens, or lower max_tokens"
            )
        return (
            f"the next call to {request.model} may cost ${wanted.usd:.6f}, and of the budget of "
            f"${self.budget.usd:g} ${used.usd:.6f} is spent; raise usd, or lower max_tokens"
        )


def bound(request: Request, budget: Budget, prices: Prices) -> Reservation:
    """The most that one attempt of `request` can cost, in what `budget` limits.

    Raises ConfigurationError where that cannot be told: a budget of dollars over an unknown price, or one of dollars or
    tokens without a limit on the answer. Ask before work starts, to refuse before anything is paid.
    """
    if budget.tokens is None and budget.usd is None:
        return ONE_CALL
    price = prices.of(request.model)
    if budget.usd is not None and price is None:
        raise ConfigurationError(
            f"a budget in dollars needs the price of {request.model}, which the table of {PRICES_DATE} does not "
            "have: set it (prices: input and output, dollars for a million tokens), or limit calls or tokens"
        )
    answer = answer_tokens(request)
    if answer is None and (budget.tokens is not None or (price is not None and price.output > 0)):
        unit = "tokens" if budget.tokens is not None else "dollars"
        raise ConfigurationError(
            f"a budget in {unit} needs a limit on each answer, or one call could overspend it: "
            f"set max_tokens for {request.model}"
        )
    asked = prompt_tokens(request)
    return Reservation(1, asked + (answer or 0), 0.0 if price is None else price.usd(asked, answer or 0))


def at_most(request: Request, prices: Prices) -> tuple[int | None, float | None]:
    """Tokens and dollars that one attempt of `request` can take at most, whatever is limited; None: nobody can tell."""
    price, asked, answer = prices.of(request.model), prompt_tokens(request), answer_tokens(request)
    if answer is None:
        return None, price.usd(asked, 0) if price is not None and price.output == 0 else None
    return asked + answer, None if price is None else price.usd(asked, answer)


def most(reservation: Reservation) -> Usage:
    """What an attempt that may have been billed is taken to have used: all that was reserved for it."""
    return replace(NO_USAGE, calls=reservation.calls, input_tokens=reservation.tokens, usd=reservation.usd)
