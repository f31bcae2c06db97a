"""A model of models: routes `provider/name` to its client, with memory, budget, retry and limits around each call.

Around a call, outermost first: the call store with single flight, retry, and then for every attempt the budget, the
limiter and the wire. Each layer is a record with a method `around(call) -> call`; `composed` applies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from dspex.clients.attempt import Attempt, Gate
from dspex.clients.pool import ClientPool
from dspex.clients.prices import Prices
from dspex.clients.retry import Call, Retry
from dspex.clients.shared_budget import Joint
from dspex.clients.shared_limiter import SharedLimits
from dspex.clients.single_flight import Flight, Remember
from dspex.errors import ConfigurationError
from dspex.kernel.ports import BudgetAccount, CallStore, Capabilities, Completion, Request


class Layer(Protocol):
    """Something wrapped around a call."""

    def around(self, call: Call) -> Call: ...


def composed(wire: Call, layers: Sequence[Layer]) -> Call:
    """`wire` within `layers`, the first of them outermost."""
    call = wire
    for layer in reversed(layers):
        call = layer.around(call)
    return call


@dataclass(frozen=True, slots=True)
class Policies:
    """What is wrapped around every call. None: without."""

    store: CallStore | None = None
    account: BudgetAccount | None = None
    retry: Retry = field(default_factory=Retry)
    prices: Prices = field(default_factory=Prices)
    sharing: SharedLimits | None = None
    """Rates that are kept together with other processes ..."""
    shared: BudgetAccount | None = None
    """... and a budget."""


class ModelStack:
    """An `LM` over a pool of clients. `aclose` closes the pool and the store; views made from it own nothing."""

    def __init__(self, clients: ClientPool, policies: Policies | None = None) -> None:
        self.clients = clients
        self.policies = policies or Policies()
        self._flights: dict[str, Flight] = {}
        self._calls: dict[str, Call] = {}
        self._owner = True

    async def complete(self, request: Request) -> Completion:
        call = self._calls.get(request.model)
        if call is None:
            call = self._calls[request.model] = self._composed(request.model)
        return await call(request)

    def capabilities(self, model: str) -> Capabilities:
        """What `model`'s server offers. Raises UnknownNameError for its provider, AuthenticationError without a key."""
        return self.clients.get(provider_of(model)).lm.capabilities(model)

    def check(self, model: str) -> None:
        """Raise what would keep the first call to `model` from being sent; nothing is sent."""
        self.clients.get(provider_of(model))

    def with_account(self, account: BudgetAccount | None) -> ModelStack:
        """The same models with another account; clients, limits, store and calls in flight are shared."""
        return self._view(replace(self.policies, account=account), self._flights)

    def with_store(self, store: CallStore | None) -> ModelStack:
        """The same models with another memory of calls, which stays its owner's to close."""
        return self._view(replace(self.policies, store=store), {})

    def with_sharing(self, sharing: SharedLimits, shared: BudgetAccount) -> ModelStack:
        """The same models, with rates and a budget that other processes keep too."""
        return self._view(replace(self.policies, sharing=sharing, shared=shared), self._flights)

    async def aclose(self) -> None:
        if not self._owner:
            return
        await self.clients.aclose()
        if self.policies.store is not None:
            await self.policies.store.aclose()

    def _view(self, policies: Policies, flights: dict[str, Flight]) -> ModelStack:
        view = ModelStack(self.clients, policies)
        view._flights, view._owner = flights, False
        return view

    def _composed(self, model: str) -> Call:
        policies = self.policies
        client = self.clients.get(provider_of(model))
        limiter: Gate | None = client.limiter
        if policies.sharing is not None and client.limiter is not None:
            limiter = policies.sharing.over(client.limiter, client.shared_as)
        account = policies.account
        if account is not None and policies.shared is not None:
            account = Joint(account, policies.shared)
        layers: list[Layer] = [policies.retry, Attempt(account, limiter, policies.prices)]
        if policies.store is not None:
            layers.insert(0, Remember(policies.store, self._flights))
        return composed(client.lm.complete, layers)


def provider_of(model: str) -> str:
    """`openai` of `openai/gpt-5-mini`. Raises ConfigurationError for a name of another form."""
    provider, slash, name = model.partition("/")
    if not (provider and slash and name):
        raise ConfigurationError(f"model {model!r}: write it as provider/name, for example 'openai/gpt-5-mini'")
    return provider
