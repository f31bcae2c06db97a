"""Runs a variant of ours on a world through the public verbs, and scores every incumbent with the oracle."""

from __future__ import annotations

import asyncio
import time

import dspex
from benchmarks.optimizers.ablations import UNCONFIRMED
from benchmarks.optimizers.client import SessionClient
from benchmarks.optimizers.families import world as world_of
from benchmarks.optimizers.oracle import Oracle, runtime_of
from benchmarks.optimizers.programs import Remarking, program, rows
from benchmarks.optimizers.rows import Row
from benchmarks.optimizers.variants import VARIANTS
from benchmarks.optimizers.worlds import World
from dspex import Budget
from dspex.kernel.ports import Event
from dspex.optimization.result import OptimizationResult


def run(server: str, family: str, seed: int, name: str, budget: int) -> Row:
    """One search, from a new session to its row. Raises ConfigurationError for a strategy that is not built."""
    return asyncio.run(_run(server, world_of(family, seed), name, budget))


async def _run(server: str, world: World, name: str, budget: int) -> Row:
    session = SessionClient.opened(server, world.family, world.seed, budget)
    runtime = runtime_of(world, session.models)
    seen: list[Event] = []
    arguments = dict(VARIANTS[name]())
    unconfirmed = bool(arguments.pop(UNCONFIRMED, False))
    began = time.perf_counter()
    try:
        result = await dspex.aoptimize(
            program(world), rows(world, world.splits["train"]), rows(world, world.splits["val"]), Remarking(world),
            runtime, budget=Budget(calls=budget), seed=world.seed, store=":memory:", on_event=seen.append,
            **arguments,
        )  # fmt: skip
    finally:
        await runtime.lm.aclose()
    seconds = time.perf_counter() - began
    counts = session.counts()
    oracle = Oracle(world, session)
    try:
        trajectory, confirming = await _along(oracle, result, seen)
        final = trajectory[-1][1] if unconfirmed else await oracle.score(result.program)
        trajectory = (*trajectory, (counts["calls"], final))
        return Row(
            world.family, world.seed, name, budget, counts["calls"], counts["proposals"],
            await oracle.score(result.seed_program), final, world.best(), trajectory, seconds, counts["usd"],
            counts["refused"], confirming,
            note=f"{result.stopped}; {result.reason}",
        )  # fmt: skip
    finally:
        await oracle.aclose()


async def _along(
    oracle: Oracle, result: OptimizationResult, events: list[Event]
) -> tuple[tuple[tuple[int, float], ...], int]:
    """(calls, true score of the leader) after every round of the search, and the calls of the confirmation."""
    found: list[tuple[int, float]] = []
    confirming = 0
    for event in events:
        if event.kind != "round.finished" or event.data["leader"] not in result.ledger.candidates:
            continue
        calls = int(event.data["calls"])
        if result.ledger.rounds[int(event.where)].purpose == "confirmation":
            confirming = calls - (found[-1][0] if found else 0)
            continue
        leader = result.ledger.candidates[event.data["leader"]]
        found.append((calls, await oracle.score(result.seed_program.configured(leader.values))))
    return tuple(found), confirming
