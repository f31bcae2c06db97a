"""One answer of a program to one example, run and scored; failures kept apart from wrong answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from dspex.errors import (
    AnswerError,
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    ConnectionFailedError,
    ContextLengthError,
    CutOffError,
    DataError,
    DspexError,
    InputError,
    LMError,
    LMTimeoutError,
    MetricError,
    OutageError,
    ParseError,
    RateLimitError,
    RefusedError,
    RequestError,
    ServerError,
)
from dspex.evaluation.scoring import ReadyMetric, as_metric
from dspex.kernel.execution import execute
from dspex.kernel.ports import JSON, NO_USAGE, Metric, Runtime, Usage
from dspex.kernel.program import Program
from dspex.kernel.quick import quick
from dspex.kernel.signature import Example
from dspex.kernel.state import Record, State, StepError

ERROR_KINDS: Mapping[type[Exception], str] = {
    AuthenticationError: "authentication",
    RequestError: "request",
    RateLimitError: "rate_limit",
    LMTimeoutError: "timeout",
    ConnectionFailedError: "connection",
    ServerError: "server",
    ContextLengthError: "context_length",
    RefusedError: "refused",
    LMError: "model",
    CutOffError: "cut_off",
    ParseError: "parse",
    AnswerError: "answer",
    BudgetExceededError: "budget",
    OutageError: "outage",
    MetricError: "metric",
    DataError: "data",
    InputError: "input",
    ConfigurationError: "configuration",
    MemoryError: "memory",
}
"""What a failure is called in rows and reports. Anything else that a step raised is an `exception`."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What came of one (example, sample): an answer and its score, or why there is none.

    A wrong or unparsable answer has a score (0.0, with `error` and `error_kind` kept where there was one). Where the
    infrastructure, the metric or the data failed, or memory ran out, `score` is None: nothing is known about the
    program.
    """

    example: str
    """Id of the example."""
    sample: int
    score: float | None
    """0..1."""
    feedback: str | None
    outputs: Mapping[str, JSON] | None
    error: str | None
    error_kind: str | None
    """One of ERROR_KINDS, `exception`; or `crash`, `hang` where its process ended without an answer."""
    usage: Usage
    """Of the program and of scoring together."""
    seconds: float
    history: tuple[Record, ...]
    details: Mapping[str, float] = field(default_factory=dict[str, float])
    """Parts of the score, where the metric has parts."""

    @property
    def scored(self) -> bool:
        """Whether this says something about the program."""
        return self.score is not None


_assessment = quick(Assessment)


async def assess(
    program: Program, example: Example, metric: Metric | ReadyMetric, runtime: Runtime, sample: int = 0
) -> Assessment:
    """Run `program` on `example` and score what it gives; `sample` is the index of the draw.

    Raises ConfigurationError for what is wrong before the first call (of program or metric), and an error that is
    `fatal` at any time; any other failure is in the assessment, for the caller to decide by its `error_kind`.
    """
    scorer = as_metric(metric, runtime)
    values = example.values
    inputs = {item.name: values[item.name] for item in program.inputs if item.name in values}
    began = perf_counter()
    try:
        state = await execute(program, inputs, runtime, sample=sample)
    except StepError as error:
        if isinstance(error.cause, DspexError) and error.cause.fatal:
            raise error.cause from error
        score = None if error.infrastructure or isinstance(error.cause, MemoryError) else 0.0
        return _failed(example, sample, began, error, score)
    except InputError as error:  # the row's fault, not the program's answer
        return _failed(example, sample, began, error)
    try:
        verdict = await scorer(example, state)
    except (DspexError, MemoryError) as error:
        if isinstance(error, DspexError) and error.fatal:
            raise
        return _failed(example, sample, began, error, None, state)
    usage = usage_of(state.history)
    if verdict.usage is not NO_USAGE:
        usage = usage + verdict.usage
    seconds = perf_counter() - began
    return _assessment(
        example.id, sample, verdict.value, verdict.feedback, state.values, None, None, usage, seconds, state.history,
        verdict.details,
    )  # fmt: skip


def error_kind(error: BaseException) -> str:
    """What a failure is called, by the nearest class of ERROR_KINDS."""
    cause: object = error
    while isinstance(cause, StepError):
        cause = cause.cause
    return next((ERROR_KINDS[kind] for kind in type(cause).__mro__ if kind in ERROR_KINDS), "exception")


def usage_of(history: tuple[Record, ...]) -> Usage:
    """The sum over a history."""
    return history[0].usage if len(history) == 1 else sum((item.usage for item in history), NO_USAGE)


def _failed(
    example: Example,
    sample: int,
    began: float,
    error: Exception,
    score: float | None = None,
    state: State | None = None,
) -> Assessment:
    if isinstance(error, StepError):
        state = error.state
    history = () if state is None else state.history
    usage, judged = usage_of(history), error.__cause__
    if isinstance(judged, StepError) and not isinstance(error, StepError):
        usage = usage + usage_of(judged.state.history)  # what a judge consumed before it failed
    outputs = state.values if state is not None and state.values else None
    feedback = f"no usable answer: {error}" if score is not None else None
    return Assessment(
        example.id, sample, score, feedback, outputs, str(error) or type(error).__name__, error_kind(error), usage,
        perf_counter() - began, history,
    )  # fmt: skip
