"""Typed holes in a program: what a search may choose, written where the value would go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter

from dspex.errors import VariableError
from dspex.kernel.canonical import canonical, is_list, is_mapping, plain
from dspex.kernel.ports import JSON
from dspex.kernel.signature import Frozen


class Variable(Frozen):
    """One typed hole. In JSON it is an object with the key `$variable`, which no plain option value may have.

    `initial` is its value in a program whose configuration does not set it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    searchable: ClassVar[bool] = True
    """Whether values can be drawn from the domain alone; texts and demonstrations need a proposer."""

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)

    @property
    def initial(self) -> JSON:
        raise VariableError(f"{type(self).__name__} has no initial value")

    def problem(self, value: JSON) -> str | None:
        """What is wrong with `value` as a value of this variable, or None."""
        raise VariableError(f"{type(self).__name__} has no domain")

    def sample(self, rng: Random) -> JSON:
        """A value drawn from the domain."""
        return self.initial

    def size(self) -> float:
        """How many values there are; infinite for continuous ranges, texts and demonstrations."""
        return math.inf

    def near(self, value: JSON) -> list[JSON]:
        """Values one small step from `value`."""
        return []


class Float(Variable):
    """A number in [low, high]; `log` draws and steps on a logarithmic scale, `step` makes a grid from low."""

    kind: Literal["float"] = Field(default="float", alias="$variable")
    low: float
    high: float
    log: bool = False
    step: float | None = None
    default: float | None = None

    def __init__(
        self,
        low: float,
        high: float,
        *,
        log: bool = False,
        step: float | None = None,
        default: float | None = None,
        **data: Any,
    ) -> None:
        super().__init__(low=low, high=high, log=log, step=step, default=default, **data)
        _check_range(self, low, high, log, step)

    @property
    def initial(self) -> float:
        return self.low if self.default is None else self.default

    def problem(self, value: JSON) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return f"needs a number, got {value!r}"
        return None if self.low <= value <= self.high else f"{value} is outside {self.low}..{self.high}"

    def sample(self, rng: Random) -> float:
        if self.log:
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = rng.uniform(self.low, self.high)
        return self._snapped(drawn)

    def size(self) -> float:
        return math.inf if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def near(self, value: JSON) -> list[JSON]:
        if self.log:
            factor = (self.high / self.low) ** 0.1
            moved = [value / factor, value * factor]
        else:
            stride = self.step or (self.high - self.low) / 10
            moved = [value - stride, value + stride]
        return _others([self._snapped(item) for item in moved], value)

    def _snapped(self, value: float) -> float:
        if self.step is not None:
            value = self.low + round((value - self.low) / self.step) * self.step
            value = value if value <= self.high else value - self.step
        return round(min(max(value, self.low), self.high), 10)


class Integer(Variable):
    """A whole number in [low, high], in steps of `step` from low; `log` draws on a logarithmic scale."""

    kind: Literal["integer"] = Field(default="integer", alias="$variable")
    low: int
    high: int
    log: bool = False
    step: int = 1
    default: int | None = None

    def __init__(
        self, low: int, high: int, *, log: bool = False, step: int = 1, default: int | None = None, **data: Any
    ) -> None:
        super().__init__(low=low, high=high, log=log, step=step, default=default, **data)
        _check_range(self, low, high, log, step)

    @property
    def initial(self) -> int:
        return self.low if self.default is None else self.default

    def problem(self, value: JSON) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"needs a whole number, got {value!r}"
        if not self.low <= value <= self.high:
            return f"{value} is outside {self.low}..{self.high}"
        return (
            None if (value - self.low) % self.step == 0 else f"{value} is not {self.low} plus a multiple of {self.step}"
        )

    def sample(self, rng: Random) -> int:
        if self.log:
            return self._snapped(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return self.low + self.step * rng.randint(0, (self.high - self.low) // self.step)

    def size(self) -> float:
        return (self.high - self.low) // self.step + 1

    def near(self, value: JSON) -> list[JSON]:
        moved = [value // 2, value * 2] if self.log else [value - self.step, value + self.step]
        return _others([self._snapped(item) for item in moved], value)

    def _snapped(self, value: float) -> int:
        last = (self.high - self.low) // self.step
        return self.low + self.step * min(max(round((value - self.low) / self.step), 0), last)


class Boolean(Variable):
    """True or False."""

    kind: Literal["boolean"] = Field(default="boolean", alias="$variable")
    default: bool = False

    def __init__(self, *, default: bool = False, **data: Any) -> None:
        super().__init__(default=default, **data)

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

    kind: Literal["choice"] = Field(default="choice", alias="$variable")
    values: tuple[JSON, ...]
    default: JSON = None
    steps: bool = False

    def __init__(
        self, *given: Any, values: Sequence[Any] = (), default: Any = None, steps: bool = False, **data: Any
    ) -> None:
        options = tuple(plain(item, "a value of Choice") for item in (*given, *values))
        super().__init__(values=options, default=default, steps=steps, **data)
        if len(options) < 1:
            raise VariableError("Choice needs at least one value")
        if len({canonical(item) for item in options}) < len(options):
            raise VariableError(f"Choice has a value twice: {options!r}")
        _check_default(self, default)

    @property
    def initial(self) -> JSON:
        return self.values[0] if self.default is None else self.default

    def problem(self, value: JSON) -> str | None:
        same = (type(item) is type(value) and item == value for item in self.values)
        return None if any(same) else f"{value!r} is not one of {', '.join(repr(item) for item in self.values)}"

    def sample(self, rng: Random) -> JSON:
        return self.values[rng.randrange(len(self.values))]

    def size(self) -> float:
        return len(self.values)

    def near(self, value: JSON) -> list[JSON]:
        return _others(self.values, value)


class Text(Variable):
    """A text that proposers write, such as instructions. Without a default it starts as the signature's own."""

    searchable: ClassVar[bool] = False
    kind: Literal["text"] = Field(default="text", alias="$variable")
    default: str | None = None
    max_length: int = 8000

    def __init__(self, default: str | None = None, *, max_length: int = 8000, **data: Any) -> None:
        super().__init__(default=default, max_length=max_length, **data)

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
    kind: Literal["demos"] = Field(default="demos", alias="$variable")
    max: int = 4
    default: tuple[dict[str, JSON], ...] = ()

    def __init__(self, max: int = 4, *, default: Sequence[dict[str, Any]] = (), **data: Any) -> None:
        super().__init__(max=max, default=tuple(plain(item, "a demonstration") for item in default), **data)
        if max < 0:
            raise VariableError(f"Demos(max={max}) needs a number of at least 0")
        _check_default(self, list(default))

    @property
    def initial(self) -> list[JSON]:
        return [dict(item) for item in self.default]

    def problem(self, value: JSON) -> str | None:
        if not is_list(value) or not all(is_mapping(item) for item in value):
            return f"needs a list of mappings, got {value!r}"
        return None if len(value) <= self.max else f"{len(value)} demonstrations, at most {self.max} allowed"


class Subset(Variable):
    """Any of several JSON values together, at least `min` and at most `max`; it starts with all of them (or `max`)."""

    kind: Literal["subset"] = Field(default="subset", alias="$variable")
    of: tuple[JSON, ...]
    min: int = 0
    max: int | None = None
    default: tuple[JSON, ...] | None = None

    def __init__(
        self,
        of: Sequence[Any],
        *,
        min: int = 0,
        max: int | None = None,
        default: Sequence[Any] | None = None,
        **data: Any,
    ) -> None:
        values = tuple(plain(item, "a value of Subset") for item in of)
        chosen = None if default is None else tuple(default)
        super().__init__(of=values, min=min, max=max, default=chosen, **data)
        most = len(values) if max is None else max
        if not 0 <= min <= most <= len(values):
            raise VariableError(f"Subset of {len(values)} values cannot hold between {min} and {most}")
        _check_default(self, None if chosen is None else list(chosen))

    @property
    def initial(self) -> list[JSON]:
        return list(self.of if self.default is None else self.default)[: self.max]

    def problem(self, value: JSON) -> str | None:
        if not is_list(value) or any(item not in self.of for item in value):
            return f"needs some of {', '.join(repr(item) for item in self.of)}, got {value!r}"
        most = len(self.of) if self.max is None else self.max
        if len({canonical(item) for item in value}) < len(value):
            return f"has a value twice: {value!r}"
        return (
            None
            if self.min <= len(value) <= most
            else f"has {len(value)} values, between {self.min} and {most} allowed"
        )

    def sample(self, rng: Random) -> list[JSON]:
        while True:
            drawn = [item for item in self.of if rng.random() < 0.5]
            if self.problem(drawn) is None:
                return drawn
            count = rng.randint(self.min, len(self.of) if self.max is None else self.max)
            kept = sorted(rng.sample(range(len(self.of)), count))
            return [self.of[index] for index in kept]

    def size(self) -> float:
        most = len(self.of) if self.max is None else self.max
        return sum(math.comb(len(self.of), count) for count in range(self.min, most + 1))

    def near(self, value: JSON) -> list[JSON]:
        flipped = [[item for item in self.of if (item in value) != (item == pivot)] for pivot in self.of]
        return [item for item in flipped if self.problem(item) is None]


def _check_range(variable: Float | Integer, low: float, high: float, log: bool, step: float | None) -> None:
    name = type(variable).__name__
    if not low < high:
        raise VariableError(f"{name}({low}, {high}): low must be below high")
    if log and low <= 0:
        raise VariableError(f"{name}({low}, {high}, log=True): a logarithmic range starts above 0")
    if step is not None and step <= 0:
        raise VariableError(f"{name}({low}, {high}, step={step}): step must be above 0")
    _check_default(variable, variable.default)


def _check_default(variable: Variable, default: JSON) -> None:
    if default is not None and (fault := variable.problem(default)):
        raise VariableError(f"{type(variable).__name__}: the default {fault}")


def _others(values: Sequence[JSON], value: JSON) -> list[JSON]:
    """Each of `values` once, without `value`."""
    found: dict[str, JSON] = {canonical(item): item for item in values}
    found.pop(canonical(value), None)
    return list(found.values())


def _tag(value: Any) -> str:
    if isinstance(value, Variable):
        return str(getattr(value, "kind", ""))
    return str(value.get("$variable")) if is_mapping(value) else ""


AnyVariable = Annotated[
    Annotated[Float, Tag("float")] | Annotated[Integer, Tag("integer")] | Annotated[Boolean, Tag("boolean")]
    | Annotated[Choice, Tag("choice")] | Annotated[Text, Tag("text")] | Annotated[Demos, Tag("demos")]
    | Annotated[Subset, Tag("subset")],
    Discriminator(_tag),
]  # fmt: skip
VARIABLE_ADAPTER: TypeAdapter[Variable] = TypeAdapter(AnyVariable)
