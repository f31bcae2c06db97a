"""GEPA's proposers under a schedule: texts of the Pareto front rewritten from traces and feedback, and lineages merged.

After arXiv 2507.19457. The front is drawn over the val examples that the schedule has asked so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from dspex.optimization.champions import champions, drawn, undominated
from dspex.optimization.credit import Credit, credited
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.evidence import seen, told
from dspex.optimization.lineage import Descent, Merge, merge_of
from dspex.optimization.rewriting import Rewriting, rewritten, shown
from dspex.optimization.rows import Candidate, Evaluation, Proposal
from dspex.optimization.schedules.comparing import believed
from dspex.optimization.stages import holes

FRONT = 40
"""Candidates, the best by what is believed of them, among which the front is drawn."""
RECORDS = 8
"""Examples in one request: those that went wrong first, and at least one that did not."""
RIGHT = 2
AIM = (
    "Work out what the task of this step is and what the feedback says that the instructions do not. Keep what is "
    "special to the task, and the strategies that carry over to other inputs; delete what the evidence contradicts."
)


class ParetoReflection:
    """One component of a candidate from the front rewritten from what it was seen to do, with the metric's words."""

    name = "pareto"
    needs: frozenset[VariableKind] = frozenset({"text"})
    without_feedback = "the answers and their scores"

    async def propose(self, turn: Turn) -> list[Proposal]:
        search = turn.search
        front = front_of(search)
        parents = [search.ledger.candidates[drawn(front, turn.rng)] for _ in range(turn.count if front else 0)]
        rows = await seen(search, parents)
        wrong = [row for found in rows.values() for row in found if (row.score or 0.0) < 1]
        credit = await credited(search, wrong)
        tasks = [(item, _asked(turn, item, index, rows[item.id], credit)) for index, item in enumerate(parents)]
        asked = [(parent, task) for parent, task in tasks if task is not None]
        texts = await asyncio.gather(*(rewritten(search, task) for _, task in asked))
        found: list[Proposal] = []
        for (parent, task), text in zip(asked, texts, strict=True):
            if text is not None:
                values = {**parent.values, task.hole.dimension.path: text}
                said = f"instructions of {task.hole.path} rewritten from traces and feedback"
                found.append(Proposal(values, self.name, (parent.id,), said))
        return found


def _asked(turn: Turn, parent: Candidate, index: int, rows: Sequence[Evaluation], credit: Credit) -> Rewriting | None:
    """A request about a step that some failure has come to; None where there is none."""
    bad = [row for row in rows if (row.score or 0.0) < 1]
    reached = {trace.step for row in bad for trace in row.trace}
    wanted = [item for item in holes(turn.search.problem.program, parent.values, "text") if item.path in reached]
    if not wanted:
        return None
    hole = credit.choose(wanted, turn.rng)
    good = [row for row in rows if (row.score or 0.0) >= 1]
    chosen = turn.rng.sample(bad, min(RECORDS - RIGHT, len(bad)))
    chosen += turn.rng.sample(good, min(RECORDS - len(chosen), RIGHT, len(good)))
    records = told(turn.search, hole, chosen, turn.rng, labels=False)
    parts = tuple(shown("Inputs, answers under the current instructions, and feedback", records))
    return Rewriting(hole, parent.values, parts, AIM, index, temperature=1.0)


class Merging:
    """What two lineages changed since their common ancestor, together: each variable from who changed it."""

    name = "merge"
    needs: frozenset[VariableKind] = frozenset({"text", "demos"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        search = turn.search
        known = search.ledger.candidates
        gains = believed(search, len(search.problem.keys))
        among = list(front_of(search))
        paths = [item.path for item in search.problem.space]
        kept = {
            who: known[who] for who in gains if known[who].values.keys() == known[search.problem.seed_id].values.keys()
        }
        low = min(gains.values(), default=0.0)
        descent = Descent(
            {who: [item for item in found.parents if item in kept] for who, found in kept.items()},
            {who: found.values for who, found in kept.items()},
            {who: gains[who] - low for who in kept},
            [path for path in paths if path in known[search.problem.seed_id].values],
        )
        made: dict[str, Proposal] = {}

        def old(merge: Merge) -> bool:
            found = search.problem.id_of(merge.values)
            return found in known or found in made

        for _ in range(turn.count):
            merge = merge_of(descent, [who for who in among if who in kept], turn.rng, old)
            if merge is None:
                break
            said = f"what two lineages changed since {merge.ancestor[:6]}, together"
            sides = (merge.first, merge.second)
            made[search.problem.id_of(merge.values)] = Proposal(merge.values, self.name, sides, said)
        return list(made.values())


def front_of(search: SearchView) -> Mapping[str, int]:
    """The candidates that are best on some val example, with on how many; found once for all who ask in a round."""
    memory, known = search.problem.memory, search.problem.memory.get("front")
    if known is None or known[0] != search.ledger.folded:  # scores come with a fold, and only then
        gains = believed(search, len(search.problem.keys))
        best = sorted(gains, key=lambda item: -gains[item])[:FRONT]
        given = champions({item: search.ledger.scores(item) for item in best}, search.problem.keys)
        front = undominated(given, sorted(best, key=lambda item: gains[item]))
        known = memory["front"] = (search.ledger.folded, front)
    found: Mapping[str, int] = known[1]
    return found
