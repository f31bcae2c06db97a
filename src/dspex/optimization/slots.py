"""The places in which evaluations run, and how long they stood empty."""

from __future__ import annotations

import asyncio
import time


class Slots:
    """At most `count` evaluations at once, first come, first served: `async with slots`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.wanted = 0
        """Evaluations that are asked for and not done yet."""
        self._places = asyncio.Semaphore(count)
        self._busy, self._running = 0.0, 0
        self._began = self._changed = time.perf_counter()

    @property
    def spare(self) -> int:
        """Places that what is asked for does not need."""
        return self.count - self.wanted

    @property
    def idle_share(self) -> float:
        """The part of all slots' time since the beginning that nothing ran in, in 0..1."""
        self._count()
        whole = self.count * (self._changed - self._began)
        return round(max(0.0, 1 - self._busy / whole), 4) if whole else 0.0

    async def __aenter__(self) -> None:
        await self._places.acquire()
        self._count()
        self._running += 1

    async def __aexit__(self, *_: object) -> None:
        self._count()
        self._running -= 1
        self._places.release()

    def _count(self) -> None:
        now = time.perf_counter()
        self._busy += self._running * (now - self._changed)
        self._changed = now
