"""Tables of real outcomes as things to search: arms with the accuracy that a real model had with a real prompt."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from benchmarks.environments import ROOT, SetupError
from benchmarks.optimizers.words import share

VARIABLE = "BENCH_DATA"
ARMS = 60
"""Prompts of a table that one replay chooses among."""
STEADY = 0.6
"""Share of examples that are as hard for every arm: right where the arm's accuracy is above the example's level."""


@dataclass(frozen=True)
class Table:
    """Choices, each combination of which has an accuracy."""

    name: str
    choices: Mapping[str, Sequence[str]]
    """By variable."""
    means: Mapping[tuple[str, ...], float]
    """By a value of each variable, in the order of `choices`."""
    start: tuple[str, ...]
    """What a search begins with."""

    @property
    def best(self) -> float:
        """Of all arms."""
        return max(self.means.values())

    def right(self, arm: tuple[str, ...], example: int, seed: int) -> bool:
        """Whether this arm's answer on this example is right; the share of these is the arm's accuracy."""
        key = (self.name, seed, example)
        steady = share(*key, "steady") < STEADY
        return share(*key, "level", *(() if steady else arm)) < self.means[arm]


def folder() -> Path:
    """Where the tables are. Raises SetupError naming the variable that says where."""
    named = os.environ.get(VARIABLE)
    found = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (found / "capo_prompt_scores.csv").is_file():
        raise SetupError(f"no tables of outcomes in {found}; set {VARIABLE} to the folder that holds them")
    return found


def prompts(data: Path, seed: int) -> list[Table]:
    """One table for each data set and model: a sample of the prompts that were tried there."""
    groups: dict[str, list[float]] = {}
    csv.field_size_limit(2**31 - 1)
    with (data / "capo_prompt_scores.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            groups.setdefault(f"{row['dataset']}, {row['llm']}", []).append(float(row["test_score"]))
    return [_listed(name, scores, Random(f"{name}/{seed}")) for name, scores in sorted(groups.items())]


def _listed(name: str, scores: Sequence[float], rng: Random) -> Table:
    chosen = rng.sample(list(scores), min(ARMS, len(scores)))
    means: dict[tuple[str, ...], float] = {(f"prompt {number}",): score for number, score in enumerate(chosen)}
    ranked = sorted(means, key=lambda arm: means[arm])
    return Table(name, {"prompt": [arm[0] for arm in means]}, means, ranked[len(ranked) // 4])


def formats(data: Path) -> list[Table]:
    """One table for each data set: model, the way of prompting, and template, as far as all combinations were tried."""
    with (data / "format_scores.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    found: list[Table] = []
    for name in sorted({row["dataset"] for row in rows}):
        here: dict[tuple[str, str], list[list[float]]] = {}
        for row in rows:
            if row["dataset"] == name:
                way = f"{row['n_shots']} shots, {row['prediction_method']}, {row['selection_method']}"
                here.setdefault((row["model"], way), []).append(json.loads(row["scores"]))
        found.append(_grid(f"{name}, formats", here))
    return found


def _grid(name: str, here: Mapping[tuple[str, str], Sequence[Sequence[float]]]) -> Table:
    every = {model for model, _ in here}
    tried = {way: sum((model, way) in here for model in every) for _, way in here}
    ways = sorted(way for way, count in tried.items() if count > len(every) / 2)
    models = sorted(model for model in every if all((model, way) in here for way in ways))
    templates = [f"template {number}" for number in range(10)]
    means: dict[tuple[str, ...], float] = {
        (model, way, template): fmean(scores[number] for scores in here[model, way])
        for model in models for way in ways for number, template in enumerate(templates)
    }  # fmt: skip
    ranked = sorted(means, key=lambda arm: means[arm])
    return Table(name, {"model": models, "way": ways, "template": templates}, means, ranked[len(ranked) // 4])


def described(table: Table) -> dict[str, Any]:
    """What a table comes to."""
    ranked = sorted(table.means.values())
    return {"arms": len(ranked), "median": ranked[len(ranked) // 2], "best": ranked[-1]}
