"""MIPROv2 as published (arXiv 2406.11695; DSPy): sets of demonstrations, grounded instructions, an estimator over both.

Three steps. Sets are bootstrapped; instructions are written; then trials on minibatches, and every so often all of val
for the best combination that has not been there. Everything that is known is in rows: a set or an instruction is the
candidate that brought it, a trial is the numbers of those it combines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import log2
from random import Random
from typing import Any, Literal

from dspex.kernel.ports import JSON
from dspex.optimization.deciding import Finalists, SearchView
from dspex.optimization.parameters import Category, Suggest
from dspex.optimization.parzen import Observed, Sampling, draws, require_optuna
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Candidate, Round
from dspex.optimization.stages import require_kinds
from dspex.optimization.strategies.bootstrapping import Bootstrapping, Walk, step
from dspex.optimization.strategies.full import SPENT, ahead, best, named
from dspex.optimization.strategies.mipro_proposals import (
    Predictor,
    grounding_only,
    instructions_of,
    predictors,
    sets_of,
    walks_for,
)

Preset = Literal["light", "medium", "heavy"]
SIZES: Mapping[Preset, tuple[int, int]] = {"light": (6, 100), "medium": (12, 300), "heavy": (18, 1000)}
"""By preset: sets of demonstrations, and val examples at most."""
FEW = 50
"""With no more val examples than this every trial is on all of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The arithmetic of a preset for a program."""

    sets: int
    instructions: int
    trials: int
    val: int
    minibatch: int | None
    """Val examples of a trial; None: all of them."""

    def evaluations(self, every: int) -> int:
        """How many the trials take, with the evaluations on all of val in between."""
        if self.minibatch is None:
            return self.val * (1 + self.trials)
        return self.val + self.trials * self.minibatch + -(-self.trials // every) * self.val


def plan_of(preset: Preset, problem: Problem, minibatch: int = 35) -> Plan:
    """Trials are the larger of 2 V log2 N and 1.5 N: N sets, and V things to choose, instructions for each predictor
    and demonstrations for it where any are varied."""
    sets, most = SIZES[preset]
    found = predictors(problem)
    with_demos = any(item.demos for item in found)
    variables = len(found) * (2 if with_demos else 1)
    val = min(most, len(problem.val))
    return Plan(
        sets=sets,
        instructions=sets // 2 if with_demos else sets,
        trials=int(max(2 * variables * log2(sets), 1.5 * sets)),
        val=val,
        minibatch=minibatch if val > FEW else None,
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """A combination and what it is scored on."""

    choice: tuple[int, ...]
    """For each thing to choose, in order, the number of what it is."""
    candidate: str
    round: int
    """Its minibatch is drawn by it."""
    kind: Literal["default", "trial", "full"]

    @classmethod
    def read(cls, memo: Sequence[JSON]) -> Trial:
        """From the JSON that `written` gives."""
        return cls(tuple(memo[0]), *memo[1:])

    def written(self) -> JSON:
        """As JSON."""
        return [list(self.choice), self.candidate, self.round, self.kind]


@dataclass(frozen=True)
class Mipro:
    """`Strategy` after MIPROv2: texts and demonstrations are varied, all else stays as it is.

    It ends with its trials or with the budget. Without a preset it takes the largest that the budget pays for.
    """

    name: str = "mipro"
    preset: Preset | None = None
    minibatch: int = 35
    every: int = 5
    """Trials between two evaluations on all of val."""
    how: Bootstrapping = Bootstrapping(bootstrapped=4, labelled=4)  # noqa: RUF009 - frozen
    temperature: float = 1.0

    def __post_init__(self) -> None:
        require_optuna(f"strategy {self.name!r} as published")

    def check(self, problem: Problem) -> None:
        require_kinds(problem.program, self.name, {"text", "demos"})

    async def next_round(self, search: SearchView) -> Round | str:
        memo: dict[str, Any] = dict(search.memo or self._opening(search))
        plan = plan_of(memo["preset"], search.problem, self.minibatch)
        if "trials" in memo:
            return self._searching(search, memo, plan)
        how = grounding_only(search.problem, self.how)
        walks, pairs, teachers = step(search, [Walk.read(item) for item in memo["walks"]], how)
        memo["walks"] = [item.written() for item in walks]
        if pairs:
            over = len(pairs) > search.affordable
            return SPENT if over else Round(search.number, tuple(pairs), tuple(teachers), memo)
        return await self._proposed(search, memo, plan, walks)

    def leader(self, search: SearchView) -> str:
        candidates, val = self._full(search)
        return best(search, candidates, val)

    def finalists(self, search: SearchView) -> Finalists:
        candidates, val = self._full(search)
        return ahead(search, candidates, val)

    async def remarks(self, search: SearchView) -> Sequence[str]:
        """The preset, and how far it came."""
        if not search.memo:
            return ()
        plan = plan_of(search.memo["preset"], search.problem, self.minibatch)
        done = sum(item.kind == "trial" for item in _trials(search.memo))
        full, val = self._full(search)
        return [
            f"mipro as published ({search.memo['preset']}): {done} of {plan.trials} trials, "
            f"{len(set(full))} combinations on all of the {val} val examples"
        ]

    def _opening(self, search: SearchView) -> dict[str, Any]:
        preset = self.preset or self._largest(search)
        walks = walks_for(search.problem, SIZES[preset][0], self.how)
        return {"preset": preset, "walks": [item.written() for item in walks]}

    def _largest(self, search: SearchView) -> Preset:
        """The largest preset that the budget pays for, the smallest where it pays for none."""
        found: Preset = "light"
        for preset in SIZES:
            plan = plan_of(preset, search.problem, self.minibatch)
            if plan.evaluations(self.every) <= search.affordable:
                found = preset
        return found

    async def _proposed(
        self, search: SearchView, memo: Mapping[str, Any], plan: Plan, walks: Sequence[Walk]
    ) -> Round | str:
        """Sets and instructions as candidates, and the first trial: the program as it is, on all of val."""
        sets = await sets_of(search, walks, self.how)
        texts = await instructions_of(search, sets, plan.instructions, self.temperature)
        fresh: dict[str, Candidate] = {}
        keys: dict[str, list[str]] = {"sets": [], "texts": []}
        for kind, made in (("sets", [item.values for item in sets]), ("texts", texts)):
            for number, values in enumerate(made):
                whole = {**search.problem.program.values, **values}
                key, candidate = named(search, whole, self.name, f"number {number} of the {kind} to combine")
                keys[kind].append(key)
                if candidate is not None:
                    fresh.setdefault(key, candidate)
        nothing = (0,) * len(_choices(predictors(search.problem)))
        first = Trial(nothing, search.problem.seed_id, search.number, "default")
        return self._round(search, {"preset": memo["preset"], **keys, "trials": []}, plan, first, fresh)

    def _searching(self, search: SearchView, memo: Mapping[str, Any], plan: Plan) -> Round | str:
        """The next trial; or all of val for what did best without having been there, when that is due."""
        trials = _trials(memo)
        done = sum(item.kind == "trial" for item in trials)
        over = done >= plan.trials
        choice: tuple[int, ...] | None = None
        if plan.minibatch is not None and trials[-1].kind == "trial" and (over or done % self.every == 0):
            choice = _unpromoted(search, trials, plan)
        kind: Literal["trial", "full"] = "trial" if choice is None else "full"
        if choice is None:
            if over:
                return f"all {plan.trials} trials are made"
            choice = _drawn(search, memo, trials, plan)
        values = _combined(search, memo, choice)
        key, candidate = named(search, values, self.name, f"combination {', '.join(map(str, choice))}")
        trial = Trial(choice, key, search.number, kind)
        return self._round(search, memo, plan, trial, {} if candidate is None else {key: candidate})

    def _round(
        self, search: SearchView, memo: Mapping[str, Any], plan: Plan, trial: Trial, fresh: Mapping[str, Candidate]
    ) -> Round | str:
        # What infrastructure failed before was tried often enough, when the same combination comes again.
        wanted = [(trial.candidate, *key) for key in _keys(search, trial, plan)]
        pairs = tuple(pair for pair in wanted if not search.ledger.failures(pair) or search.ledger.holds(pair))
        if sum(not search.ledger.holds(pair) for pair in pairs) > search.affordable:
            return SPENT
        trials = [*memo["trials"], trial.written()]
        return Round(search.number, pairs, tuple(fresh.values()), {**memo, "trials": trials})

    def _full(self, search: SearchView) -> tuple[list[str], int]:
        """The candidates that were on all of val, and how many examples that is."""
        if not search.memo:
            return [], len(search.problem.val)
        plan = plan_of(search.memo["preset"], search.problem, self.minibatch)
        found = [item.candidate for item in _trials(search.memo) if item.kind != "trial" or plan.minibatch is None]
        return found, plan.val


def _trials(memo: Mapping[str, Any]) -> list[Trial]:
    return [Trial.read(item) for item in memo.get("trials", ())]


def _choices(found: Sequence[Predictor]) -> list[tuple[str, str]]:
    """What there is to choose: the path of a text or of demonstrations, and the list in the memo it is taken from."""
    choices: list[tuple[str, str]] = []
    for item in found:
        choices += [(item.text.dimension.path, "texts")] if item.text else []
        choices += [(item.demos.dimension.path, "sets")] if item.demos else []
    return choices


def _combined(search: SearchView, memo: Mapping[str, Any], choice: Sequence[int]) -> dict[str, JSON]:
    values = dict(search.problem.program.values)
    for (path, kind), number in zip(_choices(predictors(search.problem)), choice, strict=True):
        values[path] = search.ledger.candidates[memo[kind][number]].values[path]
    return values


def _keys(search: SearchView, trial: Trial, plan: Plan) -> Sequence[tuple[str, int]]:
    """The val examples of a trial: another sample of them in each."""
    keys = search.problem.keys[: plan.val]
    if trial.kind != "trial" or plan.minibatch is None:
        return keys
    return Random(f"{search.problem.seed}/{trial.round}/minibatch").sample(keys, min(plan.minibatch, len(keys)))


def _score(search: SearchView, trial: Trial, plan: Plan) -> float | None:
    """The mean of a trial; None where infrastructure failed all of it."""
    scores = search.ledger.scores(trial.candidate)
    found = [scores[key] for key in _keys(search, trial, plan) if key in scores]
    return sum(found) / len(found) if found else None


def _drawn(search: SearchView, memo: Mapping[str, Any], trials: Sequence[Trial], plan: Plan) -> tuple[int, ...]:
    """What the estimator would try next: one category for each thing to choose."""
    parameters = {
        path: Category(tuple(map(str, range(len(memo[kind]))))) for path, kind in _choices(predictors(search.problem))
    }
    observed = [
        Observed(dict(zip(parameters, map(str, item.choice), strict=True)), score)
        for item in trials
        if (score := _score(search, item, plan)) is not None
    ]
    with search.fitting:
        how = Sampling(1, search.rng("tpe").getrandbits(32))
        (choice,) = draws(parameters, observed, partial(_chosen, parameters), how)
    return choice


def _chosen(parameters: Mapping[str, Category], suggest: Suggest) -> tuple[int, ...]:
    return tuple(int(suggest(path, parameter)) for path, parameter in parameters.items())


def _unpromoted(search: SearchView, trials: Sequence[Trial], plan: Plan) -> tuple[int, ...] | None:
    """The combination with the highest mean over its trials that was never on all of val; None where all were."""
    there = {item.candidate for item in trials if item.kind != "trial"}
    scores: dict[tuple[int, ...], list[float]] = {}
    for item in trials:
        score = _score(search, item, plan)
        if item.candidate not in there and score is not None:
            scores.setdefault(item.choice, []).append(score)
    return max(scores, key=lambda item: sum(scores[item]) / len(scores[item])) if scores else None
