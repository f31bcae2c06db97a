"""A shared budget and rate are kept by what the provider sees, whatever happens to the processes that share them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.clients.budget_shares import VOID_SECONDS, limited
from dspex.clients.limiter import Limiter, Limits, amounts_of
from dspex.clients.rate_leases import Ask, Lease, Used
from dspex.clients.shared_limiter import SharedRate
from dspex.errors import SharedBudgetError
from dspex.storage import budgets, rates, tables
from dspex.storage.budgets import share_budget
from dspex.storage.database import Database
from dspex.storage.rates import StoredRates
from tests.storage.sharing_world import Gate, Process, World, question

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]
BUDGETS = (Budget(usd=2.0), Budget(tokens=2000), Budget(calls=40), Budget(usd=1.5, calls=60))
RUNS = ("one", "two", "three")


def emptied(connection: Connection) -> None:
    for table in (tables.calls, tables.leases, tables.events, tables.runs):
        connection.execute(table.delete())


class Walk:
    """A random history of three runs."""

    def __init__(self, database: Database, seed: int) -> None:
        self.rng = Random(seed)
        self.budget = BUDGETS[seed % len(BUDGETS)]
        dear = self.rng.choice((0.1, 0.5, 1.0))  # so many answers cost all that they may, the others little
        self.world = World(database, lambda: 1.0 if self.rng.random() < dear else self.rng.uniform(0.02, 0.2))
        self.world.unheard = lambda: self.rng.random() < self.failing
        self.failing = 0.03
        self.carriers: dict[str, Process] = {}
        self.there: list[Process] = []
        self.asking: list[asyncio.Task[Any]] = []
        self.asked: dict[str, list[Any]] = {run: [] for run in RUNS}

    async def over(self, steps: int, shares: Iterator[float] | None = None) -> None:
        """So many random steps; with `shares`, the first run hears of one call, and is killed with four under way."""
        await self.world.database.write(emptied)
        await self.world.database.write(partial(share_budget, budget=self.budget))
        for run in RUNS:
            await self.taken(run)
        acts = {self.ask: 8, self.hear: 8, self.wait: 3, self.stop: 2, self.go_on: 2, self.kill: 1, self.take: 1}
        for _ in range(steps):
            (act,) = self.rng.choices(list(acts), list(acts.values()))
            await act()
            await self.world.rests()
            self.check()
        if shares is not None:
            self.world.share = partial(next, shares)
            for sizes in ([20], [70, 80, 80, 90]):
                for size in sizes:
                    self.carriers["one"].ask(question(f"one {size}", size))
                await self.world.passes(1.0)
                if len(sizes) == 1:
                    self.world.answer(self.world.wire[0], "yes")
                    await self.world.rests()
        await self.end()

    def check(self) -> None:
        """What is billed, or will be for what is on the wire, fits."""
        for unit in limited(self.budget):
            billed, limit = getattr(self.world.billed, unit), getattr(self.budget, unit)
            assert billed <= limit + 1e-9, f"{billed} of {limit} {unit}"

    async def end(self) -> None:
        """Everybody is killed, and the runs are carried on until nobody may send any more: so what was counted too
        little is spent twice now."""
        self.failing = 0.0
        for process in self.there:
            process.gate.kill()
        await self.world.passes(VOID_SECONDS + 1)
        await self.world.rests()
        for run in RUNS:
            process = await self.taken(run)
            asking = asyncio.create_task(self.spent_up(process, run))
            while not asking.done():
                for sent in [item for item in self.world.wire if item.by is process]:
                    self.world.answer(sent, "yes")
                await self.world.passes(0.3)
                self.check()
            await asking
        await self.world.ends()

    async def spent_up(self, process: Process, run: str) -> None:
        number, error = itertools.count(), None
        while error is None:
            asked = [process.ask(question(f"{run}, then {next(number)}", 20)) for _ in range(4)]
            await asyncio.wait(asked)
            error = next((task.exception() for task in asked if task.exception()), None)
        assert isinstance(error, SharedBudgetError)

    async def taken(self, run: str) -> Process:
        self.carriers[run] = await self.world.process(run)
        self.there.append(self.carriers[run])
        return self.carriers[run]

    async def ask(self) -> None:
        """Something new, or again what was asked before."""
        run = self.rng.choice(RUNS)
        if self.carriers[run].gate.moving:
            for _ in range(self.rng.randint(1, 4)):
                before = self.asked[run]
                again = before and self.rng.random() < 0.3
                given = self.rng.choice(before) if again else question(f"{run} {len(before)}", self.rng.randint(1, 90))
                before.append(given)
                self.asking.append(self.carriers[run].ask(given))

    async def hear(self) -> None:
        for sent in self.rng.sample(self.world.wire, min(len(self.world.wire), self.rng.randint(1, 3))):
            self.world.answer(sent, self.rng.choices(("yes", "lost", "refused"), (6, 2, 1))[0])

    async def wait(self) -> None:
        await self.world.passes(self.rng.choice((0.3, 1.0, 3.0, 12.0, 20.0, 40.0)))

    async def stop(self) -> None:
        self.rng.choice(self.there).gate.stop(self.rng.randint(0, 8))

    async def go_on(self) -> None:
        stopped = [item for item in self.there if not item.gate.moving and not item.gate.dead]
        if stopped:
            self.rng.choice(stopped).gate.go_on()

    async def kill(self) -> None:
        run = self.rng.choice(RUNS)
        self.carriers[run].gate.kill()
        if self.rng.random() < 0.5:
            await self.taken(run)

    async def take(self) -> None:
        """A run whose process is dead, or does not move and loses it: on a server it may go on later."""
        for run in RUNS:
            if not self.carriers[run].gate.moving:
                await self.taken(run)
                return


def test_what_was_lost_may_be_dearer_than_every_answer_before(within: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is killed early, when all that was answered in the store was cheap."""

    async def test(database: Database) -> None:
        walk = Walk(database, 0)
        monkeypatch.setattr(budgets, "clock", walk.world.clock)
        await walk.over(0, shares=itertools.chain([0.05], itertools.repeat(1.0)))

    within(test)


@pytest.mark.parametrize("part", range(4))
def test_nothing_is_spent_beyond_it_whatever_is_stopped_or_killed(
    within: Within, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    async def test(database: Database) -> None:
        for seed in range(part * PART, (part + 1) * PART):
            walk = Walk(database, seed)
            monkeypatch.setattr(budgets, "clock", walk.world.clock)
            try:
                await walk.over(60)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error

    within(test)


PART = 6


LIMITS = Limits(requests_per_second=6, requests_per_minute=60, tokens_per_minute=3000)


class Sender:
    """A process that sends as much as it may."""

    def __init__(self, world: World, rng: Random, sent: list[tuple[float, int]]) -> None:
        self.world, self.rng, self.sent = world, rng, sent
        self.gate = Gate(world)
        rates = GatedRates(self.gate, StoredRates(world.database))
        self.rate = SharedRate("x", Limiter(LIMITS), rates, clock=lambda: world.now, sleep=self.gate.sleep)
        self.sending = [asyncio.create_task(self.sends()) for _ in range(4)]

    async def sends(self) -> None:
        while True:
            size = self.rng.randint(1, 90)
            request = question("x", size)
            await self.rate.take(request)
            self.sent.append((self.world.now, amounts_of(request, LIMITS.rates)["tokens"]))
            await self.gate.sleep(self.rng.choice((0.0, 0.1, 1.0, 9.0)))


def test_rates_hold_at_every_moment_whatever_is_stopped_or_killed(
    within: Within, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(database: Database) -> None:
        many = 0
        for seed in range(PART):
            await database.write(emptied)
            rng, world, sent = Random(seed), World(database, lambda: 1.0), list[tuple[float, int]]()
            monkeypatch.setattr(rates, "clock", world.clock)
            senders = [Sender(world, rng, sent) for _ in range(3)]
            for _ in range(80):
                act, sender = rng.choice(["stop", "go", "kill", "wait", "wait", "wait", "wait"]), rng.choice(senders)
                if act == "kill":
                    sender.gate.kill()
                    senders[senders.index(sender)] = Sender(world, rng, sent)
                elif act == "stop":
                    sender.gate.stop(rng.randint(0, 8))
                elif act == "go":
                    sender.gate.go_on()
                await world.passes(rng.choice((0.02, 0.1, 0.5, 2.0)) if act == "wait" else 0.0)
            many += len(sent)
            for rate in LIMITS.rates:
                for end, _ in sent:
                    stretch = [size for at, size in sent if end - rate.seconds + 1e-3 < at <= end]
                    assert (len(stretch) if rate.unit == "requests" else sum(stretch)) <= rate.most, f"seed {seed}"
            await world.ends()
        assert many > 30 * PART

    within(test)


@dataclass(frozen=True, slots=True)
class GatedRates:
    """Of a process that may be stopped before it asks, and before it hears."""

    gate: Gate
    rates: StoredRates

    async def lease(self, name: str, ask: Ask) -> Lease:
        return await self.gate.inside(partial(self.rates.lease, name, ask))

    async def give_back(self, name: str, over: Sequence[Used]) -> None:
        await self.gate.inside(partial(self.rates.give_back, name, over))
