"""Proposals of the next round are written while a round is evaluated, so that no slot waits for a writer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from dspex.clients.budget import Budget
from dspex.optimization.deciding import Preparing, SearchView, Strategy
from dspex.optimization.rows import Proposal, Round
from dspex.optimization.spending import LIMITS, amount_of


class Writing:
    """What a strategy has written for the round after the present one: once for each round, by each process.

    It is in no row. A process that takes the search over has it written again, from the same memo and rows: the
    requests are the same, so their answers come out of the call store, and nothing is paid twice.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy if isinstance(strategy, Preparing) else None
        self._number = -1
        self._written: Sequence[Proposal] = ()

    async def beside(self, search: SearchView, evaluating: Coroutine[Any, Any, None]) -> None:
        """Evaluate a round, and have written meanwhile what `search`, the view of the next, will show.

        Both come to their end, whatever becomes of the other: what is in flight is paid for. Where either finds the
        budget spent, the round has not come about, so that it does not matter which of them asked last.
        """
        if self._strategy is None:
            await evaluating
            return
        ends = await asyncio.gather(evaluating, self._write(search), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def of(self, search: SearchView) -> Sequence[Proposal]:
        """What was written for this round; written now where an earlier process evaluated the round before it."""
        if self._number != search.number:
            await self._write(search)
        return self._written

    async def _write(self, search: SearchView) -> None:
        if self._strategy is not None:
            self._written = await self._strategy.prepare(search)
        self._number = search.number


def dearest(rounds: Sequence[Round], price: Mapping[str, float], budget: Budget) -> float:
    """The most that asking for a round's proposals has taken of what is limited, in evaluations of this price."""
    prices = {name: price[name] for name in LIMITS if price.get(name) and getattr(budget, name) is not None}
    return max((amount_of(item.usage, name) / cost for item in rounds for name, cost in prices.items()), default=0.0)
