"""Runtimes from arguments, environment and dspex.toml: models, adapters, modules and memory put together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from dspex.adapters import ADAPTERS
from dspex.clients.call_store import MemoryCallStore, SQLiteCallStore
from dspex.clients.limiter import Limits
from dspex.clients.pool import ClientPool
from dspex.clients.prices import Price, Prices
from dspex.clients.providers import PROVIDERS
from dspex.clients.retry import Retry, RetryPolicy
from dspex.clients.stack import ModelStack, Policies, provider_of
from dspex.configuration.settings import Resolved, Settings, resolve
from dspex.errors import ConfigurationError, UnknownNameError
from dspex.kernel.ports import JSON, LM, CallStore, Observer, Runtime
from dspex.modules.registry import builtin_registry

_NOT_THE_RUNTIMES = {"project", "store", "on_outage", "outage_seconds", "probe_seconds"}
OFFLINE_MODEL = "embedded/lexical"


class RuntimeSettings(TypedDict, total=False):
    """What `runtime` takes beside the model; each also comes from the environment (DSPEX_...) or dspex.toml."""

    adapter: str
    """`chat`, `json` or `xml`, for steps that name none."""
    cache: str
    """`memory`, `none`, or the path of a SQLite file."""
    concurrency: int
    """Requests on the wire at once, a provider and a process."""
    requests_per_second: float
    requests_per_minute: float
    tokens_per_minute: float
    timeout: float
    """Seconds one attempt may take."""
    retries: int
    """Attempts after the first."""
    providers: Mapping[str, Mapping[str, Any]]
    """By name: base_url, key_env, headers, json_schema, and limits that differ. Any compatible server can be added."""
    prices: Mapping[str, Mapping[str, float]]
    """By model: input and output, dollars for a million tokens."""


def runtime(
    model: str | None = None,
    *,
    lm: LM | None = None,
    models: Mapping[str, LM] | None = None,
    observer: Observer | None = None,
    file: Path | Literal["search", "none"] = "search",
    **settings: Unpack[RuntimeSettings],
) -> Runtime:
    """A runtime whose steps use `model` (`provider/name`) unless they name another.

    `lm` is a live model (a `ScriptedLM`) for every step that names none; `models` are live models by provider. A
    runtime with live models has no `spec` and stays in its process. Settings not given come from the environment,
    then from the nearest dspex.toml (`file`: "search", "none" or a path), then from the defaults.
    Raises ConfigurationError for a setting that does not hold; the key of a model is asked for when a program is
    prepared, before anything is paid.
    """
    arguments: dict[str, Any] = {**settings}
    live = dict(models or {})
    if lm is not None:
        model = model or "scripted/model"
        live[provider_of(model)] = lm
    resolved = resolve({"model": model, **arguments}, file=file)
    return build(resolved, live=live, observer=observer)


def from_spec(spec: Mapping[str, JSON], *, observer: Observer | None = None, cache: str | None = None) -> Runtime:
    """The runtime another process described by its `Runtime.spec`; keys come from this process's environment."""
    values = {**spec, **({} if cache is None else {"cache": cache})}
    return build(resolve(values, environment={}, file="none"), observer=observer)


def build(resolved: Resolved, *, live: Mapping[str, LM] | None = None, observer: Observer | None = None) -> Runtime:
    """A runtime from settings. Raises ConfigurationError without a model, and for an adapter that does not exist."""
    settings = resolved.settings
    if settings.model is None:
        raise ConfigurationError(
            "no model: pass model='provider/name', set DSPEX_MODEL, or write model = \"provider/name\" in dspex.toml; "
            f"offline and without a key: {OFFLINE_MODEL!r}"
        )
    provider_of(settings.model)
    if settings.adapter not in ADAPTERS:
        raise UnknownNameError("adapter", settings.adapter, ADAPTERS, resolved.origins.get("adapter", ""))
    prices = Prices({name: Price(input=item.input, output=item.output) for name, item in settings.prices.items()})
    retry = Retry(RetryPolicy(attempts=settings.retries + 1), observer)
    pool = ClientPool(_overrides(settings), live=live, factories={"embedded": _embedded})
    stack = ModelStack(pool, Policies(store=_memory(settings.cache), retry=retry, prices=prices))
    return Runtime(
        lm=stack,
        model=settings.model,
        adapters=ADAPTERS,
        modules=builtin_registry(),
        adapter=settings.adapter,
        observer=observer,
        spec=None if live else settings.model_dump(mode="json", exclude=_NOT_THE_RUNTIMES, exclude_defaults=True),
    )


def _memory(cache: str) -> CallStore | None:
    if cache == "none":
        return None
    return MemoryCallStore() if cache == "memory" else SQLiteCallStore(Path(cache).expanduser())


def _overrides(settings: Settings) -> Mapping[str, Mapping[str, JSON]]:
    """For every provider what the settings say of it: its own section, and what holds for all."""
    limits: dict[str, JSON] = {name: getattr(settings, name) for name in Limits.model_fields}
    known = {*PROVIDERS, *settings.providers, provider_of(settings.model or OFFLINE_MODEL)}
    found: dict[str, Mapping[str, JSON]] = {}
    for name in known:
        section = settings.providers[name].model_dump(exclude_unset=True) if name in settings.providers else {}
        own = {limit: section.pop(limit) for limit in Limits.model_fields if limit in section}
        found[name] = {"timeout": settings.timeout, **section, "limits": {**limits, **own}}
    return found


def _embedded() -> LM:
    from dspex.clients.embedded.lexical import Lexical  # noqa: PLC0415 - only for those who use it

    return Lexical()
