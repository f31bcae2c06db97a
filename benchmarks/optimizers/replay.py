"""A replay of real outcomes: schedules, ours and Optuna's, by the regret that is left after so many calls.

    python -m benchmarks.optimizers.replay

Each table says how often real prompts were right with a real model. Outcomes on examples are drawn around that, so that
what is compared is where the evaluations go; no proposer writes anything here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import fmean
from typing import Any

import optuna

import dspex
from benchmarks import environments
from benchmarks.environments import SetupError
from benchmarks.optimizers import measures
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.outcomes import Table, folder, formats, prompts
from dspex import Budget, Choice, Dataset, ExactMatch, Program, ScriptedLM
from dspex.errors import ConfigurationError
from dspex.kernel.ports import JSON, Event, Request
from dspex.optimization.options import SearchOptions

VAL, CONFIRM = 200, 8
"""The confirm split is as small as it may be: it is no part of what is compared."""
CALLS = (100, 200, 400, 800, 1600)
SEEDS = 10
MINIBATCH = 30
SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "full": {"strategy": "random", "schedule": "full"},
    "halving": {"strategy": "random", "schedule": "halving"},
    "race": {"strategy": "random", "schedule": "race"},
    "response": {"strategy": "random", "schedule": "response"},
    "auto": {"strategy": "auto", "options": SearchOptions(headroom=False)},
    "beacon": {"strategy": "beacon"},
}
"""Random candidates under each schedule, then whole strategies."""
OPTUNA = ("optuna-tpe", "optuna-random")
Regrets = tuple[float, ...]
"""At each of CALLS."""


def search(table: Table, seed: int, how: Mapping[str, Any]) -> Regrets:
    """One search of ours on a table, by the leader after so many calls."""
    options = {
        _OPTIONS[name]: Choice(*(_written(name, item) for item in values), default=_written(name, start))
        for (name, values), start in zip(table.choices.items(), table.start, strict=True)
    }
    schema = dspex.signature("item: str -> answer: Literal['right', 'wrong']")
    program = Program(name="replayed", pipeline=(dspex.predict(schema, name="answer", **options),))

    def model(request: Request) -> str:
        item = re.findall(r"item (\d+)", request.messages[-1]["content"])[-1]
        right = table.right(_arm(table, request), int(item), seed)
        return f"[[answer]]\n{'right' if right else 'wrong'}\n\n[[end]]"

    runtime = dspex.runtime(lm=ScriptedLM(model), model="scripted/any", file="none", cache="none")
    train, val, confirm = (Dataset.of({"item": f"item {n}", "answer": "right"} for n in part) for part in _splits())
    seen: list[Event] = []
    result = asyncio.run(
        dspex.aoptimize(
            program, train, val, ExactMatch("answer"), runtime, confirm=confirm, budget=Budget(calls=CALLS[-1]),
            seed=seed, store=":memory:", on_event=seen.append, **how,
        )
    )  # fmt: skip
    points = [(0, table.means[table.start])]
    for event in seen:
        if event.kind == "round.finished":
            values = result.ledger.candidates[event.data["leader"]].values
            arm = tuple(_read(name, values[f"answer.{_OPTIONS[name]}"]) for name in table.choices)
            points.append((int(event.data["calls"]), table.means[arm]))
    return _regrets(points, table)


_OPTIONS = {"prompt": "instructions", "model": "model", "way": "instructions", "template": "seed"}
"""Which option of the step stands for a variable of a table."""


def _written(name: str, value: str) -> JSON:
    if name == "template":
        return int(value.rpartition(" ")[2])
    return f"scripted/{value}" if name == "model" else value


def _read(name: str, value: JSON) -> str:
    if name == "template":
        return f"template {value}"
    return str(value).removeprefix("scripted/")


def _arm(table: Table, request: Request) -> tuple[str, ...]:
    """Which combination a request is of."""
    task = request.messages[0]["content"].rpartition("The task:\n")[2].strip()
    told: dict[str, JSON] = {"instructions": task, "model": request.model, "seed": request.settings.get("seed")}
    return tuple(_read(name, told[_OPTIONS[name]]) for name in table.choices)


def _splits() -> tuple[range, range, range]:
    return range(10_000, 10_010), range(VAL), range(20_000, 20_000 + CONFIRM)


def study(table: Table, seed: int, name: str) -> Regrets:
    """Optuna on a table: each trial the mean of a minibatch; the best mean leads."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler, _ = BASELINES[name]
    found = optuna.create_study(direction="maximize", sampler=sampler(seed))
    rng = Random(seed)
    points, calls, best = [(0, table.means[table.start])], 0, -1.0
    while calls + MINIBATCH <= CALLS[-1]:
        trial = found.ask()
        arm = tuple(str(trial.suggest_categorical(key, list(values))) for key, values in table.choices.items())
        mean = fmean(float(table.right(arm, item, seed)) for item in rng.sample(range(VAL), MINIBATCH))
        found.tell(trial, mean)
        calls += MINIBATCH
        if mean > best:
            best = mean
            points.append((calls, table.means[arm]))
    return _regrets(points, table)


def _regrets(points: Sequence[tuple[int, float]], table: Table) -> Regrets:
    return tuple(table.best - next(score for calls, score in reversed(points) if calls <= end) for end in CALLS)


def measured(say: Callable[[str], None], seeds: int = SEEDS) -> dict[str, dict[str, list[list[float]]]]:
    """Regrets by kind of table and by method: a list for each table and seed."""
    data = folder()
    found: dict[str, dict[str, list[list[float]]]] = {"prompts": {}, "formats": {}}
    for seed in range(seeds):
        for kind, tables in (("prompts", prompts(data, seed)), ("formats", formats(data))):
            for table in tables:
                for name in (*SEARCHES, *OPTUNA):
                    regrets = _one(table, seed, name, say)
                    if regrets is not None:
                        found[kind].setdefault(name, []).append(list(regrets))
        say(f"replay: seed {seed}")
    return found


def _one(table: Table, seed: int, name: str, say: Callable[[str], None]) -> Regrets | None:
    if name in OPTUNA:
        return study(table, seed, name)
    try:
        return search(table, seed, SEARCHES[name])
    except ConfigurationError as error:
        if seed == 0:
            say(f"replay, {name} left out: {error}")
        return None


def section(say: Callable[[str], None], *, again: bool = True, seeds: int = SEEDS) -> str:
    """The page's section; measured anew where wanted or where it never was."""
    kept = environments.cache_folder() / "replay.json"
    if again or not kept.exists():
        try:
            found = measured(say, seeds)
        except SetupError as error:
            return f"Not measured: {error}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(found), encoding="utf-8")
    return told(json.loads(kept.read_text(encoding="utf-8")))


def told(found: dict[str, dict[str, list[list[float]]]]) -> str:
    """Tables of mean regret in points, with intervals, and who is best where."""
    parts = [
        "Mean regret in points: how far the program that would be returned is from the best of the table, with a 95 % "
        "interval over tables and draws. `full`, `halving`, `race` and `response` are random candidates under that "
        "schedule; what they would return is the leader, which changes only when a challenger is shown to be better. "
        "Optuna returns the best mean on 30 examples."
    ]
    titles = {"prompts": "Prompts as they are, 60 of a table", "formats": "Model, way of prompting and template"}
    for kind, methods in found.items():
        lines = [f"| {titles[kind]} | runs | {' | '.join(f'{calls} calls' for calls in CALLS)} |"]
        lines.append(f"| --- | ---: |{' --- |' * len(CALLS)}")
        for name, regrets in methods.items():
            cells = [_cell([row[place] for row in regrets]) for place in range(len(CALLS))]
            lines.append(f"| {name} | {len(regrets)} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
        lowest = [
            min(methods, key=lambda name: fmean(row[place] for row in methods[name])) for place in range(len(CALLS))
        ]
        best = ", ".join(f"{name} at {calls}" for name, calls in zip(lowest, CALLS, strict=True))
        parts.append(f"Lowest: {best} calls.")
        if behind := _behind(titles[kind], methods):
            parts.append(behind)
    return "\n\n".join(parts)


MORE, _LESS = "significantly more than", "significantly less than"
"""What is left beside another, in words; the page looks for the first."""


def _behind(title: str, methods: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Where ours leaves significantly more than one of Optuna's on the same tables and draws, and where less."""
    lines: list[str] = []
    for mine in ("auto", "beacon"):
        for other in OPTUNA:
            pairs = list(zip(methods.get(mine, ()), methods.get(other, ()), strict=False))
            told: dict[str, list[str]] = {MORE: [], _LESS: []}
            for place, calls in enumerate(CALLS):
                figure = measures.bootstrapped([100 * (own[place] - its[place]) for own, its in pairs], fmean)
                if figure.low > 0 or figure.high < 0:
                    told[MORE if figure.low > 0 else _LESS].append(f"{calls} ({figure.value:+.1f})")
            said = [f"{side} `{other}` at {', '.join(at)}" for side, at in told.items() if at]
            if said:
                lines.append(f"- {title}: `{mine}` leaves {', and '.join(said)} calls.")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    figure = measures.bootstrapped([100 * value for value in values], fmean)
    return f"{figure.value:.1f} ({figure.low:.1f} to {figure.high:.1f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizers.replay", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="draws of outcomes")
    print(section(lambda text: print(text, file=sys.stderr, flush=True), seeds=parser.parse_args().seeds))


if __name__ == "__main__":
    main()
