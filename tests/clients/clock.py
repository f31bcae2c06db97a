"""A clock that moves only when somebody sleeps by it."""

from __future__ import annotations

import asyncio


class Clock:
    """Call it for the time; `sleep` returns at once, that much later, and is written down in `slept`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
