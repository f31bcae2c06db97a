"""Processes that share a budget, simulated in one: each is stopped, killed and taken over where a test says so.

Everything of a process is real but its time, its wire and its death: the account, the journal, the layers around a
call, over a real database. The provider keeps count of what it bills, and nobody else is asked what was spent.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from dspex.clients.attempt import Attempt
from dspex.clients.budget import at_most
from dspex.clients.budget_shares import NOTHING, Claim, Share, Sums
from dspex.clients.prices import Price, Prices
from dspex.clients.retry import Call, Retry, RetryPolicy
from dspex.clients.shared_budget import SharedAccount
from dspex.clients.single_flight import Remember
from dspex.clients.stack import composed
from dspex.errors import LMError
from dspex.kernel.ports import Completion, Request, Usage
from dspex.storage import runs
from dspex.storage.budgets import StoredShares
from dspex.storage.calls import DatabaseCallStore
from dspex.storage.database import Database, StorageError
from tests.storage.test_runs import ROW

T = TypeVar("T")
MODEL = "m/one"
PRICE = Price(input=1000.0, output=1000.0)
"""A tenth of a cent a token."""
PRICES = Prices({MODEL: PRICE})


def question(name: str, size: int) -> Request:
    """A request whose answer has at most `size` tokens."""
    return Request(MODEL, [{"role": "user", "content": name}], {"max_tokens": size})


@dataclass(slots=True, eq=False)
class Sent:
    """A request on the wire. What it costs is settled when it is sent, whoever hears of it."""

    by: Process
    usage: Usage
    answer: asyncio.Future[None]


@dataclass(slots=True)
class World:
    """The clock that everybody has, the provider, and what it has billed."""

    database: Database
    share: Callable[[], float]
    """Which share of its most the next sending takes."""
    unheard: Callable[[], bool] = lambda: False
    """Whether the next claim fails although it was committed."""
    now: float = 1_000_000.0
    billed: Sums = NOTHING
    wire: list[Sent] = field(default_factory=list[Sent])
    _busy: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _before: set[asyncio.Task[Any]] = field(default_factory=asyncio.all_tasks)
    _timers: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list[Any])
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def clock(self, _: object) -> float:
        """In the place of the store's."""
        return self.now

    async def process(self, run: str) -> Process:
        """A process that has just taken the run over."""

        def taken(connection: Any) -> int:
            if not [row for row in runs.listed(connection) if row.id == run]:
                runs.create(connection, {"id": run, **ROW})
            return runs.claim(connection, run, "", None)

        epoch = await self.database.write(taken)
        found = Process(self, run, epoch)
        await found.account.open()
        return found

    def send(self, by: Process, request: Request) -> Sent:
        most, _ = at_most(request, PRICES)
        assert most is not None
        tokens = max(1, int(most * self.share()))
        usage = Usage(1, tokens, 0, PRICE.usd(tokens, 0))
        self.billed += _sums(usage)
        sent = Sent(by, usage, asyncio.get_running_loop().create_future())
        self.wire.append(sent)
        return sent

    def answer(self, sent: Sent, outcome: str) -> None:
        """`yes`; `refused`, which is not billed; `lost`, which is."""
        self.wire.remove(sent)
        if outcome == "refused":
            self.billed -= _sums(sent.usage)
        if sent.answer.done():
            return
        if outcome == "yes":
            sent.answer.set_result(None)
        else:
            sent.answer.set_exception(_FailedError(outcome, billed=outcome == "lost"))

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (self.now + seconds, next(self._numbers), future))
        await future

    async def passes(self, seconds: float) -> None:
        """Time goes by; all that can happen by itself happens."""
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            at, _, future = heapq.heappop(self._timers)
            if not future.done():
                self.now = max(self.now, at)
                future.set_result(None)
                await self.rests()
        self.now = until
        await self.rests()

    async def ends(self) -> None:
        """Everything that began in it is cancelled."""
        begun = asyncio.all_tasks() - self._before
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)

    async def rests(self) -> None:
        """Until nothing happens any more by itself."""
        quiet = 0
        while quiet < 12:
            await asyncio.sleep(0)
            quiet += 1
            if self._busy:
                self._idle.clear()
                await self._idle.wait()
                quiet = 0

    async def transacted(self, work: Awaitable[T]) -> T:
        """What `work` returns, which is something that others wait for."""
        self._busy += 1
        try:
            return await work
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()


class _FailedError(LMError):
    transient = True


def _sums(usage: Usage) -> Sums:
    return Sums(usage.calls, usage.input_tokens, usage.usd or 0.0)


class Gate:
    """What a process goes through wherever it may be stopped."""

    def __init__(self, world: World) -> None:
        self._world, self._moves = world, asyncio.Event()
        self._moves.set()
        self._passes = 0
        self.dead = False

    @property
    def moving(self) -> bool:
        return self._moves.is_set()

    def stop(self, passes: int = 0) -> None:
        """As SIGSTOP does: nothing of it moves, what others see of it stays. With `passes`, when it comes through for
        that many more times: so it is stopped between any two things that it does."""
        self._passes = passes
        if not passes:
            self._moves.clear()

    def go_on(self) -> None:
        if not self.dead:
            self._passes = 0
            self._moves.set()

    async def through(self) -> None:
        if self._passes:
            self._passes -= 1
            if not self._passes:
                self._moves.clear()
        await self._moves.wait()

    def kill(self) -> None:
        """It never moves again."""
        self.dead = True
        self.stop()

    async def inside(self, work: Callable[[], Awaitable[T]]) -> T:
        """What it does elsewhere: it may be stopped before, and before it hears what came of it."""
        await self.through()
        found = await asyncio.gather(self._world.transacted(work()), return_exceptions=True)
        await self.through()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    async def waits(self, answer: asyncio.Future[None]) -> None:
        """For what takes its time; raises what went wrong with it."""
        failed = (await asyncio.gather(answer, return_exceptions=True))[0]
        await self.through()
        if failed is not None:
            raise failed

    async def sleep(self, seconds: float) -> None:
        await self._world.sleep(seconds)
        await self.through()


class Process:
    """One carrier of a run."""

    def __init__(self, world: World, run: str, epoch: int) -> None:
        self.world, self.gate = world, Gate(world)
        guard = runs.fence(run, epoch)
        shares = _Shares(self, StoredShares(world.database, run, guard))
        journal = _Journal(self.gate, DatabaseCallStore(world.database, run, epoch, guard, prices=PRICES))
        self.account = SharedAccount(shares, PRICES, clock=lambda: world.now, sleep=self.gate.sleep)
        retry = Retry(RetryPolicy(attempts=3), sleep=self.gate.sleep, chance=lambda: 0.5)
        self._call: Call = composed(self._wire, [Remember(journal), retry, Attempt(self.account, None, PRICES)])

    def ask(self, request: Request) -> asyncio.Task[Completion]:
        return asyncio.create_task(self._call(request))

    async def _wire(self, request: Request) -> Completion:
        sent = self.world.send(self, request)
        await self.gate.waits(sent.answer)
        return Completion("yes", "stop", sent.usage, MODEL, (), False)


@dataclass(frozen=True, slots=True)
class _Shares:
    process: Process
    shares: StoredShares

    async def open(self) -> Share:
        return await self.process.gate.inside(self.shares.open)

    async def claim(self, claim: Claim) -> Share:
        found = await self.process.gate.inside(partial(self.shares.claim, claim))
        if self.process.world.unheard():
            raise StorageError("it was committed, and nobody heard of it")
        return found


@dataclass(frozen=True, slots=True)
class _Journal:
    gate: Gate
    journal: DatabaseCallStore

    async def get(self, key: str) -> Completion | None:
        return await self.gate.inside(partial(self.journal.get, key))

    async def begin(self, key: str, request: Request) -> Completion | None:
        return await self.gate.inside(partial(self.journal.begin, key, request))

    async def put(self, key: str, request: Request, completion: Completion) -> None:
        await self.gate.inside(partial(self.journal.put, key, request, completion))

    async def abandon(self, key: str) -> None:
        await self.gate.inside(partial(self.journal.abandon, key))

    async def aclose(self) -> None:
        await self.journal.aclose()
