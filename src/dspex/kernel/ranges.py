"""Variables that are numbers in a range."""

from __future__ import annotations

import math
from random import Random
from typing import ClassVar

from dspex.errors import VariableError
from dspex.kernel.ports import JSON
from dspex.kernel.variable import Variable, others, require_default

_SLACK = 1e-6  # of a step: how far a number may be from its place on the grid


class Float(Variable):
    """A number in [low, high]; `log` draws and steps on a logarithmic scale, `step` makes a grid from low."""

    kind: ClassVar[str] = "float"
    low: float
    high: float
    log: bool = False
    step: float | None = None
    default: float | None = None

    def __init__(
        self, low: float, high: float, *, log: bool = False, step: float | None = None, default: float | None = None
    ) -> None:
        super().__init__(low=low, high=high, log=log, step=step, default=default)
        _require_range(self, log, step)

    @property
    def initial(self) -> float:
        value = self.low if self.default is None else self.default
        return value if self.step is None else self.nearest(value)

    def problem(self, value: JSON) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return f"needs a number, got {value!r}"
        if not self.low <= value <= self.high:
            return f"{value} is outside {self.low}..{self.high}"
        if self.step is not None and abs((steps := (value - self.low) / self.step) - round(steps)) > _SLACK:
            return f"{value} is not {self.low} plus a multiple of {self.step}"
        return None

    def normal(self, value: JSON) -> JSON:
        """A place of the grid is one value, however its last digits came about."""
        if self.step is not None and self.problem(value) is None:
            return self.nearest(value)
        return float(value) if type(value) is int else value

    def sample(self, rng: Random) -> float:
        if self.log:
            return self.nearest(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        if self.step is not None:
            return self.nearest(self.low + self.step * rng.randrange(int(self.size())))
        return self.nearest(rng.uniform(self.low, self.high))

    def size(self) -> float:
        return math.inf if self.step is None else math.floor((self.high - self.low) / self.step + _SLACK) + 1

    def near(self, value: JSON) -> list[JSON]:
        if self.log and self.step is None:
            factor = (self.high / self.low) ** 0.1
            moved = [value / factor, value * factor]
        else:
            stride = self.step or (self.high - self.low) / 10
            moved = [value - stride, value + stride]
        return others([self.nearest(item) for item in moved], self.nearest(value))

    def nearest(self, value: float) -> float:
        """The number of the range that is nearest to `value`: on the grid, without the last digits, which are noise."""
        if self.step is not None:
            last = int(self.size()) - 1
            value = self.low + min(max(round((value - self.low) / self.step), 0), last) * self.step
        short = float(f"{value:.10g}" if self.step is None else f"{value:.15g}")
        return min(max(short, self.low), self.high)


class Integer(Variable):
    """A whole number in [low, high], in steps of `step` from low; `log` draws on a logarithmic scale."""

    kind: ClassVar[str] = "integer"
    low: int
    high: int
    log: bool = False
    step: int = 1
    default: int | None = None

    def __init__(self, low: int, high: int, *, log: bool = False, step: int = 1, default: int | None = None) -> None:
        super().__init__(low=low, high=high, log=log, step=step, default=default)
        _require_range(self, log, step)

    @property
    def initial(self) -> int:
        return self.low if self.default is None else self.default

    def problem(self, value: JSON) -> str | None:
        if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
            return f"needs a whole number, got {value!r}"
        if not self.low <= value <= self.high:
            return f"{value} is outside {self.low}..{self.high}"
        on_grid = (value - self.low) % self.step == 0
        return None if on_grid else f"{value} is not {self.low} plus a multiple of {self.step}"

    def normal(self, value: JSON) -> JSON:
        return int(value) if type(value) is float and value.is_integer() else value

    def sample(self, rng: Random) -> int:
        if self.log:
            return self.nearest(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return self.low + self.step * rng.randint(0, (self.high - self.low) // self.step)

    def size(self) -> float:
        return (self.high - self.low) // self.step + 1

    def near(self, value: JSON) -> list[JSON]:
        moved = [min(value // 2, value - self.step), max(value * 2, value + self.step)] if self.log else []
        moved = moved or [value - self.step, value + self.step]
        return others([self.nearest(item) for item in moved], value)

    def nearest(self, value: float) -> int:
        """The whole number of the range that is nearest to `value`."""
        last = (self.high - self.low) // self.step
        return self.low + self.step * min(max(round((value - self.low) / self.step), 0), last)


def _require_range(variable: Float | Integer, log: bool, step: float | None) -> None:
    name = f"{type(variable).__name__}({variable.low}, {variable.high}"
    if not variable.low < variable.high:
        raise VariableError(f"{name}): low must be below high")
    if log and variable.low <= 0:
        raise VariableError(f"{name}, log=True): a logarithmic range starts above 0")
    if step is not None and step <= 0:
        raise VariableError(f"{name}, step={step}): step must be above 0")
    require_default(variable, variable.default)
