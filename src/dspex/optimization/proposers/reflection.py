"""Instructions rewritten by a model that reads labelled examples and what the present ones got wrong.

A request is about one step; a candidate takes the new texts of all steps that its failures are put down to, since a
request costs one call and telling the candidates apart costs a run of every example for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dspex.optimization.credit import Credit, credited
from dspex.optimization.deciding import Turn, VariableKind
from dspex.optimization.evidence import seen, told
from dspex.optimization.rewriting import Rewriting, rewritten, shown
from dspex.optimization.rows import Candidate, Evaluation, Proposal
from dspex.optimization.stages import Hole, holes, labelled
from dspex.optimization.wording import picked

SHOWN = 48
"""Labelled examples in one request."""
FAILURES = 12
AIMS = (
    "State, for each possible answer, which words and facts in the inputs speak for it.",
    "Repair what caused the mistakes below, keep the rest, and delete whatever misleads.",
    "Find what tells apart the answers that are confused with each other, and write one rule for each such pair.",
    "Write afresh, as short numbered rules, the most frequent cases first.",
)


class Reflection:
    """Asks the proposer model for better instructions of the steps to blame, several times over with other evidence."""

    name = "reflection"
    needs: frozenset[VariableKind] = frozenset({"text"})
    without_feedback = "the expected answers and the scores"

    async def propose(self, turn: Turn) -> list[Proposal]:
        parents = [turn.parent() for _ in range(turn.count)]
        rows = await seen(turn.search, parents)
        failures = {who: [row for row in found if (row.score or 0.0) < 1] for who, found in rows.items()}
        credit = await credited(turn.search, [row for found in failures.values() for row in found])
        made = [_asked(turn, item, index, failures[item.id], credit) for index, item in enumerate(parents)]
        texts = await asyncio.gather(*(_new(turn, several) for several in made))
        found: list[Proposal] = []
        for parent, new in zip(parents, texts, strict=True):
            if new:
                values = {**parent.values, **{hole.dimension.path: text for hole, text in new}}
                where = " and ".join(hole.path for hole, _ in new)
                said = f"instructions of {where} rewritten from what went wrong"
                found.append(Proposal(values, self.name, (parent.id,), said))
        return found


async def _new(turn: Turn, several: Sequence[Rewriting]) -> list[tuple[Hole, str]]:
    """The texts that come of these requests, each with the hole it is for; one that fails leaves its step as it is."""
    texts = await asyncio.gather(*(rewritten(turn.search, asked) for asked in several))
    return [(asked.hole, text) for asked, text in zip(several, texts, strict=True) if text is not None]


def _asked(
    turn: Turn, parent: Candidate, index: int, failures: Sequence[Evaluation], credit: Credit
) -> list[Rewriting]:
    """A request for each step that is to be rewritten; none where nothing is known to go by."""
    wanted = holes(turn.search.problem.program, parent.values, "text")
    together = credit.together(wanted, turn.rng) if wanted else []
    made = [_about(turn, parent, hole, index, failures) for hole in together]
    return [item for item in made if item is not None]


def _about(turn: Turn, parent: Candidate, hole: Hole, index: int, failures: Sequence[Evaluation]) -> Rewriting | None:
    search, rng = turn.search, turn.rng
    chosen = rng.sample(search.problem.train, min(SHOWN, len(search.problem.train)))
    worked = [item.values for item in labelled(hole.step, chosen)]
    if not failures and not worked:
        return None
    inputs = [item.name for item in hole.step.signature.inputs]
    outputs = [item.name for item in hole.step.signature.outputs]
    rows = [{"inputs": picked(item, inputs), "expected": picked(item, outputs)} for item in worked]
    some = rng.sample(failures, min(FAILURES, len(failures)))  # so that each request has other evidence
    wrong = told(search, hole, sorted(some, key=lambda row: (row.score or 0.0, row.example)))
    parts = (*shown("Labelled examples", rows), *shown("Mistakes made under the current instructions", wrong))
    return Rewriting(hole, parent.values, parts, rng.choice(AIMS), index)
