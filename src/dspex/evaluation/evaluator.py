"""`evaluate`: a program over a data set, many examples at a time on one event loop, every row kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, TypedDict, Unpack

from dspex.clients.outage import OutageWatch
from dspex.errors import ConfigurationError, DspexError, OutageError, UnknownNameError
from dspex.evaluation.assessment import ERROR_KINDS, Assessment, assess
from dspex.evaluation.checking import check_all, check_first
from dspex.evaluation.dataset import Dataset, examples_of
from dspex.evaluation.progress import OnProgress, Reporter, display_for
from dspex.evaluation.result import Evaluation, summed
from dspex.evaluation.rows import FORMAT, RowFile, holds_rows, keep_scored, read_header
from dspex.evaluation.scoring import ReadyMetric, as_metric
from dspex.evaluation.tally import Tally, key_of
from dspex.kernel.execution import prepare
from dspex.kernel.ports import JSON, Metric, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Example

_AT_ONCE = frozenset({"authentication", "budget", "outage"})
"""Kinds of failure after which the next call would fare no better."""
_HOPELESS = frozenset({"metric", "configuration", "request", "data", "input"})
"""Kinds that stop an evaluation whose first examples all fail so."""
_PATIENCE = 5
_CLASSES: Mapping[str, type[Exception]] = {kind: error for error, kind in ERROR_KINDS.items()}


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """How to evaluate. Each is also a keyword of `evaluate`."""

    concurrency: int = 32
    """Examples at a time."""
    samples: int = 1
    """Draws of each example, with sample indexes from 0."""
    sink: str | Path | None = None
    """File for the rows (JSON lines); without one they are in a temporary file that the result reads from."""
    resume: str | Path | None = None
    """File of rows to carry on with: what is scored there is not paid again, what failed is tried again."""
    progress: bool | OnProgress | None = None
    """A bar on stderr (True; None: where it is a terminal), or a function that is called with a `Progress`."""
    traces: bool = False
    """Whether rows hold the history: messages, raw completions, rungs."""
    level: float = 0.95
    """Of the interval."""
    watch: OutageWatch | None = None
    """When failures make an outage; None: the usual measure."""

    def __post_init__(self) -> None:
        for name in ("concurrency", "samples"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name} is {value!r}; give a whole number of 1 or more")
        if not 0 < self.level < 1:
            raise ConfigurationError(f"level is {self.level!r}; give a share between 0 and 1, as in 0.95")
        if self.sink is not None and self.resume is not None and Path(self.sink) != Path(self.resume):
            raise ConfigurationError("resume= goes on writing to its own file; leave sink= out")


class Keywords(TypedDict, total=False):
    """The fields of EvaluationOptions as keywords."""

    concurrency: int
    samples: int
    sink: str | Path | None
    resume: str | Path | None
    progress: bool | OnProgress | None
    traces: bool
    level: float
    watch: OutageWatch | None


async def evaluate(
    program: Program,
    data: Iterable[Mapping[str, Any] | Example],
    metric: Metric | ReadyMetric,
    runtime: Runtime,
    options: EvaluationOptions | None = None,
    **keywords: Unpack[Keywords],
) -> Evaluation:
    """Score `program` on every example of `data`, a `Dataset` or any iterable of mappings, which is read lazily.

    Program, data and metric are checked against one another before the first call; ConfigurationErrors say what does
    not fit. Failures of infrastructure, metric or data leave their example unscored and are counted apart. An outage,
    a used up budget, a rejected key, or a fault that the first examples all share stops the work: the error then has
    the Evaluation so far as `partial`. Cancelled or killed, the rows in `sink` stay, for `resume`.
    """
    if unknown := sorted(keywords.keys() - Keywords.__annotations__.keys()):
        raise UnknownNameError("option", unknown[0], Keywords.__annotations__, "evaluate")
    options = replace(options or EvaluationOptions(), **keywords)
    scorer = as_metric(metric, runtime)
    prepared = prepare(program, runtime)
    if options.resume is not None and not isinstance(data, Dataset):
        data = Dataset.of(data)  # rows in the file that are not in the data must be noticed before anything is paid
    notes = list(data.notes) if isinstance(data, Dataset) else []
    examples = examples_of(data, notes)
    first = next(examples, None)
    await check_first(prepared, first, scorer, f"{data.name}, row 1" if isinstance(data, Dataset) else "row 1")
    if isinstance(data, Dataset):
        check_all(prepared, data, scorer)
    header = _header(program, data, scorer, options)
    return await _Work(program, scorer, runtime, options, header, notes).over(_chained(first, examples), data)


class _Work:
    """One evaluation under way."""

    def __init__(
        self,
        program: Program,
        metric: ReadyMetric,
        runtime: Runtime,
        options: EvaluationOptions,
        header: dict[str, JSON],
        notes: list[str],
    ) -> None:
        self.program, self.metric, self.runtime, self.options = program, metric, runtime, options
        self.header, self.notes = header, notes
        self.tally = Tally()
        self.done: set[int] = set()
        self.watch = options.watch or OutageWatch()
        self.stop: DspexError | None = None
        self.began = monotonic()

    async def over(self, examples: Iterator[Example], data: Iterable[Any]) -> Evaluation:
        """Score them all, or as many as can be."""
        self.rows = self._opened(data)
        total = len(data) * self.options.samples if isinstance(data, Dataset) else None
        self.reporter = Reporter(display_for(self.options.progress, self.program.name), total)
        try:
            await self._performed(self._pairs(examples))
            self._tell(last=True)
        except DspexError as error:
            self.rows.flush()
            error.partial = self._result()
            raise
        finally:
            self.reporter.close()
            self.rows.flush()
        return self._result()

    async def _performed(self, pairs: Iterator[tuple[Example, int]]) -> None:
        workers = [asyncio.create_task(self._worker(pairs)) for _ in range(self.options.concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self.stop is not None:
            raise self.stop

    async def _worker(self, pairs: Iterator[tuple[Example, int]]) -> None:
        """Takes the next pair until there is none. What is in flight when the work stops is waited for and kept."""
        try:
            for example, sample in pairs:
                self._book(await assess(self.program, example, self.metric, self.runtime, sample))
                if self.stop is not None:
                    break
                if not self.tally.seen & 15:
                    await asyncio.sleep(0)  # a model that answers at once must not keep the loop to itself
        except DspexError as error:
            self.stop = self.stop or error
        if isinstance(self.stop, OutageError):
            raise self.stop  # nothing answers: waiting for what is in flight would be waiting for nothing

    def _book(self, assessment: Assessment) -> None:
        self.tally.add(assessment)
        self.rows.append(assessment, traces=self.options.traces)
        if assessment.score is not None:
            self.watch.ok()
        elif self.stop is None:
            self.stop = self._reason_to_stop(assessment)
        if self.reporter.active:
            self._tell()

    def _reason_to_stop(self, assessment: Assessment) -> DspexError | None:
        kind = assessment.error_kind or ""
        error = _CLASSES.get(kind, DspexError)(assessment.error)
        if not isinstance(error, DspexError):
            return None
        if kind in _AT_ONCE:
            return error
        if kind in _HOPELESS:
            same = self.tally.failures[kind] == self.tally.seen == _PATIENCE
            return type(error)(f"{error} (and so for each of the first {_PATIENCE} examples)") if same else None
        try:
            self.watch.failed(error)
        except OutageError as outage:
            return outage
        return None

    def _pairs(self, examples: Iterator[Example]) -> Iterator[tuple[Example, int]]:
        samples, done = range(self.options.samples), self.done
        for example in examples:
            for sample in samples:
                if not done or _pair_key(example.id, sample) not in done:
                    yield example, sample

    def _opened(self, data: Iterable[Any]) -> RowFile:
        resume, sink = self.options.resume, self.options.sink
        if resume is None:
            return RowFile(None if sink is None else Path(sink), self.header)
        path = Path(resume)
        if not holds_rows(path):
            path.unlink(missing_ok=True)
            return RowFile(path, self.header)
        _check_same(read_header(path), self.header, path)
        known = {_pair_key(item.id, sample) for item in data for sample in range(self.options.samples)}
        for row in keep_scored(path):
            key = _pair_key(row.example, row.sample)
            if key not in known:
                raise ConfigurationError(
                    f"{path} holds a row of example {row.example}, sample {row.sample}, which this data does not have; "
                    "resume with the data it was started with, or with that and more"
                )
            self.done.add(key)
            self.tally.add(row)
        self.notes.append(f"{len(self.done):,} rows were scored before and not paid for again")
        return RowFile(path, self.header, fresh=False)

    def _tell(self, *, last: bool = False) -> None:
        scored = len(self.tally.scores)
        score = self.tally.total / scored if scored else None
        self.reporter.tell(self.tally.seen, score, self.tally.failures.total(), last=last)

    def _result(self) -> Evaluation:
        seconds = monotonic() - self.began
        return summed(self.header, self.tally, seconds, self.options.level, self.rows, tuple(self.notes))


def _header(program: Program, data: Iterable[Any], metric: ReadyMetric, options: EvaluationOptions) -> dict[str, JSON]:
    return {
        "dspex_evaluation": FORMAT,
        "program": {"name": program.name, "hash": program.hash},
        "metric": metric.name,
        "data": {"name": getattr(data, "name", None) or type(data).__name__},
        "samples": options.samples,
    }


def _check_same(found: Mapping[str, JSON], wanted: Mapping[str, JSON], path: Path) -> None:
    """Raises ConfigurationError where rows are of another program or metric, so that they are not mixed."""
    if found["program"]["hash"] != wanted["program"]["hash"]:
        raise ConfigurationError(
            f"{path} has rows of program {found['program']['name']!r} ({found['program']['hash'][:12]}), not of "
            f"{wanted['program']['name']!r} as it is now ({wanted['program']['hash'][:12]}); write to another file"
        )
    if found["metric"] != wanted["metric"]:
        raise ConfigurationError(
            f"{path} has scores by {found['metric']}, not by {wanted['metric']}; write to another file"
        )


def _pair_key(example: str, sample: int) -> int:
    return key_of(f"{sample}:{example}")


def _chained(first: Example | None, rest: Iterator[Example]) -> Iterator[Example]:
    if first is not None:
        yield first
        yield from rest
