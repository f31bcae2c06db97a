"""Where a run is carried: in this process, or in one of its own under a supervisor."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.hosting.building import Live, Wanted, posed, specify
from dspex.hosting.conducting import OnEvent, conduct
from dspex.hosting.handle import Run, store_text
from dspex.hosting.liveness import folder_of
from dspex.hosting.references import OnlyInMemoryError
from dspex.hosting.specification import RunSpec
from dspex.kernel.ports import Metric, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.optimization.ports import SearchOptions, Strategy
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import DEFAULT_BUDGET, DEFAULT_OPTIONS
from dspex.optimization.strategies import strategy_named
from dspex.storage import programs, runs
from dspex.storage.database import Database, StorageError
from dspex.storage.opening import open_database


class Host(Protocol):
    """Where runs are carried. Contract: returns once somebody carries the run; never two at once."""

    async def carry(self, run: Run) -> None: ...


class ProcessHost:
    """One supervised operating system process for each run, detached from this one."""

    async def carry(self, run: Run) -> None:
        row = await run.database.read(lambda c: runs.find(c, run.id))
        if reasons := RunSpec.model_validate(row.spec).live:
            raise OnlyInMemoryError(f"run {run.id} cannot have a process of its own: {'; '.join(reasons)}")
        launch(run.store, run.id, run.database)


def launch(store: str, run: str, database: Database) -> int:
    """Start the supervisor of a run; returns its process id. It outlives this process and its terminal."""
    folder = folder_of(database.location) or Path(".dspex") / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DSPEX_STORE": store}  # a URL may hold a password: not on the command line
    with (folder / f"{run}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dspex.hosting.supervisor", run],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    return process.pid


async def prepare_run(
    database: Database, store: str, wanted: Wanted, *, reference: str | None = None, parent: str | None = None
) -> Run:
    """A queued run in the store, checked as far as can be without paying. Raises ConfigurationErrors."""
    problem = posed(wanted)
    chosen = strategy_named(wanted.strategy, wanted.options) if isinstance(wanted.strategy, str) else wanted.strategy
    chosen.check(problem)

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


async def stored_program(database: Database, program: Program | str) -> tuple[Program, str | None]:
    """A program, or the stored one that a reference such as `route@production` means, with that reference."""
    if isinstance(program, Program):
        return program, None
    found = await database.read(lambda c: programs.read(c, programs.resolve(c, program)))
    return found, program


async def optimize(  # noqa: PLR0913 - the public verb
    program: Program | str,
    train: Iterable[Example],
    val: Iterable[Example],
    metric: Metric,
    runtime: Runtime,
    *,
    strategy: str | Strategy = "auto",
    budget: Budget = DEFAULT_BUDGET,
    confirm: Iterable[Example] | None = None,
    seed: int = 0,
    options: SearchOptions = DEFAULT_OPTIONS,
    store: str | Path | None = None,
    on_event: OnEvent | None = None,
) -> OptimizationResult:
    """Search the program's variables for what scores best on `val`, in a durable run carried by this process.

    The run is in `store` (`.dspex/dspex.db` unless given); should this process die, `dspex runs resume` or `resume()`
    carries it on and pays for nothing twice. `train` feeds proposals only. Without `confirm`, half of val is set aside
    for it. Raises ConfigurationErrors before the first paid call, PausedError when the model is gone for good.
    """
    database = await open_database(store)
    try:
        found, reference = await stored_program(database, program)
        splits = {"train": train, "val": val, "confirm": confirm}
        wanted = Wanted(found, splits, metric, runtime, strategy, budget, seed, options)
        run = await prepare_run(database, store_text(store, database), wanted, reference=reference)
        live = Live(metric, runtime, None if isinstance(strategy, str) else strategy)
        return await conduct(database, run.store, run.id, live=live, on_event=on_event)
    finally:
        await database.aclose()


async def resume(
    id: str, *, store: str | Path | None = None, live: Live | None = None, on_event: OnEvent | None = None
) -> OptimizationResult:
    """Carry a run on in this process, to its end or to a pause."""
    try:
        database = await open_database(store, create=False)
    except StorageError as error:
        raise ConfigurationError(str(error)) from error
    try:
        row = await database.read(lambda c: runs.find(c, id))
        return await conduct(database, store_text(store, database), row.id, live=live, on_event=on_event)
    finally:
        await database.aclose()
