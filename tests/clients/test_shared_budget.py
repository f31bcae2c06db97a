"""A process's part of a shared budget: what it holds is spent here, never more, and the rest goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from dspex.clients import shared_budget
from dspex.clients.budget import Account, Budget
from dspex.clients.budget_shares import NOTHING, VALID_SECONDS, Claim, Share, Sums
from dspex.clients.shared_budget import Joint, SharedAccount
from dspex.errors import BudgetExceededError, DspexError, SharedBudgetError
from dspex.kernel.ports import Request, Usage
from tests.clients.clock import Clock

QUESTION = Request("x/y", [])


class Shares:
    """One row of calls that several accounts draw from, `chunk` at a time."""

    def __init__(self, calls: int | None, chunk: int = 5) -> None:
        self.budget = None if calls is None else Budget(calls=calls)
        self.chunk = chunk
        self.spent: dict[int, int] = {}
        self.held: dict[int, int] = {}
        self.claims, self.unheard = 0, 0
        self.meanwhile: list[Callable[[], None]] = []
        """What happens once the next claim is kept, and before its answer is heard."""
        self.free = 0
        """Calls that were under way when the budget was set."""

    def of(self, who: int) -> Access:
        return Access(self, who)


class Access:
    def __init__(self, shares: Shares, who: int) -> None:
        self.shares, self.who = shares, who

    async def open(self) -> Share:
        await asyncio.sleep(0)
        return Share(self.shares.budget, own=Sums(calls=self.shares.spent.get(self.who, 0)))

    async def claim(self, claim: Claim) -> Share:
        await asyncio.sleep(0)
        shares, who = self.shares, self.who
        shares.claims += 1
        if shares.budget is None:
            return Share(None)
        assert shares.budget.calls is not None
        kept = claim.reserved.calls + claim.spare.calls
        told = claim.spent.calls + kept
        assert told <= shares.spent.get(who, 0) + shares.held.get(who, 0) + shares.free, "spent what it did not hold"
        shares.spent[who], shares.held[who], shares.unheard = claim.spent.calls, kept, claim.unheard.calls
        left = shares.budget.calls - sum(shares.spent.values()) - sum(shares.held.values())
        if 0 < claim.wanted.calls <= left:
            shares.held[who] += max(claim.wanted.calls, min(self.shares.chunk, left))
        await asyncio.sleep(0)
        if shares.meanwhile:
            shares.meanwhile.pop()()
        return Share(shares.budget, Sums(calls=shares.held[who]), Sums(calls=sum(shares.spent.values())))


async def spend(account: SharedAccount, times: int, done: list[int]) -> None:
    for _ in range(times):
        reservation = await account.reserve(QUESTION)
        await asyncio.sleep(0)
        account.settle(reservation, Usage(calls=1))
        done.append(1)


def test_several_spend_to_the_last_call_and_never_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_budget, "_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(shared_budget, "TEND_SECONDS", 0.005)

    async def main() -> None:
        shares, done = Shares(100), list[int]()
        accounts = [SharedAccount(shares.of(who)) for who in range(4)]
        for account in accounts:
            await account.open()
        ended = await asyncio.gather(
            *(spend(account, 30, done) for account in accounts for _ in range(3)), return_exceptions=True
        )
        assert len(done) == 100
        assert all(isinstance(item, SharedBudgetError) for item in ended if item is not None)
        assert "100 of 100 calls are made" in str(next(item for item in ended if item is not None))
        for account in accounts:
            await account.aclose()
        assert sum(shares.spent.values()) == 100
        assert set(shares.held.values()) == {0}

    asyncio.run(main())


def test_the_store_is_asked_seldom_and_ahead_of_need() -> None:
    async def main() -> None:
        shares, done = Shares(10_000, chunk=200), list[int]()
        account = SharedAccount(shares.of(0))
        await account.open()
        await asyncio.gather(*(spend(account, 125, done) for _ in range(16)))
        await account.aclose()
        assert len(done) == 2000
        assert shares.claims < 25

    asyncio.run(main())


def test_what_is_not_heard_of_in_time_is_not_spent() -> None:
    async def main() -> None:
        shares, clock = Shares(100, chunk=50), Clock()
        account = SharedAccount(shares.of(0), clock=clock)
        await account.open()
        await spend(account, 1, [])
        before = shares.claims
        await spend(account, 1, [])
        assert shares.claims == before
        clock.now += VALID_SECONDS + 1
        await spend(account, 1, [])
        assert shares.claims == before + 1
        await account.aclose()

    asyncio.run(main())


def test_what_was_sent_and_not_heard_of_is_told_before_anything_is_sent_after_it() -> None:
    async def main() -> None:
        shares = Shares(100, chunk=50)
        account = SharedAccount(shares.of(0))
        await account.open()
        first, second = [await account.reserve(QUESTION) for _ in range(2)]
        account.settle(first, None)
        assert shares.unheard == 0
        account.release(await account.reserve(QUESTION))
        assert (shares.unheard, shares.spent) == (1, {0: 1})
        account.settle(second, Usage(calls=1))
        before = shares.claims
        account.release(await account.reserve(QUESTION))
        assert shares.claims == before
        await account.aclose()

    asyncio.run(main())


def test_what_is_given_back_is_not_spent_though_nobody_heard_that_it_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_budget, "TEND_SECONDS", 0.001)

    async def main() -> None:
        shares = Shares(100, chunk=50)

        def fails() -> None:
            if not shares.held[0]:
                raise DspexError("the disk is gone")
            shares.meanwhile.append(fails)

        account = SharedAccount(shares.of(0))
        await account.open()
        await spend(account, 1, [])
        shares.meanwhile = [fails]
        while shares.meanwhile:
            await asyncio.sleep(0)
        before = shares.claims
        await spend(account, 1, [])
        assert shares.claims > before
        await account.aclose()

    asyncio.run(main())


def test_an_answer_that_was_overtaken_is_asked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It came so late that others may have what it gave, or something else was sent in vain meanwhile."""
    monkeypatch.setattr(shared_budget, "_AGAIN_SECONDS", 0.001)

    async def main() -> None:
        shares, clock = Shares(100, chunk=50), Clock()
        account = SharedAccount(shares.of(0), clock=clock)
        shares.meanwhile = [lambda: setattr(clock, "now", clock.now + VALID_SECONDS)]
        await account.open()
        first = await account.reserve(QUESTION)
        assert shares.claims == 2
        clock.now += VALID_SECONDS
        shares.meanwhile = [lambda: account.settle(first, None)]
        account.release(await account.reserve(QUESTION))
        assert (shares.claims, shares.unheard) == (4, 1)
        await account.aclose()

    asyncio.run(main())


def test_a_budget_that_is_set_while_runs_go_on_is_kept_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_budget, "TEND_SECONDS", 0.001)

    async def main() -> None:
        shares, done = Shares(None), list[int]()
        account = SharedAccount(shares.of(0))
        await account.open()
        free = await account.reserve(QUESTION)
        await spend(account, 20, done)
        assert shares.claims == 0
        shares.budget, shares.spent[0], shares.free = Budget(calls=30), 21, 1
        while account.budget is None:
            await asyncio.sleep(0.001)
        account.settle(free, Usage(calls=1))
        with pytest.raises(SharedBudgetError):
            await spend(account, 20, done)
        assert len(done) == 28  # the call that was under way counts twice rather than not at all
        shares.budget = None
        await spend(account, 20, done)
        await account.aclose()

    asyncio.run(main())


def test_both_accounts_hold_and_what_one_refuses_the_other_gives_back() -> None:
    async def main() -> None:
        shares = Shares(3)
        shared, own = SharedAccount(shares.of(0)), Account(Budget(calls=2))
        await shared.open()
        joint = Joint(own, shared)
        first = await joint.reserve(QUESTION)
        joint.settle(first, None)
        joint.release(await joint.reserve(QUESTION))
        joint.settle(await joint.reserve(QUESTION), Usage(calls=1))
        with pytest.raises(BudgetExceededError):
            await joint.reserve(QUESTION)
        own.change(Budget(calls=9))
        joint.settle(await joint.reserve(QUESTION), Usage(calls=1))
        with pytest.raises(SharedBudgetError):
            await joint.reserve(QUESTION)
        balance = own.balance()
        assert (balance.spent.calls, balance.reserved.calls) == (3, 0)
        await shared.aclose()
        assert shares.spent == {0: 3}

    asyncio.run(main())


def test_whoever_gives_up_waiting_takes_nothing() -> None:
    async def main() -> None:
        shares = Shares(100)
        account = SharedAccount(shares.of(0))
        await account.open()
        tasks = [asyncio.create_task(account.reserve(QUESTION)) for _ in range(4)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        given = [
            item for item in await asyncio.gather(*tasks, return_exceptions=True) if not isinstance(item, BaseException)
        ]
        assert len(given) == 3
        for reservation in given:
            account.release(reservation)
        await account.aclose()
        assert (shares.spent, shares.held) == ({0: 0}, {0: 0})

    asyncio.run(main())


def test_sums_do_not_drift() -> None:
    total = NOTHING
    for _ in range(1000):
        total = total + replace(NOTHING, usd=0.1)
    for _ in range(1000):
        total = total - replace(NOTHING, usd=0.1)
    assert total == NOTHING
