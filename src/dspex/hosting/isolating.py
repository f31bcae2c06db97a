"""`isolation="process"`: an executor whose evaluations run in workers, each a process that may die alone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter

from dspex.adapters import ADAPTERS
from dspex.errors import ConfigurationError
from dspex.evaluation.assessment import Assessment, usage_of
from dspex.hosting.isolation import Isolation
from dspex.hosting.references import OnlyInMemoryError
from dspex.hosting.specification import MetricSpec, Reference
from dspex.hosting.worker_process import Bought, WorkerDiedError, WorkerProcess, environment_of
from dspex.kernel.ports import JSON, Runtime
from dspex.kernel.program import Program
from dspex.kernel.state import Record
from dspex.optimization.ports import Assignment

_STARTS = 3
"""How often a worker is started that somebody kills while it starts."""


@dataclass(frozen=True, slots=True)
class UserCode:
    """What a worker has to import, by name."""

    metric: MetricSpec
    imports: tuple[Reference, ...]
    program: Program


class WorkerExecutor:
    """`Executor` over up to `places` workers, which are started when they are needed and kept.

    A worker that dies takes one evaluation with it. Killed from outside (SIGKILL), it is replaced and the evaluation
    made again, once; else the assessment says what happened: `crash`, `hang` or `memory`. Answers of models that an
    evaluation has got by then are not asked for again, and are in its books.
    """

    def __init__(self, isolation: Isolation, code: UserCode, runtime: Runtime, places: int) -> None:
        if runtime.adapters is not ADAPTERS:
            raise OnlyInMemoryError(
                "isolation: the runtime has adapters of its own, which live only in this process; run without isolation"
            )
        self._isolation, self._runtime = isolation, runtime
        self._environment = environment_of(isolation.environment)
        self._setup: Mapping[str, JSON] = {
            "path": list(sys.path),
            "metric": code.metric.model_dump(mode="json"),
            "imports": [item.model_dump(mode="json") for item in code.imports],
            "program": code.program.to_data(),
            "model": runtime.model,
            "adapter": runtime.adapter,
            "memory_mb": isolation.memory_mb,
        }
        self._free = asyncio.Semaphore(places)
        self._idle: list[WorkerProcess] = []
        self._alive: set[WorkerProcess] = set()

    async def check(self) -> None:
        """Start the first worker. Raises ConfigurationError where the code cannot be had there."""
        self._idle.append(await self._hired())

    async def assess(self, assignment: Assignment) -> Assessment:
        began = perf_counter()
        bought: Bought = {}
        async with self._free:
            for again in (True, False):
                try:
                    found = await self._in_a_worker(assignment, bought)
                except WorkerDiedError as death:
                    if death.outside and again:
                        continue
                    return _lost(assignment, death, bought, perf_counter() - began)
                return found
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        self._idle.clear()
        await asyncio.gather(*(worker.aclose() for worker in self._alive))
        self._alive.clear()

    async def _in_a_worker(self, assignment: Assignment, bought: Bought) -> Assessment:
        worker = self._idle.pop() if self._idle else await self._hired()
        keep = False
        try:
            found = await worker.assess(assignment, self._isolation.timeout, bought)
            if found.error_kind != "memory":
                keep = True
                return found
            # A heap at its limit is no place for the next one.
            limit = self._isolation.memory_mb
            return found if limit is None else replace(found, error=f"memory: it took more than {limit} MB")
        finally:
            if keep and worker.usable:
                self._idle.append(worker)
            else:
                await self._dismissed(worker)

    async def _hired(self) -> WorkerProcess:
        """A worker that is ready. Raises ConfigurationError."""
        for _ in range(_STARTS):
            worker = WorkerProcess(self._environment)
            self._alive.add(worker)
            try:
                await worker.set_up(self._runtime, self._setup)
            except WorkerDiedError as death:
                await self._dismissed(worker)
                if not death.outside:
                    raise ConfigurationError(f"isolation: no worker could be started: {death}; see the log") from death
            except BaseException:
                await self._dismissed(worker)
                raise
            else:
                return worker
        raise ConfigurationError(f"isolation: {_STARTS} workers were killed (SIGKILL) while they started")

    async def _dismissed(self, worker: WorkerProcess) -> None:
        await worker.aclose()
        self._alive.discard(worker)


def _lost(assignment: Assignment, death: WorkerDiedError, bought: Bought, seconds: float) -> Assessment:
    """What is known of an evaluation whose worker died: what it has used."""
    history = tuple(
        Record(
            "(lost)", "", {}, None, model=item.model, completion=item.text, usage=item.usage, error=str(death),
            call=item.key,
        )
        for answers in bought.values()
        for item in answers
    )  # fmt: skip
    text = f"{death.kind}: {death}"
    usage = usage_of(history)
    return Assessment(
        assignment.example.id, assignment.sample, None, None, None, text, death.kind, usage, seconds, history
    )
