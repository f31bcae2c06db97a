"""Instructions rewritten by a model that reads labelled examples and what the present ones got wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dspex.optimization.credit import Credit, credited
from dspex.optimization.deciding import Turn, VariableKind
from dspex.optimization.evidence import seen, told
from dspex.optimization.rewriting import Rewriting, rewritten, shown
from dspex.optimization.rows import Candidate, Evaluation, Proposal
from dspex.optimization.stages import holes, labelled
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
    """Asks the proposer model for better instructions of one step, several times over with different evidence."""

    name = "reflection"
    needs: frozenset[VariableKind] = frozenset({"text"})
    without_feedback = "the expected answers and the scores"

    async def propose(self, turn: Turn) -> list[Proposal]:
        parents = [turn.parent() for _ in range(turn.count)]
        rows = await seen(turn.search, parents)
        failures = {who: [row for row in found if (row.score or 0.0) < 1] for who, found in rows.items()}
        credit = await credited(turn.search, [row for found in failures.values() for row in found])
        made = [_asked(turn, item, index, failures[item.id], credit) for index, item in enumerate(parents)]
        tasks = [(parent, asked) for parent, asked in zip(parents, made, strict=True) if asked is not None]
        texts = await asyncio.gather(*(rewritten(turn.search, asked) for _, asked in tasks))
        found: list[Proposal] = []
        for (parent, asked), text in zip(tasks, texts, strict=True):
            if text is not None:
                values = {**parent.values, asked.hole.dimension.path: text}
                said = f"instructions of {asked.hole.path} rewritten from what went wrong"
                found.append(Proposal(values, self.name, (parent.id,), said))
        return found


def _asked(
    turn: Turn, parent: Candidate, index: int, failures: Sequence[Evaluation], credit: Credit
) -> Rewriting | None:
    search, rng = turn.search, turn.rng
    wanted = holes(search.problem.program, parent.values, "text")
    if not wanted:
        return None
    hole = credit.choose(wanted, rng)
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
