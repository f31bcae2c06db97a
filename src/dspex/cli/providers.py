"""`dspex models`: who serves models, whether their key is set, what tokens cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dspex.cli.options import Json
from dspex.cli.output import columns, emit, paint, say
from dspex.cli.project import Project
from dspex.clients.prices import PRICES_DATE, Price, Prices
from dspex.clients.providers import PROVIDERS, Provider, find_provider
from dspex.configuration.settings import Settings

EMBEDDED = "embedded/lexical"


def models(json: Json = False) -> None:
    """List providers, the variable each key is read from and whether it is set, and prices with their date."""
    settings = Project.here().resolved.settings
    prices = prices_of(settings)
    rows = [_facts(provider) for provider in known_providers(settings)]
    if json:
        emit({
            "model": settings.model,
            "embedded": [EMBEDDED],
            "providers": rows,
            "prices": {name: price.model_dump() for name, price in prices.items()},
            "prices_date": PRICES_DATE,
            "prices_unit": "US dollars for a million tokens",
        })  # fmt: skip
        return
    say(f"model in force: {settings.model or f'none (set one, or try {EMBEDDED})'}")
    say(f"\nin this process, offline, no key: {EMBEDDED}")
    say("\nproviders (write a model as provider/name)")
    say(columns([("provider", "key from", "", "address"), *(_row(item) for item in rows)]))
    say(f"\nprices, US dollars for a million tokens, list of {PRICES_DATE}; unknown is unknown, not zero")
    shown = [(name, f"{price.input:g} in", f"{price.output:g} out") for name, price in sorted(prices.items())]
    say(columns(shown))
    say('\nAnother server: [providers.NAME] with base_url and key_env in dspex.toml; another price: [prices."NAME"].')


def known_providers(settings: Settings) -> list[Provider]:
    """The table, with what the settings say over it and the user's own servers after it."""
    own = {name: item.model_dump(exclude_unset=True) for name, item in settings.providers.items()}
    return [find_provider(name, own.get(name)) for name in dict.fromkeys([*PROVIDERS, *own])]


def key_state(provider: Provider) -> str:
    """`set`, `missing`, `optional` (works without) or `none` (takes none). Never the key."""
    if provider.key_env is None:
        return "none"
    if os.environ.get(provider.key_env, "").strip():
        return "set"
    return "missing" if provider.key_required else "optional"


def prices_of(settings: Settings) -> Mapping[str, Price]:
    """Prices by model: the table's, with the user's over them."""
    own = {name: Price(input=item.input, output=item.output) for name, item in settings.prices.items()}
    return Prices(own).listed()


def _facts(provider: Provider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "key_env": provider.key_env,
        "key": key_state(provider),
        "json_schema": provider.json_schema,
    }


def _row(facts: Mapping[str, Any]) -> tuple[str, str, str, str]:
    words = {"set": paint("set", "green"), "missing": "not set", "optional": "not set, not needed", "none": ""}
    return facts["name"], facts["key_env"] or "no key", words[facts["key"]], facts["base_url"]
