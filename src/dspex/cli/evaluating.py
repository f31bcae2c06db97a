"""`dspex eval`: measure a program on data, show its worst answers, and fail where a gate says so."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from heapq import nsmallest
from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.blocking import evaluate as evaluate_program
from dspex.cli.description import value
from dspex.cli.exits import GATE
from dspex.cli.metrics import metric_for
from dspex.cli.opening import opened
from dspex.cli.options import Concurrency, Data, Json, Judge, JudgeModel, Metric, Model, Program
from dspex.cli.output import emit, note, paint, say, shortened, width
from dspex.cli.project import Project
from dspex.errors import ConfigurationError, DspexError
from dspex.evaluation.assessment import Assessment
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.evaluator import EvaluationOptions
from dspex.evaluation.result import Evaluation
from dspex.kernel.ports import JSON

WORST = 5


def evaluate(  # noqa: PLR0913 - the options of the command
    program: Program = None,
    data: Data = None,
    metric: Metric = [],  # noqa: B006 - typer copies it
    judge: Judge = [],  # noqa: B006
    judge_model: JudgeModel = None,
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
    project = Project.here({"model": model})
    found = project.program(program)
    scorer = metric_for(project, metric, judge, judge_model)
    examples = Dataset.load(project.data_path(data))
    if limit is not None:
        examples = examples[:limit]
    if resume and rows is None:
        raise ConfigurationError("--resume carries on with a file of rows: name it with --rows FILE")
    with opened(project.resolved) as ready, keeping(rows) as path:
        options = EvaluationOptions(
            concurrency=concurrency or EvaluationOptions().concurrency,
            samples=samples,
            sink=None if resume else path,
            resume=path if resume else None,
            traces=traces,
        )
        result = evaluate_program(found, examples, scorer, ready, options)
        passed = None if min_score is None else result.score is not None and result.score >= min_score
        if json:
            emit(facts(result, examples, rows, (min_score, passed)))
        else:
            show(result, examples)
    if passed is False:
        score = "none" if result.score is None else f"{result.score:.3f}"
        note(f"gate failed: the score is {score}, and --min-score is {min_score:g}", colour="red")
        raise typer.Exit(GATE)


@contextmanager
def keeping(rows: Path | None) -> Iterator[Path]:
    """Where rows go: to `rows`, or to a file of their own that is kept only where the work is broken off."""
    path = rows or Path(tempfile.mkdtemp(prefix="dspex-")) / "rows.jsonl"
    try:
        yield path
    except (KeyboardInterrupt, DspexError) as error:
        partial = getattr(error, "partial", None)
        if isinstance(partial, Evaluation) and partial.n:
            note(f"Stopped. So far:\n{partial.summary()}")
        if path.is_file() and sum(1 for _ in path.open("rb")) > 1:
            note(f"The rows so far are in {path}. Carry on with the same command and: --rows {path} --resume")
        elif rows is None:
            shutil.rmtree(path.parent, ignore_errors=True)
        raise
    if rows is None:
        shutil.rmtree(path.parent, ignore_errors=True)


def facts(
    result: Evaluation, data: Dataset, rows: Path | None, gate: tuple[float | None, bool | None]
) -> dict[str, JSON]:
    """The evaluation as JSON."""
    told = {**result.to_dict(), "rows": None if rows is None else str(rows)}
    told["worst"] = [_worst_facts(row, examples_by_id(data)) for row in worst(result)]
    if gate[0] is not None:
        told["gate"] = {"min_score": gate[0], "passed": gate[1]}
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


def examples_by_id(data: Dataset) -> Mapping[str, Mapping[str, JSON]]:
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
