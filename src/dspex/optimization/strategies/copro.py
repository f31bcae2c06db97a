"""COPRO as published (DSPy): coordinate ascent over the instructions of one step after the other.

Each step is a round: all candidates for one predictor on all of val, the others as they are best. The output prefix of
the original, which no adapter renders, is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dspex.kernel.ports import JSON, Message
from dspex.optimization.attempts import Attempt, first_request, next_request, proposed
from dspex.optimization.deciding import Finalists, SearchView
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Candidate, Round
from dspex.optimization.schedules.comparing import mean_of
from dspex.optimization.stages import Hole, holes, require_kinds, setting_of, text_of
from dspex.optimization.strategies.full import SPENT, affordable, ahead, best, named


@dataclass(frozen=True)
class Copro:
    """`Strategy` that goes `depth` times over the predictors, with `breadth` new instructions for each.

    In its memo a text is the candidate that brought it: `tried` has, by the path of the text, those candidates with the
    best score that was seen with their text.
    """

    name: str = "copro"
    breadth: int = 10
    depth: int = 3

    def check(self, problem: Problem) -> None:
        require_kinds(problem.program, self.name, {"text"})

    async def next_round(self, search: SearchView) -> Round | str:
        predictors = _predictors(search.problem)
        if search.memo is None:
            memo, fresh = await self._opening(search, predictors)
        else:
            memo, fresh = self._folded(search, dict(search.memo)), list[Candidate]()
            if memo["turn"] == len(predictors):
                if memo["depth"] + 1 == self.depth:
                    return f"the instructions of every step have been gone over {self.depth} times"
                fresh = await self._deeper(search, predictors, memo)
        return self._evaluation(search, predictors, memo, fresh)

    def leader(self, search: SearchView) -> str:
        return best(search, self._evaluated(search), len(search.problem.val))

    def finalists(self, search: SearchView) -> Finalists:
        return ahead(search, self._evaluated(search), len(search.problem.val))

    async def _opening(self, search: SearchView, predictors: Sequence[Hole]) -> tuple[dict[str, JSON], list[Candidate]]:
        """For each predictor `breadth` less one proposals, and what it has."""
        present = dict(search.problem.program.values)
        memo: dict[str, Any] = {"depth": 0, "turn": 0, "asked": {}, "evaluated": [], "latest": {}, "tried": {}}
        memo["best"] = {hole.dimension.path: search.problem.seed_id for hole in predictors}
        fresh: list[Candidate] = []
        for hole in predictors:
            request = first_request(hole, text_of(hole, present))
            found, new = await self._written(search, hole, request, self.breadth - 1, memo)
            memo["latest"][hole.dimension.path] = [*found, search.problem.seed_id]
            memo["tried"][hole.dimension.path] = {}
            fresh += new
        memo["all"] = {path: list(texts) for path, texts in memo["latest"].items()}
        return memo, fresh

    async def _deeper(self, search: SearchView, predictors: Sequence[Hole], memo: dict[str, Any]) -> list[Candidate]:
        """For each predictor `breadth` new proposals, from the best attempts."""
        memo |= {"depth": memo["depth"] + 1, "turn": 0, "latest": dict(memo["latest"]), "all": dict(memo["all"])}
        fresh: list[Candidate] = []
        for hole in predictors:
            path = hole.dimension.path
            scores: Mapping[str, float] = memo["tried"][path]
            top = sorted(scores, key=lambda item: -scores[item])[: self.breadth]
            attempts = [Attempt(_text(search, hole, item), scores[item]) for item in top]
            found, new = await self._written(search, hole, next_request(hole, attempts), self.breadth, memo)
            memo["latest"][path] = found
            memo["all"][path] = list(dict.fromkeys([*memo["all"][path], *found]))
            fresh += new
        return fresh

    async def _written(
        self, search: SearchView, hole: Hole, request: Sequence[Message], count: int, memo: Mapping[str, Any]
    ) -> tuple[list[str], list[Candidate]]:
        """The candidates that bring new texts for a predictor, each once, and those of them that are new."""
        values = _at_best(search, memo["best"])
        model = setting_of(hole, values, "model")
        base = memo["depth"] * self.breadth
        asked = [proposed(search, hole, request, base + index, model) for index in range(count)]
        found: dict[str, Candidate | None] = {}
        for text in await asyncio.gather(*asked):
            if text is not None:
                said = f"instructions of {hole.path}, written at depth {memo['depth']}"
                key, candidate = named(search, {**values, hole.dimension.path: text}, self.name, said)
                found.setdefault(key, candidate)
        return list(found), [item for item in found.values() if item is not None]

    def _evaluation(
        self, search: SearchView, predictors: Sequence[Hole], memo: dict[str, Any], fresh: Sequence[Candidate]
    ) -> Round | str:
        """What is tried for the predictor whose turn it is, on all of val: what the budget pays for."""
        hole = predictors[int(memo["turn"])]
        path = hole.dimension.path
        known = {**search.ledger.candidates, **{item.id: item for item in fresh}}
        # With several predictors the others have changed since: what was tried before may now be the best.
        texts = memo["latest"][path] if len(predictors) == 1 else memo["all"][path]
        values = _at_best(search, memo["best"])
        asked: dict[str, str] = {}
        new: dict[str, Candidate] = {item.id: item for item in fresh}
        for text in texts:
            written = {**values, path: known[text].values[path]}
            key, candidate = named(search, written, self.name, f"instructions of {hole.path} beside the best of others")
            asked.setdefault(key, text)
            if candidate is not None:
                new.setdefault(key, candidate)
        if not asked:
            return f"the proposer model wrote no new instructions for {hole.path}"
        taken, pairs = affordable(search, list(asked), len(search.problem.val))
        if not taken:
            return SPENT
        memo["asked"] = {key: asked[key] for key in taken}
        memo["evaluated"] = list(dict.fromkeys([*memo["evaluated"], *taken]))
        return Round(search.number, tuple(pairs), tuple(new.values()), memo)

    def _folded(self, search: SearchView, memo: dict[str, Any]) -> dict[str, Any]:
        """The predictor fixed to the best that was tried for it, and the next one's turn."""
        path = _predictors(search.problem)[int(memo["turn"])].dimension.path
        scores: dict[str, float] = dict(memo["tried"][path])
        for key, text in memo["asked"].items():
            scores[text] = max(scores.get(text, 0.0), mean_of(search, key, len(search.problem.val)))
        best_text = max(scores, key=lambda item: scores[item])
        tried = {**memo["tried"], path: scores}
        return {
            **memo,
            "tried": tried,
            "best": {**memo["best"], path: best_text},
            "turn": memo["turn"] + 1,
            "asked": {},
        }

    def _evaluated(self, search: SearchView) -> list[str]:
        return list(search.memo["evaluated"]) if search.memo else []


def _predictors(problem: Problem) -> list[Hole]:
    return holes(problem.program, problem.program.values, "text")


def _at_best(search: SearchView, chosen: Mapping[str, str]) -> dict[str, JSON]:
    """The seed program's values with each text at its best."""
    values = dict(search.problem.program.values)
    return values | {path: search.ledger.candidates[item].values[path] for path, item in chosen.items()}


def _text(search: SearchView, hole: Hole, candidate: str) -> str:
    return text_of(hole, search.ledger.candidates[candidate].values)
