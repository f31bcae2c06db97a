"""The verbs of a search, awaited: optimize, start, attach and resume."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from dspex.clients.call_store import MemoryCallStore
from dspex.clients.stack import ModelStack
from dspex.errors import ConfigurationError
from dspex.hosting.building import Live, workers
from dspex.hosting.conducting import OnEvent
from dspex.hosting.handle import Run, store_text
from dspex.hosting.hosts import carried_here
from dspex.hosting.isolation import isolation_of
from dspex.hosting.preparing import HowToSearch, objectives_of, prepare
from dspex.hosting.stores import IN_MEMORY, opened, store_of
from dspex.kernel.ports import Metric, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.optimization import runner
from dspex.optimization.deciding import Strategy
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import DEFAULT_BUDGET, DEFAULT_OPTIONS
from dspex.storage import runs


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
            on_event=on_event, executor=live.desk or own, objectives=objectives_of(how),
        )  # fmt: skip
    finally:
        if own is not None:
            await own.aclose()


def _remembering(runtime: Runtime) -> Runtime:
    """With a memory of calls, as a run that is kept has in its store: what a candidate leaves alone is replayed.

    Without it the same search would cost more in memory than in a store, and find something else.
    """
    if isinstance(runtime.lm, ModelStack) and runtime.lm.policies.store is None:
        return replace(runtime, lm=runtime.lm.with_store(MemoryCallStore()))
    return runtime
