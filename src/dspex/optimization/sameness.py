"""When a metric tells nothing apart: a search that goes on then only spends."""

from __future__ import annotations

from dspex.optimization.deciding import SearchView

_PARTIAL, _NONE = (4, 48), (8, 96)
"""(candidates, scores) that are enough to say so of a score between 0 and 1, and of 0: there the first right answer
may still come."""


def told_nothing(search: SearchView) -> str | None:
    """Why going on is in vain, in words, where every score so far is the same; None where some differ."""
    if not search.problem.objectives.plain:
        return None
    ledger = search.ledger
    values, scores, candidates = set[float](), 0, 0
    for item in ledger.candidates:
        found = ledger.scores(item)
        values.update(found.values())
        if len(values) > 1:
            return None
        scores += len(found)
        candidates += bool(found)
    if len(values) != 1 or 1.0 in values:
        return None  # full marks are the strategies' business
    value = values.pop()
    enough = _PARTIAL if value > 0 else _NONE
    if candidates < enough[0] or scores < enough[1]:
        return None
    return (
        f"the metric gave {value:g} to all {scores} answers of {candidates} candidates, so nothing can be told apart; "
        "look at the metric, and at an answer with `dspex run`"
    )
