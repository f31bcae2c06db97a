"""Baselines that anyone would try first: Optuna over the same space, each trial a whole evaluation or a pruned one.

Texts and demonstrations are categorical: a few instructions that the model is asked for beforehand, a few random sets
of labelled examples. Nothing is confirmed; what is returned is the best mean on val.
"""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import optuna

import dspex
from benchmarks.optimizers.client import SessionClient
from benchmarks.optimizers.families import world as world_of
from benchmarks.optimizers.oracle import Oracle, runtime_of
from benchmarks.optimizers.programs import DEMOS, Remarking, program, rows
from benchmarks.optimizers.rows import Row
from benchmarks.optimizers.worlds import World
from dspex import Boolean, Choice, Example, Float, Integer, Program, Text
from dspex.kernel.ports import Request
from dspex.kernel.space import Dimension

WRITTEN, SETS = 5, 5
"""Instructions and sets of demonstrations to choose from, besides what the seed program has."""
RUNGS = (12, 36)
"""Examples after which a pruned trial may end."""
Sampler = Callable[[int], optuna.samplers.BaseSampler]
Pruner = Callable[[], optuna.pruners.BasePruner]


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        # Groups, for variables that are there only for some choices, are called experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=5)


def _random(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def _halving() -> optuna.pruners.BasePruner:
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=3)


BASELINES: Mapping[str, tuple[Sampler, Pruner]] = {
    "optuna-random": (_random, optuna.pruners.NopPruner),
    "optuna-tpe": (_tpe, optuna.pruners.NopPruner),
    "optuna-halving": (_tpe, _halving),
}


def run(server: str, family: str, seed: int, name: str, budget: int) -> Row:
    """One study, from a new session to its row."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return asyncio.run(_run(server, world_of(family, seed), name, budget))


@dataclass(slots=True)
class _Trials:
    """What the trials are made of, and the best so far."""

    world: World
    seed_program: Program
    session: SessionClient
    runtime: dspex.Runtime
    val: Sequence[Example]
    options: Mapping[str, Sequence[Any]]
    """For each text or set of demonstrations, what there is to choose from."""
    best: Program
    best_score: float = -1.0
    diary: list[tuple[int, Program]] = field(default_factory=list[tuple[int, Program]])


async def _run(server: str, world: World, name: str, budget: int) -> Row:
    session = SessionClient.opened(server, world.family, world.seed, budget)
    began = time.perf_counter()
    runtime = runtime_of(world, session.models)
    seed_program = program(world)
    sampler, pruner = BASELINES[name]
    study = optuna.create_study(direction="maximize", sampler=sampler(world.seed), pruner=pruner())
    try:
        options = await _options(world, seed_program, runtime)
        val = list(rows(world, world.splits["val"]))
        trials = _Trials(world, seed_program, session, runtime, val, options, seed_program)
        await _search(trials, study, budget)
    finally:
        await runtime.lm.aclose()
    seconds = time.perf_counter() - began
    counts = session.counts()
    oracle = Oracle(world, session)
    try:
        trajectory = [(calls, await oracle.score(item)) for calls, item in trials.diary]
        final = await oracle.score(trials.best)
        return Row(
            world.family, world.seed, name, budget, counts["calls"], counts["proposals"],
            await oracle.score(seed_program), final, world.best(), (*trajectory, (counts["calls"], final)), seconds,
            counts["usd"], counts["refused"],
        )  # fmt: skip
    finally:
        await oracle.aclose()


async def _search(trials: _Trials, study: optuna.Study, budget: int) -> None:
    """Trials while a whole one still fits; the seed program is the first."""
    whole = len(trials.val) * len(trials.world.stages)
    first = True
    while trials.session.counts()["calls"] + whole <= budget:
        trial = study.ask()
        values = {} if first else _suggested(trial, trials)
        first = False
        candidate = trials.seed_program.configured(values)
        mean, complete = await _evaluated(trials, trial, candidate)
        state = optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED
        study.tell(trial, mean if complete else None, state=state)
        if complete and mean > trials.best_score:
            trials.best, trials.best_score = candidate, mean
            trials.diary.append((trials.session.counts()["calls"], candidate))


async def _evaluated(trials: _Trials, trial: optuna.Trial, candidate: Program) -> tuple[float, bool]:
    """The mean on val, and whether all of val was asked."""
    total, asked = 0.0, 0
    for end in (*RUNGS, len(trials.val)):
        part = trials.val[asked:end]
        found = await dspex.aevaluate(
            candidate, dspex.Dataset(part), Remarking(trials.world), trials.runtime, concurrency=16
        )
        total += (found.score or 0.0) * len(part)
        asked = end
        trial.report(total / asked, asked)
        if asked < len(trials.val) and trial.should_prune():
            return total / asked, False
    return total / asked, True


def _suggested(trial: optuna.Trial, trials: _Trials) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for dimension in trials.seed_program.space:
        if all(values.get(path) == wanted for path, wanted in dimension.conditions):
            values[dimension.path] = _value(trial, dimension, trials.options)
    return values


def _value(trial: optuna.Trial, dimension: Dimension, options: Mapping[str, Sequence[Any]]) -> Any:
    path, variable = dimension.path, dimension.variable
    if isinstance(variable, Float):
        return trial.suggest_float(path, variable.low, variable.high)
    if isinstance(variable, Integer):
        return trial.suggest_int(path, variable.low, variable.high)
    if isinstance(variable, Boolean):
        return trial.suggest_categorical(path, [False, True])
    given = list(variable.values) if isinstance(variable, Choice) else options[path]
    return given[trial.suggest_categorical(path, list(range(len(given))))]


async def _options(world: World, seed_program: Program, runtime: dspex.Runtime) -> dict[str, Sequence[Any]]:
    """Instructions and demonstrations to choose from; the same for both branches of a choice."""
    found: dict[str, Sequence[Any]] = {}
    rng = Random(f"baseline/{world.key}")
    train = [dict(item.values) for item in rows(world, world.splits["train"])]
    texts = [dimension for dimension in seed_program.space if isinstance(dimension.variable, Text)]
    written = [None, *[await _written(world, train, runtime, rng) for _ in range(WRITTEN if texts else 0)]]
    sets = [[], *[rng.sample(train, DEMOS) for _ in range(SETS)]]
    for dimension in seed_program.space:
        if isinstance(dimension.variable, Text):
            found[dimension.path] = written
        elif isinstance(dimension.variable, dspex.Demos):
            found[dimension.path] = sets
    return found


async def _written(world: World, train: Sequence[Mapping[str, Any]], runtime: dspex.Runtime, rng: Random) -> str:
    """New instructions from twelve labelled examples."""
    shown = "\n".join(json.dumps(item) for item in rng.sample(list(train), 12))
    asked = (
        f"Current instructions:\n<current>\n{world.stages[-1].instructions}\n</current>\n\n"
        f"Labelled examples:\n{shown}\n\n"
        "Write better instructions between <instructions> and </instructions>, and nothing else."
    )
    request = Request(runtime.model, [{"role": "user", "content": asked}], {"temperature": 1.0}, 0)
    text = (await runtime.lm.complete(request)).text
    return text.partition("<instructions>")[2].partition("</instructions>")[0].strip() or world.stages[-1].instructions
