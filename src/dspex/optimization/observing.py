"""From the ledger's rows to outcomes: what folded evaluations took, in the order in which they were folded."""

from __future__ import annotations

from dspex.optimization.deciding import SearchView
from dspex.optimization.outcomes import Outcome, Outcomes
from dspex.optimization.ports import Ledger
from dspex.optimization.rows import TAUGHT


class Observer:
    """Keeps `outcomes` up with a ledger; each row is read once."""

    def __init__(self, ledger: Ledger, outcomes: Outcomes) -> None:
        self.outcomes, self._ledger, self._seen = outcomes, ledger, 0

    async def look(self) -> None:
        """Read what has been folded since the last time."""
        ledger = self._ledger
        while self._seen < ledger.folded:
            for pair in ledger.rounds[self._seen].pairs:
                candidate, example, sample = pair
                if sample >= TAUGHT:
                    continue  # what the teacher's model takes says nothing of the candidate
                # A round that was abandoned has rows, and stays unseen.
                if (example, sample) in ledger.scores(candidate) and (row := await ledger.read(pair)) is not None:
                    outcome = Outcome.of(row.score or 0.0, row.usage, row.seconds)
                    self.outcomes.add(candidate, (example, sample), outcome)
            self._seen += 1


def constraint_notes(search: SearchView) -> list[str]:
    """What the report says about constraints: whether the seed program keeps them, who does not, what is unmeasured."""
    outcomes, seed = search.outcomes, search.problem.seed_id
    notes: list[str] = []
    texts = " and ".join(outcomes.objectives.constraints)
    if texts and not outcomes.allowed(seed):
        notes.append(f"the seed program breaks a constraint ({texts}); a candidate that keeps them is preferred to it")
    barred = [item for item in search.ledger.candidates if item != seed and not outcomes.allowed(item)]
    if barred:
        notes.append(f"{len(barred)} candidates were barred, because they break a constraint ({texts})")
    for name in sorted(outcomes.objectives.measured - {"score"}):
        rows = [row for item in search.ledger.candidates for row in outcomes.of(item).values()]
        missing = sum(row.measure(name) is None for row in rows)
        if missing:
            why = "were answered from memory" if name == "latency" else "have no known price"
            notes.append(f"{name} is not known for {missing} of {len(rows)} evaluations, which {why}")
    return notes
