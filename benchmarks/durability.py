"""What durability costs: `python -m benchmarks.durability`. Writes nothing; prints a table.

CPU of a call in a search whose rows are committed against one that keeps them in memory, throughput at 64 concurrent
calls of 50 ms, and how long `status()` and `best()` take on a run with 100,000 evaluations.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.clients.stack import ModelStack
from dspex.configuration.runtimes import runtime
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.hosting.handle import Run
from dspex.kernel.ports import Capabilities, Completion, Request, Runtime, Usage
from dspex.kernel.program import Program
from dspex.kernel.shorthand import signature
from dspex.kernel.signature import Example
from dspex.kernel.variables import Text
from dspex.modules.prediction import predict
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.ports import Ledger
from dspex.optimization.problem import Problem, pose
from dspex.optimization.rows import Candidate, Round
from dspex.storage import runs
from dspex.storage.calls import DatabaseCallStore
from dspex.storage.database import Database
from dspex.storage.ledgers import DurableLedger
from dspex.storage.opening import open_database
from dspex.storage.tables import candidates, evaluations

CALLS, REPEATS, CONCURRENCY, SECONDS = 1600, 5, 64, 0.05
ROWS = 100_000
ROW = {"id": "run", "name": "run", "budget": {"calls": CALLS}, "strategy": "auto", "seed": 0}


class Sleeper:
    """A model that takes a set time and no CPU."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self._seconds)
        return Completion("[[team]]\nbilling\n\n[[end]]", "stop", Usage(1, 100, 10), request.model)

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities()

    async def aclose(self) -> None:
        """Nothing is open."""


def sleeping(seconds: float) -> Runtime:
    return runtime("sleeper/model", models={"sleeper": Sleeper(seconds)}, file="none", concurrency=CONCURRENCY)


def problem(ready: Runtime) -> Problem:
    step = predict(signature("ticket -> team"), instructions=Text(), name="route")
    rows = [Example(str(n), {"ticket": f"ticket {n}", "team": "billing"}) for n in range(CALLS + 16)]
    splits = {"train": rows[:8], "val": rows[16:], "confirm": rows[8:16]}
    return pose(
        Program(name="route", pipeline=(step,)), splits, as_metric(ExactMatch("team")), Budget(calls=CALLS), 0, ready
    )


async def searched(ledger: Ledger, ready: Runtime) -> tuple[float, float]:
    """Seconds of CPU and of wall clock a call, for one round."""
    posed = problem(ready)
    first = Candidate(posed.seed_id, posed.completed(posed.program.values), "seed", (), "", 0)
    pairs = tuple((first.id, item.id, 0) for item in posed.val)
    await ledger.commit(Round(0, pairs, (first,)))
    lab = Laboratory(posed, ledger, ready, SearchOptions(concurrency=CONCURRENCY))
    began, used = time.perf_counter(), time.process_time()
    await lab.perform(pairs)
    await ledger.fold(0)
    found = (time.process_time() - used) / len(pairs), (time.perf_counter() - began) / len(pairs)
    assert ledger.evaluated == len(pairs)
    return found


async def in_memory(seconds: float) -> tuple[float, float]:
    return await searched(MemoryLedger(), sleeping(seconds))


async def durable(seconds: float) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        database = await open_database(Path(folder) / "dspex.db")
        await database.write(lambda c: runs.create(c, {**ROW, "spec": {}}))
        guard = runs.fence("run", await database.write(lambda c: runs.claim(c, "run", "", None)))
        calls = DatabaseCallStore(database, "run", 1, guard)
        ready = sleeping(seconds)
        assert isinstance(ready.lm, ModelStack)
        try:
            return await searched(DurableLedger(database, "run", guard), replace(ready, lm=ready.lm.with_store(calls)))
        finally:
            await calls.aclose()
            await database.aclose()


def filled(connection: Connection, program: Program) -> None:
    """A run with many evaluations."""
    spec = {"program": program.to_data()}
    runs.create(connection, {**ROW, "spec": spec})
    runs.progressed(connection, "run", {"leader": "c0", "best_score": 0.5})
    data = '[{"route.instructions":"Name the team."},"seed",[],""]'
    made = [{"run": "run", "id": f"c{n}", "position": n, "round": 0, "data": data} for n in range(100)]
    connection.execute(candidates.insert(), made)
    rows = [
        {"run": "run", "candidate": f"c{n % 100}", "example": str(n // 100), "sample": 0, "round": 0, "score": 1.0,
         "data": '[null,{"team":"billing"},null,null,[1,100,10,null,0,0],0.1]', "trace": None}
        for n in range(ROWS)
    ]  # fmt: skip
    connection.execute(evaluations.insert(), rows)


async def asked(database: Database) -> tuple[float, float]:
    """Seconds of `status()` and of `best()`, medians."""
    run = Run(database, "", "run")

    async def taken(question: Callable[[], Awaitable[object]]) -> float:
        found: list[float] = []
        for _ in range(20):
            began = time.perf_counter()
            await question()
            found.append(time.perf_counter() - began)
        return statistics.median(found)

    return await taken(run.status), await taken(run.best)


async def main() -> None:
    """Measure and print."""
    cpu: dict[str, list[float]] = {"memory": [], "durable": []}
    wall: dict[str, list[float]] = {"memory": [], "durable": []}
    for _ in range(REPEATS):
        for name, search in (("memory", in_memory), ("durable", durable)):
            cpu[name].append((await search(0.0))[0] * 1e6)
            wall[name].append((await search(SECONDS))[1])
    of = {name: statistics.median(found) for name, found in cpu.items()}
    ideal = SECONDS / CONCURRENCY
    share = {name: ideal / statistics.median(found) for name, found in wall.items()}
    with tempfile.TemporaryDirectory() as folder:
        database = await open_database(Path(folder) / "dspex.db")
        await database.write(lambda c: filled(c, problem(sleeping(0)).program))
        status, best = await asked(database)
        await database.aclose()
    print(f"CPU a call: {of['memory']:.0f} us in memory, {of['durable']:.0f} us durable,", end=" ")
    print(f"{of['durable'] - of['memory']:.0f} us more (goal: 100)")
    print(
        f"throughput, {CONCURRENCY} at once, {SECONDS * 1000:.0f} ms: {share['memory']:.0%} of ideal in memory,",
        end=" ",
    )
    print(f"{share['durable']:.0%} durable (goal: 80 %)")
    print(f"on {ROWS:,} evaluations: status() {status * 1000:.1f} ms, best() {best * 1000:.1f} ms (goal: 50)")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
