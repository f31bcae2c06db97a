"""Moves in the whole space by Optuna's tree-structured Parzen estimator, fed with what the ledger has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.kernel.ports import JSON
from dspex.kernel.space import Configuration
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.outcomes import KEPT
from dspex.optimization.parameters import encoding_of
from dspex.optimization.parzen import Observed, Sampling, draws, require_optuna
from dspex.optimization.rows import Candidate, Proposal
from dspex.optimization.schedules.comparing import believed
from dspex.optimization.stages import transplanted

MOST = 80
"""Candidates that the estimator sees: the best and the newest. More of them cost time and hardly change a draw."""
TRIES = 3
"""Draws for a proposal, at most: some repeat a candidate or break a constraint."""


@dataclass(frozen=True)
class ParzenMoves:
    """Every variable at once: numbers, categories and members of subsets as they are, and texts and demonstrations as
    one of those that candidates have so far, so that the best ones are combined. It writes no text itself.

    Every other draw takes each variable for itself, since interactions are rare, and every other all together. What it
    is told of a candidate is its gain over the seed program on the examples that both have, shrunk the more the fewer
    these are: a candidate that was lucky on eight examples is not taken for the best. Where cost, tokens or latency are
    objectives too, the draws are those of the multi-objective estimator (Ozaki et al. 2022), and what likely breaks a
    constraint counts less than whatever keeps them all.
    """

    name: str = "tpe"
    needs: frozenset[VariableKind] = frozenset({"float", "integer", "boolean", "choice", "text", "demos", "subset"})

    def __post_init__(self) -> None:
        require_optuna(f"the proposer {self.name!r}")

    async def propose(self, turn: Turn) -> list[Proposal]:
        search, space = turn.search, turn.search.problem.space
        gains = believed(search, len(search.problem.val))
        seen = _seen(search, gains)
        encoding = encoding_of(space, [item.values for item in seen])
        observed = [
            Observed(
                encoding.encoded(item.values), gains[item.id], lower, max(0.0, KEPT - search.outcomes.kept(item.id))
            )
            for item in seen
            if (lower := search.outcomes.lower(item.id)) is not None
        ]
        found: dict[str, Proposal] = {}
        for _ in range(TRIES):
            if left := turn.count - len(found):
                how = Sampling(left, turn.rng.getrandbits(32), joint=None)
                with search.fitting:
                    drawn = draws(encoding.parameters(), observed, encoding.configured, how)
                for values in drawn:
                    self._take(turn, values, found)
        return list(found.values())

    def _take(self, turn: Turn, values: Configuration, found: dict[str, Proposal]) -> None:
        """One more proposal, unless there is such a candidate, or a constraint is broken."""
        parent = turn.parent()
        moved = _furnished(turn, values, parent)
        proposal = Proposal(moved, self.name, (parent.id,), _said(parent.values, moved))
        candidate = turn.search.candidate(proposal)
        if candidate is not None:
            found.setdefault(candidate.id, proposal)


def _seen(search: SearchView, gains: Mapping[str, float]) -> Sequence[Candidate]:
    """Those with a score, oldest first, of many the best half and the newest."""
    there = [item for item in search.ledger.candidates.values() if item.id in gains]
    if len(there) > MOST:
        best = sorted(there, key=lambda item: -gains[item.id])[: MOST // 2]
        kept = {item.id for item in (*best, *there[-MOST // 2 :])}
        there = [item for item in there if item.id in kept]
    return there


def _furnished(turn: Turn, values: Configuration, parent: Candidate) -> dict[str, JSON]:
    """With texts and demonstrations of the parent in a branch for which none are known yet."""
    problem = turn.search.problem
    moved = transplanted(problem.program, values, parent.values)
    return {path: moved[path] if value == problem.space[path].initial else value for path, value in values.items()}


def _said(before: Configuration, after: Configuration) -> str:
    changed = [path for path, value in after.items() if path not in before or before[path] != value]
    return f"{', '.join(changed[:3])} as candidates that did well have it" if changed else "as its parent"
