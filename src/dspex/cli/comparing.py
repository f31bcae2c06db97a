"""`dspex compare`: two programs on the same data, or two files of rows, example by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from dspex.blocking import evaluate as evaluate_program
from dspex.cli.data import examples
from dspex.cli.description import value
from dspex.cli.evaluating import examples_by_id
from dspex.cli.metrics import metric_for
from dspex.cli.opening import opened
from dspex.cli.options import Concurrency, Data, Json, Judge, JudgeModel, JudgeTokens, Metric, Model
from dspex.cli.output import emit, paint, say, shortened, spent, width
from dspex.cli.project import Project
from dspex.errors import ConfigurationError
from dspex.evaluation.comparison import Comparison, Moved
from dspex.evaluation.comparison import compare as compare_evaluations
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.evaluator import EvaluationOptions
from dspex.evaluation.judge import JUDGE_TOKENS
from dspex.evaluation.result import Evaluation
from dspex.kernel.ports import JSON, NO_USAGE

SHOWN = 5


def compare(  # noqa: PLR0913 - the options of the command
    first: Annotated[Path, typer.Argument(metavar="FIRST", help="A program file, or rows of `dspex eval --rows`.")],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="The same, to compare with the first.")],
    data: Data = None,
    metric: Metric = [],  # noqa: B006 - typer copies it
    judge: Judge = [],  # noqa: B006
    judge_model: JudgeModel = None,
    judge_tokens: JudgeTokens = JUDGE_TOKENS,
    model: Model = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first so many examples.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Draws of each example.")] = 1,
    concurrency: Concurrency = None,
    json: Json = False,
) -> None:
    """Compare two programs on the same data, or two files of rows: difference with interval, and what moved."""
    kinds = {path.suffix.lower() == ".jsonl" for path in (first, second)}
    if len(kinds) > 1:
        raise ConfigurationError(
            f"{first} and {second}: compare two program files, or two files of rows (.jsonl), not one of each"
        )
    if kinds == {True}:
        known = examples_by_id(Dataset.load(data) if data is not None else ())
        _tell(compare_evaluations(first, second), known, json)
        return
    project = Project.here({"model": model, "concurrency": concurrency})
    programs = [project.program(path) for path in (first, second)]
    if programs[0].hash == programs[1].hash:
        raise ConfigurationError(f"{first} and {second} are the same program: there is nothing to compare")
    scorer = metric_for(project, metric, judge, judge_model, judge_tokens)
    shared = examples(project.data_path(data), programs[0])
    shared = shared if limit is None else shared[:limit]
    options = EvaluationOptions(concurrency=concurrency or EvaluationOptions().concurrency, samples=samples)
    with opened(project.resolved) as ready:
        results = [evaluate_program(item, shared, scorer, ready, options) for item in programs]
        _tell(compare_evaluations(*results), examples_by_id(shared), json, results)


def _tell(
    found: Comparison, known: Mapping[str, Mapping[str, JSON]], json: bool, results: Sequence[Evaluation] = ()
) -> None:
    if json:
        emit({**found.to_dict(), "evaluations": [item.to_dict() for item in results]})
        return
    say(found.summary())
    for title, moved, colour in (("regressed", found.regressed, "red"), ("improved", found.improved, "green")):
        if moved:
            say(f"{title}, {min(SHOWN, len(moved))} of {len(moved):,}:")
        for item in moved[:SHOWN]:
            say(f"  {paint(f'{item.before:.2f} -> {item.after:.2f}', colour)}  {_example(item, known)}")
    if results:
        use = sum((item.usage for item in results), NO_USAGE)
        say(spent(use, sum(item.seconds for item in results)))


def _example(moved: Moved, known: Mapping[str, Mapping[str, JSON]]) -> str:
    values = known.get(moved.example)
    text = moved.example if values is None else " | ".join(value(item, 200) for item in values.values())
    return shortened(text, width() - 20)
