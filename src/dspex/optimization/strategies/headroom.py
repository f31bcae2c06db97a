"""The headroom test: is there anything to gain, before the budget goes into finding out how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb
from typing import Any

from dspex.kernel.program import Program
from dspex.optimization.deciding import Finalists, Foreseeing, Glimpse, Preparing, Remarking, SearchView, Strategy
from dspex.optimization.problem import MIN_VAL, Problem
from dspex.optimization.proposers.fixes import cheap_fixes
from dspex.optimization.rows import Pair, Proposal, Round
from dspex.optimization.stages import setting

CALLS = 40
"""Evaluations of the seed program, round 0 included, that the test takes at most."""
DRAWS = 2
"""Further answers of the seed program to each example of the first rung that it got wrong."""
SHARE = 0.2
"""Of what the search can pay for; a test that would take more is left out."""
WINS = 3
"""Wins without a loss that the confirmation needs: P(better) is then above 0.9."""
UNLIKELY = 0.1


@dataclass(frozen=True)
class Headroom:
    """`Strategy` that measures what there is to gain first, and ends where there is nothing; then `inner` goes on.

    Where the seed program makes mistakes on the first rung, and answers may differ from draw to draw, it is asked
    again: the best of several draws says what it could do. Where it makes none, it is asked more examples. The
    strongest cheap fixes are candidates like others (proposers.fixes).

    It ends a search on one ground alone: where even a program without any fault would hardly be shown to be better on
    the confirm split, because the seed program has too few faults to mend. That draws and fixes change nothing is no
    such ground: a model that always gives the same answers can gain the more from other instructions.
    """

    inner: Strategy

    @property
    def name(self) -> str:
        return self.inner.name

    def check(self, problem: Problem) -> None:
        self.inner.check(problem)

    async def next_round(self, search: SearchView) -> Round | str:
        memo: dict[str, Any] = dict(search.memo or {})
        if not memo:
            pairs = self._pairs(search)
            memo = {"inner": None, "left_out": len(pairs) if len(pairs) > SHARE * search.affordable else 0}
            if pairs and not memo["left_out"]:
                return Round(search.number, tuple(pairs), (), memo)
        if search.problem.objectives.plain and (why := without_headroom(search)):
            return why
        decided = await self.inner.next_round(self._inner(search))
        return decided if isinstance(decided, str) else replace(decided, memo={**memo, "inner": decided.memo})

    def leader(self, search: SearchView) -> str:
        return self.inner.leader(self._inner(search))

    def finalists(self, search: SearchView) -> Finalists:
        return self.inner.finalists(self._inner(search))

    @property
    def foresees(self) -> bool:
        return self._guesser is not None

    def foreseen(self, search: SearchView, glimpse: Glimpse) -> Sequence[Pair]:
        return () if self._guesser is None else self._guesser.foreseen(self._inner(search), glimpse)

    async def prepare(self, search: SearchView) -> Sequence[Proposal]:
        return await self.inner.prepare(self._inner(search)) if isinstance(self.inner, Preparing) else ()

    async def remarks(self, search: SearchView) -> Sequence[str]:
        """What was measured; and what the strategy within has to say."""
        more = await self.inner.remarks(self._inner(search)) if isinstance(self.inner, Remarking) else ()
        memo: Mapping[str, Any] = search.memo or {}
        if left_out := memo.get("left_out"):
            return (f"the headroom test is left out: its {left_out} evaluations are too much for this budget", *more)
        return (*_measured(search), *more)

    @cached_property
    def _guesser(self) -> Foreseeing | None:
        """`inner`, where it guesses; asked once, since a protocol is slow to check."""
        inner = self.inner
        return inner if isinstance(inner, Foreseeing) and inner.foresees else None

    def _inner(self, search: SearchView) -> SearchView:
        memo: Mapping[str, Any] = search.memo or {}
        return replace(search, memo=memo.get("inner"))

    def _pairs(self, search: SearchView) -> list[Pair]:
        problem = search.problem
        scores = search.ledger.scores(problem.seed_id)
        first = problem.keys[:MIN_VAL]
        wrong = [example for example, sample in first if scores.get((example, sample), 1.0) < 1.0]
        if wrong:
            if not _drawn(problem.program):
                return []
            return [(problem.seed_id, example, draw) for example in wrong for draw in range(1, 1 + DRAWS)]
        return [(problem.seed_id, *key) for key in problem.keys[MIN_VAL:CALLS]]


def without_headroom(search: SearchView) -> str | None:
    """Why nothing can be gained here, in words; None where something may be."""
    problem = search.problem
    scores = search.ledger.scores(problem.seed_id)
    found = [scores[key] for key in problem.keys if key in scores]
    faults = sum(score < 1.0 for score in found)
    chance = showable(len(found), faults, len(problem.confirm))
    if chance >= UNLIKELY:
        return None
    return (
        f"there is no headroom: the seed program has full marks on {len(found) - faults} of {len(found)} val examples, "
        f"so that even a program without a fault would be shown to be better on the {len(problem.confirm)} confirm "
        f"examples with a probability of {chance:.2f} only"
    )


def showable(asked: int, faults: int, confirm: int) -> float:
    """The chance that `confirm` examples hold at least WINS faults, given `faults` among `asked`, in 0..1.

    Beta-binomial under a uniform prior.
    """
    a, b = 1 + faults, 1 + asked - faults
    whole = comb(a + b + confirm - 1, confirm)
    few = sum(comb(a + k - 1, k) * comb(b + confirm - k - 1, confirm - k) for k in range(min(WINS, confirm + 1)))
    return 1.0 - few / whole


def _drawn(program: Program) -> bool:
    """Whether another draw may give another answer: some step asks its model at a temperature that is not 0."""
    values = program.space.complete(program.values)
    steps = [(path, step) for path, step in program.walk() if not step.steps]
    temperatures = [setting(path, step, values, "temperature") for path, step in steps]
    return any(item is None or item != 0 for item in temperatures)


def _measured(search: SearchView) -> list[str]:
    """What the test found on the first rung; empty where nothing but the seed program was asked."""
    problem, ledger = search.problem, search.ledger
    first = problem.keys[:MIN_VAL]
    scores = ledger.scores(problem.seed_id)
    shared = [key for key in first if key in scores]
    draws = {sample for _, sample in scores}
    best = [max(scores.get((example, draw), 0.0) for draw in draws) for example, _ in shared]
    found = [f"the best of {len(draws)} draws {sum(best) / len(best):.3f}"] if len(draws) > 1 and shared else []
    fixes = {problem.id_of(item.values): item.hypothesis for item in cheap_fixes(problem)}
    asked = [item for item in fixes if all(key in ledger.scores(item) for key in shared)]
    if asked and shared:
        top = max(asked, key=lambda item: _mean(ledger.scores(item), shared))
        found.append(f"the best cheap fix ({fixes[top]}) {_mean(ledger.scores(top), shared):.3f}")
    if not found:
        return []
    seed = f"the seed program scores {_mean(scores, shared):.3f}"
    return [f"headroom: on the first {len(shared)} val examples {', '.join((seed, *found))}"]


def _mean(scores: Mapping[tuple[str, int], float], keys: Sequence[tuple[str, int]]) -> float:
    return sum(scores[key] for key in keys) / len(keys)
