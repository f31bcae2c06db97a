"""How a metric of any kind is made ready, called where it belongs, and its verdict checked."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from dspex.errors import BudgetExceededError, DataError, DspexError, LMError, MetricError, OutageError
from dspex.kernel.containing import contained
from dspex.kernel.ports import Metric, Runtime, Score
from dspex.kernel.program import Program
from dspex.kernel.quick import quick
from dspex.kernel.signature import Example
from dspex.kernel.state import State

_NOT_THE_METRIC = (LMError, BudgetExceededError, OutageError, DataError, MetricError, MemoryError)
"""What may come out of a metric as it is: a judge's model that failed, a row without the expected field, no memory."""

Calling = Literal["inline", "thread", "async"]
_score = quick(Score)


@dataclass(frozen=True, slots=True)
class ReadyMetric:
    """A metric made ready by `as_metric`: named, bound to a runtime where it needs one, called where it belongs.

    Being called it returns a checked `Score`. It raises MetricError for a metric that raises or returns nonsense, and
    lets through what says nothing about the metric: a model call of a judge that failed, a row without the expected
    field.
    """

    name: str
    source: Metric
    """What the user wrote; for a judge, the one bound to the runtime."""
    calling: Calling
    bound: bool

    async def __call__(self, example: Example, state: State) -> Score:
        try:
            if self.calling == "inline":
                verdict: Any = self.source(example, state)
            elif self.calling == "thread":
                loop = asyncio.get_running_loop()
                verdict = await loop.run_in_executor(None, partial(contained, partial(self.source, example, state)))
            else:
                verdict = self.source(example, state)
            if not isinstance(verdict, Score | float) and inspect.isawaitable(verdict):
                verdict = await verdict
        except _NOT_THE_METRIC:
            raise
        except Exception as error:
            if isinstance(error, DspexError) and error.fatal:
                raise
            raise MetricError(
                f"metric {self.name!r} raised {type(error).__name__}: {error}{_line_of(error)} on example {example.id}"
            ) from error
        return checked_score(verdict, self.name)

    def check(self, program: Program, example: Example) -> None:
        """Raises ConfigurationError where the metric cannot fit this program and this data."""
        check: Callable[[Program, Example], None] | None = getattr(self.source, "check", None)
        if check is not None:
            check(program, example)

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields every row must have for this metric, as far as it says."""
        return tuple(getattr(self.source, "columns", ()))

    @property
    def programs(self) -> tuple[Program, ...]:
        """What judges in it run, as far as it says."""
        return tuple(getattr(self.source, "programs", ()))


def as_metric(metric: object, runtime: Runtime | None = None) -> ReadyMetric:
    """`metric` made ready to score. Raises MetricError for what cannot be a metric, before anything is paid for.

    A metric is a plain or async function of (example, state), or an object called so. Plain ones run on a thread, so
    that slow code does not hold up the loop; an attribute `inline = True` says that it is quick and safe to run in
    place. One with a method `bind(runtime)` (a judge) gets the runtime and is replaced by what that returns.
    """
    if isinstance(metric, ReadyMetric):
        return metric if metric.bound or runtime is None else as_metric(metric.source, runtime)
    if isinstance(metric, type):
        raise MetricError(f"metric {metric.__name__} is a class; pass one of it, as in {metric.__name__}(...)")
    if not callable(metric):
        raise MetricError(
            f"a metric is a function of (example, state) that returns a score in 0..1, not {_shown(metric)}; "
            "write one, or use ExactMatch('field')"
        )
    bind: Callable[[Runtime], Metric] | None = getattr(metric, "bind", None)
    if bind is not None and runtime is not None:
        bound = bind(runtime)
        return ReadyMetric(name_of(metric), bound, _calling(bound), True)
    _check_parameters(metric)
    return ReadyMetric(name_of(metric), cast("Metric", metric), _calling(metric), bind is None)


def name_of(metric: object) -> str:
    """What to call a metric: its `name`, or the function's."""
    name = getattr(metric, "name", None) or getattr(metric, "__name__", None)
    return str(name) if name else type(metric).__name__


def checked_score(verdict: object, name: str) -> Score:
    """A metric's verdict as a `Score`. Raises MetricError naming the metric and what it returned."""
    value = verdict.value if isinstance(verdict, Score) else verdict
    if not isinstance(value, bool | int | float):
        value = _number_in(value)
    if value is None or math.isnan(value) or not 0.0 <= value <= 1.0:
        raise MetricError(
            f"metric {name!r} returned {_shown(verdict)}; return a number in 0..1, a bool, or Score(value, feedback)"
        )
    if isinstance(verdict, Score):
        return (
            verdict if type(value) is float else Score(float(value), verdict.feedback, verdict.details, verdict.usage)
        )
    return _score(float(value))


def _number_in(value: object) -> float | None:
    """The number in a scalar of another library (numpy, decimal); None where it is none."""
    if isinstance(value, str | bytes) or value is None or not hasattr(value, "__float__"):
        return None
    try:
        return float(cast("Any", value))
    except (TypeError, ValueError, OverflowError):
        return None


def _calling(metric: object) -> Calling:
    if getattr(metric, "inline", False):
        return "inline"
    method: object = getattr(metric, "__call__", None)  # noqa: B004 - asks how it is called, not whether it can be
    return "async" if inspect.iscoroutinefunction(metric) or inspect.iscoroutinefunction(method) else "thread"


def _check_parameters(metric: Callable[..., object]) -> None:
    try:
        signature = inspect.signature(metric)
    except (TypeError, ValueError):
        return  # a built-in that does not tell
    try:
        signature.bind(None, None)
    except TypeError:
        raise MetricError(
            f"metric {name_of(metric)!r} takes {signature}; a metric takes two arguments, (example, state)"
        ) from None


def _line_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"
