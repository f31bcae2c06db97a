"""Settings from arguments, environment and dspex.toml, each with the place it came from."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, ValidationError, field_validator

from dspex.clients.providers import check_address, without_secrets
from dspex.errors import ConfigurationError, suggestion
from dspex.kernel.signature import Frozen

FILE_NAME = "dspex.toml"
_SECRET_WORDS = ("api_key", "apikey", "key", "token", "secret", "password")


class ProviderSettings(Frozen):
    """What a project says of one provider. The key itself is never here, only the variable that holds it."""

    base_url: str | None = None
    key_env: str | None = None
    """Name of the environment variable with the key; an empty string: the server needs none."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    """Further headers, none of them secret: one that is named like a key is refused."""
    json_schema: bool | None = None
    """Whether the server constrains answers by a JSON Schema, where it differs from the table."""
    concurrency: int | None = Field(default=None, ge=1)
    """Where this provider's limits differ from those for all."""
    requests_per_second: float | None = Field(default=None, gt=0)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)

    @field_validator("headers")
    @classmethod
    def _no_secret(cls, headers: dict[str, str]) -> dict[str, str]:
        return dict(without_secrets(headers))

    @field_validator("base_url")
    @classmethod
    def _no_credentials(cls, base_url: str | None) -> str | None:
        check_address(base_url or "")
        return base_url


class PriceSettings(Frozen):
    """Dollars a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class ProjectSettings(Frozen):
    """What the command works on when its line names nothing. Paths start at the folder of dspex.toml."""

    program: str | None = None
    data: str | None = None
    metric: str | None = None
    """As `dspex eval --metric` takes it: `exact:team`, or `metric.py:score`, the user's own function."""


class Settings(Frozen):
    """Everything a runtime can be told, with its defaults; and what the command works on."""

    model: str | None = None
    """`provider/name` for steps that name no model."""
    adapter: str = "chat"
    cache: str = "memory"
    """`memory`, `none`, or the path of a SQLite file."""
    store: str | None = None
    """Where runs and stored programs are: a file or a PostgreSQL URL; None: `.dspex/dspex.db` beside dspex.toml."""
    executions: bool = True
    """Whether each run of a stored program is kept in the store, with its inputs and outputs."""
    concurrency: int = Field(default=64, ge=1)
    """Requests on the wire at once, a provider and a process."""
    requests_per_second: float | None = Field(default=None, gt=0)
    """To one provider with one key; the runs of a store keep it together, as the two that follow."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    timeout: float = Field(default=120.0, gt=0)
    """Seconds one attempt may take."""
    retries: int = Field(default=5, ge=0)
    """Attempts after the first, for failures that may pass."""
    on_outage: Literal["pause", "wait"] = "pause"
    """What a search does when its model is gone: it pauses, or waits and goes on by itself."""
    outage_seconds: float = Field(default=60.0, ge=0)
    """Where every call fails for so long, the model is gone."""
    probe_seconds: float = Field(default=30.0, gt=0)
    """A search that waits asks the model again after so long, each time twice as long, up to ten times."""
    providers: dict[str, ProviderSettings] = Field(default_factory=dict[str, ProviderSettings])
    prices: dict[str, PriceSettings] = Field(default_factory=dict[str, PriceSettings])
    project: ProjectSettings = Field(default_factory=ProjectSettings)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings and, by name, where each value came from: `argument`, `environment DSPEX_MODEL`, a file, `default`."""

    settings: Settings
    origins: Mapping[str, str]


_ENVIRONMENT: Mapping[str, str] = {
    f"DSPEX_{name.upper()}": name
    for name in (
        "model", "adapter", "cache", "store", "concurrency", "requests_per_second", "requests_per_minute",
        "tokens_per_minute", "timeout", "retries", "on_outage", "outage_seconds", "probe_seconds",
    )
}  # fmt: skip
_SECTIONS: Mapping[str, type[Frozen]] = {
    "providers": ProviderSettings, "prices": PriceSettings, "project": ProjectSettings,
}  # fmt: skip
_NUMBERS = {
    "concurrency", "requests_per_second", "requests_per_minute", "tokens_per_minute", "timeout", "retries",
    "outage_seconds", "probe_seconds",
}  # fmt: skip


def resolve(
    arguments: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    file: Path | Literal["search", "none"] = "search",
) -> Resolved:
    """Settings from `arguments` over the environment over dspex.toml over defaults.

    `file` is searched from the working directory upward. Raises ConfigurationError naming the place of a bad value.
    """
    env = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    path = find_file() if file == "search" else None if file == "none" else file
    if path is not None:
        for name, value in read_file(path).items():
            values[name] = str(path.parent / value) if _is_place(name, value) else value
            origins[name] = str(path)
    for variable, name in _ENVIRONMENT.items():
        if text := env.get(variable):
            values[name] = _number(variable, text) if name in _NUMBERS else text
            origins[name] = f"environment {variable}"
    for name, value in (arguments or {}).items():
        if value is not None:
            values[name] = value
            origins[name] = "argument"
    settings = _checked(values, origins)
    return Resolved(settings, {name: origins.get(name, "default") for name in Settings.model_fields})


def find_file(start: Path | None = None) -> Path | None:
    """The nearest dspex.toml from `start` (the working directory) upward, or None."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (candidate := folder / FILE_NAME).is_file():
            return candidate
    return None


def read_file(path: Path) -> dict[str, Any]:
    """The content of a dspex.toml, checked for unknown names and for secrets, which do not belong there."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    for name in data:
        if name not in Settings.model_fields:
            raise ConfigurationError(f"{path}: unknown setting {name!r}{suggestion(name, Settings.model_fields)}")
    for provider, entry in _tables(data.get("providers")):
        for name in entry:
            if name not in ProviderSettings.model_fields and name.lower() in _SECRET_WORDS:
                raise ConfigurationError(
                    f"{path}: providers.{provider}.{name}: a key does not belong in a file; put it in an environment "
                    f'variable and write key_env = "NAME_OF_IT"'
                )
    return data


def _is_place(name: str, value: Any) -> bool:
    """Whether a value of the file is a path, which starts at the file's folder wherever the command is called."""
    if name not in ("cache", "store") or not isinstance(value, str) or value.startswith("~"):
        return False
    return value not in ("memory", "none", ":memory:") and "://" not in value


def _tables(section: Any) -> list[tuple[str, dict[str, Any]]]:
    """The tables inside a section, by name; what is no table is left to the type check."""
    found = cast("dict[str, Any]", section) if isinstance(section, dict) else {}
    return [(name, cast("dict[str, Any]", item)) for name, item in found.items() if isinstance(item, dict)]


def _checked(values: dict[str, Any], origins: dict[str, str]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        faults: list[str] = []
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            name = ".".join(str(part) for part in fault["loc"])
            place = origins.get(str(fault["loc"][0]), "settings")
            known = _SECTIONS.get(name.partition(".")[0], Settings).model_fields
            hint = suggestion(str(fault["loc"][-1]), known) if fault["type"] == "extra_forbidden" else ""
            message = "unknown setting" if fault["type"] == "extra_forbidden" else fault["msg"]
            faults.append(f"{name} (from {place}): {message}{hint}")
        raise ConfigurationError("; ".join(faults)) from error


def _number(variable: str, text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise ConfigurationError(f"environment {variable}={text!r}: needs a number") from None
