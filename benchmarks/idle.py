"""How long slots stand idle in a search: `python -m benchmarks.idle`. Writes nothing; prints a table.

The model of the optimizer benchmark, in this process, answers after 50 ms; `auto` searches with few and many slots,
with and without work ahead of the next round.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import dspex
from benchmarks.optimizers.families import world
from benchmarks.optimizers.programs import Remarking, program, rows
from benchmarks.optimizers.server import Session, answer
from dspex.kernel.ports import Request

SECONDS = 0.05
SLOTS = (4, 16)
AHEAD = (0.0, 0.03, 0.1)


async def searched(family: str, calls: int, slots: int, ahead: float) -> dspex.OptimizationResult:
    """One search of a world with seed 0."""
    given = world(family, 0)
    session = Session(given, calls)

    async def slow(request: Request) -> str:
        await asyncio.sleep(SECONDS)
        body: dict[str, Any] = {"model": request.model, "messages": list(request.messages), **dict(request.settings)}
        return answer(session, body)

    runtime = dspex.runtime(
        f"simulated/{next(iter(given.models))}", file="none", cache="none",
        models={"simulated": dspex.ScriptedLM(slow)},
    )  # fmt: skip
    return await dspex.aoptimize(
        program(given), rows(given, given.splits["train"]), rows(given, given.splits["val"]), Remarking(given), runtime,
        budget=dspex.Budget(calls=calls), options=dspex.SearchOptions(concurrency=slots, ahead=ahead), store=":memory:",
    )  # fmt: skip


def main() -> None:
    """Print a line for each search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="rules")
    parser.add_argument("--calls", type=int, default=1500)
    given = parser.parse_args()
    print("slots  ahead  idle  seconds  calls x 50 ms / slots")
    for slots in SLOTS:
        for ahead in AHEAD:
            found = asyncio.run(searched(given.family, given.calls, slots, ahead))
            least = found.usage.calls * SECONDS / slots
            print(f"{slots:5}  {ahead:5.0%}  {found.idle_share:4.0%}  {found.seconds:7.1f}  {least:.1f}", flush=True)


if __name__ == "__main__":
    main()
