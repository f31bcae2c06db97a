"""Budgets: nothing is ever overspent, and what cannot be kept is refused before anything is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.clients.budget import Account, Balance, Budget, most
from dspex.clients.prices import Price, Prices
from dspex.errors import BudgetExceededError, ConfigurationError
from dspex.kernel.ports import BudgetAccount, Message, Request, Reservation, Usage
from tests.clients.clock import Clock

MESSAGES: list[Message] = [{"role": "user", "content": "x" * 300}]
LIMITED = Request("openai/gpt-4o", MESSAGES, {"max_tokens": 96})
"""At most 300 / 3 + 4 tokens of prompt and 96 of answer: 200."""
OPEN = Request("openai/gpt-4o", MESSAGES)


def reserve(account: BudgetAccount, request: Request = LIMITED) -> Reservation:
    return asyncio.run(account.reserve(request))


def test_the_most_a_call_can_cost_is_reserved() -> None:
    reserved = reserve(Account(Budget(tokens=1000)))
    assert (reserved.calls, reserved.tokens) == (1, 200)
    assert reserved.usd == pytest.approx(104 * 2.5e-6 + 96 * 10e-6)
    other = Request("openai/gpt-4o", [{"role": "user", "content": "世" * 300}], {"max_tokens": 96})
    assert Account(Budget(tokens=1000)).check(other).tokens == 300 + 4 + 96


def test_a_schema_in_the_settings_is_part_of_the_prompt() -> None:
    schema = {"max_tokens": 96, "response_format": {"type": "json_schema", "json_schema": {"name": "y" * 300}}}
    assert Account(Budget(tokens=1)).check(Request("openai/gpt-4o", MESSAGES, schema)).tokens > 300


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(calls=2), "budget of 2 calls is used up"),
        (Budget(tokens=500), "may take 200 tokens, and of the budget of 500 400 are spent"),
        (Budget(usd=0.003), "of the budget of $0.003 $0.002440 is spent"),
    ],
)
def test_what_does_not_fit_is_not_reserved(budget: Budget, words: str) -> None:
    account = Account(budget)
    for _ in range(2):
        reservation = reserve(account)
        account.settle(reservation, Usage(1, 104, 96, reservation.usd))
    with pytest.raises(BudgetExceededError) as caught:
        reserve(account)
    assert words in str(caught.value)
    assert account.balance().reserved == Reservation(0, 0, 0.0)


def test_time_is_a_budget_too() -> None:
    clock = Clock()
    account = Account(Budget(seconds=10), clock=clock)
    reserve(account)
    clock.now += 9.9
    assert account.balance().left["seconds"] == pytest.approx(0.1)
    reserve(account)
    clock.now += 0.2
    with pytest.raises(BudgetExceededError, match="budget of 10 seconds is used up"):
        reserve(account)


@pytest.mark.parametrize(
    ("budget", "request_", "words"),
    [
        (Budget(usd=5), Request("openai/gpt-99", MESSAGES, {"max_tokens": 5}), "needs the price of openai/gpt-99"),
        (Budget(usd=5), OPEN, "budget in dollars needs a limit on each answer.*set max_tokens"),
        (Budget(tokens=5), OPEN, "budget in tokens needs a limit on each answer.*set max_tokens"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(budget: Budget, request_: Request, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Account(budget).check(request_)
    with pytest.raises(ConfigurationError, match=words):
        reserve(Account(budget), request_)


def test_dollars_over_what_is_free_need_no_limit() -> None:
    account = Account(Budget(usd=0))
    assert reserve(account, Request("embedded/lexical", MESSAGES)).usd == 0
    mine = Account(Budget(usd=1), prices=Prices({"custom/m": Price(input=0, output=0)}))
    assert reserve(mine, Request("custom/m", MESSAGES)).usd == 0


def test_a_call_waits_while_only_reservations_stand_in_its_way() -> None:
    async def two_for_one() -> list[str]:
        account = Account(Budget(tokens=400))
        order: list[str] = []

        async def call(name: str, used: int) -> None:
            reservation = await account.reserve(LIMITED)
            order.append(f"{name} starts")
            await asyncio.sleep(0)
            account.settle(reservation, Usage(1, used, 0))
            order.append(f"{name} ends")

        await asyncio.gather(call("a", 50), call("b", 50), call("c", 50))
        assert account.balance().spent == Usage(3, 150, 0)
        return order

    assert asyncio.run(two_for_one()) == ["a starts", "b starts", "a ends", "b ends", "c starts", "c ends"]


def test_a_call_that_waited_in_vain_is_refused() -> None:
    async def both() -> None:
        account = Account(Budget(calls=1))
        first = await account.reserve(LIMITED)
        second = asyncio.create_task(account.reserve(LIMITED))
        await asyncio.sleep(0)
        assert not second.done()
        account.settle(first, Usage(calls=1))
        with pytest.raises(BudgetExceededError):
            await second

    asyncio.run(both())


def test_what_is_released_can_be_used_again() -> None:
    account = Account(Budget(calls=1, tokens=200, usd=1))
    account.release(reserve(account))
    assert account.balance().left == {"calls": 1, "tokens": 200, "usd": 1, "seconds": None}
    reserve(account)
    assert account.balance().left["calls"] == 0


def test_work_carried_on_starts_from_what_it_had_used() -> None:
    clock = Clock()
    account = Account(Budget(calls=3, seconds=60), spent=Usage(2, 10, 5, 0.1, 4, 1), seconds=50, clock=clock)
    clock.now += 5
    balance = account.balance()
    assert balance.spent == Usage(2, 10, 5, 0.1, 4, 1)
    assert (balance.left["calls"], balance.seconds) == (1, 55)


def test_an_unknown_price_leaves_the_sum_unknown() -> None:
    account = Account(Budget(calls=9))
    account.settle(reserve(account), Usage(1, 5, 5, 0.5))
    assert account.balance().spent.usd == 0.5
    account.settle(reserve(account), Usage(1, 5, 5, None))
    assert account.balance().spent == Usage(2, 10, 10, None)


def test_what_may_have_been_billed_counts_in_full() -> None:
    assert most(Reservation(1, 200, 0.5)) == Usage(1, 200, 0, 0.5)


AMOUNTS = st.tuples(st.integers(1, 400), st.integers(0, 100), st.sampled_from(["settle", "release", "keep"]))


@given(st.lists(AMOUNTS, max_size=30), st.integers(0, 20), st.integers(0, 5000))
def test_settled_and_reserved_never_pass_the_limit(steps: list[Any], calls: int, tokens: int) -> None:
    async def spend() -> None:
        account = Account(Budget(calls=calls, tokens=tokens))
        for size, answer, outcome in steps:
            request = Request("vllm/m", [{"role": "user", "content": "x" * size}], {"max_tokens": answer})
            before = account.balance()
            try:
                reservation = await asyncio.wait_for(account.reserve(request), None if fits(before, request) else 0)
            except (BudgetExceededError, TimeoutError):
                assert not fits(before, request)
                continue
            assert fits(before, request)
            if outcome == "settle":
                account.settle(reservation, Usage(1, reservation.tokens - answer, answer))
            elif outcome == "release":
                account.release(reservation)
            after = account.balance()
            assert after.spent.calls + after.reserved.calls <= calls
            assert after.spent.input_tokens + after.spent.output_tokens + after.reserved.tokens <= tokens

    def fits(balance: Balance, request: Request) -> bool:
        wanted = Account(Budget(tokens=1)).check(request)
        left = balance.left
        return (left["calls"] or 0) >= 1 and (left["tokens"] or 0) >= wanted.tokens

    asyncio.run(spend())
