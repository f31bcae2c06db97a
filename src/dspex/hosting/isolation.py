"""How evaluations are kept apart from the process that carries a run, as data."""

from __future__ import annotations

import sys
from typing import Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from dspex.errors import ConfigurationError, suggestion
from dspex.kernel.faults import refusing
from dspex.kernel.signature import Frozen


class Isolation(Frozen):
    """Each evaluation in a worker: a process of its own that may crash, hang or run out of memory alone."""

    kind: Literal["process"] = "process"
    timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Seconds an evaluation may take of its own; while it waits for a model, the clock stands still."""
    memory_mb: int | None = Field(default=None, ge=16)
    """Megabytes that evaluating may take beyond what a worker has at its start; None: no limit."""
    environment: tuple[str, ...] = ()
    """Variables that the code needs. Beside the usual few (PATH, HOME, LANG ...) a worker sees no other."""

    @model_validator(mode="wrap")
    @classmethod
    def _explained(cls, data: Any, handler: ModelWrapValidatorHandler[Isolation]) -> Isolation:
        found: Isolation = refusing(cls, data, handler, ConfigurationError, "isolation")
        if found.memory_mb is not None and sys.platform != "linux":
            raise ConfigurationError("isolation: memory_mb needs Linux; leave it out here")
        return found


def isolation_of(given: str | Isolation | None) -> Isolation | None:
    """What is meant by `isolation=`: None, "process", or all of it as an `Isolation`. Raises ConfigurationError."""
    if given is None or isinstance(given, Isolation):
        return given
    if given == "process":
        return Isolation()
    near = suggestion(given, ["process"]) if isinstance(given, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance] - a boundary
    raise ConfigurationError(
        f'isolation={given!r}{near}: there is "process", or Isolation(timeout=..., memory_mb=...) with its limits; '
        "without isolation evaluations run as tasks of the run's own process"
    )
