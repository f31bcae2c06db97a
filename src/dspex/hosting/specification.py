"""Everything another process needs to carry a run, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.hosting.isolation import Isolation
from dspex.kernel.ports import JSON
from dspex.kernel.signature import Frozen
from dspex.optimization.objectives import PLAIN, Objectives


class Reference(Frozen):
    """A piece of the user's code: in an importable module, or in a file."""

    name: str
    module: str | None = None
    folder: str | None = None
    """What has to be on the path for `module`."""
    file: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Reference:
        if (self.module is None) == (self.file is None):
            raise ConfigurationError(f"reference to {self.name!r}: name a module or a file")
        return self


class MetricSpec(Frozen):
    """A metric as data: one that comes with DSPEx with its arguments, a function, or a weighted sum of such."""

    kind: str
    """The name of the class, or `function`."""
    arguments: dict[str, JSON] = Field(default_factory=dict[str, JSON])
    function: Reference | None = None
    parts: tuple[tuple[MetricSpec, float], ...] = ()


class Carried(Frozen):
    """What copied rows consumed, as a `Usage`."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    cached_calls: int = 0
    retries: int = 0


class RunSpec(Frozen):
    """One optimization. What is None lives only in the process that made the run."""

    version: Literal[1] = 1
    program: dict[str, JSON]
    train: str
    """Datasets by hash in the store."""
    val: str
    confirm: str | None
    metric: MetricSpec | None
    runtime: dict[str, JSON] | None
    strategy: str
    schedule: str | None = None
    """None: the strategy's own."""
    seed: int
    budget: Budget
    objectives: Objectives = PLAIN
    options: dict[str, JSON] = Field(default_factory=dict[str, JSON])
    label: str | None = None
    """The label of the stored program that the result is promoted to."""
    imports: tuple[Reference, ...] = ()
    """Modules to import first, because they register steps of the program."""
    fingerprints: dict[str, str] = Field(default_factory=dict[str, str])
    """Of the code that decides scores: metric, functions, modules, adapters; and of DSPEx."""
    carried: Carried | None = None
    """Of a fork: what the copied evaluations had consumed. It counts against the budget, and was paid by the other."""
    isolation: Isolation | None = None
    """None: evaluations are tasks of the process that carries the run."""
    live: tuple[str, ...] = ()
    """Why another process cannot carry it; empty where it can."""
