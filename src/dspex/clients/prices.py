"""What tokens cost: a table of list prices with its date. An unknown price is unknown, not zero."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from dspex.kernel.ports import Usage

PRICES_DATE = "2025-10-01"
"""The day the table was last compared with the providers' price lists."""

MILLION = 1_000_000
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


class Price(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)

    def usd(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost. Discounts for cached prompts are not taken off, so it is rather too much."""
        return (self.input * input_tokens + self.output * output_tokens) / MILLION


FREE = Price(input=0, output=0)
FREE_PROVIDERS = frozenset({"embedded", "scripted", "ollama", "vllm", "lmstudio", "llamacpp"})
"""They run on the user's own machine or in this process; nobody sends a bill."""

_LIST_PRICES: Mapping[str, tuple[float, float]] = {
    "openai/gpt-5": (1.25, 10.00),
    "openai/gpt-5-mini": (0.25, 2.00),
    "openai/gpt-5-nano": (0.05, 0.40),
    "openai/gpt-4.1": (2.00, 8.00),
    "openai/gpt-4.1-mini": (0.40, 1.60),
    "openai/gpt-4.1-nano": (0.10, 0.40),
    "openai/gpt-4o": (2.50, 10.00),
    "openai/gpt-4o-mini": (0.15, 0.60),
    "openai/o3": (2.00, 8.00),
    "openai/o3-mini": (1.10, 4.40),
    "openai/o4-mini": (1.10, 4.40),
    "anthropic/claude-opus-4-1": (15.00, 75.00),
    "anthropic/claude-sonnet-4-5": (3.00, 15.00),
    "anthropic/claude-haiku-4-5": (1.00, 5.00),
    "anthropic/claude-3-5-haiku": (0.80, 4.00),
    "google/gemini-2.5-flash": (0.30, 2.50),
    "google/gemini-2.5-flash-lite": (0.10, 0.40),
    "google/gemini-2.0-flash": (0.10, 0.40),
    "groq/llama-3.3-70b-versatile": (0.59, 0.79),
    "groq/llama-3.1-8b-instant": (0.05, 0.08),
    "deepseek/deepseek-chat": (0.28, 0.42),
    "deepseek/deepseek-reasoner": (0.28, 0.42),
    "mistral/mistral-medium": (0.40, 2.00),
    "mistral/mistral-small": (0.10, 0.30),
    "xai/grok-4": (3.00, 15.00),
    "xai/grok-3-mini": (0.30, 0.50),
}
"""Only models with one price for every prompt length; those with tiers are left out rather than guessed."""


class Prices:
    """Looks prices up by model name: the user's own first, then the table; a dated snapshot costs what its model costs.

    `overrides` maps `provider/name` to a `Price`, for all that the table does not know or knows wrongly.
    """

    def __init__(self, overrides: Mapping[str, Price] | None = None) -> None:
        self._overrides = dict(overrides or {})
        self._found: dict[str, Price | None] = {}

    def of(self, model: str) -> Price | None:
        """The price of `provider/name`, None where it is unknown."""
        if model not in self._found:
            self._found[model] = self._look_up(model)
        return self._found[model]

    def priced(self, model: str, usage: Usage) -> Usage:
        """`usage` with dollars where it had none and the price is known."""
        price = self.of(model) if usage.usd is None else None
        if price is None:
            return usage
        usd = price.usd(usage.input_tokens, usage.output_tokens)
        return Usage(usage.calls, usage.input_tokens, usage.output_tokens, usd, usage.cached_calls, usage.retries)

    def listed(self) -> dict[str, Price]:
        """Every model with a price of its own: the table's, with the user's over them."""
        table = {name: Price(input=price[0], output=price[1]) for name, price in _LIST_PRICES.items()}
        return {**table, **self._overrides}

    def _look_up(self, model: str) -> Price | None:
        general = _SNAPSHOT.sub("", model)
        for name in (model, general):
            if name in self._overrides:
                return self._overrides[name]
        if model.partition("/")[0] in FREE_PROVIDERS:
            return FREE
        listed = _LIST_PRICES.get(general)
        return None if listed is None else Price(input=listed[0], output=listed[1])
