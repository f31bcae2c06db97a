"""Where a run is carried: in this process, or in one of its own under a supervisor."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypedDict, Unpack

from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.clients.call_store import MemoryCallStore
from dspex.clients.stack import ModelStack
from dspex.errors import ConfigurationError
from dspex.hosting.building import Live, Wanted, code_of, posed, specify, workers
from dspex.hosting.conducting import OnEvent, conduct
from dspex.hosting.handle import Run, store_text
from dspex.hosting.isolation import Isolation, isolation_of
from dspex.hosting.launching import launch
from dspex.hosting.liveness import alive
from dspex.hosting.references import OnlyInMemoryError
from dspex.hosting.seating import TakenError, take
from dspex.hosting.specification import RunSpec
from dspex.hosting.stores import IN_MEMORY, opened, store_of
from dspex.kernel.ports import Metric, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.optimization import runner
from dspex.optimization.deciding import Strategy
from dspex.optimization.objectives import Objectives
from dspex.optimization.options import SearchOptions
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import DEFAULT_BUDGET, DEFAULT_OPTIONS
from dspex.optimization.strategies.table import strategy_of
from dspex.storage import programs, runs
from dspex.storage.database import Database
from dspex.storage.opening import open_database


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


async def prepare_run(
    database: Database, store: str, wanted: Wanted, *, reference: str | None = None, parent: str | None = None
) -> Run:
    """A queued run in the store, checked as far as can be without paying. Raises ConfigurationErrors."""
    problem = posed(wanted)
    if wanted.isolation is not None:
        code_of(wanted.program, wanted.metric)
    strategy_of(wanted.strategy, wanted.options, wanted.schedule).check(problem)

    def work(connection: Connection) -> str:
        base = None if reference is None else programs.resolve(connection, reference).number
        id = f"{wanted.program.name[:24]}-{secrets.token_hex(3)}"
        spec = specify(connection, wanted, problem)
        runs.create(
            connection,
            {
                "id": id, "name": wanted.program.name, "program": reference, "base_version": base, "parent": parent,
                "spec": spec.model_dump(mode="json"), "budget": wanted.budget.model_dump(exclude_none=True),
                "strategy": spec.strategy, "seed": wanted.seed,
            },
        )  # fmt: skip
        return id

    return Run(database, store, await database.write(work))


class HowToSearch(TypedDict, total=False):
    """What `optimize` and `start` take beside the program, its data, the metric and the runtime."""

    strategy: str | Strategy
    """`auto` unless given."""
    schedule: str | None
    """Where its evaluations go: `race`, or another; `classic` for a strategy as it was published; None: its own."""
    budget: Budget
    """1,000 calls unless given; it holds for everything, proposals included."""
    confirm: Iterable[Example] | None
    """Untouched examples to confirm the gain on; without them half of val is set aside."""
    seed: int
    options: SearchOptions
    objectives: Sequence[str]
    """`("score",)` unless given; `cost`, `tokens` and `latency` beside it, each per example, search a Pareto front."""
    constraints: Sequence[str]
    """Comparisons that what is shipped has to keep: `"cost <= 0.002"`, `"latency <= 1.5"`."""
    isolation: Literal["process"] | Isolation | None
    """`"process"`: each evaluation in a worker that may crash, hang or run out of memory alone."""
    store: str | Path | None
    """A file or a PostgreSQL URL; None: the project's (`.dspex/dspex.db` unless set); `":memory:"`: nothing is kept."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A queued run, and the objects of this process that it is made of."""

    run: Run
    live: Live

    async def detached(self) -> None:
        """Give the run a process of its own. Where it cannot have one, no run is left behind and the reason raised."""
        try:
            await ProcessHost().carry(self.run)
        except BaseException:
            await self.run.database.write(partial(runs.discard, id=self.run.id))
            raise


async def prepare(
    program: Program | str,
    train: Iterable[Example],
    val: Iterable[Example],
    metric: Metric,
    runtime: Runtime,
    **how: Unpack[HowToSearch],
) -> Prepared:
    """A queued run in its store; nothing is paid. Raises ConfigurationErrors. The caller closes the run."""
    where = store_of(how.get("store"))
    if where == IN_MEMORY:
        raise ConfigurationError(f"store={IN_MEMORY!r} keeps no run; name a file or a PostgreSQL URL, or use optimize")
    database = await open_database(where)
    try:
        found, reference = (program, None) if isinstance(program, Program) else (None, program)
        if found is None:
            found = await database.read(lambda c: programs.read(c, programs.resolve(c, str(reference))))
        strategy = how.get("strategy", "auto")
        wanted = Wanted(
            found, {"train": train, "val": val, "confirm": how.get("confirm")}, metric, runtime, strategy,
            how.get("budget", DEFAULT_BUDGET), how.get("seed", 0), how.get("options", DEFAULT_OPTIONS),
            how.get("schedule"), isolation_of(how.get("isolation")), _objectives(how),
        )  # fmt: skip
        run = await prepare_run(database, store_text(where, database), wanted, reference=reference)
    except BaseException:
        await database.aclose()
        raise
    return Prepared(run, Live(metric, runtime, None if isinstance(strategy, str) else strategy))


async def optimize(
    program: Program | str,
    train: Iterable[Example],
    val: Iterable[Example],
    metric: Metric,
    runtime: Runtime,
    *,
    on_event: OnEvent | None = None,
    **how: Unpack[HowToSearch],
) -> OptimizationResult:
    """Search the program's variables for what scores best on `val`, in a durable run carried by this process.

    `program` may name a stored one (`"route@production"`); a gain is then kept as its newest version. The run is in
    the project's store; should this process die, `dspex runs resume ID` or `resume(ID)` carries it on and pays for
    nothing twice. `train` feeds proposals only. Without `confirm=`, half of val is set aside for it. With
    `store=":memory:"` nothing is kept, and what dies with this process is lost. Raises ConfigurationErrors before the
    first paid call, and PausedError where the run stopped before its end: on a command, or because the model is gone
    (OutageError in memory).
    """
    if store_of(how.get("store")) == IN_MEMORY:
        return await in_memory(program, (train, val), runtime, Live(metric), on_event, how)
    prepared = await prepare(program, train, val, metric, runtime, **how)
    run = prepared.run
    try:
        return await carried_here(run, prepared.live, on_event)
    finally:
        await run.aclose()


async def start(
    program: Program | str,
    train: Iterable[Example],
    val: Iterable[Example],
    metric: Metric,
    runtime: Runtime,
    **how: Unpack[HowToSearch],
) -> Run:
    """The same search in a supervised process of its own, which outlives this one; returns the run to watch and steer.

    Metric, functions and models must be such that another process finds them by name; what lives only in this process
    is refused with the reason (OnlyInMemoryError), and no run is left behind.
    """
    prepared = await prepare(program, train, val, metric, runtime, **how)
    try:
        await prepared.detached()
    except BaseException:
        await prepared.run.aclose()
        raise
    return prepared.run


async def attach(id: str, *, store: str | Path | None = None) -> Run:
    """A run of the store by its id, or by the beginning of it that no other run shares. Raises UnknownNameError."""
    database = await opened(store)
    try:
        row = await database.read(lambda c: runs.find(c, id))
    except BaseException:
        await database.aclose()
        raise
    return Run(database, store_text(store_of(store), database), row.id)


async def resume(
    id: str,
    *,
    store: str | Path | None = None,
    metric: Metric | None = None,
    runtime: Runtime | None = None,
    strategy: Strategy | None = None,
    on_event: OnEvent | None = None,
) -> OptimizationResult:
    """Carry a run on in this process, to its end or to a pause (PausedError).

    Whatever of the run lived only in the process that made it (a lambda, a ScriptedLM) is to be handed over again.
    """
    run = await attach(id, store=store)
    try:
        return await carried_here(run, Live(metric, runtime, strategy), on_event)
    finally:
        await run.aclose()


def _remembering(runtime: Runtime) -> Runtime:
    """With a memory of calls, as a run that is kept has in its store: what a candidate leaves alone is replayed.

    Without it the same search would cost more in memory than in a store, and find something else.
    """
    if isinstance(runtime.lm, ModelStack) and runtime.lm.policies.store is None:
        return replace(runtime, lm=runtime.lm.with_store(MemoryCallStore()))
    return runtime


def _objectives(how: HowToSearch) -> Objectives:
    return Objectives(of=tuple(how.get("objectives", ("score",))), constraints=tuple(how.get("constraints", ())))


async def in_memory(
    program: Program | str,
    data: tuple[Iterable[Example], Iterable[Example]],
    runtime: Runtime,
    live: Live,
    on_event: OnEvent | None,
    how: HowToSearch,
) -> OptimizationResult:
    """The same search with nothing kept."""
    if not isinstance(program, Program):
        raise ConfigurationError(f"program {program!r}: a stored program needs its store, not {IN_MEMORY!r}")
    if how.get("options", DEFAULT_OPTIONS).on_outage == "wait":
        raise ConfigurationError(f"on_outage='wait' needs a store that keeps the run while it waits, not {IN_MEMORY!r}")
    options = how.get("options", DEFAULT_OPTIONS)
    isolation = isolation_of(how.get("isolation"))
    own = None if isolation is None else await workers(isolation, program, live.metric, runtime, options)
    try:
        return await runner.optimize(
            program, *data, live.metric, _remembering(runtime), strategy=how.get("strategy", "auto"),
            schedule=how.get("schedule"), budget=how.get("budget", DEFAULT_BUDGET),
            confirm=how.get("confirm"), seed=how.get("seed", 0), options=options,
            on_event=on_event, executor=live.desk or own, objectives=_objectives(how),
        )  # fmt: skip
    finally:
        if own is not None:
            await own.aclose()
