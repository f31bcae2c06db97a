"""Coordinate ascent over instructions: a step at a time is rewritten by a model that sees what was tried on it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dspex.optimization.attempts import Attempt, first_request, next_request, proposed
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.rows import Candidate, Proposal
from dspex.optimization.schedules.comparing import believed
from dspex.optimization.stages import Hole, holes, setting_of, text_of

BREADTH = 10
"""Attempts that are shown, the best."""


@dataclass(frozen=True)
class Ascent:
    """COPRO's proposals, as candidates of a race. The steps take turns, one in a round.

    An attempt's score is the mean of the seed program plus the gain that is believed of the best candidate with it.
    """

    name: str = "ascent"
    needs: frozenset[VariableKind] = frozenset({"text"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        parent = turn.parents[0]
        there = holes(turn.search.problem.program, parent.values, "text")
        if not there:
            return []
        turns = int(turn.memo.get("turns", 0))
        turn.memo["turns"] = turns + 1
        hole = there[turns % len(there)]
        attempts = _attempts(turn.search, hole)
        present = text_of(hole, parent.values)
        request = next_request(hole, attempts) if len(attempts) > 1 else first_request(hole, present)
        model = setting_of(hole, parent.values, "model")
        asked = [proposed(turn.search, hole, request, turns * 100 + index, model) for index in range(turn.count)]
        answers = await asyncio.gather(*asked)
        return [self._proposal(parent, hole, text) for text in answers if text is not None and text != present]

    def _proposal(self, parent: Candidate, hole: Hole, text: str) -> Proposal:
        said = f"instructions of {hole.path} after what was tried on them"
        return Proposal({**parent.values, hole.dimension.path: text}, self.name, (parent.id,), said)


def _attempts(search: SearchView, hole: Hole) -> list[Attempt]:
    """What was tried on the step, each text once with the best that is believed of it."""
    gains = believed(search, len(search.problem.val))
    base = search.ledger.scores(search.problem.seed_id)
    level = sum(base.values()) / len(base) if base else 0.0
    found: dict[str, float] = {}
    for who, gain in gains.items():
        values = search.ledger.candidates[who].values
        if hole.dimension.path in values:
            text = text_of(hole, values)
            found[text] = max(found.get(text, -1.0), gain)
    best = sorted(found, key=lambda text: -found[text])[:BREADTH]
    return [Attempt(text, min(1.0, max(0.0, level + found[text]))) for text in best]
