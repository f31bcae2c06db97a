"""The executors of DSPEx keep the contract, and the suite notices one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dspex.evaluation.assessment import Assessment
from dspex.hosting.building import code_of
from dspex.hosting.flight import FlightRecord, NotedExecutor
from dspex.hosting.isolating import WorkerExecutor
from dspex.hosting.isolation import Isolation
from dspex.optimization.ports import Assignment, Executor
from dspex.optimization.tasks import TaskExecutor
from dspex.testing.executors import EXECUTOR_CHECKS, Check, MakeExecutor, Setting
from dspex.testing.requiring import ConformanceError


def made(make: Callable[[Setting], Executor]) -> MakeExecutor:
    @asynccontextmanager
    async def opened(given: Setting) -> AsyncGenerator[Executor]:
        executor = make(given)
        try:
            yield executor
        finally:
            await executor.aclose()

    return opened


def workers(given: Setting) -> Executor:
    return WorkerExecutor(Isolation(), code_of(given.program, given.metric), given.runtime, given.places)


@pytest.mark.parametrize("check", EXECUTOR_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", ["task", "noted", "worker"])
def test_the_executors_of_dspex_conform(kind: str, check: Check, tmp_path: Path) -> None:
    kinds: dict[str, Callable[[Setting], Executor]] = {
        "task": lambda given: TaskExecutor(),
        "noted": lambda given: NotedExecutor(TaskExecutor(), FlightRecord(tmp_path / "run.flight"), ()),
        "worker": workers,
    }
    asyncio.run(check(made(kinds[kind])))


class Forgetful(TaskExecutor):
    """Loses what the evaluation cost."""

    async def assess(self, assignment: Assignment) -> Assessment:
        return replace(await super().assess(assignment), details={})


class Single(TaskExecutor):
    """Has one place, whatever it is asked for."""

    def __init__(self) -> None:
        self._place = asyncio.Lock()

    async def assess(self, assignment: Assignment) -> Assessment:
        async with self._place:
            return await super().assess(assignment)


class Remembering(TaskExecutor):
    """Keeps results."""

    def __init__(self) -> None:
        self._known: dict[object, Assessment] = {}

    async def assess(self, assignment: Assignment) -> Assessment:
        if assignment.pair not in self._known:
            self._known[assignment.pair] = await super().assess(assignment)
        return self._known[assignment.pair]


class Deaf(TaskExecutor):
    """Goes on with what was cancelled."""

    async def assess(self, assignment: Assignment) -> Assessment:
        return await asyncio.shield(asyncio.ensure_future(super().assess(assignment)))


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Forgetful, {"finds_what_assess_finds"}),
        (Single, {"has_as_many_under_way_as_it_has_places", "cancelling_ends_that_one_alone"}),
        (Remembering, {"keeps_no_result"}),
        (Deaf, {"cancelling_ends_that_one_alone"}),
    ],
)
def test_the_suite_notices_what_does_not_conform(
    kind: Callable[[], Executor], broken: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dspex.testing.executors.WAIT", 0.2)
    failed: set[str] = set()
    for check in EXECUTOR_CHECKS:
        try:
            asyncio.run(check(made(lambda given: kind())))
        except ConformanceError:
            failed.add(check.__name__)
    assert failed == broken
