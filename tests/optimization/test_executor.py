"""The port `Executor`: a search takes its evaluations from whatever implements it, and knows no more than the port."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from dspex.clients.budget import Budget
from dspex.evaluation.assessment import Assessment
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.variables import Demos, Text
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.ports import Assignment
from dspex.optimization.problem import pose
from dspex.optimization.rows import Pair
from dspex.optimization.runner import Runner, Session
from dspex.optimization.strategies.table import strategy_of
from dspex.optimization.tasks import TaskExecutor
from tests.optimization.simulators import hinted, program, runtime, splits


@dataclass
class Elsewhere:
    """Another place of evaluation, which remembers what it was asked."""

    here: TaskExecutor = field(default_factory=TaskExecutor)
    asked: list[Pair] = field(default_factory=list[Pair])

    async def assess(self, assignment: Assignment) -> Assessment:
        self.asked.append(assignment.pair)
        await asyncio.sleep(0)
        return await self.here.assess(assignment)

    async def aclose(self) -> None:
        """Nothing to do."""


def test_every_evaluation_is_asked_of_the_executor_and_of_nobody_else() -> None:
    train, val, confirm = splits()
    ready, ledger, place = runtime(hinted), MemoryLedger(), Elsewhere()
    given = program(instructions=Text(), demos=Demos(2))
    problem = pose(
        given, {"train": train, "val": val, "confirm": confirm}, as_metric(ExactMatch("label")), Budget(calls=400), 0,
        ready,
    )  # fmt: skip
    options = SearchOptions(ahead=0.0)
    strategy = strategy_of("auto", options, None)
    result = asyncio.run(Runner(problem, ready, strategy, ledger, options, Session(executor=place)).run())
    assert result.evaluations == len(place.asked) == len(set(place.asked)) > 0
    assert sorted(place.asked) == [row.pair for row in ledger.evaluations()]
