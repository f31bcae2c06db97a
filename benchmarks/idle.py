"""How long slots stand idle in a search: `python -m benchmarks.idle`. Writes nothing; prints a table.

The model of the optimizer benchmark, in this process, takes 50 ms for an answer, and as much for a text, or as many
seconds as `--writing` says; `auto` searches with few and many slots, with and without work ahead of the next round.
Figures are means over `--worlds`, of seeds from 0.

Seconds are those of a clock that jumps to whatever is due next: what this machine computes meanwhile takes none, so
that the table comes out the same everywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any
from unittest.mock import patch

import dspex
from benchmarks.optimizers.families import world
from benchmarks.optimizers.programs import Remarking, program, rows
from benchmarks.optimizers.server import Session, answer
from dspex.kernel.ports import Request
from dspex.optimization.runner import optimize

SECONDS = 0.05
SLOTS = (4, 16)
AHEAD = (0.0, 0.03, 0.1)


@dataclass(frozen=True)
class Setting:
    """What is searched, and how."""

    family: str
    calls: int
    writing: float
    """Seconds that a text takes."""
    worlds: int
    """How many, that figures are means over."""


class Jumping(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to whatever is due next. Nothing in it waits for a thread or a socket."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Never(self._jump))

    def time(self) -> float:
        return self._now

    def _jump(self, seconds: float) -> None:
        self._now += seconds


class _Never(selectors.SelectSelector):
    """Nothing ever comes of waiting but the end of it."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is due, and nothing else can come")
        self._jump(max(0.0, timeout))
        return []


async def searched(setting: Setting, seed: int, slots: int, ahead: float) -> tuple[dspex.OptimizationResult, float]:
    """One search of a world, and how many seconds it took."""
    given, clock = world(setting.family, seed), asyncio.get_running_loop().time
    session, began = Session(given, setting.calls), clock()

    async def slow(request: Request) -> str:
        body: dict[str, Any] = {"model": request.model, "messages": list(request.messages), **dict(request.settings)}
        before = session.proposals
        said = answer(session, body)
        await asyncio.sleep(SECONDS if session.proposals == before else setting.writing)
        return said

    runtime = dspex.runtime(
        f"simulated/{next(iter(given.models))}", file="none", cache="memory",
        models={"simulated": dspex.ScriptedLM(slow)},
    )  # fmt: skip
    with patch("time.perf_counter", clock):  # what slots are timed by
        found = await optimize(
            program(given), rows(given, given.splits["train"]), rows(given, given.splits["val"]), Remarking(given),
            runtime, budget=dspex.Budget(calls=setting.calls),
            options=dspex.SearchOptions(concurrency=slots, ahead=ahead),
        )  # fmt: skip
    return found, clock() - began


def main() -> None:
    """Print a line for each number of slots and share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", default="rules")
    parser.add_argument("--calls", type=int, default=1500)
    parser.add_argument("--writing", type=float, default=SECONDS)
    parser.add_argument("--worlds", type=int, default=8)
    given = Setting(**vars(parser.parse_args()))
    print("slots  ahead  idle  seconds  calls x 50 ms / slots")
    for slots in SLOTS:
        for ahead in AHEAD:
            every = [_jumped(given, seed, slots, ahead) for seed in range(given.worlds)]
            idle, seconds, least = (fmean(column) for column in zip(*every, strict=True))
            print(f"{slots:5}  {ahead:5.0%}  {idle:4.0%}  {seconds:7.1f}  {least:.1f}", flush=True)


def _jumped(setting: Setting, seed: int, slots: int, ahead: float) -> tuple[float, float, float]:
    """The idle share of one search, how many seconds it took, and how many its calls take where no slot ever idles."""
    with asyncio.Runner(loop_factory=Jumping) as runner:
        found, seconds = runner.run(searched(setting, seed, slots, ahead))
    return found.idle_share, seconds, found.usage.calls * SECONDS / slots


if __name__ == "__main__":
    main()
