"""One attempt at a call: reserve, wait for a place, send, settle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dspex.clients.prices import Prices
from dspex.clients.retry import Call
from dspex.errors import LMError
from dspex.kernel.ports import BudgetAccount, Completion, Request, Reservation, Usage
from dspex.kernel.quick import quick

_completion = quick(Completion)


class Gate(Protocol):
    """What a call goes through to the wire: a limiter. `leave` follows every `enter` that returned."""

    async def enter(self, request: Request) -> None: ...

    def leave(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """The layer around the wire. Every attempt reserves from `account`; a place of `limiter` is held while it is sent.

    What was reserved is given back where nothing can have been billed: it was not sent, or the server refused it. A
    timeout, a broken connection, half an answer or a cancellation may have been billed and counts in full.
    """

    account: BudgetAccount | None
    limiter: Gate | None
    prices: Prices

    def around(self, call: Call) -> Call:
        account, limiter, prices = self.account, self.limiter, self.prices

        async def on_the_wire(request: Request) -> Completion:
            if limiter is not None:
                try:
                    completion = await call(request)
                finally:
                    limiter.leave()
            else:
                completion = await call(request)
            if completion.usage.usd is None:
                return _priced(completion, prices.priced(request.model, completion.usage))
            return completion

        async def unaccounted(request: Request) -> Completion:
            if limiter is not None:
                await limiter.enter(request)
            return await on_the_wire(request)

        async def accounted(request: Request) -> Completion:
            assert account is not None
            reservation = await account.reserve(request)
            sent = False
            try:
                if limiter is not None:
                    await limiter.enter(request)
                sent = True
                completion = await on_the_wire(request)
            except BaseException as error:
                _conclude(account, reservation, error, sent)
                raise
            account.settle(reservation, completion.usage)
            return completion

        return unaccounted if account is None else accounted


def _priced(completion: Completion, usage: Usage) -> Completion:
    # As dataclasses.replace would, several times quicker.
    return _completion(
        completion.text, completion.finish_reason, usage, completion.model, completion.tool_calls, completion.cached
    )


def _conclude(account: BudgetAccount, reservation: Reservation, error: BaseException, sent: bool) -> None:
    billed = error.billed if isinstance(error, LMError) else True
    if sent and billed:
        account.settle(reservation, None)
    else:
        account.release(reservation)
