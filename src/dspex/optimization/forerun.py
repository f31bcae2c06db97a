"""Free slots work ahead: they evaluate what the next round will likely ask for, paid from a part of the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from dspex.errors import DspexError
from dspex.kernel.ports import Runtime
from dspex.optimization.ports import Ledger
from dspex.optimization.rows import Evaluation, Pair
from dspex.optimization.slots import Slots

Foresee = Callable[[], tuple[Sequence[Pair], int]]
"""Pairs, likeliest first, and how many of them can be paid for."""
Evaluate = Callable[[Pair, Runtime], Awaitable[Evaluation]]


class Forerun:
    """Evaluations that no round has asked for yet. Their rows are kept apart in the ledger until one does.

    It begins something only in slots that nothing else needs, no more in a round than there are slots, and nothing
    while `halted` says so. What fails did not happen: it is asked in its turn.
    """

    def __init__(self, ledger: Ledger, slots: Slots, evaluate: Evaluate, halted: Callable[[], bool]) -> None:
        self.foresee: Foresee | None = None
        """What the next round will likely ask for; None: nothing is begun."""
        self.runtime: Runtime | None = None
        """Whose account pays; None: nothing is begun."""
        self._ledger, self._slots, self._evaluate, self._halted = ledger, slots, evaluate, halted
        self._under_way: dict[Pair, asyncio.Task[None]] = {}
        self._asked: frozenset[Pair] = frozenset()
        self._left = 0
        self._looking = False
        self._fault: BaseException | None = None

    def __contains__(self, pair: object) -> bool:
        return pair in self._under_way

    def expect(self, asked: Iterable[Pair]) -> None:
        """These are being asked for now: they are nobody's guess, and a new round of guesses may begin."""
        self._asked, self._left = frozenset(asked), self._slots.count

    def fill(self) -> None:
        """Begin what fits in, once what is ready now has run: whatever ends at the same time is looked at together."""
        if not self._looking and self._room():
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _room(self) -> int:
        """How many may be begun now."""
        if self.foresee is None or self.runtime is None or self._halted():
            return 0
        return max(0, min(self._slots.spare - len(self._under_way), self._left))

    def _look(self) -> None:
        self._looking = False
        try:
            self._begin()
        except Exception as error:  # nobody called: who waits for what is under way is told
            self._fault = error

    def _begin(self) -> None:
        room, runtime = self._room(), self.runtime
        if not room or self.foresee is None or runtime is None:
            return
        pairs, payable = self.foresee()
        for pair in self._fitting(pairs, min(room, payable)):
            self._left -= 1
            task = self._under_way[pair] = asyncio.ensure_future(self._one(pair, runtime))
            task.add_done_callback(partial(self._ended, pair))

    async def join(self, pair: Pair) -> None:
        """Wait for the pair where it is under way."""
        if (task := self._under_way.get(pair)) is not None:
            await asyncio.wait([task])

    async def settle(self) -> None:
        """Wait for all that is under way. Raises what none of it should have raised."""
        while self._under_way:
            await asyncio.wait(self._under_way.values())
        if self._fault is not None:
            raise self._fault

    async def close(self) -> None:
        """Begin nothing more, and wait for the rest, which is kept, wanted or not."""
        self.foresee = None
        await self.settle()
        await self._ledger.flush()

    def drop(self) -> None:
        """Begin nothing more, and cancel what is under way."""
        self.foresee = None
        for task in self._under_way.values():
            task.cancel()

    def _fitting(self, pairs: Iterable[Pair], most: int) -> list[Pair]:
        """The first of `pairs` that nobody has asked for or begun yet."""
        ledger, asked, deaths = self._ledger, self._asked, self._ledger.deaths
        found: dict[Pair, None] = {}
        for pair in pairs:
            if len(found) >= most:
                break
            known = pair in asked or pair in self._under_way or ledger.holds(pair) or ledger.is_ahead(pair)
            if not known and pair[:2] not in deaths:  # what may kill its place waits until it is asked for
                found[pair] = None
        return list(found)

    async def _one(self, pair: Pair, runtime: Runtime) -> None:
        async with self._slots:
            try:
                row = await self._evaluate(pair, runtime)
            except DspexError:
                return  # whoever asks for it finds the same fault, and says so
        if row.score is not None or row.usage.calls:
            await self._ledger.record(row)
        if row.error_kind == "budget":
            self._left = 0

    def _ended(self, pair: Pair, task: asyncio.Task[None]) -> None:
        del self._under_way[pair]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.fill()
        elif not isinstance(error, DspexError):  # a store that cannot be written says so to whoever waits for it
            self._fault = error
