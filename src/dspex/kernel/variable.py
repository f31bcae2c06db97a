"""What every typed hole in a program has in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar

from pydantic import ConfigDict, ValidationError

from dspex.errors import VariableError
from dspex.kernel.canonical import identity
from dspex.kernel.faults import faults, sentence
from dspex.kernel.ports import JSON
from dspex.kernel.signature import Frozen


class Variable(Frozen):
    """One typed hole. In JSON it is an object with the key `$variable`, which no plain option value may have.

    `initial` is its value in a program whose configuration does not set it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)
    kind: ClassVar[str] = ""
    """What `$variable` says in JSON."""
    searchable: ClassVar[bool] = True
    """Whether values can be drawn from the domain alone; texts and demonstrations need a proposer."""

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            found = sentence(faults(error, type(self).model_fields))
            raise VariableError(f"{type(self).__name__}: {found}") from None

    @property
    def initial(self) -> JSON:
        raise VariableError(f"{type(self).__name__} has no initial value")

    def problem(self, value: JSON) -> str | None:
        """What is wrong with `value` as a value of this variable, or None."""
        raise VariableError(f"{type(self).__name__} has no domain")

    def normal(self, value: JSON) -> JSON:
        """The one way to write a valid value: 1 and 1.0 are the same of a Float."""
        return value

    def sample(self, rng: Random) -> JSON:
        """A value drawn from the domain."""
        return self.initial

    def size(self) -> float:
        """How many values there are; infinite for continuous ranges, texts and demonstrations."""
        return math.inf

    def near(self, value: JSON) -> list[JSON]:
        """Values one small step from `value`."""
        return []


def require_default(variable: Variable, default: JSON) -> None:
    """Raises VariableError when a default is not in the domain."""
    if default is not None and (fault := variable.problem(default)):
        raise VariableError(f"{type(variable).__name__}: the default {fault}")


def others(values: Sequence[JSON], value: JSON) -> list[JSON]:
    """Each of `values` once, without `value`."""
    found: dict[str, JSON] = {identity(item): item for item in values}
    found.pop(identity(value), None)
    return list(found.values())
