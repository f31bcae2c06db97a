"""Metrics as data and back, so that a run's metric is the same in every process."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, cast

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.evaluation.judge import Judge
from dspex.evaluation.metrics import Contains, ExactMatch, NormalizedMatch, NumericTolerance, TokenF1, Weighted
from dspex.evaluation.scoring import ReadyMetric
from dspex.hosting.references import OnlyInMemoryError, refer, resolve
from dspex.hosting.specification import MetricSpec
from dspex.kernel.canonical import plain

BUILTIN: dict[str, type[Any]] = {
    item.__name__: item for item in (Contains, ExactMatch, Judge, NormalizedMatch, NumericTolerance, TokenF1)
}


def metric_spec(metric: Any) -> MetricSpec:
    """A metric as data. Raises OnlyInMemoryError for one that no other process could find."""
    if isinstance(metric, ReadyMetric):
        return metric_spec(metric.source)
    if isinstance(metric, Weighted):
        return MetricSpec(kind="Weighted", parts=tuple((metric_spec(part), weight) for part, weight in metric.parts))
    if type(metric) in BUILTIN.values() and is_dataclass(metric):
        values = {
            item.name: getattr(metric, item.name) for item in fields(metric) if item.init and item.name != "runtime"
        }
        return MetricSpec(kind=type(metric).__name__, arguments=plain(values, "metric"))
    if inspect.isfunction(metric):
        return MetricSpec(kind="function", function=refer(metric, "metric"))
    raise OnlyInMemoryError(
        f"metric of type {type(metric).__name__} lives only in this process; use a function at the top level of a "
        "module or script, or one of the metrics of DSPEx, or run the optimization here"
    )


def metric_of(spec: MetricSpec) -> Any:
    """The metric of a spec. Raises ConfigurationError saying what is gone."""
    if spec.kind == "function":
        if spec.function is None:
            raise ConfigurationError("the run's metric names no function")
        return resolve(spec.function, "metric")
    if spec.kind == "Weighted":
        return Weighted(*((metric_of(part), weight) for part, weight in spec.parts))
    if spec.kind not in BUILTIN:
        raise UnknownNameError("metric", spec.kind, [*BUILTIN, "Weighted", "function"])
    # A run that an earlier version made had no limit on its judge's answers, and goes on as it began.
    before: dict[str, Any] = {"max_tokens": None} if spec.kind == Judge.__name__ else {}
    return cast("Callable[..., Any]", BUILTIN[spec.kind])(**{**before, **spec.arguments})
