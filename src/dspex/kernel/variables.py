"""Typed holes in a program: what a search may choose, written where the value would go."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any, ClassVar

from dspex.errors import UnknownNameError, VariableError
from dspex.kernel.canonical import identity, is_list, is_mapping, plain
from dspex.kernel.ports import JSON
from dspex.kernel.ranges import Float, Integer
from dspex.kernel.read_only import ReadOnlyJSON, read_only
from dspex.kernel.variable import Variable, others, require_default

__all__ = ["KINDS", "Boolean", "Choice", "Demos", "Float", "Integer", "Subset", "Text", "Variable", "variable_of"]


class Boolean(Variable):
    """True or False."""

    kind: ClassVar[str] = "boolean"
    default: bool = False

    def __init__(self, *, default: bool = False) -> None:
        super().__init__(default=default)

    @property
    def initial(self) -> bool:
        return self.default

    def problem(self, value: JSON) -> str | None:
        return None if isinstance(value, bool) else f"needs true or false, got {value!r}"

    def sample(self, rng: Random) -> bool:
        return rng.random() < 0.5

    def size(self) -> float:
        return 2

    def near(self, value: JSON) -> list[JSON]:
        return [not value]


class Choice(Variable):
    """One of several JSON values. With `steps` the values name sub-steps of the step that holds it: only the chosen
    one runs, and the variables inside the others are inactive (see `choose`)."""

    kind: ClassVar[str] = "choice"
    values: tuple[ReadOnlyJSON, ...]
    default: ReadOnlyJSON = None
    steps: bool = False

    def __init__(self, *given: Any, values: Sequence[Any] = (), default: Any = None, steps: bool = False) -> None:
        options = tuple(plain(item, "a value of Choice") for item in (*given, *values))
        super().__init__(values=options, default=plain(default, "the default of Choice"), steps=steps)
        if not options:
            raise VariableError("Choice needs at least one value")
        if len(self._known) < len(options):
            raise VariableError(f"Choice has a value twice: {', '.join(repr(item) for item in options)}")
        require_default(self, self.default)

    @cached_property
    def _known(self) -> dict[str, JSON]:
        return {identity(item): item for item in self.values}

    @property
    def initial(self) -> JSON:
        return self.values[0] if self.default is None else self.normal(self.default)

    def problem(self, value: JSON) -> str | None:
        known = identity(value) in self._known
        return None if known else f"{value!r} is not one of {', '.join(repr(item) for item in self.values)}"

    def normal(self, value: JSON) -> JSON:
        return self._known.get(identity(value), value)

    def sample(self, rng: Random) -> JSON:
        return self.values[rng.randrange(len(self.values))]

    def size(self) -> float:
        return len(self.values)

    def near(self, value: JSON) -> list[JSON]:
        return others(self.values, value)


class Text(Variable):
    """A text that proposers write, such as instructions. Without a default it starts as the signature's own."""

    searchable: ClassVar[bool] = False
    kind: ClassVar[str] = "text"
    default: str | None = None
    max_length: int = 8000

    def __init__(self, default: str | None = None, *, max_length: int = 8000) -> None:
        super().__init__(default=default, max_length=max_length)
        if max_length < 1:
            raise VariableError(f"Text(max_length={max_length}) needs a number of at least 1")
        require_default(self, default)

    @property
    def initial(self) -> str | None:
        return self.default

    def problem(self, value: JSON) -> str | None:
        if value is None and self.default is None:
            return None
        if not isinstance(value, str):
            return f"needs a text, got {value!r}"
        return None if len(value) <= self.max_length else f"{len(value)} characters, at most {self.max_length} allowed"


class Demos(Variable):
    """Up to `max` demonstrations, each a mapping of field values; it starts empty."""

    searchable: ClassVar[bool] = False
    kind: ClassVar[str] = "demos"
    max: int = 4
    default: tuple[ReadOnlyJSON, ...] = ()

    def __init__(self, max: int = 4, *, default: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(max=max, default=tuple(plain(item, "a demonstration") for item in default))
        if max < 0:
            raise VariableError(f"Demos(max={max}) needs a number of at least 0")
        require_default(self, list(self.default))

    @property
    def initial(self) -> list[JSON]:
        return list(self.default)

    def problem(self, value: JSON) -> str | None:
        if not is_list(value) or not all(is_mapping(item) for item in value):
            return f"needs a list of mappings, got {value!r}"
        return None if len(value) <= self.max else f"{len(value)} demonstrations, at most {self.max} allowed"


class Subset(Variable):
    """Any of several JSON values together, at least `min` and at most `max`; it starts with all of them (or `max`).

    Order does not count: a value is written in the order of `of`.
    """

    kind: ClassVar[str] = "subset"
    of: tuple[ReadOnlyJSON, ...]
    min: int = 0
    max: int | None = None
    default: tuple[ReadOnlyJSON, ...] | None = None

    def __init__(
        self, of: Sequence[Any], *, min: int = 0, max: int | None = None, default: Sequence[Any] | None = None
    ) -> None:
        values = tuple(plain(item, "a value of Subset") for item in of)
        chosen = None if default is None else tuple(plain(item, "the default of Subset") for item in default)
        super().__init__(of=values, min=min, max=max, default=chosen)
        if len(self._known) < len(values):
            raise VariableError(f"Subset has a value twice: {', '.join(repr(item) for item in values)}")
        if not 0 <= min <= self._most <= len(values):
            raise VariableError(f"Subset of {len(values)} values cannot hold between {min} and {self._most}")
        require_default(self, None if chosen is None else list(chosen))

    @cached_property
    def _known(self) -> dict[str, JSON]:
        return {identity(item): item for item in self.of}

    @property
    def _most(self) -> int:
        return len(self.of) if self.max is None else self.max

    @property
    def initial(self) -> list[JSON]:
        return list(self.of[: self._most]) if self.default is None else self.normal(list(self.default))

    def problem(self, value: JSON) -> str | None:
        if not is_list(value) or any(identity(item) not in self._known for item in value):
            return f"needs some of {', '.join(repr(item) for item in self.of)}, got {value!r}"
        if len({identity(item) for item in value}) < len(value):
            return f"has a value twice: {value!r}"
        if not self.min <= len(value) <= self._most:
            return f"has {len(value)} values, between {self.min} and {self._most} allowed"
        return None

    def normal(self, value: JSON) -> list[JSON]:
        chosen = {identity(item) for item in value}
        return [item for name, item in self._known.items() if name in chosen]

    def sample(self, rng: Random) -> list[JSON]:
        drawn: list[JSON] = [item for item in self.of if rng.random() < 0.5]
        if self.problem(drawn) is None:
            return drawn
        count = rng.randint(self.min, self._most)
        return [self.of[index] for index in sorted(rng.sample(range(len(self.of)), count))]

    def size(self) -> float:
        total = 0
        for count in range(self.min, self._most + 1):
            total += math.comb(len(self.of), count)
            if total.bit_length() > 1000:  # more than a float can hold
                return math.inf
        return float(total)

    def near(self, value: JSON) -> list[JSON]:
        flipped = [self.normal([*value, item] if item not in value else others(value, item)) for item in self.of]
        return [item for item in flipped if self.problem(item) is None]


KINDS: Mapping[str, type[Variable]] = {
    kind.kind: kind for kind in (Float, Integer, Boolean, Choice, Text, Demos, Subset)
}


def variable_of(data: Mapping[str, Any], where: str) -> Variable:
    """The variable that a JSON object with `$variable` stands for. Raises VariableError naming `where`."""
    kind = data["$variable"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise UnknownNameError("kind of variable", str(kind), KINDS, where)
    made = KINDS[kind]
    given = {key: value for key, value in data.items() if key != "$variable"}
    if unknown := [key for key in given if key not in made.model_fields]:
        raise UnknownNameError("key", unknown[0], made.model_fields, f"{where} ({kind})")
    if missing := [key for key, info in made.model_fields.items() if info.is_required() and key not in given]:
        raise VariableError(f"{where}: a variable of kind {kind!r} needs {missing[0]!r}")
    if wrong := [key for key in ("values", "of") if key in given and not is_list(given[key])]:
        raise VariableError(f"{where}: {wrong[0]!r} is a list, not {given[wrong[0]]!r}")
    try:
        return made(**given)
    except TypeError as error:
        raise VariableError(f"{where}: not a variable of kind {kind!r}: {error}") from error
    except VariableError as error:
        raise VariableError(f"{where}: {error}") from error


def written(value: Any) -> JSON:
    """An option as JSON: a variable without what is default."""
    if isinstance(value, Variable):
        return {"$variable": value.kind, **value.model_dump(mode="json", exclude_defaults=True)}
    return value


def read(value: Any, where: str) -> Any:
    """An option from JSON or from Python: a variable, or a JSON value that cannot be changed."""
    if isinstance(value, Variable):
        return value
    if _holds_variable(value):
        raise VariableError(f"{where}: a variable stands for a whole option, not for a part of its value")
    data = plain(value, where)
    if not is_mapping(data) or "$variable" not in data:
        return read_only(data)
    return variable_of(data, where)


def _holds_variable(value: Any) -> bool:
    """Whether some part of a value, but not the value itself, is a variable."""
    parts: Iterable[Any] = value.values() if is_mapping(value) else value if is_list(value) else ()
    return any(
        isinstance(part, Variable) or (is_mapping(part) and "$variable" in part) or _holds_variable(part)
        for part in parts
    )
