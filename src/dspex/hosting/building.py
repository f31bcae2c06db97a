"""From an optimization's arguments to a `RunSpec` in the store, and from there back to the objects, in any process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.configuration.runtimes import from_spec
from dspex.errors import ConfigurationError
from dspex.evaluation.scoring import as_metric
from dspex.hosting.imports import imported, imports_of, program_code
from dspex.hosting.isolating import UserCode, WorkerExecutor
from dspex.hosting.isolation import Isolation
from dspex.hosting.metrics import metric_of, metric_spec
from dspex.hosting.references import OnlyInMemoryError, fingerprint, refer
from dspex.hosting.specification import MetricSpec, Reference, RunSpec
from dspex.kernel.ports import Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.optimization.asking import Desk
from dspex.optimization.deciding import Strategy
from dspex.optimization.limits import check_models
from dspex.optimization.objectives import PLAIN, Objectives
from dspex.optimization.options import SearchOptions
from dspex.optimization.ports import Executor
from dspex.optimization.problem import Problem, aimed, pose
from dspex.optimization.strategies.finding import factory_of, is_path
from dspex.optimization.strategies.table import strategy_of
from dspex.optimization.tasks import TaskExecutor
from dspex.storage import data
from dspex.storage.database import Database

BEHAVIOUR = 1
"""Of DSPEx's own metrics, modules and adapters. Raised when the same answer would be scored otherwise than before: runs
that began before that are then refused, while any other release carries them on."""


@dataclass(frozen=True, slots=True)
class Live:
    """Objects of this process. Where the spec has the same as data, these are used all the same."""

    metric: Any = None
    runtime: Runtime | None = None
    strategy: Strategy | None = None
    desk: Desk | None = None
    """Where evaluations are told of."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks for, as objects."""

    program: Program
    splits: Mapping[str, Iterable[Example] | None]
    metric: Any
    runtime: Runtime
    strategy: str | Strategy
    budget: Budget
    seed: int
    options: SearchOptions
    schedule: str | None = None
    isolation: Isolation | None = None
    objectives: Objectives = PLAIN


@dataclass(frozen=True, slots=True)
class Built:
    """A run's objects, made of its spec."""

    problem: Problem
    runtime: Runtime
    strategy: Strategy
    options: SearchOptions


def specify(connection: Connection, wanted: Wanted, problem: Problem) -> RunSpec:
    """The spec of a posed problem; its data goes into the store. Nothing that cannot be named is hidden: see `live`."""
    live: list[str] = []
    metric: MetricSpec | None = None
    try:
        metric = metric_spec(wanted.metric)
    except OnlyInMemoryError as error:
        live.append(str(error))
    if wanted.runtime.spec is None:
        live.append(
            "the runtime has a model that lives only in this process (a ScriptedLM, or one passed as an object); name "
            "a provider's model, or run the optimization here"
        )
    if not isinstance(wanted.strategy, str):
        live.append(f"the strategy {wanted.strategy.name!r} is an object of this process; name a registered one")
    splits = {name: list(rows) for name, rows in wanted.splits.items() if rows is not None}
    imports = imports_of(wanted.program)
    return RunSpec(
        program=wanted.program.to_data(),
        train=data.put(connection, splits.get("train", [])),
        val=data.put(connection, splits.get("val", [])),
        confirm=data.put(connection, splits["confirm"]) if "confirm" in splits else None,
        metric=metric,
        runtime=None if wanted.runtime.spec is None else dict(wanted.runtime.spec),
        strategy=wanted.strategy if isinstance(wanted.strategy, str) else wanted.strategy.name,
        schedule=wanted.schedule,
        seed=wanted.seed,
        budget=wanted.budget,
        options=asdict(wanted.options),
        isolation=wanted.isolation,
        objectives=wanted.objectives,
        imports=(*imports, *strategy_code(wanted.strategy)),
        fingerprints=fingerprints(metric, imports),
        live=tuple(live),
    )


def posed(wanted: Wanted) -> Problem:
    """The problem, checked; nothing is paid for. Raises ConfigurationErrors."""
    splits = {name: None if rows is None else list(rows) for name, rows in wanted.splits.items()}
    metric = as_metric(wanted.metric, wanted.runtime)
    problem = pose(wanted.program, splits, metric, wanted.budget, wanted.seed, wanted.runtime)
    check_models(wanted.program, wanted.options, wanted.budget, wanted.runtime)
    return aimed(problem, wanted.objectives, wanted.runtime)


async def build(database: Database, spec: RunSpec, budget: Budget, live: Live | None = None) -> Built:
    """The objects of a run. Raises ConfigurationError where something lives only in the process that made it,
    AuthenticationError without a key."""
    live = live or Live()
    for reference in spec.imports:
        imported(reference)
    runtime = live.runtime or _runtime(spec)
    metric = live.metric if live.metric is not None else _metric(spec)
    splits: dict[str, list[Example] | None] = {}
    for name, key in (("train", spec.train), ("val", spec.val), ("confirm", spec.confirm)):
        splits[name] = None if key is None else await database.read(partial(data.get, key=key))
    program = Program.from_data(spec.program, "the run's program")
    # A run that an earlier version made had no part of its budget set aside for guesses, and goes on as it began.
    given: dict[str, Any] = {"ahead": 0.0, **spec.options}
    options = SearchOptions(**given)
    strategy = live.strategy or strategy_of(spec.strategy, options, spec.schedule)
    problem = pose(program, splits, as_metric(metric, runtime), budget, spec.seed, runtime)
    problem = aimed(problem, spec.objectives, runtime)
    check_models(program, options, budget, runtime)
    strategy.check(problem)
    return Built(problem, runtime, strategy, options)


def code_of(program: Program, metric: Any) -> UserCode:
    """What workers have to import. Raises OnlyInMemoryError for what they could not find by name."""
    try:
        return UserCode(metric_spec(metric), imports_of(program), program)
    except OnlyInMemoryError as error:
        raise OnlyInMemoryError(f"isolation: a worker cannot evaluate this: {error}") from error


async def workers(
    isolation: Isolation, program: Program, metric: Any, runtime: Runtime, options: SearchOptions
) -> WorkerExecutor:
    """An executor whose first worker is ready. Raises ConfigurationErrors. The caller closes it."""
    return await _ready(WorkerExecutor(isolation, code_of(program, metric), runtime, options.concurrency))


async def executor_of(spec: RunSpec, built: Built, live: Live | None = None) -> Executor:
    """Where the run's evaluations go, ready. Raises ConfigurationErrors. The caller closes it."""
    if live is not None and live.desk is not None:
        return live.desk
    if spec.isolation is None:
        return TaskExecutor()
    if spec.metric is None:
        raise OnlyInMemoryError(f"isolation: a worker cannot evaluate this: {'; '.join(spec.live)}")
    code = UserCode(spec.metric, program_code(spec.imports), built.problem.program)
    return await _ready(WorkerExecutor(spec.isolation, code, built.runtime, built.options.concurrency))


async def _ready(executor: WorkerExecutor) -> WorkerExecutor:
    try:
        await executor.check()
    except BaseException:
        await executor.aclose()
        raise
    return executor


def fingerprints(metric: MetricSpec | None, imports: Iterable[Reference]) -> dict[str, str]:
    """Hashes of the code that decides scores, by what it is; equal ones mean unchanged code."""
    found = {"dspex": f"behaviour {BEHAVIOUR}"}
    for reference in _references(metric):
        found[f"metric {reference.name}"] = fingerprint(reference)
    for reference in program_code(imports):
        found[f"code {reference.module or reference.file}"] = fingerprint(reference)
    return found


def changed(spec: RunSpec) -> list[str]:
    """What has other code now than when the run was made, in words."""
    now = fingerprints(spec.metric, spec.imports)
    return [name for name, was in spec.fingerprints.items() if now.get(name, "") != was]


def _runtime(spec: RunSpec) -> Runtime:
    if spec.runtime is None:
        raise ConfigurationError(f"this run cannot be carried by another process: {'; '.join(spec.live)}")
    return from_spec(spec.runtime)


def _metric(spec: RunSpec) -> Any:
    if spec.metric is None:
        raise ConfigurationError(f"this run cannot be carried by another process: {'; '.join(spec.live)}")
    return metric_of(spec.metric)


def strategy_code(strategy: str | Strategy) -> tuple[Reference, ...]:
    """Where another process finds a strategy that is named by import path."""
    if not isinstance(strategy, str) or not is_path(strategy):
        return ()
    factory = factory_of(strategy)
    return () if factory is None else (refer(factory, "strategy"),)


def _references(metric: MetricSpec | None) -> list[Reference]:
    if metric is None:
        return []
    own = [] if metric.function is None else [metric.function]
    return own + [found for part, _ in metric.parts for found in _references(part)]
