"""Runs one proposer on parents of one's choice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dspex.clients.budget import Budget
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Request
from dspex.kernel.program import Program
from dspex.optimization.deciding import Proposer, SearchView, Turn
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Candidate, Proposal, Round
from tests.optimization.simulators import hinted, rows, runtime

Values = dict[str, Any]


def proposed(
    proposer: Proposer,
    given: Program,
    count: int = 6,
    *,
    parents: tuple[Values, ...] = ({},),
    model: Callable[[Request], Any] = hinted,
    seed: int = 0,
) -> list[Proposal]:
    """What `proposer` proposes from these parents (the values that differ from the program's)."""
    problem = Problem(
        given, tuple(rows(30)), tuple(rows(20, 500)), tuple(rows(20, 900)), as_metric(ExactMatch("label")),
        Budget(calls=1), seed,
    )  # fmt: skip
    ledger = MemoryLedger()
    lab = Laboratory(problem, ledger, runtime(model), SearchOptions(concurrency=4, outage_seconds=3.0))

    async def scenario() -> list[Proposal]:
        made = [{**given.values, **item} for item in parents]
        candidates = tuple(Candidate(problem.id_of(item), item, "test", (), "", 0) for item in made)
        await ledger.commit(Round(0, (), candidates))
        await ledger.fold(0)
        lab.round = 1
        search = SearchView(problem, ledger, lab, 1, None)
        return await proposer.propose(Turn(search, candidates, count, search.rng(proposer.name)))

    return asyncio.run(scenario())
