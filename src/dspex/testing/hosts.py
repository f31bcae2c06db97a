"""What holds of every `Host`: the checks of its contract, on runs that ask nobody and cost nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dspex.clients.budget import Budget
from dspex.configuration.runtimes import runtime
from dspex.errors import ConfigurationError
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.metrics import ExactMatch
from dspex.hosting.handle import Run
from dspex.hosting.hosts import Host
from dspex.hosting.preparing import Prepared, prepare
from dspex.hosting.references import OnlyInMemoryError
from dspex.hosting.seating import TakenError
from dspex.hosting.status import RunStatus
from dspex.kernel.program import Program
from dspex.kernel.shorthand import as_schema
from dspex.kernel.variables import Demos, Text
from dspex.modules.prediction import predict
from dspex.optimization.options import SearchOptions
from dspex.storage import runs
from dspex.testing.requiring import raised, require, soon

WAIT = 120.0
"""Seconds that a check waits for a run."""


@dataclass(frozen=True, slots=True)
class HostSetting:
    """What a host is checked with."""

    store: str | Path
    """A store that it can reach, a new one for each check."""
    host: Callable[[], AbstractAsyncContextManager[Host]]
    """Makes one; without objects of this process, where it could have such."""
    other: str | Path | None = None
    """Another new store, for what compares two; None: a file beside `store`, which is a file then."""

    def stores(self) -> tuple[str | Path, str | Path]:
        if self.other is not None:
            return self.store, self.other
        require("://" not in str(self.store), "a host whose store is no file is checked with an `other` one")
        return self.store, Path(self.store).with_name(f"other-{Path(self.store).name}")


HostCheck = Callable[[HostSetting], Coroutine[Any, Any, None]]
PROGRAM = Program(
    name="tags",
    pipeline=(predict(as_schema("text -> tag"), name="tag", instructions=Text(), demos=Demos(2)),),
)
_TAGS = {"late": ("parcel", "delay"), "bill": ("invoice", "charge"), "login": ("password", "account")}


def rows(count: int, start: int = 0) -> Dataset:
    """Short texts with the tag that their words tell."""
    found: list[dict[str, str]] = []
    for number in range(start, start + count):
        tag = list(_TAGS)[number % len(_TAGS)]
        found.append({"text": f"note {number} on my {' and '.join(_TAGS[tag])}", "tag": tag})
    return Dataset.of(found)


async def prepared(store: str | Path, calls: int = 90, metric: Any = None) -> Prepared:
    """A queued run that any process can carry, unless `metric` lives in this one."""
    return await prepare(
        PROGRAM, rows(12), rows(16, 100), metric or ExactMatch("tag"), runtime("embedded/lexical", file="none"),
        store=store, confirm=rows(10, 200), budget=Budget(calls=calls), options=SearchOptions(concurrency=2),
    )  # fmt: skip


async def rested(run: Run) -> RunStatus:
    """Its status once it rests and nothing carries it any more."""
    await soon(run.wait(), WAIT, "a run that is handed over comes to a rest")
    return await soon(_until(run, lambda status: not status.alive), WAIT, "nothing carries a run that rests")


async def _until(run: Run, condition: Callable[[RunStatus], bool]) -> RunStatus:
    while not condition(found := await run.status()):
        await asyncio.sleep(0.01)
    return found


async def carries_a_run_to_its_end(given: HostSetting) -> None:
    """A queued run that is handed over comes to its end, and its result is in the store."""
    async with (await prepared(given.store)).run as run, given.host() as host:
        await host.carry(run)
        status = await rested(run)
        require(status.state == "completed", "a run that is handed over comes to its end", status)
        require(await run.result() is not None, "the result of a run is in its store")


async def ends_as_in_every_host(given: HostSetting) -> None:
    """Two runs of one problem end equal: nothing of the search depends on where it is carried, or when."""
    ends: list[Any] = []
    for store in given.stores():
        async with (await prepared(store)).run as run, given.host() as host:
            await host.carry(run)
            await rested(run)
            found = [(item.pair, item.score) for item in await run.evaluations()]
            ends.append((sorted(found), (await run.best()).hash))
    require(ends[0] == ends[1], "two runs of one problem end equal", ends)


async def leaves_a_run_to_who_carries_it(given: HostSetting) -> None:
    """Handed over again while it is carried, a run has one owner from its beginning to its end."""
    async with (await prepared(given.store, 200)).run as run, given.host() as host, given.host() as other:
        await host.carry(run)
        for another in (host, other):
            try:
                await another.carry(run)
            except TakenError:
                continue
            except ConfigurationError:  # it has ended meanwhile
                require((await run.status()).state == "completed", "a run that is carried is not refused otherwise")
        status = await rested(run)
        require(status.state == "completed", "it comes to its end", status)
        row = await run.database.read(lambda c: runs.find(c, run.id))
        require(row.epoch == 1, "a run has one owner from its beginning to its end", row.epoch)


async def refuses_a_run_that_has_ended(given: HostSetting) -> None:
    """A run that has ended stays as it is, and ConfigurationError says so."""
    async with (await prepared(given.store)).run as run, given.host() as host:
        await run.stop()
        before = await run.status()
        await raised(ConfigurationError, host.carry(run), "a run that has ended is refused")
        require(await run.status() == before, "a run that is refused stays as it was")


async def refuses_what_it_cannot_reach(given: HostSetting) -> None:
    """A run with a metric of another process is refused with the reason, and stays queued."""

    def local(example: Any, state: Any) -> float:
        return 1.0

    async with (await prepared(given.store, metric=local)).run as run, given.host() as host:
        error = await raised(OnlyInMemoryError, host.carry(run), "objects of another process are refused")
        require("local" in str(error), "the reason names what cannot be reached", error)
        status = await run.status()
        require((status.state, status.calls) == ("queued", 0), "a run that is refused stays as it was", status)


async def pauses_and_goes_on(given: HostSetting) -> None:
    """A run pauses on request, with nothing left that carries it, and goes on when it is handed over again."""
    async with (await prepared(given.store, 600)).run as run, given.host() as host:
        await host.carry(run)
        await soon(_until(run, lambda status: status.evaluations > 0), WAIT, "a run that is handed over begins")
        await run.pause()
        status = await rested(run)
        if status.state != "completed":  # it may have been quicker
            require(status.state == "paused", "a run pauses on request", status)
            await run.database.write(lambda c: runs.move(c, run.id, "queued", "resumed"))
            await host.carry(run)
            status = await rested(run)
        require(status.state == "completed", "a paused run goes on to its end", status)


HOST_CHECKS: tuple[HostCheck, ...] = (
    carries_a_run_to_its_end,
    ends_as_in_every_host,
    leaves_a_run_to_who_carries_it,
    refuses_a_run_that_has_ended,
    refuses_what_it_cannot_reach,
    pauses_and_goes_on,
)
"""Every check of the contract."""
