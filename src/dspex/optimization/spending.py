"""How the budget is divided between search and confirmation, and how much work what is left pays for."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace

from dspex.clients.attempt import Attempt
from dspex.clients.budget import Account, Budget, Tally
from dspex.clients.prices import Prices
from dspex.clients.stack import ModelStack
from dspex.errors import BudgetExceededError
from dspex.kernel.ports import LM, NO_USAGE, Capabilities, Completion, Request, Runtime, Usage
from dspex.optimization.booking import less
from dspex.optimization.ports import Ledger
from dspex.optimization.rows import Pair

LIMITS = ("calls", "tokens", "usd")
_MANY = 1_000_000.0
WORTH = 8
"""Evaluations that are worth a part of the budget of their own."""
_SPARE = 1.2
"""A winner may cost more than the seed program."""


class Purse:
    """One budget, opened for one phase after the other. What earlier phases spent stays spent."""

    def __init__(self, budget: Budget, runtime: Runtime, spent: Usage, seconds: float = 0.0) -> None:
        self.budget = budget
        self._runtime = runtime
        self.prices = runtime.lm.policies.prices if isinstance(runtime.lm, ModelStack) else Prices()
        self.unheard = Tally()
        """What may have been billed without an answer since this process has had the purse."""
        self.account = Account(budget, prices=self.prices, spent=spent, seconds=seconds, unheard=self.unheard)
        self._share = 1.0
        self._leeway = 0.0
        self._beside: Account | None = None
        self._beside_share = 0.0

    def open(self, share: float) -> Runtime:
        """The runtime whose calls are paid from `share` of the budget, in 0..1."""
        balance = self.account.balance()
        self._share = share
        spent, seconds = balance.spent, balance.seconds
        self.account = Account(self._part(), prices=self.prices, spent=spent, seconds=seconds, unheard=self.unheard)
        return self._paid_by(self.account)

    def beside(self, share: float, price: Mapping[str, float]) -> Runtime | None:
        """A runtime whose calls are paid from `share` of the budget, apart from what is open; time is everybody's.

        None where that would pay for fewer than `WORTH` evaluations of this price: nothing is set apart then.
        """
        self._beside_share = share
        if _payable(self._part_beside().model_dump(), price) < WORTH:
            return None
        self._beside = Account(self._part_beside(), prices=self.prices, unheard=self.unheard)
        return self._paid_by(self._beside)

    def rebook(self, asked: Usage, beyond: Usage = NO_USAGE) -> None:
        """Count `asked` as what the open phase has spent, and the rest of all that is spent as paid beside it.

        `beyond` is what a later phase has spent already. What the open phase may not spend was paid beside: a round
        that was cut short had asked for guesses of earlier rounds, too. What the part beside cannot hold (a failed
        attempt that was billed is in no row) the open phase bears after all.
        """
        if self._beside is None:
            return
        asked = self._within(less(asked, beyond)) + beyond
        rest = less(self.spent, asked)
        room = self._beside.budget
        over = Usage(
            0 if room.calls is None else max(0, rest.calls - room.calls),
            0 if room.tokens is None else max(0, rest.input_tokens + rest.output_tokens - room.tokens),
            usd=0.0 if room.usd is None else max(0.0, (rest.usd or 0.0) - room.usd),
        )
        self.account.rebook(asked + over)
        self._beside.rebook(less(rest, over))

    def _within(self, asked: Usage) -> Usage:
        """As much of it as the open phase may spend."""
        limits = self.account.budget
        calls = asked.calls if limits.calls is None else min(asked.calls, limits.calls)
        usd = asked.usd if limits.usd is None else min(asked.usd or 0.0, limits.usd)
        spare = 0 if limits.tokens is None else max(0, asked.input_tokens + asked.output_tokens - limits.tokens)
        taken = min(spare, asked.input_tokens)
        return replace(
            asked, calls=calls, usd=usd, input_tokens=asked.input_tokens - taken,
            output_tokens=asked.output_tokens - (spare - taken),
        )  # fmt: skip

    @contextmanager
    def leeway(self, share: float) -> Generator[None]:
        """Within, calls are refused later, by `share` of the budget's tokens and dollars.

        A call reserves more than it takes. Whether the last call of a round is refused for that must not hang on how
        many were begun ahead, and so were paid beside: `admit` says afterwards whether the round was paid for.
        """
        self._leeway = share
        self.account.change(self._part())
        try:
            yield
        finally:
            self._leeway = 0.0
            self.account.change(self._part())

    def admit(self, asked: Usage) -> None:
        """Raises BudgetExceededError where `asked` is more than the open phase may spend.

        The account itself did not refuse it: what was begun ahead is paid beside, and a round has its leeway.
        """
        for name in LIMITS if self._beside is not None else LIMITS[1:]:
            limit = getattr(self.account.budget, name)
            if limit is not None and amount_of(asked, name) > limit:
                raise BudgetExceededError(
                    f"the search's part of the budget of {name} is used up; raise {name} to go on"
                )

    def change(self, budget: Budget) -> None:
        """Another budget; what is reserved and spent stays, calls that wait are looked at again."""
        self.budget = budget
        self.account.change(self._part())
        if self._beside is not None:
            self._beside.change(self._part_beside())

    def _paid_by(self, account: Account) -> Runtime:
        lm = self._runtime.lm
        paid: LM = lm.with_account(account) if isinstance(lm, ModelStack) else Paid(lm, account)
        return replace(self._runtime, lm=paid)

    def _part(self) -> Budget:
        more = {"tokens": self._leeway, "usd": self._leeway}
        limits = {
            name: _portion(limit, self._share + more.get(name, 0.0)) for name, limit in self.budget.model_dump().items()
        }
        return Budget.model_validate(limits)

    def _part_beside(self) -> Budget:
        limits = {name: _portion(getattr(self.budget, name), self._beside_share) for name in LIMITS}
        return Budget.model_validate(limits)

    @property
    def asked(self) -> Usage:
        """What the open phase and those before it have spent."""
        return self.account.balance().spent

    @property
    def spent(self) -> Usage:
        """All of it, what was paid beside included."""
        return self.asked if self._beside is None else self.asked + self._beside.balance().spent

    def left(self, spent: Usage) -> dict[str, float]:
        """What the open phase may still use once `spent` is gone, of all that is limited but time."""
        limits = {name: getattr(self.account.budget, name) for name in LIMITS}
        return {name: max(0, limit - amount_of(spent, name)) for name, limit in limits.items() if limit is not None}

    def affordable(self, price: Mapping[str, float], spent: Usage) -> float:
        """How many evaluations of this price the open phase pays for, once `spent` is gone."""
        found = math.inf
        for name in LIMITS:
            limit = getattr(self.account.budget, name)
            cost = price.get(name, 0.0)
            if limit is not None:
                left = limit - amount_of(spent, name)
                found = min(found, left / cost if left > 0 and cost > 0 else math.inf if left > 0 else 0.0)
        return 0.0 if self.account.balance().left["seconds"] == 0 else found

    def guesses(self, price: Mapping[str, float]) -> int:
        """How many evaluations of this price the part beside still pays for, reservations counted."""
        if self._beside is None:
            return 0
        return _payable(self._beside.balance().left, price)

    def reserved(self, share: float) -> Usage:
        """What may count as spent so that `share` of each limit is left."""
        limits = {name: (getattr(self.account.budget, name) or 0, getattr(self.budget, name) or 0) for name in LIMITS}
        gone = {name: max(0, opened - whole * share) for name, (opened, whole) in limits.items()}
        return Usage(calls=math.ceil(gone["calls"]), input_tokens=math.ceil(gone["tokens"]), usd=gone["usd"])


def _payable(limits: Mapping[str, float | None], price: Mapping[str, float]) -> int:
    """How many evaluations of this price all of the limits allow."""
    found = _MANY
    for name in LIMITS:
        limit, cost = limits[name], price.get(name, 0.0)
        if limit is not None and cost > 0:
            found = min(found, limit / cost)
    return int(found)


async def price_of(ledger: Ledger, pairs: Iterable[Pair]) -> dict[str, float]:
    """The mean that these evaluations consumed, by the limits of a budget; those without a score are left out.

    What was answered from memory alone says nothing of the price of the next one, so it counts only where nothing else
    is there, and then for what it took when it was bought.
    """
    rows = [row.usage for pair in pairs if (row := await ledger.read(pair)) is not None]
    bought = [usage for usage in rows if usage.calls] or [as_bought(usage) for usage in rows]
    used = sum(bought, NO_USAGE)
    return {name: amount_of(used, name) / len(bought) for name in LIMITS} if bought else {}


def as_bought(usage: Usage) -> Usage:
    """As if nothing of it had been answered from memory."""
    known = usage.usd is not None and usage.saved_usd is not None
    return Usage(
        usage.calls + usage.cached_calls,
        usage.input_tokens + usage.saved_tokens,
        usage.output_tokens,
        (usage.usd or 0.0) + (usage.saved_usd or 0.0) if known else None,
    )


class Paid:
    """An `LM` that is no stack, every call of it paid from an account."""

    def __init__(self, lm: LM, account: Account) -> None:
        self.account, self._lm = account, lm
        self._call = Attempt(account, None, Prices()).around(lm.complete)

    async def complete(self, request: Request) -> Completion:
        return await self._call(request)

    def capabilities(self, model: str) -> Capabilities:
        return self._lm.capabilities(model)

    async def aclose(self) -> None:
        """Its owner closes the model."""


def reserved_share(budget: Budget, price: Mapping[str, float], confirm: int, most: float) -> float:
    """The share of the budget to keep for confirming on `confirm` examples, two programs each, in 0..most.

    `price` is that of the seed program; where it is 0 or unknown, all of `most` is kept.
    """
    shares = [0.0]
    for name, limit in budget.model_dump().items():
        if limit:
            cost = price.get(name, 0.0)
            shares.append(2 * confirm * _SPARE * cost / limit if cost > 0 else most)
    return min(most, max(shares))


def _portion(limit: float | None, share: float) -> float | None:
    if limit is None:
        return None
    return int(limit * share) if isinstance(limit, int) else limit * share


def amount_of(usage: Usage, name: str) -> float:
    """What a limit of a budget counts of a usage."""
    if name == "calls":
        return usage.calls
    return usage.input_tokens + usage.output_tokens if name == "tokens" else usage.usd or 0.0
