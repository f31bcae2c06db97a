"""Trying again: which failures, how often, and after how long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dspex.errors import LMError
from dspex.kernel.ports import Completion, Event, Observer, Request

Call = Callable[[Request], Coroutine[Any, Any, Completion]]
Sleep = Callable[[float], Awaitable[None]]


class RetryPolicy(BaseModel):
    """How often and how patiently a failed call is sent again. Seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attempts: int = Field(default=6, ge=1)
    """How many times a call is sent at most, the first included."""
    base: float = Field(default=0.5, ge=0)
    """About how long the second attempt waits; each further one waits twice as long."""
    longest: float = Field(default=60.0, ge=0)
    """No wait is longer. A server that asks for more than this is not waited for."""

    def wait(self, attempt: int, error: LMError, chance: float) -> float | None:
        """Seconds to wait after failed attempt number `attempt`; None: do not try again.

        `chance` in 0..1 spreads the waits, so that calls that failed together do not come back together. A
        Retry-After is kept in full, and spread beyond it.
        """
        if not error.transient or attempt >= self.attempts:
            return None
        if error.retry_after is not None:
            return error.retry_after + chance * self.base if error.retry_after <= self.longest else None
        return min(self.longest, self.base * 2.0 ** min(attempt - 1, 60)) * (0.5 + chance / 2)


@dataclass(frozen=True, slots=True)
class Retry:
    """The layer that tries again. Attempts beyond the first are counted in `Usage.retries`.

    Raises the last error, which then says after how many attempts it gave up; it counts as billed where any of them
    may have been.
    """

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    observer: Observer | None = None
    sleep: Sleep = asyncio.sleep
    chance: Callable[[], float] = random.random

    def around(self, call: Call) -> Call:
        async def persistent(request: Request) -> Completion:
            try:
                return await call(request)
            except LMError as error:
                failure = error
            return await self._again(call, request, failure)

        return persistent

    async def _again(self, call: Call, request: Request, failure: LMError) -> Completion:
        attempt, billed = 1, False
        while True:
            failure.billed = billed = billed or failure.billed
            seconds = self.policy.wait(attempt, failure, self.chance())
            if seconds is None:
                raise _final(failure, attempt, self.policy)
            if self.observer is not None:
                data = {"attempt": attempt, "seconds": seconds, "error": str(failure)}
                self.observer(Event("call.retried", request.model, data))
            await self.sleep(seconds)
            try:
                completion = await call(request)
            except LMError as error:
                failure = error
                attempt += 1
                continue
            return replace(completion, usage=replace(completion.usage, retries=completion.usage.retries + attempt))


def _final(failure: LMError, attempt: int, policy: RetryPolicy) -> LMError:
    if not failure.transient:
        return failure
    reason = f"gave up after {attempt} attempt{'s' if attempt > 1 else ''}"
    if attempt < policy.attempts:
        reason += f": the server asks to wait {failure.retry_after:g} s, more than the {policy.longest:g} s allowed"
    final = type(failure)(f"{failure} ({reason})", retry_after=failure.retry_after, billed=failure.billed)
    return final.with_traceback(failure.__traceback__)
