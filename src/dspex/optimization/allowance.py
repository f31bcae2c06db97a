"""A model for one evaluation alone: what its calls may take is set beforehand, whoever else is evaluated meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dspex.clients.budget import Account, Budget
from dspex.clients.prices import Prices
from dspex.errors import ConfigurationError
from dspex.kernel.ports import LM, Capabilities, Completion, Request, Reservation, Runtime, Usage
from dspex.kernel.program import Program
from dspex.kernel.variables import Variable
from dspex.optimization.spending import amount_of, as_bought

Amounts = Mapping[str, float]
"""By the limits of a budget: calls, tokens, usd."""
_ROOM = 2
"""Another evaluation may take so many times what the dearest took: a prompt is reserved for by a bound."""


class Allowance:
    """An `LM` that refuses a call which may take more than is left of its amounts: with a BudgetExceededError.

    An answer out of memory counts for what it took when it was bought. So it hangs on the evaluation alone whether it
    stays within, and not on who asked first or on what a process had heard before it was killed. For the same reason
    calls that the evaluation makes side by side are made one after the other. The runtime's own account pays, as ever.
    """

    def __init__(self, lm: LM, amounts: Amounts, prices: Prices) -> None:
        whole = {name: amount if name == "usd" else int(amount) for name, amount in amounts.items()}
        self.within, self._account = lm, Account(Budget.model_validate(whole), prices=prices)
        self._turn = asyncio.Lock()

    async def complete(self, request: Request) -> Completion:
        async with self._turn:
            return await self._completed(request)

    async def _completed(self, request: Request) -> Completion:
        reservation = await self._reserved(request)
        try:
            completion = await self.within.complete(request)
        except BaseException:
            self._account.release(reservation)  # the account that pays knows what may have been billed
            raise
        self._account.settle(reservation, as_bought(completion.usage))
        return completion

    async def _reserved(self, request: Request) -> Reservation:
        try:
            return await self._account.reserve(request)
        except ConfigurationError:
            return Reservation(0, 0, 0.0)  # no bound can be told: it may be in memory; else the account says what lacks

    def capabilities(self, model: str) -> Capabilities:
        return self.within.capabilities(model)

    async def aclose(self) -> None:
        """Its owner closes the model."""


def allotted(amounts: Amounts, prices: Prices, runtime: Runtime) -> Runtime:
    """The runtime for one evaluation that may take no more than this; without amounts, the runtime itself."""
    return replace(runtime, lm=Allowance(runtime.lm, amounts, prices)) if amounts else runtime


def ample(usages: Iterable[Usage], programs: Iterable[Program], runtime: Runtime, prices: Prices) -> dict[str, float]:
    """What another evaluation of these programs will hardly pass, its reservations counted, given what some took.

    It is a guess: a judge's longest answer, or that of a module which calls models by itself, is not known here.
    """
    spent = [as_bought(usage) for usage in usages]
    found = {name: max((amount_of(usage, name) for usage in spent), default=0.0) for name in ("calls", "tokens", "usd")}
    answers = [_longest(program, runtime, prices) for program in programs]
    found["tokens"] = _ROOM * found["tokens"] + max((tokens for tokens, _ in answers), default=0.0)
    found["usd"] = _ROOM * found["usd"] + max((usd for _, usd in answers), default=0.0)
    return found


def _longest(program: Program, runtime: Runtime, prices: Prices) -> tuple[float, float]:
    """Tokens and dollars of the longest answers of all steps."""
    tokens, usd, values = 0, 0.0, program.values
    for path, step in program.walk():
        given = {
            name: values.get(f"{path}.{name}") if isinstance(value, Variable) else value
            for name, value in step.options.items()
        }
        most, price = given.get("max_tokens"), prices.of(str(given.get("model") or runtime.model))
        if isinstance(most, int):
            tokens += most
            usd += 0.0 if price is None else price.usd(0, most)
    return float(tokens), usd
