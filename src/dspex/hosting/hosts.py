"""Where a run is carried: in this process, or in one of its own under a supervisor."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from dspex.errors import ConfigurationError
from dspex.hosting.building import Live
from dspex.hosting.conducting import OnEvent, conduct
from dspex.hosting.handle import Run
from dspex.hosting.launching import launch
from dspex.hosting.liveness import alive
from dspex.hosting.references import OnlyInMemoryError
from dspex.hosting.seating import TakenError, take
from dspex.hosting.specification import RunSpec
from dspex.optimization.result import OptimizationResult
from dspex.storage import runs


class Host(Protocol):
    """Where runs are carried: in this process, in one of their own, on a cluster.

    Contract: `carry` hands a queued run over and returns while it goes on; how it ends is in the store (`run.wait()`).
    A run is carried by one at a time: handed over while somebody carries it, here or elsewhere, it stays theirs, and
    TakenError is raised where that can be seen. What the host cannot carry it refuses before anything is paid, with the
    reason, and the run stays as it was: OnlyInMemoryError for objects that live in another process, ConfigurationError
    for a run that has ended. Commands, pauses and kills are the run's own affair and the same in every host. Who made
    the host closes it.
    """

    async def carry(self, run: Run) -> None:
        """Have the run carried to its end, or to a pause."""
        ...

    async def aclose(self) -> None:
        """Let go: a run that lives in this process alone pauses; what lives elsewhere goes on."""
        ...


class ProcessHost:
    """One supervised operating system process for each run, detached from this one."""

    async def carry(self, run: Run) -> None:
        row = await run.database.read(lambda c: runs.find(c, run.id))
        if reasons := RunSpec.model_validate(row.spec).live:
            raise OnlyInMemoryError(f"run {run.id} cannot have a process of its own: {'; '.join(reasons)}")
        if row.state in runs.FINISHED:
            raise ConfigurationError(f"run {run.id} is {row.state}; fork it to go on from there")
        if alive(run.database.location, row, time.time()):
            raise TakenError(f"run {run.id} is being carried by another process")
        launch(run.store, run.id, run.database)

    async def aclose(self) -> None:
        """The processes go on."""


class InlineHost:
    """This process: each run is a task of the loop that hands it over, and may have objects that live only here."""

    def __init__(self, live: Live | None = None, on_event: OnEvent | None = None) -> None:
        self._live, self._on_event = live, on_event
        self._carrying: dict[str, asyncio.Task[OptimizationResult]] = {}

    async def carry(self, run: Run) -> None:
        row = await run.database.read(lambda c: runs.find(c, run.id))
        spec, live = RunSpec.model_validate(row.spec), self._live or Live()
        lost = (spec.metric is None and live.metric is None) or (spec.runtime is None and live.runtime is None)
        if lost and row.state not in runs.FINISHED:
            raise OnlyInMemoryError(f"run {run.id} cannot be carried by another process: {'; '.join(spec.live)}")
        seat = await take(run.database, run.id)
        carrying = conduct(run.database, run.store, seat, self._live, self._on_event)
        self._carrying[run.id] = asyncio.ensure_future(carrying)

    async def result(self, run: Run) -> OptimizationResult:
        """What came of a run that was handed over here. Raises PausedError, or what ended it; cancelled, it pauses."""
        return await self._carrying.pop(run.id)

    async def aclose(self) -> None:
        left = list(self._carrying.values())
        self._carrying.clear()
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def carried_here(run: Run, live: Live, on_event: OnEvent | None = None) -> OptimizationResult:
    """Carry a run in this process to its end. Raises PausedError where it stops before, and what ends it otherwise."""
    host = InlineHost(live, on_event)
    try:
        await host.carry(run)
        return await host.result(run)
    finally:
        await host.aclose()
