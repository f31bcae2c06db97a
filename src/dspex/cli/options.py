"""Options that several commands take, written once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer


def _finite(value: float | None) -> float | None:
    """A limit that nothing can be compared with, or nothing reaches, is none."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no limit: give a number, or leave it out")
    return value


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
JudgeTokens = Annotated[
    int, typer.Option("--judge-tokens", min=1, help="The most tokens of the judge's answer, thinking included.")
]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", min=1, help="Examples, and requests on the wire, at a time.", show_default=False),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random choice.")]
Program = Annotated[
    Path | None,
    typer.Argument(
        metavar="PROGRAM", help="A program file, or a stored program: name, name@label, name@3.", show_default=False
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="STORE",
        help="Where runs and programs are: a file or a PostgreSQL URL (DSPEX_STORE).",
        show_default="./.dspex/dspex.db",
    ),
]
Isolated = Annotated[
    str | None,
    typer.Option(
        "--isolation",
        metavar="process",
        help="Evaluate in worker processes, which may crash, hang or run out of memory alone.",
        show_default=False,
    ),
]
HardTimeout = Annotated[
    float | None,
    typer.Option(
        "--hard-timeout", metavar="SECONDS", help="With --isolation: what an evaluation may take.", show_default="60"
    ),
]
MemoryMb = Annotated[
    int | None,
    typer.Option(
        "--memory-mb", metavar="MB", help="With --isolation: memory an evaluation may take.", show_default=False
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of it.")]
Calls = Annotated[int | None, typer.Option("--calls", min=1, help="Budget: calls of a model.", show_default=False)]
Usd = Annotated[
    float | None, typer.Option("--usd", min=0, callback=_finite, help="Budget: dollars.", show_default=False)
]
Tokens = Annotated[int | None, typer.Option("--tokens", min=1, help="Budget: tokens, in and out.", show_default=False)]
Seconds = Annotated[
    float | None, typer.Option("--seconds", min=0, callback=_finite, help="Budget: seconds.", show_default=False)
]
Data = Annotated[
    Path | None, typer.Argument(metavar="DATA", help="A data file: JSONL, CSV or Parquet.", show_default=False)
]
