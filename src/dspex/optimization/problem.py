"""What is to be improved, on which data, by which measure and at what cost; checked before the first paid call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError, DataError, VariableError
from dspex.evaluation.judge import JUDGE_TOKENS
from dspex.evaluation.scoring import ReadyMetric
from dspex.kernel.canonical import canonical, digest
from dspex.kernel.execution import prepare
from dspex.kernel.ports import JSON, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.kernel.space import Configuration, Dimension, Space
from dspex.kernel.variables import Choice
from dspex.optimization.limits import check_limits
from dspex.optimization.objectives import PLAIN, Objectives

MIN_VAL = 8
"""Fewer examples than the race's first rung compare nothing."""
LEAST_CALLS = 4 * MIN_VAL
"""Fewer calls compare nothing: the seed program and one candidate, to search and to confirm."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything a search is about. The splits hold distinct examples and do not overlap.

    `val` is in the order in which the race asks: seeded, every prefix with about the same share of each outcome.
    """

    program: Program
    train: tuple[Example, ...]
    val: tuple[Example, ...]
    confirm: tuple[Example, ...]
    metric: ReadyMetric
    budget: Budget
    seed: int = 0
    notes: tuple[str, ...] = ()
    """What the report must say about how the splits came about."""
    objectives: Objectives = PLAIN
    """What it is for, beside the score."""
    programs: dict[str, Program] = field(default_factory=dict[str, Program], repr=False)
    memory: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)
    """What was once computed from the problem alone (a pool of demonstrations), by whoever computed it."""

    @property
    def space(self) -> Space:
        return self.program.space

    @cached_property
    def examples(self) -> Mapping[str, Example]:
        """Every example of every split, by id."""
        return {item.id: item for item in (*self.train, *self.val, *self.confirm)}

    @cached_property
    def keys(self) -> tuple[tuple[str, int], ...]:
        """(example, sample) of val in order: the first n are what a rung of n compares."""
        return tuple((item.id, 0) for item in self.val)

    @cached_property
    def seed_id(self) -> str:
        """The candidate that is the program as it was given."""
        return self.id_of(self.program.values)

    def completed(self, values: Configuration) -> dict[str, JSON]:
        """The values of every active variable: two candidates that complete to the same are one."""
        return self.space.complete(values)

    def id_of(self, values: Configuration) -> str:
        """Content hash of a completed configuration on this program."""
        return digest([self.program.hash, self.completed(values)], 16)

    def program_by_id(self, candidate: str, values: Configuration) -> Program:
        """The program of a candidate; remembered, because its hash is looked up on every call."""
        found = self.programs.get(candidate)
        if found is None:
            found = self.programs[candidate] = self.program.configured(values)
        return found


def outcome_order(examples: Sequence[Example], columns: Iterable[str], seed: int) -> list[Example]:
    """`examples` shuffled by `seed` so that every prefix has about the share of each outcome that the whole has.

    An outcome is the combination of those of `columns` that have few distinct values.
    """
    rng = Random(seed)
    telling = [name for name in dict.fromkeys(columns) if _few(examples, name)]
    groups: dict[str, list[Example]] = {}
    for item in sorted(examples, key=lambda item: item.id):
        groups.setdefault(canonical([item.get(name) for name in telling]), []).append(item)
    placed: list[tuple[float, str, Example]] = []
    for _, members in sorted(groups.items()):
        rng.shuffle(members)
        shift = rng.random()
        placed.extend(((index + shift) / len(members), item.id, item) for index, item in enumerate(members))
    return [item for _, _, item in sorted(placed, key=lambda entry: entry[:2])]


def pose(
    program: Program,
    splits: Mapping[str, Iterable[Example] | None],
    metric: ReadyMetric,
    budget: Budget,
    seed: int,
    runtime: Runtime,
) -> Problem:
    """A problem, checked: `splits` has `train`, `val` and `confirm`; without `confirm`, half of val is set aside.

    Raises ConfigurationErrors for whatever would make the search fail or mislead; nothing is paid for.
    """
    notes: list[str] = []
    train, val, confirm = (_distinct(name, splits.get(name), notes) for name in ("train", "val", "confirm"))
    columns = (*metric.columns, *(item.name for item in program.outputs))
    val = outcome_order(val, columns, seed)
    if splits.get("confirm") is None:
        if len(val) < 2 * MIN_VAL:
            raise DataError(
                f"val has {len(val)} examples; half of them is set aside to confirm the result, so give at least "
                f"{2 * MIN_VAL}, or name an untouched split with confirm="
            )
        val, confirm = val[0::2], val[1::2]
        notes.append(f"no confirm split was named, so {len(confirm)} val examples were set aside for it")
    else:
        confirm = outcome_order(confirm, columns, seed)
    problem = Problem(program, tuple(train), tuple(val), tuple(confirm), metric, budget, seed, tuple(notes))
    _check_budget(budget)
    _check_splits(problem)
    _check_rows(problem)
    if not len(program.space):
        raise VariableError(
            f"program {program.name!r} has no variables, so there is nothing to search; "
            "write one where a value would go: instructions=Text(), demos=Demos(4), temperature=Float(0, 1)"
        )
    check_answers(problem, budget, runtime)
    return problem


def check_answers(problem: Problem, budget: Budget, runtime: Runtime) -> None:
    """Raises ConfigurationErrors for a program that cannot be run, and for a step of it or of a judge whose calls the
    budget could not bound."""
    for branch in branches(problem.program):
        check_limits(prepare(branch, runtime), budget, runtime)
    for judge in problem.metric.programs:
        check_limits(prepare(judge, runtime), budget, runtime, f"Judge(..., max_tokens={JUDGE_TOKENS})")


def aimed(problem: Problem, objectives: Objectives, runtime: Runtime) -> Problem:
    """The problem with these objectives. Raises ConfigurationError where one of them could not be measured."""
    objectives.check(problem.program, runtime)
    return replace(problem, objectives=objectives)


def branches(program: Program) -> list[Program]:
    """The program once for each value of every Choice, with the conditions of that Choice met; constraints left out.

    What cannot be prepared (a misspelt model, a missing key, an unknown adapter) is found this way in any branch.
    """
    free = program.model_copy(update={"constraints": ()}) if program.constraints else program
    found: dict[str, Program] = {program.hash: program}
    for dimension in program.space:
        for value in _alternatives(dimension):
            given = {**dict(dimension.conditions), dimension.path: value}
            branch = free.configured(given)
            found.setdefault(branch.hash, branch)
    return list(found.values())


def _alternatives(dimension: Dimension) -> Sequence[JSON]:
    variable = dimension.variable
    return variable.values if isinstance(variable, Choice) else (variable.initial,)


def _few(examples: Sequence[Example], name: str) -> bool:
    if not examples or any(name not in item.values for item in examples):
        return False
    return len({canonical(item[name]) for item in examples}) <= min(12, max(2, len(examples) // 3))


def _distinct(name: str, given: Iterable[Example] | None, notes: list[str]) -> list[Example]:
    found: dict[str, Example] = {}
    count = 0
    for item in given or ():
        if not isinstance(item, Example):  # pyright: ignore[reportUnnecessaryIsInstance] - a boundary
            raise DataError(f"{name}: an example is a row of a Dataset, not {type(item).__name__}; see Dataset.load")
        found.setdefault(item.id, item)
        count += 1
    if count > len(found):
        notes.append(f"{name}: {count - len(found)} of {count} rows repeat another row and are counted once")
    return list(found.values())


def _check_budget(budget: Budget) -> None:
    if all(value is None for value in budget.model_dump().values()):
        raise ConfigurationError("the budget has no limit; set at least one: calls=, tokens=, usd= or seconds=")
    if budget.calls is not None and budget.calls < LEAST_CALLS:
        raise ConfigurationError(
            f"a budget of {budget.calls} calls is too small to compare anything: the program as it is on {MIN_VAL} "
            f"examples, one candidate on {MIN_VAL}, and both on {MIN_VAL} more to confirm take {LEAST_CALLS} calls at "
            "least; a few hundred are a start"
        )


def _check_splits(problem: Problem) -> None:
    for name, least in (("val", MIN_VAL), ("confirm", MIN_VAL)):
        size = len(getattr(problem, name))
        if size < least:
            raise DataError(f"the {name} split has {size} examples; a comparison needs at least {least}")
    splits = {"train": problem.train, "val": problem.val, "confirm": problem.confirm}
    digests = {name: {item.id: digest(item.values) for item in items} for name, items in splits.items()}
    for first, second in (("train", "val"), ("train", "confirm"), ("val", "confirm")):
        seen = set(digests[first].values())
        if shared := [id for id, found in digests[second].items() if found in seen]:
            raise DataError(
                f"{len(shared)} examples are in both {first} and {second} (the first: {shared[0]}); what the search "
                "has seen cannot judge it. Split one dataset: train, val, confirm = data.split(0.4, 0.3, 0.3, seed=0)"
            )


def _check_rows(problem: Problem) -> None:
    required = [item.name for item in problem.program.inputs if not item.optional]
    for name, split in (("train", problem.train), ("val", problem.val), ("confirm", problem.confirm)):
        for number, item in enumerate(split, start=1):
            if missing := [key for key in required if key not in item.values]:
                raise DataError(
                    f"{name}, example {item.id} (number {number}): no field {missing[0]!r}, which program "
                    f"{problem.program.name!r} needs; it has {', '.join(map(repr, item.values))}"
                )
            try:
                problem.metric.check(problem.program, item)
            except ConfigurationError as error:
                error.add_note(f"found in the {name} split, before anything was paid for")
                raise
