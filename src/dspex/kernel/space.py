"""The space of a program: its variables by path, when each is active, and the constraints between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from dspex.errors import VariableError, suggestion
from dspex.kernel.constraints import Constraint
from dspex.kernel.ports import JSON
from dspex.kernel.variables import Choice, Variable

Configuration = Mapping[str, JSON]
"""Values of variables by flat path, `flow.draft.temperature`."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One variable at its path. Active where every (path, value) of `conditions` holds."""

    path: str
    variable: Variable
    conditions: tuple[tuple[str, JSON], ...] = ()

    def active(self, values: Configuration) -> bool:
        """Whether the conditions hold in `values`, which has all that comes before it."""
        return all(path in values and values[path] == wanted for path, wanted in self.conditions)


@dataclass(frozen=True, slots=True)
class Space:
    """Derived from a program's pipeline, never declared. Dimensions come in pipeline order, conditions before what
    depends on them."""

    dimensions: tuple[Dimension, ...]
    constraints: tuple[Constraint, ...] = ()
    _known: dict[str, Variable] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", {item.path: item.variable for item in self.dimensions})
        for constraint in self.constraints:
            self._require_known(constraint)

    def __len__(self) -> int:
        return len(self.dimensions)

    def __iter__(self) -> Iterator[Dimension]:
        return iter(self.dimensions)

    def __contains__(self, path: object) -> bool:
        return path in self._known

    def __getitem__(self, path: str) -> Variable:
        if path not in self._known:
            raise VariableError(f"no variable {path!r}{suggestion(path, self._known)}")
        return self._known[path]

    def complete(self, configuration: Configuration) -> dict[str, JSON]:
        """The value of every active variable, initial values where `configuration` sets none; inactive ones left out.

        Two configurations that complete to the same mapping are the same candidate.
        """
        values: dict[str, JSON] = {}
        for item in self.dimensions:
            if item.active(values):
                variable = item.variable
                given = item.path in configuration
                values[item.path] = variable.normal(configuration[item.path]) if given else variable.initial
        return values

    def problems(self, configuration: Configuration) -> list[str]:
        """Everything that is wrong with a configuration, in words; empty when it is valid."""
        known = self._known
        found = [f"no variable {path!r}{suggestion(path, known)}" for path in configuration if path not in known]
        for path, value in configuration.items():
            if path in known and (fault := known[path].problem(value)):
                found.append(f"{path}: {fault}")
        if not found and self.constraints:
            values = self.complete(configuration)
            found = [f"constraint {item.text!r} does not hold" for item in self.constraints if not item.holds(values)]
        return found

    def validate(self, configuration: Configuration) -> None:
        """Raises VariableError naming every problem at once."""
        if found := self.problems(configuration):
            raise VariableError("configuration: " + "; ".join(found))

    def sample(self, rng: Random, base: Configuration | None = None, tries: int = 1000) -> dict[str, JSON]:
        """A valid configuration, complete. Texts and demonstrations keep their value in `base`.

        Every variable draws, active or not, so that the draw of one does not depend on the choice of another.
        Raises VariableError when `tries` draws in a row break a constraint.
        """
        fixed = dict(base or {})
        for _ in range(tries):
            drawn = {
                item.path: item.variable.sample(rng)
                if item.variable.searchable
                else fixed.get(item.path, item.variable.initial)
                for item in self.dimensions
            }
            values = self.complete(drawn)
            if all(item.holds(values) for item in self.constraints):
                return values
        texts = "; ".join(item.text for item in self.constraints)
        raise VariableError(f"no valid configuration in {tries} draws; loosen the constraints: {texts}")

    def size(self) -> float:
        """How many valid-by-type configurations there are, conditions counted, constraints not; may be infinite."""
        return _size(self.dimensions, ())

    def neighbours(self, configuration: Configuration) -> list[dict[str, JSON]]:
        """Valid configurations that differ from this one by a small step in one active variable."""
        here = self.complete(configuration)
        found: list[dict[str, JSON]] = []
        for path, value in here.items():
            for other in self._known[path].near(value):
                moved = self.complete({**configuration, **here, path: other})
                if all(item.holds(moved) for item in self.constraints):
                    found.append(moved)
        return found

    def _require_known(self, constraint: Constraint) -> None:
        """A misspelt path or value would make a constraint that never says anything."""
        for path in constraint.paths:
            if path not in self._known:
                raise VariableError(
                    f"constraint {constraint.text!r}: no variable {path!r}{suggestion(path, self._known)}"
                )
        for path, value in constraint.constants():
            variable = self._known[path]
            if isinstance(variable, Choice) and variable.problem(value):
                near = suggestion(str(value), [str(item) for item in variable.values])
                raise VariableError(f"constraint {constraint.text!r}: {path!r} is never {value!r}{near}")


def _size(dimensions: tuple[Dimension, ...], given: tuple[tuple[str, JSON], ...]) -> float:
    """Product over the dimensions that hang on `given`; a dimension others hang on sums over its values."""
    total = 1.0
    for item in dimensions:
        if item.conditions != given:
            continue
        inner = [other.conditions for other in dimensions if other.conditions[: len(given)] == given]
        branches = {
            rest[len(given)][1] for rest in inner if len(rest) > len(given) and rest[len(given)][0] == item.path
        }
        values = item.variable.size()
        if branches:
            values += sum(_size(dimensions, (*given, (item.path, value))) - 1 for value in sorted(branches, key=str))
        total *= values
    return math.inf if math.isinf(total) else total
