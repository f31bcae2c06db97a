"""True scores of our programs, and the runtime they run on: one request through the oracle tells a whole program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dspex
from benchmarks.optimizers.client import SessionClient
from benchmarks.optimizers.programs import PROVIDER
from benchmarks.optimizers.worlds import World
from dspex import Program


class Oracle:
    """True scores of programs, each looked up once, by one request a stage to the session's oracle."""

    def __init__(self, world: World, session: SessionClient) -> None:
        self._world, self._session = world, session
        self._runtime = runtime_of(world, session.oracle)
        self._known: dict[str, float] = {}

    async def score(self, candidate: Program) -> float:
        """Of this program, on the test cases, without noise."""
        if candidate.hash not in self._known:
            await dspex.arun(candidate, {"ticket": self._world.splits["test"][0].text}, self._runtime)
            self._known[candidate.hash] = self._session.score()
        return self._known[candidate.hash]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._runtime.lm.aclose()


def runtime_of(world: World, base: str) -> dspex.Runtime:
    """A runtime as a user has it, on the session's server."""
    prices: Mapping[str, Any] = {
        f"{PROVIDER}/{name}": {"input": given, "output": written} for name, (given, written) in world.models.items()
    }
    return dspex.runtime(
        f"{PROVIDER}/{next(iter(world.models))}", file="none", cache="none", concurrency=16, retries=0,
        providers={PROVIDER: {"base_url": base}}, prices=prices,
    )  # fmt: skip
