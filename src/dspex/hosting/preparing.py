"""A search asked for, made into a queued run of a store: checked as far as can be, and nothing paid."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.hosting.building import Live, Wanted, code_of, posed, specify
from dspex.hosting.handle import Run, store_text
from dspex.hosting.hosts import ProcessHost
from dspex.hosting.isolation import Isolation, isolation_of
from dspex.hosting.stores import IN_MEMORY, store_of
from dspex.kernel.ports import Metric, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.optimization.deciding import Strategy
from dspex.optimization.limits import check_models, proposal_limit, weighs_answers
from dspex.optimization.objectives import Objectives
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem, check_answers
from dspex.optimization.runner import DEFAULT_BUDGET, DEFAULT_OPTIONS
from dspex.optimization.strategies.table import strategy_of
from dspex.storage import programs, runs
from dspex.storage.budgets import Standing, standing
from dspex.storage.database import Database
from dspex.storage.opening import open_database


async def prepare_run(
    database: Database, store: str, wanted: Wanted, *, reference: str | None = None, parent: str | None = None
) -> Run:
    """A queued run in the store, checked as far as can be without paying. Raises ConfigurationErrors."""
    wanted, problem = _sharing(wanted, posed(wanted), await database.read(standing))
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


def _sharing(wanted: Wanted, problem: Problem, shared: Standing | None) -> tuple[Wanted, Problem]:
    """The same, able to keep what all runs of the store may spend together, or a ConfigurationError.

    The limit on its proposals stays with the run, whatever becomes of that budget: its requests must not change.
    """
    if shared is None or not weighs_answers(shared.budget):
        return wanted, problem
    try:
        check_answers(problem, shared.budget, wanted.runtime)
        check_models(wanted.program, wanted.options, shared.budget, wanted.runtime)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error}; it is the budget that all runs of the store share: `dspex db budget`"
        ) from error
    settings = {**proposal_limit(shared.budget), **wanted.options.proposer_settings}
    return replace(wanted, options=replace(wanted.options, proposer_settings=settings)), problem


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
            how.get("schedule"), isolation_of(how.get("isolation")), objectives_of(how),
        )  # fmt: skip
        run = await prepare_run(database, store_text(where, database), wanted, reference=reference)
    except BaseException:
        await database.aclose()
        raise
    return Prepared(run, Live(metric, runtime, None if isinstance(strategy, str) else strategy))


def objectives_of(how: HowToSearch) -> Objectives:
    """What is searched for and what has to be kept: the score alone unless given. Raises ConfigurationError."""
    return Objectives(of=tuple(how.get("objectives", ("score",))), constraints=tuple(how.get("constraints", ())))
