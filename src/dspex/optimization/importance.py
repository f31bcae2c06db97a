"""How much of the differences between candidates each variable explains, by Optuna's functional ANOVA.

Hutter et al. 2014. It tells where a search found its gains, not what is true of the model: few candidates, and all of
them made by proposers that preferred what looked good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.kernel.canonical import identity
from dspex.kernel.ports import JSON
from dspex.kernel.space import Configuration, Dimension, Space
from dspex.kernel.variables import Demos, Float, Integer, Text
from dspex.optimization.parzen import installed, quiet

LEAST = 16
"""Candidates below which nothing is said."""
_INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Seen:
    """A candidate, and the gain over the seed program that is believed of it."""

    values: Configuration
    believed: float


def importance_of(space: Space, seen: Sequence[Seen], seed: int) -> list[tuple[str, float]] | str:
    """(path, share in 0..1) of every variable that varied, the most important first; or in words why there is none.

    A text counts by whether it was rewritten, demonstrations by how many there are.
    """
    if not installed():
        return "not computed: it needs Optuna (pip install 'dspex[optimize]')"
    if len(seen) < LEAST:
        return f"{len(seen)} candidates are too few to tell; {LEAST} are needed"
    columns = {item.path: _column(item, [row.values for row in seen]) for item in space}
    varied = {path: column for path, column in columns.items() if len(set(column)) > 1}
    gains = [row.believed for row in seen]
    if not varied or max(gains) - min(gains) < 1e-12:
        return "no candidate differed from another in what it gained"
    return _shares(varied, gains, seed)


def _shares(columns: Mapping[str, Sequence[float | str]], gains: Sequence[float], seed: int) -> list[tuple[str, float]]:
    import optuna  # noqa: PLC0415 - heavy, and of an extra

    with quiet():
        known: dict[str, optuna.distributions.BaseDistribution] = {}
        for path, column in columns.items():
            numbers = [value for value in column if not isinstance(value, str)]
            known[path] = (
                optuna.distributions.FloatDistribution(min(numbers), max(numbers))
                if len(numbers) == len(column)
                else optuna.distributions.CategoricalDistribution(sorted(set(map(str, column))))
            )
        trials = [
            optuna.trial.create_trial(
                params={path: column[index] for path, column in columns.items()}, distributions=known, value=gain
            )
            for index, gain in enumerate(gains)
        ]
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed % 2**32))
        study.add_trials(trials)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed % 2**32)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def _column(item: Dimension, rows: Sequence[Configuration]) -> list[float | str]:
    """What the variable was in each row: numbers where it was active in all, else categories."""
    if isinstance(item.variable, Float | Integer) and all(item.path in row for row in rows):
        return [float(row[item.path]) for row in rows]
    return [_category(item, row[item.path]) if item.path in row else _INACTIVE for row in rows]


def _category(item: Dimension, value: JSON) -> str:
    variable = item.variable
    if isinstance(variable, Text):
        return "as given" if value == variable.initial else "rewritten"
    if isinstance(variable, Demos):
        return f"{len(value)} demonstrations"
    if isinstance(variable, Float | Integer):
        return "low" if value <= (variable.low + variable.high) / 2 else "high"
    return identity(value)
