"""One call for equal requests that are asked at the same time, and the memory of calls around it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from dspex.clients.call_key import call_key
from dspex.clients.remembered import from_memory, keyed
from dspex.clients.retry import Call
from dspex.clients.waking import Waiter, waiter, wake
from dspex.errors import DspexError, LMError
from dspex.kernel.ports import CallStore, Completion, Request


class Flight:
    """One call under way, and those that wait for its answer."""

    __slots__ = ("answer", "error", "loop", "waiting")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting: list[Waiter] | None = None
        self.answer: Completion | None = None
        self.error: LMError | None = None

    async def landed(self) -> None:
        """Wait until it has an answer, an error, or was given up."""
        place = waiter()
        if self.waiting is None:
            self.waiting = []
        self.waiting.append(place)
        await place

    def land(self) -> None:
        for place in self.waiting or ():
            wake(place)


@dataclass(frozen=True, slots=True)
class Remember:
    """The layer that answers from `store`, and lets equal requests in flight share one call.

    Who asked first makes the call in its own task; the others wait. When it is cancelled, or fails for a reason of its
    own (its budget), the next one makes the call instead. When the model failed, all of them are told.
    """

    store: CallStore
    flights: dict[str, Flight] = field(default_factory=dict[str, Flight])

    def around(self, call: Call) -> Call:
        async def remembering(request: Request) -> Completion:
            key = call_key(request)
            flight = self.flights.get(key)
            if flight is not None and flight.loop is asyncio.get_running_loop():
                return await self._follow(call, key, request, flight)
            return await self._lead(call, key, request)

        return remembering

    async def _lead(self, call: Call, key: str, request: Request) -> Completion:
        flight = Flight()
        self.flights.setdefault(key, flight)
        try:
            found = await self.store.begin(key, request)
            if found is not None:
                flight.answer = found
                return found
            completion = keyed(await self._bought(call, key, request), key)
            await self.store.put(key, request, completion)
            flight.answer = completion
            return completion
        except LMError as error:
            flight.error = error
            raise
        finally:
            if self.flights.get(key) is flight:
                del self.flights[key]
            flight.land()

    async def _bought(self, call: Call, key: str, request: Request) -> Completion:
        try:
            return await call(request)
        except DspexError as error:
            if not (isinstance(error, LMError) and error.billed):
                await self.store.abandon(key)
            raise

    async def _follow(self, call: Call, key: str, request: Request, flight: Flight) -> Completion:
        current: Flight | None = flight
        while current is not None and current.loop is flight.loop:
            await current.landed()
            if current.answer is not None:
                return from_memory(current.answer, key)
            if current.error is not None:
                # An exception belongs to one stack of frames: each waiting caller gets its own.
                raise type(current.error)(str(current.error), retry_after=current.error.retry_after)
            current = self.flights.get(key)
        return await self._lead(call, key, request)
