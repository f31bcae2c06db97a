"""The shared budget as rows: claims of several runs, processes that are gone, and what calls say they spent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.clients.budget_shares import NOTHING, VOID_SECONDS, Claim, Share, Sums
from dspex.clients.prices import Price, Prices
from dspex.errors import ConfigurationError
from dspex.kernel.ports import Request
from dspex.storage import budgets, runs
from dspex.storage.budgets import StoredShares, share_budget, standing
from dspex.storage.database import Database, FencedError
from dspex.storage.rates import clock
from dspex.storage.tables import calls
from tests.storage.test_calls import REQUEST, answer, begun
from tests.storage.test_fencing import rows
from tests.storage.test_runs import ROW

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]


def bought(connection: Connection, run: str, prices: list[float | None], *, sends: int = 1) -> None:
    """Calls of a run; None: nobody knows what came of it."""
    for number, usd in enumerate(prices):
        row = {
            "key": f"{run}-{number}-{sends}", "run": run, "epoch": 1, "state": "unknown" if usd is None else "done",
            "sends": sends, "model": "m", "started": 0.0, "usd": usd, "input_tokens": None if usd is None else 10,
            "output_tokens": None if usd is None else 5,
        }  # fmt: skip
        connection.execute(calls.insert().values(row))


def test_a_budget_counts_what_was_spent_before_it_was_set_every_sending_of_it(within: Within) -> None:
    async def test(database: Database) -> None:
        await database.write(lambda c: bought(c, "one", [0.1, 0.2, None]))
        await database.write(lambda c: bought(c, "two", [0.1], sends=3))
        assert await StoredShares(database, "one").open() == Share(None)
        assert await database.read(standing) is None
        await database.write(partial(share_budget, budget=Budget(usd=2.0)))
        found = await database.read(standing)
        assert found is not None
        assert (found.runs, found.spent.calls, found.spent.tokens) == (2, 6, 45 + 45)
        assert found.spent.usd == pytest.approx(0.5 + 0.3)
        await database.write(partial(share_budget, budget=Budget(calls=5)))
        again = await database.read(standing)
        assert again is not None
        assert (again.budget, again.spent) == (Budget(calls=5), found.spent)
        await database.write(partial(share_budget, budget=None))
        assert await database.read(standing) is None

    within(test)


def test_claims_of_many_never_add_up_to_more(within: Within) -> None:
    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(calls=100, usd=1.0)))
        shares = [StoredShares(database, f"run-{number}") for number in range(40)]
        await asyncio.gather(*(item.open() for item in shares))
        given = await asyncio.gather(*(item.claim(Claim(NOTHING, NOTHING, Sums(1, 0, 0.04))) for item in shares))
        assert sum(item.held.usd for item in given) == pytest.approx(1.0)
        assert sum(item.held.usd >= 0.04 for item in given) == 25
        back = await shares[0].claim(Claim(Sums(1, 50, 0.03), NOTHING))
        assert (back.held, back.spent) == (NOTHING, Sums(1, 50, 0.03))

    within(test)


def test_what_a_process_that_is_gone_held_is_given_to_others_and_its_calls_say_what_it_spent(
    within: Within, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(usd=1.0)))
        gone, alive = StoredShares(database, "gone"), StoredShares(database, "alive")
        await gone.open()
        await gone.claim(Claim(NOTHING, NOTHING, Sums(1, 0, 0.9)))
        wanted = Claim(NOTHING, NOTHING, Sums(1, 0, 0.5))
        assert (await alive.claim(wanted)).held == NOTHING
        await database.write(lambda c: bought(c, "gone", [0.2, None]))

        def later(connection: Connection) -> float:
            return clock(connection) + VOID_SECONDS + 1

        monkeypatch.setattr(budgets, "clock", later)
        found = await alive.claim(wanted)
        assert found.held.usd == pytest.approx(0.5)
        assert found.spent.usd == pytest.approx(0.4)  # the call without an answer counts as the dearest with one
        taken_over = await gone.open()
        assert taken_over.own.usd == pytest.approx(0.4)

    within(test)


def test_what_was_taken_from_a_process_it_does_not_keep_when_it_goes_on(
    within: Within, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped for longer than its part holds; what it has sent counts, whether or not that fits by now."""

    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(usd=1.0)))
        slow, quick = StoredShares(database, "slow"), StoredShares(database, "quick")
        for share in (slow, quick):
            await share.open()
        await slow.claim(Claim(NOTHING, NOTHING, Sums(1, 0, 0.9)))

        def later(connection: Connection) -> float:
            return clock(connection) + VOID_SECONDS + 1

        monkeypatch.setattr(budgets, "clock", later)
        assert (await quick.claim(Claim(NOTHING, NOTHING, Sums(1, 0, 0.5)))).held.usd == pytest.approx(0.5)
        sent = Sums(1, 0, 0.2)
        assert (await slow.claim(Claim(NOTHING, sent, spare=Sums(0, 0, 0.7)))).held == sent
        found = await database.read(standing)
        assert found is not None
        assert found.held.usd == pytest.approx(0.7)

    within(test)


def test_a_smaller_budget_takes_back_what_no_call_needs_yet(within: Within) -> None:
    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(usd=10.0)))
        first, second = StoredShares(database, "first"), StoredShares(database, "second")
        for share in (first, second):
            await share.open()
            await share.claim(Claim(NOTHING, NOTHING, Sums(1, 0, 2.0)))
        await database.write(partial(share_budget, budget=Budget(usd=1.5)))
        claim = Claim(Sums(1, 0, 0.5), Sums(1, 0, 0.1), spare=Sums(0, 0, 1.4))
        assert (await first.claim(claim)).held.usd == pytest.approx(0.1)  # the second still holds two dollars
        assert (await second.claim(claim)).held.usd == pytest.approx(0.1 + 0.3)
        assert (await first.claim(claim)).held.usd == pytest.approx(0.1)  # and nothing is left

    within(test)


def test_what_is_paid_before_a_process_notices_the_budget_counts(within: Within) -> None:
    async def test(database: Database) -> None:
        await database.write(lambda c: bought(c, "one", [0.1]))
        await database.write(partial(share_budget, budget=Budget(usd=1.0)))
        await database.write(lambda c: bought(c, "one", [0.2, 0.2], sends=2))
        assert (await StoredShares(database, "one").open()).own.usd == pytest.approx(0.1 + 0.8)

    within(test)


def test_a_sending_whose_answer_was_lost_counts_as_the_most_that_it_can_take(within: Within) -> None:
    """Also once it was sent again, for less; and what no row says as the process has said it."""

    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(usd=9.0)))
        prices, shares = Prices({"m/one": Price(input=0.0, output=100_000.0)}), StoredShares(database, "run")
        await shares.open()
        await shares.claim(Claim(NOTHING, NOTHING, Sums(1, 0, 5.0)))
        limited = Request("m/one", ({"role": "user", "content": "hello"},), {"max_tokens": 20}, 0)
        killed = await begun(database, "run", prices)
        assert await killed.begin("k", limited) is None
        opened = await shares.open()
        assert opened.own.usd == pytest.approx(2.0)
        await shares.claim(Claim(Sums(2, 20, 2.25), Sums(1, 20, 2.0), Sums(1, 0, 2.0), unheard=Sums(1, 0, 0.25)))
        again = await begun(database, "run", prices)
        assert await again.begin("k", limited) is None
        await again.put("k", limited, answer("yes"))
        assert (await shares.open()).own.usd == pytest.approx(2.0 + 0.5 + 0.25)

    within(test)


def test_what_is_lost_counts_at_most_as_what_was_held(within: Within) -> None:
    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(usd=1.0)))
        await database.write(lambda c: bought(c, "one", [0.3, None, None]))
        shares = StoredShares(database, "one")
        await shares.open()
        await shares.claim(Claim(Sums(1, 15, 0.3), Sums(2, 0, 0.01)))
        assert (await shares.open()).own.usd == pytest.approx(0.31)

    within(test)


def test_what_is_lost_counts_as_the_dearest_answer_of_any_run(within: Within) -> None:
    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(usd=9.0)))
        await database.write(lambda c: bought(c, "early", [0.1, None, None]))
        await database.write(lambda c: bought(c, "other", [0.4]))
        shares = StoredShares(database, "early")
        await shares.open()
        await shares.claim(Claim(Sums(1, 15, 0.1), Sums(2, 0, 2.0)))
        assert (await shares.open()).own.usd == pytest.approx(0.1 + 2 * 0.4)

    within(test)


@pytest.mark.parametrize(("prices", "spent"), [([None, None], 0.3), ([0.01], 0.2), ([0.25, None], 0.3), ([0.22], 0.22)])
def test_a_process_that_is_gone_has_spent_what_it_said_and_all_that_it_held_where_no_call_says_a_price(
    within: Within, prices: list[float | None], spent: float
) -> None:
    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(usd=1.0)))
        shares = StoredShares(database, "gone")
        await shares.open()
        await shares.claim(Claim(Sums(2, 0, 0.2), Sums(2, 0, 0.1)))
        await database.write(lambda c: bought(c, "gone", prices))
        assert (await shares.open()).own.usd == pytest.approx(spent)

    within(test)


def test_what_a_process_had_sent_when_it_died_counts_once_though_another_run_sent_the_same(within: Within) -> None:
    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(usd=2.0)))
        killed, other = [await begun(database, run) for run in ("killed", "other")]
        shares = {run: StoredShares(database, run) for run in ("killed", "other")}
        for share in shares.values():
            await share.open()
            await share.claim(Claim(NOTHING, NOTHING, Sums(1, 0, 0.7)))
        assert await killed.begin("k", REQUEST) is None
        assert await other.begin("k", REQUEST) is None
        await begun(database, "killed")
        await other.put("k", REQUEST, answer("yes"))
        opened = {run: (await share.open()).own for run, share in shares.items()}
        assert opened["other"] == Sums(1, 5, 0.5)
        assert opened["killed"].calls == 1
        assert opened["killed"].usd == pytest.approx(0.7)  # all that it had set aside

    within(test)


def test_a_process_that_lost_its_run_claims_nothing(within: Within) -> None:
    async def test(database: Database) -> None:
        await database.write(partial(share_budget, budget=Budget(usd=1.0)))
        await database.write(lambda c: runs.create(c, {"id": "route-1", **ROW}))
        shares = StoredShares(database, "route-1", runs.fence("route-1", 7))
        before = await database.read(rows)
        for writing in (shares.claim(Claim(NOTHING, NOTHING, Sums(1))), shares.open()):
            with pytest.raises(FencedError):
                await writing
        assert await database.read(rows) == before

    within(test)


def test_a_budget_that_cannot_be_shared_is_refused(within: Within) -> None:
    async def test(database: Database) -> None:
        for budget, said in ((Budget(), "no limit"), (Budget(usd=1, seconds=9), "no seconds")):
            with pytest.raises(ConfigurationError, match=said):
                await database.write(partial(share_budget, budget=budget))

    within(test)
