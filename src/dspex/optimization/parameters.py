"""A space as flat parameters that a sampler draws one by one, and configurations as their values, there and back.

Numbers stay numbers; the values of a Choice, and each member of a Subset, are categories; texts and sets of
demonstrations are categories among those that are known. Nothing here needs a sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from dspex.kernel.canonical import identity, sha256
from dspex.kernel.ports import JSON
from dspex.kernel.space import Configuration, Dimension, Space
from dspex.kernel.variables import Boolean, Choice, Float, Integer, Subset, Variable

NO, YES = "false", "true"


@dataclass(frozen=True, slots=True)
class Real:
    """A number in [low, high]."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number in [low, high], which is low plus a multiple of `step`."""

    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True, slots=True)
class Category:
    """One of several texts that stand for values."""

    values: tuple[str, ...]


Parameter = Real | Whole | Category
Value = float | int | str
Suggest = Callable[[str, Parameter], Value]
"""Gives a parameter, by its name, a value."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the variables of a space are written as parameters."""

    space: Space
    known: Mapping[str, Mapping[str, JSON]]
    """Of each text and each set of demonstrations, by path: what it may be, by the category that stands for it."""

    def parameters(self) -> dict[str, Parameter]:
        """Every parameter by name, in the order of the space; inactive ones too."""
        return {name: parameter for item in self.space for name, parameter in self._of(item).items()}

    def encoded(self, values: Configuration) -> dict[str, Value]:
        """The values of the active parameters. Raises KeyError for a text or demonstrations that are not known."""
        found: dict[str, Value] = {}
        for path, value in self.space.complete(values).items():
            found.update(self._written(path, self.space[path], value))
        return found

    def configured(self, suggest: Suggest) -> dict[str, JSON]:
        """The configuration of what `suggest` gives, which is asked for active parameters only; complete.

        A constraint may be broken, all else holds: a Subset of a size that is not allowed is brought to one that is.
        """
        values: dict[str, JSON] = {}
        for item in self.space:
            if item.active(values):
                drawn = {name: suggest(name, parameter) for name, parameter in self._of(item).items()}
                values[item.path] = self._read(item.path, item.variable, drawn)
        return values

    def _of(self, item: Dimension) -> dict[str, Parameter]:
        variable, path = item.variable, item.path
        if isinstance(variable, Subset):
            return {_member(path, value): Category((NO, YES)) for value in variable.of}
        if isinstance(variable, Boolean):
            return {path: Category((NO, YES))}
        if isinstance(variable, Choice):
            return {path: Category(tuple(identity(value) for value in variable.values))}
        if isinstance(variable, Integer | Float):
            return {path: _number(variable)}
        return {path: Category(tuple(self.known[path]))}

    def _written(self, path: str, variable: Variable, value: JSON) -> dict[str, Value]:
        if isinstance(variable, Subset):
            chosen = {identity(item) for item in value}
            return {_member(path, item): YES if identity(item) in chosen else NO for item in variable.of}
        if isinstance(variable, Integer | Float):
            return {path: round((value - variable.low) / (variable.step or 1)) if _on_grid(variable) else value}
        if isinstance(variable, Boolean | Choice):
            return {path: identity(value)}
        category = _category(value)
        if category not in self.known[path]:
            raise KeyError(f"{path}: not one of the {len(self.known[path])} values that are known")
        return {path: category}

    def _read(self, path: str, variable: Variable, drawn: Mapping[str, Value]) -> JSON:
        if isinstance(variable, Subset):
            return _sized(variable, [item for item in variable.of if drawn[_member(path, item)] == YES])
        value: Any = drawn[path]
        if isinstance(variable, Integer | Float):
            return variable.nearest(variable.low + value * (variable.step or 1)) if _on_grid(variable) else value
        if isinstance(variable, Boolean):
            return value == YES
        if isinstance(variable, Choice):
            return next(item for item in variable.values if identity(item) == value)
        return self.known[path][value]


def encoding_of(space: Space, seen: Iterable[Configuration]) -> Encoding:
    """The encoding that knows the texts and demonstrations of these configurations, and what variables start with."""
    known: dict[str, dict[str, JSON]] = {
        item.path: {_category(item.variable.initial): item.variable.initial}
        for item in space
        if not item.variable.searchable
    }
    for values in seen:
        for path, value in values.items():
            if path in known:
                known[path].setdefault(_category(value), value)
    return Encoding(space, known)


def _category(value: JSON) -> str:
    return sha256(identity(value))[:16]


def _member(path: str, value: JSON) -> str:
    return f"{path}[{identity(value)}]"


def _on_grid(variable: Integer | Float) -> bool:
    """Whether the places of its grid are drawn rather than the number, so that there and back is exact."""
    return variable.step is not None if isinstance(variable, Float) else variable.log and variable.step > 1


def _number(variable: Integer | Float) -> Parameter:
    if _on_grid(variable):
        return Whole(0, int(variable.size()) - 1)
    if isinstance(variable, Float):
        return Real(variable.low, variable.high, variable.log)
    high = variable.low + variable.step * (int(variable.size()) - 1)
    return Whole(variable.low, high, variable.log, variable.step)


def _sized(variable: Subset, drawn: list[JSON]) -> list[JSON]:
    """As drawn where that is allowed; else members are left out or added by lot, the same lot for the same draw."""
    most = len(variable.of) if variable.max is None else variable.max
    lot = Random(identity(drawn))
    if len(drawn) > most:
        return variable.normal(lot.sample(drawn, most))
    absent = [item for item in variable.of if identity(item) not in {identity(other) for other in drawn}]
    return variable.normal([*drawn, *lot.sample(absent, max(0, variable.min - len(drawn)))])


def shortened(parameter: Real, value: float) -> float:
    """A drawn number without its last digits, which are noise, and in range."""
    return min(max(float(f"{value:.10g}"), parameter.low), parameter.high)
