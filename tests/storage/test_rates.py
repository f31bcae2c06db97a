"""Rates as rows: leased by several connections at once, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from dspex.clients.limiter import Limits
from dspex.clients.rate_leases import Ask, Used
from dspex.storage.database import Database
from dspex.storage.opening import open_database
from dspex.storage.rates import StoredRates

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]
RATES = Limits(requests_per_minute=100).rates


def test_leases_of_several_processes_never_add_up_to_more_than_the_rate(within: Within, url: str) -> None:
    async def test(database: Database) -> None:
        other = await open_database(url)
        ask = Ask(RATES, {"requests": 1, "tokens": 0}, {"requests": 9, "tokens": 0}, 5.0)
        given = await asyncio.gather(
            *(StoredRates(item).lease("k", ask) for item in (database, other) for _ in range(8))
        )
        now = [lease.amounts["requests"] for lease in given if lease.start < 1]
        assert sum(now) == 100
        assert sum(lease.start > 50 for lease in given) == 16 - len(now) == 4
        assert len({lease.number for lease in given}) == 16
        over = [Used(lease.number, {"requests": 0, "tokens": 0}, 0.0) for lease in given]
        await StoredRates(other).give_back("k", over)
        again = await StoredRates(database).lease("k", ask)
        assert (again.start, again.amounts["requests"]) == (0.0, 9)
        assert (await StoredRates(database).lease("another", ask)).number == 1
        await other.aclose()

    within(test)
