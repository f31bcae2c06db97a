"""Bootstrapped demonstrations with random search, as published: sets by seed, all of val each, the best mean wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dspex.kernel.ports import JSON
from dspex.optimization.deciding import Finalists, SearchView
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Candidate, Round
from dspex.optimization.schedules.comparing import mean_of
from dspex.optimization.stages import require_kinds
from dspex.optimization.strategies.bootstrapping import (
    UNSHUFFLED,
    Bootstrapping,
    Walk,
    demonstrations,
    labelled_set,
    step,
    taught,
    walk_of,
)
from dspex.optimization.strategies.full import SPENT, affordable, ahead, best, named


@dataclass(frozen=True)
class BootstrapSearch:
    """`Strategy` after DSPy's BootstrapFewShotWithRandomSearch.

    The sets are: none at all, a sample of the training examples, what a teacher did right over them in order, and
    `programs` times the same over them shuffled, with a size drawn by the seed. It ends once all are evaluated.
    """

    name: str = "bootstrap"
    programs: int = 16
    how: Bootstrapping = Bootstrapping()  # noqa: RUF009 - frozen
    stop_at_score: float | None = None
    """A mean score in 0..1 that is good enough; the sets are then evaluated one after the other."""

    def check(self, problem: Problem) -> None:
        require_kinds(problem.program, self.name, {"demos"})

    async def next_round(self, search: SearchView) -> Round | str:
        memo: dict[str, Any] = dict(search.memo or self._opening(search.problem))
        fresh: list[Candidate] = []
        if memo["sets"] is None:
            walks, pairs, teachers = step(search, [Walk.read(item) for item in memo["walks"]], self.how)
            memo["walks"] = [item.written() for item in walks]
            if pairs:
                over = len(pairs) > search.affordable
                return SPENT if over else Round(search.number, tuple(pairs), tuple(teachers), memo)
            memo["sets"], fresh = await self._sets(search, walks)
        return self._evaluation(search, memo, fresh)

    def leader(self, search: SearchView) -> str:
        return best(search, self._evaluated(search), len(search.problem.val))

    def finalists(self, search: SearchView) -> Finalists:
        return ahead(search, self._evaluated(search), len(search.problem.val))

    def _opening(self, problem: Problem) -> dict[str, JSON]:
        walks = [walk_of(problem, seed, self.how) for seed in range(UNSHUFFLED, self.programs)]
        return {"walks": [item.written() for item in walks], "sets": None, "evaluated": []}

    async def _sets(self, search: SearchView, walks: Sequence[Walk]) -> tuple[list[str], list[Candidate]]:
        """The candidates in the order of their seeds, each once, and those of them that are new."""
        problem = search.problem
        made: list[tuple[str, Mapping[str, list[JSON]]]] = [
            ("no demonstrations", {hole.dimension.path: [] for hole in taught(problem)}),
            ("a sample of training examples", labelled_set(problem, UNSHUFFLED, self.how.labelled)),
        ]
        for walk in walks:
            said = "in order" if walk.seed == UNSHUFFLED else f"shuffled by seed {walk.seed}"
            gathered = await demonstrations(search, walk, self.how)
            made.append((f"what the teacher did right, training examples {said}", gathered))
        found: dict[str, Candidate | None] = {}
        for said, shown in made:
            key, candidate = named(search, {**problem.program.values, **shown}, self.name, said)
            found.setdefault(key, candidate)
        return list(found), [item for item in found.values() if item is not None]

    def _evaluation(self, search: SearchView, memo: dict[str, Any], fresh: Sequence[Candidate]) -> Round | str:
        """The next sets on all of val: as many as the budget pays for, or the next one where one may be enough."""
        size, done = len(search.problem.val), memo["evaluated"]
        if self.stop_at_score is not None and done and mean_of(search, done[-1], size) >= self.stop_at_score:
            return f"a set of demonstrations scores {self.stop_at_score:g} or more on val"
        left = [item for item in memo["sets"] if item not in done]
        if not left:
            return f"all {len(done)} sets of demonstrations are evaluated"
        taken, pairs = affordable(search, left if self.stop_at_score is None else left[:1], size)
        if not taken:
            return SPENT
        memo["evaluated"] = [*done, *taken]
        return Round(search.number, tuple(pairs), tuple(fresh), memo)

    def _evaluated(self, search: SearchView) -> list[str]:
        return list(search.memo["evaluated"]) if search.memo else []
