"""Options that several commands take, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, everything else on stderr.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="PROVIDER/NAME", help="The model of steps that name none.", show_default=False
    ),
]
Metric = Annotated[
    list[str],
    typer.Option(
        "--metric",
        metavar="METRIC",
        help="exact:FIELD,..., normalized:FIELD, f1:FIELD, contains:FIELD, number:FIELD, or your own function: "
        "metric.py:function, package.module:function. Given several times: their mean.",
        show_default=False,
    ),
]
Judge = Annotated[
    list[str],
    typer.Option("--judge", metavar="CRITERIA", help="Let a model score answers by these words.", show_default=False),
]
JudgeModel = Annotated[
    str | None, typer.Option("--judge-model", metavar="PROVIDER/NAME", help="The judge's model.", show_default=False)
]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", min=1, help="Examples, and requests on the wire, at a time.", show_default=False),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random choice.")]
Program = Annotated[Path | None, typer.Argument(metavar="PROGRAM", help="A program file.", show_default=False)]
Data = Annotated[
    Path | None, typer.Argument(metavar="DATA", help="A data file: JSONL, CSV or Parquet.", show_default=False)
]
