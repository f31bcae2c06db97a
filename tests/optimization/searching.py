"""Searches in tests: over the usual splits, at any concurrency, and killed over and over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dspex.clients.budget import Budget
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Metric, Request, Runtime
from dspex.kernel.program import Program
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Evaluation
from dspex.optimization.runner import optimize
from tests.optimization.simulators import hinted, runtime, share, splits


def searched(given: Program, model: Any, calls: int = 1200, **more: Any) -> OptimizationResult:
    """The result of a search over the usual splits."""
    train, val, confirm = more.pop("splits", None) or splits()
    metric: Metric = more.pop("metric", ExactMatch("label"))
    ready = model if isinstance(model, Runtime) else runtime(model)
    more.setdefault("budget", Budget(calls=calls))
    return asyncio.run(optimize(given, train, val, metric, ready, confirm=confirm, **more))


TIMING: dict[str, Any] = dict.fromkeys(("seconds", "fitting", "idle_share", "usage", "evaluations", "unwanted"))
"""What of a result may differ from time to time; the last three by what free slots began before it was asked for."""


def rows_of(ledger: MemoryLedger) -> list[Any]:
    """Everything in a ledger that does not depend on the clock."""
    rows = [replace(item, seconds=0.0) for item in ledger.evaluations()]
    return [
        rows,
        list(ledger.candidates.values()),
        ledger.rounds,
        {item: ledger.scores(item) for item in ledger.candidates},
    ]


async def uneven(request: Request) -> str:
    """The same answers as `hinted`, after a wait that differs from request to request."""
    for _ in range(int(share(request.messages[-1]["content"]) * 20)):
        await asyncio.sleep(0)
    return hinted(request)


class Interrupted(BaseException):
    """Plays the end of a process."""


class Dying(MemoryLedger):
    """A ledger whose process ends after so many writes, and after each further `every`; what was written stays.

    A row without a score is no progress, and not counted.
    """

    def __init__(self, writes: int, every: int = 0) -> None:
        super().__init__()
        self.writes, self.every = writes, every

    async def record(self, evaluation: Evaluation) -> None:
        await super().record(evaluation)
        if evaluation.score is not None:
            self._tick()

    async def commit(self, round: Any) -> None:
        await super().commit(round)
        self._tick()

    async def fold(self, number: int) -> None:
        await super().fold(number)
        self._tick()

    def _tick(self) -> None:
        self.writes -= 1
        if self.writes == 0:
            self.writes = self.every
            raise Interrupted


def slowed(model: Callable[[Request], str]) -> Callable[[Request], Any]:
    """The same answers, after a wait that differs from request to request."""

    async def waiting(request: Request) -> str:
        for _ in range(int(share(request.messages[-1]["content"], request.sample) * 20)):
            await asyncio.sleep(0)
        return model(request)

    return waiting


def found_alike(given: Program, model: Callable[[Request], str], calls: int, **more: Any) -> OptimizationResult:
    """The result of a search, after checking that it is the same at any concurrency, and however often it is killed."""
    results: list[OptimizationResult] = []
    ledgers = [MemoryLedger(), MemoryLedger(), Dying(1, every=1), Dying(5, every=7)]
    for ledger, concurrency in zip(ledgers, (1, 16, 4, 4), strict=True):
        options = replace(more.get("options", SearchOptions()), concurrency=concurrency)
        answering = slowed(model) if concurrency == 16 else model
        while True:
            try:
                results.append(searched(given, answering, calls, **{**more, "ledger": ledger, "options": options}))
                break
            except Interrupted:
                continue
    for ledger, result in zip(ledgers[1:], results[1:], strict=True):
        assert rows_of(ledger) == rows_of(ledgers[0])
        assert (result.program, result.reason, result.stopped) == (
            results[0].program, results[0].reason, results[0].stopped,
        )  # fmt: skip
    return results[0]
