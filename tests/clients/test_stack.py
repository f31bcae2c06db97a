"""The stack: routing, and what its layers do together around real clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dspex.clients.budget import Account, Budget
from dspex.clients.call_store import MemoryCallStore, SQLiteCallStore
from dspex.clients.limiter import Limits
from dspex.clients.pool import Client, ClientPool
from dspex.clients.prices import Price, Prices
from dspex.clients.retry import Retry, RetryPolicy
from dspex.clients.scripted import Answer, ScriptedLM
from dspex.clients.stack import ModelStack, Policies, provider_of
from dspex.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    LMError,
    LMTimeoutError,
    RateLimitError,
    ServerError,
    UnknownNameError,
)
from dspex.kernel.ports import LM, CallStore, Capabilities, Completion, Message, Request, Reservation, Usage
from tests.clients.clock import Clock
from tests.clients.server import Behaviour, ChatServer, Raw, Reply, answer, failure

MESSAGES: list[Message] = [{"role": "user", "content": "What is it?"}]


def question(sample: int = 0, model: str = "scripted/x", **settings: Any) -> Request:
    return Request(model, MESSAGES, settings, sample)


def patient(clock: Clock | None = None, **policy: Any) -> Retry:
    return Retry(RetryPolicy(**policy), sleep=(clock or Clock()).sleep, chance=lambda: 1.0)


def noting(asked: list[Request], text: str = "x") -> Callable[[Request], str]:
    """A model that says `text` and writes down what it was asked."""

    def script(request: Request) -> str:
        asked.append(request)
        return text

    return script


def saying(text: str) -> Callable[[Request], str]:
    return noting([], text)


def scripted(script: Callable[[Request], Any], **policies: Any) -> ModelStack:
    return ModelStack(ClientPool(live={"scripted": ScriptedLM(script)}), Policies(retry=patient(), **policies))


class Gate:
    """A model that answers only when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.outcome: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    async def __call__(self, request: Request) -> Answer:
        self.asked.append(request)
        return await asyncio.shield(self.outcome)


async def turns(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def test_it_is_a_model_and_routes_by_provider() -> None:
    lms = {name: ScriptedLM(saying(name), capabilities=Capabilities(tools=name == "b")) for name in "ab"}
    stack = ModelStack(ClientPool(live=lms))
    assert isinstance(stack, LM)
    assert [asyncio.run(stack.complete(question(model=f"{name}/x"))).text for name in "aba"] == ["a", "b", "a"]
    assert [stack.capabilities(f"{name}/x").tools for name in "ab"] == [False, True]


@pytest.mark.parametrize("model", ["gpt-4o", "openai/", "/x", ""])
def test_a_model_is_named_by_provider_and_name(model: str) -> None:
    with pytest.raises(ConfigurationError, match="write it as provider/name"):
        provider_of(model)


def test_unknown_providers_and_missing_keys_are_told_before_anything_is_sent() -> None:
    stack = ModelStack(ClientPool(environ={}))
    with pytest.raises(UnknownNameError, match=r"unknown provider 'opanai'.*did you mean 'openai'"):
        stack.check("opanai/gpt-4o")
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        stack.check("openai/gpt-4o")
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        stack.capabilities("openai/gpt-4o")
    stack.check("ollama/llama3")


def test_factories_are_called_once_and_when_needed() -> None:
    made: list[ScriptedLM] = []

    def make() -> LM:
        made.append(ScriptedLM(lambda _: "made"))
        return made[-1]

    stack = ModelStack(ClientPool(factories={"embedded": make}))
    assert made == []
    assert [asyncio.run(stack.complete(question(model="embedded/x"))).text for _ in range(2)] == ["made"] * 2
    assert len(made) == 1


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_same_request_is_sent_once(kind: str, tmp_path: Path) -> None:
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return f"answer {request.sample}"

    async def ask() -> list[Completion]:
        store: CallStore = MemoryCallStore() if kind == "memory" else SQLiteCallStore(tmp_path / "calls.db")
        stack = scripted(script, store=store)
        answers = [await stack.complete(question(sample)) for sample in (0, 0, 1, 0)]
        await stack.aclose()
        return answers

    first, again, other, last = asyncio.run(ask())
    assert [request.sample for request in asked] == [0, 1]
    assert (first.text, first.cached, first.usage.calls) == ("answer 0", False, 1)
    saved = Usage(cached_calls=1, saved_tokens=first.usage.input_tokens + first.usage.output_tokens)
    assert again == last == Completion("answer 0", "stop", saved, "scripted", (), True)
    assert (other.text, other.cached) == ("answer 1", False)


def test_without_a_store_every_request_is_sent() -> None:
    asked: list[Request] = []
    stack = scripted(noting(asked))
    asyncio.run(stack.complete(question()))
    asyncio.run(stack.complete(question()))
    assert len(asked) == 2


def test_failures_are_not_remembered() -> None:
    outcomes: list[Any] = [RateLimitError("no")] * 3 + ["fine"]

    def script(request: Request) -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    async def ask() -> str:
        pool = ClientPool(live={"scripted": ScriptedLM(script)})
        stack = ModelStack(pool, Policies(MemoryCallStore(), retry=patient(attempts=3)))
        with pytest.raises(RateLimitError):
            await stack.complete(question())
        return (await stack.complete(question())).text

    assert asyncio.run(ask()) == "fine"


def test_equal_requests_in_flight_share_one_call() -> None:
    async def together() -> tuple[int, list[Completion], Usage]:
        gate = Gate()
        account = Account(Budget(calls=10))
        stack = scripted(gate, store=MemoryCallStore(), account=account)
        tasks = [asyncio.create_task(stack.complete(question())) for _ in range(5)]
        await turns()
        gate.outcome.set_result("one for all")
        answers = await asyncio.gather(*tasks)
        return len(gate.asked), list(answers), account.balance().spent

    asked, answers, spent = asyncio.run(together())
    assert (asked, spent.calls) == (1, 1)
    assert [(item.text, item.cached) for item in answers] == [("one for all", n > 0) for n in range(5)]
    assert sum(item.usage.calls for item in answers) == 1


def test_a_follower_that_is_cancelled_disturbs_nobody() -> None:
    async def together() -> list[str]:
        gate = Gate()
        stack = scripted(gate, store=MemoryCallStore())
        tasks = [asyncio.create_task(stack.complete(question())) for _ in range(3)]
        await turns()
        tasks[1].cancel()
        await turns()
        gate.outcome.set_result("fine")
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert len(gate.asked) == 1
        return [type(item).__name__ for item in outcomes]

    assert asyncio.run(together()) == ["Completion", "CancelledError", "Completion"]


def test_when_the_leader_is_cancelled_one_follower_makes_the_call() -> None:
    async def together() -> list[str]:
        gate = Gate()
        stack = scripted(gate, store=MemoryCallStore())
        tasks = [asyncio.create_task(stack.complete(question())) for _ in range(4)]
        await turns()
        tasks[0].cancel()
        await turns()
        assert len(gate.asked) == 2
        gate.outcome.set_result("fine")
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert len(gate.asked) == 2
        return [item.text if isinstance(item, Completion) else type(item).__name__ for item in outcomes]

    assert asyncio.run(together()) == ["CancelledError", "fine", "fine", "fine"]


def test_when_the_model_fails_all_who_wait_are_told() -> None:
    async def together() -> list[Any]:
        gate = Gate()
        stack = scripted(gate, store=MemoryCallStore())
        tasks = [asyncio.create_task(stack.complete(question())) for _ in range(3)]
        await turns()
        gate.outcome.set_exception(AuthenticationError("revoked"))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert len(gate.asked) == 1
        return list(outcomes)

    outcomes = asyncio.run(together())
    assert [(type(item), str(item)) for item in outcomes] == [(AuthenticationError, "revoked")] * 3
    assert len({id(item) for item in outcomes}) == 3


def test_a_follower_with_a_budget_of_its_own_does_not_fail_for_the_leaders() -> None:
    async def together() -> list[Any]:
        gate = Gate()
        gate.outcome.set_result("fine")
        stack = scripted(gate, store=SlowStore())
        poor, rich = (stack.with_account(Account(Budget(calls=calls))) for calls in (0, 5))
        return list(await asyncio.gather(poor.complete(question()), rich.complete(question()), return_exceptions=True))

    refused, answered = asyncio.run(together())
    assert isinstance(refused, BudgetExceededError)
    assert answered.text == "fine"


class SlowStore(MemoryCallStore):
    """A store that lets others run before it answers, as one on a network would."""

    async def get(self, key: str) -> Completion | None:
        await turns()
        return await super().get(key)

    async def put(self, key: str, request: Request, completion: Completion) -> None:
        await turns()
        await super().put(key, request, completion)


def test_with_a_slow_store_no_call_is_made_twice() -> None:
    async def staggered() -> int:
        asked: list[Request] = []
        stack = scripted(noting(asked), store=SlowStore())
        tasks: list[asyncio.Task[Completion]] = []
        for _ in range(30):
            tasks.append(asyncio.create_task(stack.complete(question())))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return len(asked)

    assert asyncio.run(staggered()) == 1


@pytest.mark.parametrize(
    ("error", "spent"),
    [
        (RateLimitError("refused at the door"), 0),
        (LMTimeoutError("nobody knows", billed=True), 1),
        (KeyError("a bug after sending"), 1),
    ],
)
def test_an_attempt_that_may_have_been_billed_counts(error: Exception, spent: int) -> None:
    def script(request: Request) -> str:
        raise error

    account = Account(Budget(tokens=10_000))
    stack = ModelStack(
        ClientPool(live={"vllm": ScriptedLM(script)}), Policies(account=account, retry=patient(attempts=1))
    )
    with pytest.raises((LMError, KeyError)):
        asyncio.run(stack.complete(question(model="vllm/x", max_tokens=100)))
    balance = account.balance()
    assert (balance.spent.calls, balance.reserved.calls) == (spent, 0)
    assert (balance.spent.input_tokens > 100) is bool(spent)


def test_every_attempt_reserves_and_retries_are_counted() -> None:
    outcomes: list[Any] = [LMTimeoutError("slow", billed=True), RateLimitError("busy", retry_after=3), "fine"]

    def script(request: Request) -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    account = Account(Budget(calls=10))
    completion = asyncio.run(scripted(script, account=account).complete(question()))
    assert (completion.usage.calls, completion.usage.retries) == (1, 2)
    assert account.balance().spent.calls == 2


def test_a_retry_that_does_not_fit_the_budget_is_not_sent() -> None:
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        raise LMTimeoutError("slow", billed=True)

    with pytest.raises(BudgetExceededError, match="budget of 2 calls"):
        asyncio.run(scripted(script, account=Account(Budget(calls=2))).complete(question()))
    assert len(asked) == 2


def test_a_call_cancelled_on_the_wire_counts_and_one_cancelled_before_does_not() -> None:
    async def cancelled() -> tuple[int, Reservation]:
        gate = Gate()
        account = Account(Budget(calls=10))
        pool = LimitedPool(ScriptedLM(gate), Limits(concurrency=1))
        stack = ModelStack(pool, Policies(account=account))
        tasks = [asyncio.create_task(stack.complete(question(n))) for n in range(3)]
        await turns()
        assert account.balance().reserved.calls == 3
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(gate.asked) == 1
        return account.balance().spent.calls, account.balance().reserved

    assert asyncio.run(cancelled()) == (1, Reservation(0, 0, 0.0))


class LimitedPool(ClientPool):
    """One model for every provider, under a limiter."""

    def __init__(self, lm: LM, limits: Limits) -> None:
        super().__init__()
        from dspex.clients.limiter import Limiter  # noqa: PLC0415

        self.client = Client(lm, Limiter(limits))

    def get(self, provider: str) -> Client:
        return self.client


def test_a_place_is_not_held_while_a_retry_waits() -> None:
    async def busy() -> list[int]:
        active: list[int] = []
        pool = LimitedPool(ScriptedLM(refuse_once()), Limits(concurrency=1))
        limiter = pool.client.limiter
        assert limiter is not None

        async def sleep(seconds: float) -> None:
            active.append(limiter.active)

        await ModelStack(pool, Policies(retry=Retry(sleep=sleep))).complete(question())
        return [*active, limiter.active]

    assert asyncio.run(busy()) == [0, 0]


def refuse_once() -> Callable[[Request], str]:
    refused: list[Request] = []

    def script(request: Request) -> str:
        if refused:
            return "fine"
        refused.append(request)
        raise RateLimitError("busy")

    return script


def test_dollars_are_reckoned_from_the_price_where_the_server_names_none() -> None:
    replies = iter(
        [Completion("x", usage=Usage(1, 1_000_000, 0, None)), Completion("x", usage=Usage(1, 5, 5, 0.75))] * 2
    )
    lm = ScriptedLM(lambda _: next(replies))
    prices = Prices({"openai/known": Price(input=2, output=3)})
    stack = ModelStack(ClientPool(live={"openai": lm}), Policies(prices=prices))
    found = [
        asyncio.run(stack.complete(question(model=f"openai/{name}"))).usage.usd for name in ("known",) * 2 + ("other",)
    ]
    assert found == [2.0, 0.75, None]


def test_a_view_shares_everything_but_its_account_and_closes_nothing() -> None:
    async def views() -> None:
        asked: list[Request] = []
        stack = scripted(noting(asked), store=MemoryCallStore())
        one, other = (Account(Budget(calls=5)) for _ in range(2))
        await stack.with_account(one).complete(question(1))
        await stack.with_account(other).complete(question(1))
        await stack.with_account(other).complete(question(2))
        await stack.complete(question(3))
        assert [account.balance().spent.calls for account in (one, other)] == [1, 1]
        assert len(asked) == 3
        await stack.with_store(None).complete(question(1))
        assert len(asked) == 4

    asyncio.run(views())


def test_closing_a_view_leaves_the_store_open(tmp_path: Path) -> None:
    async def views() -> None:
        stack = scripted(lambda _: "x", store=SQLiteCallStore(tmp_path / "calls.db"))
        view = stack.with_account(None)
        await view.complete(question())
        await view.aclose()
        assert (await stack.complete(question())).cached
        await stack.aclose()
        with pytest.raises(ConfigurationError, match="closed"):
            await stack.complete(question())

    asyncio.run(views())


def test_over_http_nothing_is_lost_to_faults() -> None:
    seen: dict[str, int] = {}

    def unlucky(number: int, body: dict[str, Any]) -> Behaviour:
        """Every third question fails at first, each in another way."""
        text = body["messages"][-1]["content"]
        seen[text] = seen.get(text, 0) + 1
        if int(text) % 3 or seen[text] > 1:
            return answer(f"answer {text}")
        faults: list[Behaviour] = [
            failure(429, "busy"),
            failure(429, "busy", Retry_After="7"),
            failure(500, "oops"),
            Reply(200, b'{"choices": [{"message": {"content": "ans'),
            Raw(b""),
            Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"),
        ]
        return faults[int(text) // 3 % 6]

    async def ask(url: str) -> list[Completion]:
        pool = ClientPool({"custom": {"base_url": url, "limits": {"concurrency": 8}}}, environ={})
        account = Account(Budget(calls=1000))
        stack = ModelStack(pool, Policies(MemoryCallStore(), account, patient(clock)))
        requests = [Request("custom/m", [{"role": "user", "content": str(n)}]) for n in range(90)]
        answers = await asyncio.gather(*(stack.complete(request) for request in requests))
        await stack.aclose()
        # Refusals (429 twice, 500) cost nothing; half bodies and broken connections may have been billed.
        assert account.balance().spent.calls == 90 + 15
        return answers

    clock = Clock()
    with ChatServer(unlucky) as server:
        answers = asyncio.run(ask(server.url))
    assert [item.text for item in answers] == [f"answer {n}" for n in range(90)]
    assert [item.usage.retries for item in answers] == [0 if n % 3 else 1 for n in range(90)]
    assert len(server.received) == 120
    assert sorted(clock.slept) == [0.5] * 25 + [7.5] * 5


def test_never_more_on_the_wire_than_the_limit_and_all_views_keep_it() -> None:
    async def ask(url: str) -> None:
        overrides = {"custom": {"base_url": url, "limits": {"concurrency": 3}}}
        stacks = [ModelStack(ClientPool(overrides, environ={})) for _ in range(2)]
        stacks.append(stacks[0].with_account(Account(Budget(calls=100))))
        requests = [Request("custom/m", MESSAGES, {}, n) for n in range(10)]
        await asyncio.gather(*(stack.complete(request) for stack in stacks for request in requests))
        limiters = {id(stack.clients.get("custom").limiter) for stack in stacks}
        assert len(limiters) == 1
        for stack in stacks:
            await stack.aclose()

    with ChatServer([answer("x")]) as server:
        asyncio.run(ask(server.url))
    assert len(server.received) == 30
    assert server.connections <= 6  # three at a time, over two clients


def test_an_outage_of_the_server_is_told_after_the_last_attempt() -> None:
    async def ask(url: str) -> None:
        pool = ClientPool({"custom": {"base_url": url}}, environ={})
        stack = ModelStack(pool, Policies(retry=patient(attempts=3)))
        with pytest.raises(ServerError, match=r"^custom/m: HTTP 503: down \(gave up after 3 attempts\)$"):
            await stack.complete(Request("custom/m", MESSAGES))
        await stack.aclose()

    with ChatServer([failure(503, "down")]) as server:
        asyncio.run(ask(server.url))
    assert len(server.received) == 3
