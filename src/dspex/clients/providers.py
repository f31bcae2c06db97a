"""Who serves chat completions: a table as data, with each server's address, key variable and quirks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dspex.clients.limiter import Limits
from dspex.errors import AuthenticationError, ConfigurationError, UnknownNameError
from dspex.kernel.ports import JSON, Capabilities

OFFLINE = 'model="embedded/lexical"'


_SECRET = re.compile(r"(authorization|cookie|key|token|secret|password|credentials?)$", re.IGNORECASE)


def without_secrets(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers. Raises ValueError for one that carries a key, by its name: what a run needs is kept in its store."""
    for name in headers:
        if _SECRET.search(name):
            raise ValueError(
                f"header {name!r} would be written into the store, where no key belongs: put the key into an "
                "environment variable and name that as key_env; it is sent as `Authorization: Bearer`"
            )
    return headers


def check_address(address: str) -> None:
    """Raises ValueError for one with a user or a password in it."""
    if re.match(r"\s*https?://[^/\s]*@", address):
        raise ValueError(
            "it holds a user or a password, which would be written into the store: put the key into an environment "
            "variable and name that as key_env"
        )


class Provider(BaseModel):
    """One server that speaks OpenAI's chat completions, and in what it differs from OpenAI. Never holds a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    base_url: str
    """What comes before `/chat/completions`."""
    key_env: str | None = None
    """The environment variable with the key; None: no key is sent."""
    key_required: bool = True
    """False: the server works without a key, and gets one where the variable is set."""
    headers: Mapping[str, str] = Field(default_factory=dict[str, str])
    """Sent with every request; no secrets."""
    json_schema: bool = False
    json_object: bool = False
    tools: bool = True
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls the limit of an answer."""
    fixed_sampling: str | None = None
    """Names (a regular expression) of models that refuse sampling settings; these are left out for them."""
    reports_cost: bool = False
    """The answer's `usage.cost` is what it cost, in dollars."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds one attempt may take, from connecting to the last byte."""
    limits: Limits = Field(default_factory=Limits)

    @field_validator("base_url")
    @classmethod
    def _address(cls, base_url: str) -> str:
        address = base_url.strip().rstrip("/").removesuffix("/chat/completions")
        check_address(address)
        if not re.match(r"https?://[^/\s]+", address):
            raise ValueError(f"{base_url!r} is not an address; write it like http://localhost:8000/v1")
        return address

    @field_validator("key_env")
    @classmethod
    def _variable(cls, key_env: str | None) -> str | None:
        return key_env or None

    @field_validator("headers")
    @classmethod
    def _no_secret(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        return without_secrets(headers)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(self.json_schema, self.json_object, self.tools)

    @property
    def identity(self) -> str:
        """What shares rate limits: the same address with the same key."""
        return f"{self.base_url} {self.key_env or ''}"


SAMPLING = frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty"})
"""Settings that models with fixed sampling refuse."""


def _local(name: str, port: int, *, json_object: bool = True) -> Provider:
    return Provider(
        name=name,
        base_url=f"http://localhost:{port}/v1",
        key_env=f"{name.upper()}_API_KEY",
        key_required=False,
        json_schema=True,
        json_object=json_object,
    )


def _hosted(name: str, base_url: str, key_env: str, **quirks: Any) -> Provider:
    row = {"name": name, "base_url": base_url, "key_env": key_env, "json_object": True, **quirks}
    return Provider.model_validate(row)


PROVIDERS: Mapping[str, Provider] = {
    row.name: row
    for row in (
        _hosted(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_API_KEY",
            json_schema=True,
            max_tokens_name="max_completion_tokens",
            fixed_sampling=r"o\d|gpt-5(?!-chat)",
        ),
        # The bridges of Anthropic and Google leave out what only their own interfaces have.
        _hosted("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", json_object=False),
        _hosted(
            "google", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY", json_schema=True
        ),
        # Whether these constrain answers depends on the model behind them.
        _hosted(
            "openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", json_object=False, reports_cost=True
        ),
        _hosted("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        _hosted("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
        _hosted("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
        _hosted("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", json_schema=True),
        _hosted("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY", json_schema=True),
        _hosted("xai", "https://api.x.ai/v1", "XAI_API_KEY", json_schema=True),
        _hosted("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", json_schema=True),
        _hosted("huggingface", "https://router.huggingface.co/v1", "HF_TOKEN", json_object=False),
        _local("ollama", 11434),
        _local("vllm", 8000),
        _local("lmstudio", 1234, json_object=False),
        _local("llamacpp", 8080),
    )
}


def find_provider(
    name: str, overrides: Mapping[str, JSON] | None = None, environ: Mapping[str, str] | None = None
) -> Provider:
    """The row of `name` with `overrides` (fields of `Provider`) over it; pure, but for the default of `environ`.

    An address is taken from `overrides`, else from the variable `<NAME>_BASE_URL`, else from the table. A name that
    the table does not know, `custom` among them, is a server of the user's own and needs an address; its key variable
    is `<NAME>_API_KEY` unless `key_env` says otherwise, and optional. Raises UnknownNameError, ConfigurationError.
    """
    given = dict(overrides or {})
    prefix = re.sub(r"\W", "_", name).upper()
    address = (os.environ if environ is None else environ).get(f"{prefix}_BASE_URL")
    if address and not given.get("base_url"):
        given["base_url"] = address
    if row := PROVIDERS.get(name):
        base = row.model_dump()
    elif given.get("base_url"):
        base = {"name": name, "key_env": f"{prefix}_API_KEY", "key_required": False}
    elif name == "custom":
        raise ConfigurationError(
            "provider 'custom' needs an address: set CUSTOM_BASE_URL, or base_url of providers.custom in dspex.toml"
        )
    else:
        raise UnknownNameError(
            "provider", name, [*PROVIDERS, "custom", "embedded"], f"a model name (or give {prefix}_BASE_URL)"
        )
    try:
        return Provider.model_validate({**base, **given, "name": name})
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        said = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
        raise ConfigurationError(f"provider {name!r}: {said}") from None


def find_key(provider: Provider, environ: Mapping[str, str] | None = None) -> str | None:
    """The provider's key from the environment; None where it needs none. Raises AuthenticationError when missing."""
    if provider.key_env is None:
        return None
    key = (os.environ if environ is None else environ).get(provider.key_env, "").strip()
    if not key and provider.key_required:
        raise AuthenticationError(
            f"{provider.name} needs a key: set the environment variable {provider.key_env} "
            f"(or name another with key_env of providers.{provider.name} in dspex.toml). "
            f"Without any key, {OFFLINE} works offline"
        )
    return key or None


def ignored_settings(provider: Provider, model: str) -> frozenset[str]:
    """Settings that are not sent to `model` (its name without the provider), because it refuses every call that has
    them. Searching them for such a model changes nothing."""
    pattern = provider.fixed_sampling
    return SAMPLING if pattern is not None and re.match(pattern, model.rpartition("/")[2]) else frozenset()
