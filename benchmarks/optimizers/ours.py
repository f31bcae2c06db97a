"""Runs a variant of ours on a world through the public verbs, and scores every incumbent with the oracle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import dspex
from benchmarks.optimizers.client import SessionClient
from benchmarks.optimizers.families import world as world_of
from benchmarks.optimizers.programs import Remarking, program, rows
from benchmarks.optimizers.rows import Row
from benchmarks.optimizers.variants import VARIANTS
from benchmarks.optimizers.worlds import World
from dspex import Budget, Program
from dspex.kernel.ports import Event
from dspex.optimization.result import OptimizationResult

PROVIDER = "simulated"


def run(server: str, family: str, seed: int, name: str, budget: int) -> Row:
    """One search, from a new session to its row. Raises ConfigurationError for a strategy that is not built."""
    return asyncio.run(_run(server, world_of(family, seed), name, budget))


async def _run(server: str, world: World, name: str, budget: int) -> Row:
    session = SessionClient.opened(server, world.family, world.seed, budget)
    runtime = _runtime(world, session.models)
    seen: list[Event] = []
    began = time.perf_counter()
    try:
        result = await dspex.aoptimize(
            program(world), rows(world, world.splits["train"]), rows(world, world.splits["val"]), Remarking(world),
            runtime, budget=Budget(calls=budget), seed=world.seed, store=":memory:", on_event=seen.append,
            **VARIANTS[name](),
        )  # fmt: skip
    finally:
        await runtime.lm.aclose()
    seconds = time.perf_counter() - began
    counts = session.counts()
    oracle = _Oracle(world, session)
    try:
        trajectory, final = await oracle.along(result, seen, counts["calls"])
        return Row(
            world.family, world.seed, name, budget, counts["calls"], counts["proposals"],
            await oracle.score(result.seed_program), final, world.best(), trajectory, seconds, counts["usd"],
            counts["refused"], counts["calls"] - (trajectory[-2][0] if len(trajectory) > 1 else 0),
            note=f"{result.stopped}; {result.reason}",
        )  # fmt: skip
    finally:
        await oracle.aclose()


class _Oracle:
    """True scores of programs, each looked up once."""

    def __init__(self, world: World, session: SessionClient) -> None:
        self._world, self._session = world, session
        self._runtime = _runtime(world, session.oracle)
        self._known: dict[str, float] = {}

    async def along(
        self, result: OptimizationResult, events: list[Event], calls: int
    ) -> tuple[tuple[tuple[int, float], ...], float]:
        """The trajectory, and the final score. The last point is the result, when all calls are spent."""
        found: list[tuple[int, float]] = []
        for event in events:
            if event.kind == "round.finished" and event.data["leader"] in result.ledger.candidates:
                leader = result.ledger.candidates[event.data["leader"]]
                score = await self.score(result.seed_program.configured(leader.values))
                found.append((int(event.data["calls"]), score))
        final = await self.score(result.program)
        return (*found, (calls, final)), final

    async def score(self, candidate: Program) -> float:
        if candidate.hash not in self._known:
            await dspex.arun(candidate, {"ticket": self._world.splits["test"][0].text}, self._runtime)
            self._known[candidate.hash] = self._session.score()
        return self._known[candidate.hash]

    async def aclose(self) -> None:
        await self._runtime.lm.aclose()


def _runtime(world: World, base: str) -> dspex.Runtime:
    """A runtime as a user has it, on the session's server."""
    prices: Mapping[str, Any] = {
        f"{PROVIDER}/{name}": {"input": given, "output": written} for name, (given, written) in world.models.items()
    }
    return dspex.runtime(
        f"{PROVIDER}/{next(iter(world.models))}", file="none", cache="none", concurrency=16, retries=0,
        providers={PROVIDER: {"base_url": base}}, prices=prices,
    )  # fmt: skip
