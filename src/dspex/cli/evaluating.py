"""`dspex eval`: measure a program on data, show its worst answers, and fail where a gate says so."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from heapq import nsmallest
from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.blocking import evaluate as evaluate_program
from dspex.cli.data import examples
from dspex.cli.description import value
from dspex.cli.exits import GATE, PROVIDER
from dspex.cli.metrics import metric_for
from dspex.cli.opening import opened
from dspex.cli.options import Concurrency, Data, Json, Judge, JudgeModel, JudgeTokens, Metric, Model, Program
from dspex.cli.output import emit, note, paint, say, shortened, width
from dspex.cli.project import Project
from dspex.errors import ConfigurationError, DspexError
from dspex.evaluation.assessment import Assessment
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.evaluator import EvaluationOptions
from dspex.evaluation.judge import JUDGE_TOKENS
from dspex.evaluation.result import Evaluation
from dspex.evaluation.rows import read_rows
from dspex.kernel.ports import JSON
from dspex.kernel.signature import Example

WORST = 5


def evaluate(  # noqa: PLR0913 - the options of the command
    program: Program = None,
    data: Data = None,
    metric: Metric = [],  # noqa: B006 - typer copies it
    judge: Judge = [],  # noqa: B006
    judge_model: JudgeModel = None,
    judge_tokens: JudgeTokens = JUDGE_TOKENS,
    model: Model = None,
    min_score: Annotated[
        float | None,
        typer.Option("--min-score", min=0, max=1, help="Exit with 1 where the score is lower.", show_default=False),
    ] = None,
    rows: Annotated[
        Path | None, typer.Option("--rows", metavar="FILE", help="Write a row for each example.", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Carry on with the file of --rows: pay for nothing in it again.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first so many examples.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Draws of each example.")] = 1,
    concurrency: Concurrency = None,
    traces: Annotated[bool, typer.Option("--traces", help="Keep messages and raw answers in the rows.")] = False,
    json: Json = False,
) -> None:
    """Measure a program on data: score with interval, failures apart from zeros, cost, worst answers."""
    project = Project.here({"model": model, "concurrency": concurrency})
    found = project.program(program)
    scorer = metric_for(project, metric, judge, judge_model, judge_tokens)
    rows_of_data = examples(project.data_path(data), found)
    if limit is not None:
        rows_of_data = rows_of_data[:limit]
    _check_rows(rows, resume)
    with opened(project.resolved) as ready, keeping(rows) as kept:
        options = EvaluationOptions(
            concurrency=concurrency or EvaluationOptions().concurrency,
            samples=samples,
            sink=None if resume else kept.path,
            resume=kept.path if resume else None,
            traces=traces,
        )
        result = evaluate_program(found, rows_of_data, scorer, ready, options)
        passed = None if min_score is None else gate(result, min_score)
        if json:
            verdict = None if min_score is None else {"min_score": min_score, "passed": passed}
            emit({**facts(result, rows_of_data, rows), "gate": verdict})
        else:
            show(result, rows_of_data)
        if result.failures:
            kept.tell(f"{sum(result.failures.values()):,} of {result.n:,} examples could not be scored")
    _leave(result, min_score, passed)


def gate(result: Evaluation, least: float) -> bool | None:
    """Whether the score is at least `least`; None where that hangs on the examples that could not be scored."""
    total = (result.score or 0.0) * result.scored
    unscored = result.n - result.scored
    if not unscored:
        return result.score is not None and result.score >= least
    if total / result.n >= least:
        return True
    return False if (total + unscored) / result.n < least else None


def _leave(result: Evaluation, least: float | None, passed: bool | None) -> None:
    """Raises typer.Exit with the code that the result asks for."""
    if result.score is None:
        note("nothing was scored", colour="red")
        raise typer.Exit(PROVIDER)
    if least is None or passed:
        return
    if passed is None:
        note(f"the gate is open: whether the score is {least:g} hangs on what could not be scored", colour="red")
        raise typer.Exit(PROVIDER)
    note(f"gate failed: the score is {result.score:.3f}, and --min-score is {least:g}", colour="red")
    raise typer.Exit(GATE)


class Rows:
    """The file that rows go to: the user's, or one of our own, which is kept only where there is a reason to."""

    def __init__(self, given: Path | None) -> None:
        self.path = given or Path(tempfile.mkdtemp(prefix="dspex-")) / "rows.jsonl"
        self._ours = given is None

    def tell(self, reason: str) -> None:
        """Keep the rows, and say where they are and how to carry on."""
        self._ours = False
        note(f"{reason}. The rows are in {self.path}; carry on with the same command and --rows {self.path} --resume")

    def close(self) -> None:
        if self._ours:
            shutil.rmtree(self.path.parent, ignore_errors=True)


@contextmanager
def keeping(rows: Path | None) -> Generator[Rows]:
    """Where rows go. Work that is broken off leaves them there and says so."""
    kept = Rows(rows)
    try:
        yield kept
    except (KeyboardInterrupt, DspexError) as error:
        partial = getattr(error, "partial", None)
        if isinstance(partial, Evaluation) and partial.scored:
            note(partial.summary())
        if kept.path.is_file() and any(row.scored for row in read_rows(kept.path)):
            kept.tell("Stopped")
        raise
    finally:
        kept.close()


def _check_rows(rows: Path | None, resume: bool) -> None:
    if resume and rows is None:
        raise ConfigurationError("--resume carries on with a file of rows: name it with --rows FILE")
    if rows is not None and rows.exists() and not resume:
        raise ConfigurationError(
            f"--rows {rows}: this file is there already, and rows that were paid for are not overwritten; give "
            "--resume to carry on with it, or name another file"
        )


def facts(result: Evaluation, data: Dataset, rows: Path | None) -> dict[str, JSON]:
    """The evaluation as JSON."""
    told = {**result.to_dict(), "rows": None if rows is None else str(rows)}
    told["worst"] = [_worst_facts(row, examples_by_id(data)) for row in worst(result)]
    return told


def show(result: Evaluation, data: Dataset) -> None:
    """The evaluation for people."""
    say(result.summary())
    found = worst(result)
    if found:
        say(f"worst answers ({len(found)} of {result.n:,}):")
    known = examples_by_id(data)
    for row in found:
        say(_worst(row, known))


def worst(result: Evaluation, count: int = WORST) -> list[Assessment]:
    """Answers with the lowest scores, below full marks; those without a score last."""
    lost = (row for row in result.rows() if row.score is None or row.score < 1)
    return nsmallest(count, lost, key=lambda row: (row.score is None, row.score or 0.0, row.example, row.sample))


def examples_by_id(data: Iterable[Example]) -> Mapping[str, Mapping[str, JSON]]:
    """The rows of the data by id."""
    return {item.id: item.values for item in data}


def _worst(row: Assessment, known: Mapping[str, Mapping[str, JSON]]) -> str:
    example = known.get(row.example, {})
    outputs = row.outputs or {}
    inputs = " | ".join(value(item, 200) for name, item in example.items() if name not in outputs)
    score = "failed" if row.score is None else f"{row.score:.2f}"
    said = row.error or row.feedback or _differences(outputs, example)
    return f"  {paint(score, 'red')}  {shortened(inputs, width() - 10)}\n        {shortened(said, width() - 10)}"


def _differences(outputs: Mapping[str, JSON], example: Mapping[str, JSON]) -> str:
    parts = [
        f"{name}: {value(item)}"
        + (f", expected {value(example[name])}" if name in example and example[name] != item else "")
        for name, item in outputs.items()
    ]
    return "; ".join(parts)


def _worst_facts(row: Assessment, known: Mapping[str, Mapping[str, Any]]) -> dict[str, JSON]:
    return {
        "example": row.example,
        "sample": row.sample,
        "values": dict(known.get(row.example, {})),
        "outputs": None if row.outputs is None else dict(row.outputs),
        "score": row.score,
        "feedback": row.feedback,
        "error": row.error,
        "error_kind": row.error_kind,
    }
