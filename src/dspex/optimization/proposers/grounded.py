"""Instructions written by a model that knows the data and the program: MIPRO's proposals, as candidates of a race."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.kernel.ports import JSON
from dspex.optimization.deciding import Turn, VariableKind
from dspex.optimization.grounding import (
    BATCH,
    LOOKS,
    SHOWN,
    TIPS,
    Ground,
    instructions_wanted,
    program_description,
    step_description,
    summary_of,
)
from dspex.optimization.rows import Candidate, Proposal
from dspex.optimization.stages import Hole, holes, labelled, setting_of, text_of
from dspex.optimization.wording import answered, instructions_in

LOOK_PER = 100
"""Evaluations that the budget pays for to each look at the data: a small search looks once or twice."""


@dataclass(frozen=True)
class Grounded:
    """Asks the proposer model for instructions from a summary of the data, descriptions of program and step, a few
    demonstrations of it, and a tip of what kind of instructions to write.

    Summary and descriptions are asked for once and kept with the rounds.
    """

    name: str = "grounded"
    needs: frozenset[VariableKind] = frozenset({"text"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        search = turn.search
        if "summary" not in turn.memo:
            turn.memo["summary"] = await summary_of(search, _looks(turn))
        wanted: list[tuple[Candidate, Hole, str]] = []
        for _ in range(turn.count):
            parent = turn.parent()
            if there := holes(search.problem.program, parent.values, "text"):
                wanted.append((parent, turn.rng.choice(there), turn.rng.choice(list(TIPS))))
        shown = [_shown(turn, parent, hole) for parent, hole, _ in wanted]
        for (_, hole, _), demos in zip(wanted, shown, strict=True):
            await _describe(turn, hole, demos)
        asked = [
            self._asked(turn, index, want, demos) for index, (want, demos) in enumerate(zip(wanted, shown, strict=True))
        ]
        return [item for item in await asyncio.gather(*asked) if item is not None]

    async def _asked(
        self, turn: Turn, index: int, wanted: tuple[Candidate, Hole, str], shown: Sequence[Mapping[str, JSON]]
    ) -> Proposal | None:
        parent, hole, tip = wanted
        steps: Mapping[str, str] = turn.memo["steps"]
        ground = Ground(turn.memo["summary"], turn.memo["program"], steps[hole.path], tuple(shown), tip)
        present = text_of(hole, parent.values)
        request = instructions_wanted(turn.search, hole, present, ground)
        model = setting_of(hole, parent.values, "model")
        # Another sample in every round: the same request would be the same call, with the same answer.
        sample = turn.search.number * 100 + index
        text = instructions_in(await answered(turn.search, request, temperature=1.0, sample=sample, model=model), hole)
        if text is None or text == present:
            return None
        said = f"instructions of {hole.path} grounded in data and program{'' if tip == 'none' else f', {tip}'}"
        return Proposal({**parent.values, hole.dimension.path: text}, self.name, (parent.id,), said)


async def _describe(turn: Turn, hole: Hole, shown: Sequence[Mapping[str, JSON]]) -> None:
    """See to it that program and step are described."""
    model = setting_of(hole, turn.parents[0].values, "model")
    if "program" not in turn.memo:
        turn.memo["program"] = await program_description(turn.search, shown, model)
    known: dict[str, str] = dict(turn.memo.get("steps", {}))
    if hole.path not in known:
        known[hole.path] = await step_description(turn.search, hole, turn.memo["program"], shown, model)
        turn.memo["steps"] = known


def _shown(turn: Turn, parent: Candidate, hole: Hole) -> list[Mapping[str, JSON]]:
    """The parent's demonstrations of the step, else training examples that say all of it."""
    own: list[Mapping[str, JSON]] = list(setting_of(hole, parent.values, "demos") or ())
    if own:
        return own[:SHOWN]
    train = turn.search.problem.train
    return [item.values for item in labelled(hole.step, turn.rng.sample(train, min(BATCH, len(train))))][:SHOWN]


def _looks(turn: Turn) -> int:
    return int(min(LOOKS, max(1, min(turn.search.affordable, 1e6) // LOOK_PER)))
