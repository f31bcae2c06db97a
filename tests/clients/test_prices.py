"""Prices: what is known, what is unknown, and what is free."""

from __future__ import annotations

import pytest

from dspex.clients.prices import FREE, Price, Prices
from dspex.kernel.ports import Usage


def test_a_listed_price_is_for_a_million_tokens() -> None:
    price = Prices().of("openai/gpt-4o-mini")
    assert price == Price(input=0.15, output=0.60)
    assert price is not None
    assert price.usd(2_000_000, 500_000) == pytest.approx(0.60)


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini-latest"])
def test_a_dated_snapshot_costs_what_its_model_costs(model: str) -> None:
    assert Prices().of(model) == Prices().of("openai/gpt-4o-mini")


@pytest.mark.parametrize("model", ["openai/gpt-9", "openai/gpt-4o-mini-audio", "custom/gpt-4o-mini", "gpt-4o-mini"])
def test_an_unknown_price_is_unknown(model: str) -> None:
    assert Prices().of(model) is None
    assert Prices().priced(model, Usage(1, 10, 10, None)).usd is None


@pytest.mark.parametrize("model", ["embedded/lexical", "scripted/x", "ollama/llama3", "vllm/any"])
def test_what_runs_here_is_free(model: str) -> None:
    assert Prices().of(model) == FREE
    assert Prices().priced(model, Usage(1, 10, 10, None)).usd == 0


def test_the_users_own_prices_come_first() -> None:
    prices = Prices({"openai/gpt-4o": Price(input=1, output=2), "vllm/big": Price(input=3, output=3)})
    assert prices.of("openai/gpt-4o") == Price(input=1, output=2)
    assert prices.of("openai/gpt-4o-2024-08-06") == Price(input=1, output=2)
    assert prices.of("vllm/big") == Price(input=3, output=3)
    assert prices.of("vllm/small") == FREE


def test_what_the_server_billed_is_not_reckoned_again() -> None:
    assert Prices().priced("openai/gpt-4o", Usage(1, 1000, 1000, 0.5)).usd == 0.5


def test_pricing_keeps_all_the_rest() -> None:
    assert Prices().priced("openai/gpt-4o", Usage(1, 1_000_000, 0, None, 2, 3)) == Usage(1, 1_000_000, 0, 2.5, 2, 3)
