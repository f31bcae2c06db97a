"""What a search is for: the score alone, or cost, tokens and latency beside it, within constraints."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Self

from pydantic import model_validator

from dspex.clients.prices import PRICES_DATE, Prices
from dspex.clients.stack import ModelStack
from dspex.errors import ConfigurationError, UnknownNameError, VariableError
from dspex.kernel.constraints import Constraint
from dspex.kernel.ports import Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Frozen
from dspex.kernel.variables import Choice

UNITS = {"score": "0..1", "cost": "US dollars per example", "tokens": "per example", "latency": "seconds per example"}
"""What can be aimed at, and its unit. All but the score are the better the lower they are."""
EXAMPLE = "a constraint compares score, cost, tokens or latency with a number, as in 'cost <= 0.002'"


class Objectives(Frozen):
    """What a search is for. `of` begins with `score`; constraints are comparisons over the names in `UNITS`."""

    of: tuple[str, ...] = ("score",)
    constraints: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name in self.of:
            if name not in UNITS:
                raise UnknownNameError("objective", name, UNITS)
        if len(set(self.of)) < len(self.of):
            raise ConfigurationError(f"objectives name one twice: {', '.join(self.of)}")
        if "score" not in self.of:
            raise ConfigurationError(f"objectives are {', '.join(self.of) or 'none'}: `score` is always one of them")
        for constraint in self.parsed:
            for path in constraint.paths:
                if path not in UNITS:
                    raise UnknownNameError("objective", path, UNITS, f"constraint {constraint.text!r}")
        return self

    @cached_property
    def parsed(self) -> tuple[Constraint, ...]:
        """The constraints. Raises ConfigurationError."""
        found: list[Constraint] = []
        for text in self.constraints:
            try:
                found.append(Constraint.parse(text))
            except VariableError as error:
                raise ConfigurationError(f"{error}; {EXAMPLE}") from error
        return tuple(found)

    @property
    def plain(self) -> bool:
        """Whether the score is all that counts."""
        return self.of == ("score",) and not self.constraints

    @property
    def measured(self) -> frozenset[str]:
        """All that is looked at."""
        return frozenset(self.of) | {path for item in self.parsed for path in item.paths}

    def check(self, program: Program, runtime: Runtime) -> None:
        """Raises ConfigurationError where cost counts and the price of a model is unknown."""
        if "cost" not in self.measured:
            return
        prices = runtime.lm.policies.prices if isinstance(runtime.lm, ModelStack) else Prices()
        for name in sorted(set(_models(program, runtime))):
            if prices.of(name) is None:
                raise ConfigurationError(
                    f"cost is an objective or in a constraint, and the price of {name} is not in the table of "
                    f"{PRICES_DATE}: set it (prices: input and output, dollars for a million tokens), or use tokens"
                )


PLAIN = Objectives()


def _models(program: Program, runtime: Runtime) -> Iterable[str]:
    """Every model that some configuration of the program may call."""
    for _, step in program.walk():
        if runtime.modules.get(step.module).calls_model:
            named = step.options.get("model", runtime.model)
            values = named.values if isinstance(named, Choice) else (named,)
            yield from (item for item in values if isinstance(item, str))
