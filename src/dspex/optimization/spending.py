"""How the budget is divided between search and confirmation, and how much work what is left pays for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dspex.clients.attempt import Attempt
from dspex.clients.budget import Account, Budget
from dspex.clients.prices import Prices
from dspex.clients.stack import ModelStack
from dspex.kernel.ports import LM, NO_USAGE, Capabilities, Completion, Request, Runtime, Usage
from dspex.optimization.ports import Ledger, Pair

LIMITS = ("calls", "tokens", "usd")
_SPARE = 1.2
"""A winner may cost more than the seed program."""


class Purse:
    """One budget, opened for one phase after the other. What earlier phases spent stays spent."""

    def __init__(self, budget: Budget, runtime: Runtime, spent: Usage, seconds: float = 0.0) -> None:
        self.budget = budget
        self._runtime = runtime
        self._prices = runtime.lm.policies.prices if isinstance(runtime.lm, ModelStack) else Prices()
        self.account = Account(budget, prices=self._prices, spent=spent, seconds=seconds)
        self._share = 1.0

    def open(self, share: float) -> Runtime:
        """The runtime whose calls are paid from `share` of the budget, in 0..1."""
        balance = self.account.balance()
        self._share = share
        self.account = Account(self._part(), prices=self._prices, spent=balance.spent, seconds=balance.seconds)
        lm = self._runtime.lm
        paid: LM = lm.with_account(self.account) if isinstance(lm, ModelStack) else Paid(lm, self.account)
        return replace(self._runtime, lm=paid)

    def change(self, budget: Budget) -> None:
        """Another budget; what is reserved and spent stays, calls that wait are looked at again."""
        self.budget = budget
        self.account.change(self._part())

    def _part(self) -> Budget:
        limits = {name: _portion(limit, self._share) for name, limit in self.budget.model_dump().items()}
        return Budget.model_validate(limits)

    @property
    def spent(self) -> Usage:
        return self.account.balance().spent

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

    def reserved(self, share: float) -> Usage:
        """What may count as spent so that `share` of each limit is left."""
        limits = {name: getattr(self.budget, name) or 0 for name in LIMITS}
        gone = {name: limit - limit * share for name, limit in limits.items()}
        return Usage(calls=math.ceil(gone["calls"]), input_tokens=math.ceil(gone["tokens"]), usd=gone["usd"])


async def price_of(ledger: Ledger, pairs: Iterable[Pair]) -> dict[str, float]:
    """The mean that these evaluations consumed, by the limits of a budget; those without a score are left out."""
    rows = [row for pair in pairs if (row := await ledger.read(pair)) is not None]
    used = sum((row.usage for row in rows), NO_USAGE)
    return {name: amount_of(used, name) / len(rows) for name in LIMITS} if rows else {}


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

    `price` is that of the seed program; where it is 0 or unknown, as when it was answered from memory, all of `most`
    is kept.
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
