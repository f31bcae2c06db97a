"""A gate that many pass at once, or one alone."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from itertools import count


class Gate:
    """Lets many in at once, or one alone. Of those that wait to be alone, the one with the lowest rank is first."""

    def __init__(self) -> None:
        self._inside, self._closed = 0, False
        self._numbers = count()
        self._alone: list[tuple[int, int, asyncio.Future[None]]] = []
        self._others: deque[asyncio.Future[None]] = deque()

    async def enter(self, rank: int | None = None) -> None:
        """Wait for a place: alone, where there is a rank. Every `enter` that returns needs a `leave`."""
        if rank is None and not self._closed and not self._alone:
            self._inside += 1
            return
        place = asyncio.get_running_loop().create_future()
        if rank is None:
            self._others.append(place)
        else:
            heapq.heappush(self._alone, (rank, next(self._numbers), place))
        try:
            if rank is not None:
                await asyncio.sleep(0)  # let those come that come at the same time: the lowest rank of them is first
                self._admit()
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            else:
                place.cancel()
                self._admit()
            raise

    def leave(self) -> None:
        self._inside -= 1
        self._closed = False
        self._admit()

    def _admit(self) -> None:
        if self._closed:
            return
        self._alone = [entry for entry in self._alone if not entry[2].done()]
        heapq.heapify(self._alone)
        if self._alone:
            if self._inside == 0:
                self._inside, self._closed = 1, True
                heapq.heappop(self._alone)[2].set_result(None)
            return
        while self._others:
            place = self._others.popleft()
            if not place.done():
                self._inside += 1
                place.set_result(None)
