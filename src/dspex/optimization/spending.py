"""How the budget is divided between search and confirmation, and how much work what is left pays for."""

from __future__ import annotations

import math
from dataclasses import replace

from dspex.clients.attempt import Attempt
from dspex.clients.budget import Account, Budget
from dspex.clients.prices import Prices
from dspex.clients.stack import ModelStack
from dspex.errors import ConfigurationError
from dspex.kernel.ports import LM, NO_USAGE, Capabilities, Completion, Request, Runtime, Usage
from dspex.optimization.ports import Ledger

LIMITS = ("calls", "tokens", "usd")
_SPARE = 1.2
"""A winner may cost more than the seed program."""


class Purse:
    """One budget, opened for one phase after the other. What earlier phases spent stays spent."""

    def __init__(self, budget: Budget, runtime: Runtime, spent: Usage) -> None:
        if all(value is None for value in budget.model_dump().values()):
            raise ConfigurationError("the budget has no limit; set at least one: calls=, tokens=, usd= or seconds=")
        self.budget = budget
        self._runtime = runtime
        self._prices = runtime.lm.policies.prices if isinstance(runtime.lm, ModelStack) else Prices()
        self.account = Account(budget, prices=self._prices, spent=spent)

    def open(self, share: float) -> Runtime:
        """The runtime whose calls are paid from `share` of the budget, in 0..1."""
        balance = self.account.balance()
        limits = {name: _portion(limit, share) for name, limit in self.budget.model_dump().items()}
        part = Budget.model_validate(limits)
        self.account = Account(part, prices=self._prices, spent=balance.spent, seconds=balance.seconds)
        lm = self._runtime.lm
        paid: LM = lm.with_account(self.account) if isinstance(lm, ModelStack) else _Paid(lm, self.account)
        return replace(self._runtime, lm=paid)

    @property
    def spent(self) -> Usage:
        return self.account.balance().spent

    def affordable(self, ledger: Ledger) -> float:
        """How many evaluations at the mean price so far the open share still pays for."""
        proposing = sum((item.usage for item in ledger.rounds), NO_USAGE)
        left = self.account.balance().left
        if left["seconds"] == 0:
            return 0
        found = math.inf
        for name in LIMITS:
            amount = left[name]
            price = (_amount(ledger.usage, name) - _amount(proposing, name)) / max(1, ledger.evaluated)
            if amount is not None and price > 0:
                found = min(found, amount / price)
            elif amount == 0:
                return 0
        return found


class _Paid:
    """An `LM` that is no stack, every call of it paid from an account."""

    def __init__(self, lm: LM, account: Account) -> None:
        self._lm = lm
        self._call = Attempt(account, None, Prices()).around(lm.complete)

    async def complete(self, request: Request) -> Completion:
        return await self._call(request)

    def capabilities(self, model: str) -> Capabilities:
        return self._lm.capabilities(model)

    async def aclose(self) -> None:
        """Its owner closes the model."""


def reserved_share(budget: Budget, seen: Usage, evaluations: int, confirm: int, most: float) -> float:
    """The share of the budget to keep for confirming on `confirm` examples, two programs each, in 0..most.

    `seen` is what the first `evaluations` of the seed program consumed; where they were answered from memory their
    price is unknown, and the whole of `most` is kept.
    """
    if seen.cached_calls or not evaluations:
        return most
    shares = [0.0]
    for name in LIMITS:
        limit = getattr(budget, name)
        if limit:
            shares.append(2 * confirm * _SPARE * _amount(seen, name) / evaluations / limit)
    if budget.seconds is not None:
        shares.append(most)
    return min(most, max(shares))


def _portion(limit: float | None, share: float) -> float | None:
    if limit is None:
        return None
    return int(limit * share) if isinstance(limit, int) else limit * share


def _amount(usage: Usage, name: str) -> float:
    if name == "calls":
        return usage.calls
    return usage.input_tokens + usage.output_tokens if name == "tokens" else usage.usd or 0.0
