"""What is said of a search that has ended: why its program ships or does not, and what its scores look like."""

from __future__ import annotations

from collections.abc import Sequence

from dspex.optimization.confirmation import Verdict
from dspex.optimization.ports import Ledger
from dspex.optimization.problem import MIN_VAL
from dspex.optimization.result import Tried
from dspex.optimization.rows import Pair


def reason(verdict: Verdict | None, winner: bool, rows: Sequence[Tried]) -> str:
    """Why it shipped or the seed program was kept; `winner`: whether there was one to be confirmed."""
    if verdict is not None:
        return f"{'shipped' if verdict.ships else 'the seed program is kept'}: {verdict.reason}"
    if winner:
        return "the seed program is kept: the budget left no room to confirm the winner"
    best = max(rows, key=lambda row: row.gain * row.n, default=None)
    if best is None or best.gain <= 0:
        return "the seed program is kept: no candidate was better on val"
    return f"the seed program is kept: the best candidate's {best.gain:+.3f} on {best.n} val examples is not enough"


def sameness_notes(ledger: Ledger) -> list[str]:
    """What the scores say about the metric or the data."""
    scores = {score for item in ledger.candidates for score in ledger.scores(item).values()}
    if len(scores) == 1 and ledger.evaluated >= MIN_VAL:
        return [f"the metric gave {scores.pop():g} every time: nothing can be told apart; look at the metric"]
    return []


def lost_pairs(ledger: Ledger) -> set[Pair]:
    """What infrastructure failed for good."""
    asked = {pair for item in ledger.rounds for pair in item.pairs}
    return {pair for pair in asked if ledger.failures(pair) > 0 and not ledger.holds(pair)}
