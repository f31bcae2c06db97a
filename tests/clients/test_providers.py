"""The table of providers, and what environment and settings change in it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from dspex.clients.limiter import Limits
from dspex.clients.pool import client_for
from dspex.clients.providers import PROVIDERS, find_key, find_provider, ignored_settings
from dspex.errors import AuthenticationError, ConfigurationError, UnknownNameError
from dspex.kernel.ports import Capabilities


def test_every_row_can_be_used() -> None:
    for name, row in PROVIDERS.items():
        assert row.name == name
        assert row.base_url.startswith("https://" if row.key_required else "http://localhost:")
        assert not row.base_url.endswith("/")
        assert row.key_env == ("HF_TOKEN" if name == "huggingface" else f"{name.upper()}_API_KEY").replace(
            "GOOGLE", "GEMINI"
        )
    assert len({row.base_url for row in PROVIDERS.values()}) == len(PROVIDERS)


def test_a_row_without_overrides_is_the_tables() -> None:
    for name, row in PROVIDERS.items():
        assert find_provider(name, {}, {}) == row


@pytest.mark.parametrize(
    ("overrides", "environ", "address"),
    [
        ({}, {}, "https://api.openai.com/v1"),
        ({}, {"OPENAI_BASE_URL": "http://proxy/v1/"}, "http://proxy/v1"),
        ({"base_url": "http://mine/v1/chat/completions"}, {"OPENAI_BASE_URL": "http://proxy/v1"}, "http://mine/v1"),
    ],
)
def test_where_the_address_comes_from(overrides: dict[str, Any], environ: dict[str, str], address: str) -> None:
    assert find_provider("openai", overrides, environ).base_url == address


def test_every_field_can_be_overridden() -> None:
    fields = {
        "key_env": "MINE",
        "json_schema": False,
        "timeout": 5,
        "limits": {"concurrency": 2},
        "headers": {"A": "b"},
    }
    row = find_provider("openai", fields, {})
    assert (row.key_env, row.timeout, row.limits, row.headers) == ("MINE", 5, Limits(concurrency=2), {"A": "b"})
    assert row.capabilities == Capabilities(json_schema=False, json_object=True, tools=True)
    assert row.max_tokens_name == "max_completion_tokens"


@pytest.mark.parametrize("name", ["custom", "my-own"])
def test_a_server_of_ones_own_needs_only_an_address(name: str) -> None:
    row = find_provider(name, {"base_url": "http://10.0.0.1/v1"}, {})
    variable = name.replace("-", "_").upper()
    assert (row.base_url, row.key_env, row.key_required) == ("http://10.0.0.1/v1", f"{variable}_API_KEY", False)
    assert find_provider(name, None, {f"{variable}_BASE_URL": "http://10.0.0.1/v1"}) == row
    assert find_key(row, {}) is None
    assert find_key(row, {f"{variable}_API_KEY": " k \n"}) == "k"


@pytest.mark.parametrize(
    ("name", "overrides", "kind", "words"),
    [
        ("opanai", {}, UnknownNameError, "unknown provider 'opanai'.*OPANAI_BASE_URL.*did you mean 'openai'"),
        ("custom", {}, ConfigurationError, "set CUSTOM_BASE_URL, or base_url of providers.custom"),
        (
            "openai",
            {"base_url": "localhost:80"},
            ConfigurationError,
            "'openai': base_url: .*'localhost:80' is not an address",
        ),
        ("openai", {"base_url": "http://me:pw@x/v1"}, ConfigurationError, "base_url: .*it holds a user or a password"),
        ("openai", {"headers": {"Api-Key": "k"}}, ConfigurationError, "headers: .*'Api-Key' would be written"),
        ("openai", {"base_ulr": "http://x"}, ConfigurationError, "base_ulr: Extra inputs are not permitted"),
        ("openai", {"timeout": 0}, ConfigurationError, "timeout: Input should be greater than 0"),
        ("openai", {"limits": {"concurrency": 0}}, ConfigurationError, "limits.concurrency"),
    ],
)
def test_what_does_not_hold_is_one_clear_error(
    name: str, overrides: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        find_provider(name, overrides, {})


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": "  "}])
def test_a_missing_key_names_the_variable_the_setting_and_the_way_without(environ: dict[str, str]) -> None:
    with pytest.raises(AuthenticationError) as caught:
        client_for("openai", None, environ)
    for words in ("OPENAI_API_KEY", "key_env of providers.openai in dspex.toml", 'model="embedded/lexical"'):
        assert words in str(caught.value)


def test_a_provider_can_be_told_to_send_no_key() -> None:
    assert find_key(find_provider("openai", {"key_env": ""}, {}), {"OPENAI_API_KEY": "k"}) is None


@pytest.mark.parametrize(
    ("provider", "model", "ignored"),
    [
        ("openai", "o3-mini", True),
        ("openai", "gpt-5-mini", True),
        ("openai", "gpt-5-chat-latest", False),
        ("openai", "gpt-4o", False),
        ("openai", "omni-large", False),
        ("groq", "o3-mini", False),
    ],
)
def test_models_that_refuse_sampling_settings_are_known(provider: str, model: str, ignored: bool) -> None:
    assert bool(ignored_settings(PROVIDERS[provider], model)) is ignored


def test_limits_of_a_provider_reach_its_limiter() -> None:
    client = client_for("vllm", {"base_url": "http://limits.test/v1", "limits": {"concurrency": 7}}, {})
    assert client.limiter is not None
    assert client.limiter.limits.concurrency == 7
    assert client_for("vllm", {"base_url": "http://limits.test/v1"}, {}).limiter is client.limiter


def test_the_key_is_in_no_row_and_no_representation() -> None:
    client = client_for("openai", None, {"OPENAI_API_KEY": "sk-secret"})
    row = find_provider("openai", None, {"OPENAI_API_KEY": "sk-secret"})
    assert "sk-secret" not in f"{client!r} {client.lm} {row!r} {row.model_dump_json()}"


def test_building_clients_does_not_load_aiohttp() -> None:
    code = (
        "import sys, dspex.clients.stack, dspex.clients.call_store; from dspex.clients.pool import client_for; "
        "client_for('ollama', None, {}); print('aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
