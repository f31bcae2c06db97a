"""Successive halving (Jamieson and Talwalkar 2016), and with a single rung the full evaluation of every candidate.

A bracket of candidates is scored on a few examples, the better half of it on more, and so on to all of them; then the
next bracket begins. All see the same examples, but nobody is compared with the incumbent before the end. These are the
schedules that the race is measured against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dspex.kernel.ports import JSON
from dspex.optimization.deciding import Draft, Finalists, SearchView
from dspex.optimization.schedules.comparing import (
    asked,
    best_of,
    chance_of,
    mean_of,
    missing,
    ranked,
    shown_better,
    unasked_of_flawless,
)
from dspex.optimization.schedules.racing import rungs_up_to

SHARE = 3
"""A bracket is so large that about a third of what is left of the budget pays for it."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """The memo: who leads, who is being evaluated on which rung, who goes on, who has been at the top."""

    incumbent: str
    rung: int = 0
    running: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    """The better half, for the next rung."""
    topped: tuple[str, ...] = ()
    judged: dict[str, float] | None = None
    """Of the last fold: first comparisons, and the probability of being better than the incumbent."""

    @classmethod
    def read(cls, memo: JSON, seed: str) -> Bracket:
        """From the JSON that `written` gives; the seed leads where there is none yet."""
        if not memo:
            return cls(seed)
        lists: dict[str, Any] = {key: tuple(memo[key]) for key in _LISTS}
        return cls(memo["incumbent"], memo["rung"], **lists, judged=memo["judged"])

    def written(self) -> JSON:
        """As JSON."""
        lists = {key: list(getattr(self, key)) for key in _LISTS}
        return {"incumbent": self.incumbent, "rung": self.rung, **lists, "judged": self.judged}


_LISTS = ("running", "ready", "topped")


@dataclass(frozen=True)
class Halving:
    """`Schedule` by brackets. `width`: at least so many new candidates in one. `top`: examples at the last rung."""

    width: int
    top: int
    rungs: tuple[int, ...]
    """How many examples each rung has; the last is `top`."""
    name: str = "halving"

    def fold(self, search: SearchView, memo: JSON) -> JSON:
        before = replace(Bracket.read(memo, search.problem.seed_id), judged=None)
        if not before.running:
            return before.written()
        # A model may refuse a candidate's every request, and a candidate may break a constraint.
        there = [item for item in before.running if search.ledger.scores(item) and search.outcomes.allowed(item)]
        chances = {item: chance_of(search, item, before.incumbent, asked(search, item)) for item in there}
        found = replace(before, running=(), judged=None if before.rung else chances)
        if before.rung < len(self.rungs) - 1:
            best = sorted(there, key=lambda item: -mean_of(search, item, self.rungs[before.rung]))
            return replace(found, ready=tuple(best[: max(1, len(best) // 2)])).written()
        incumbent = best_of(search, before.incumbent, there, self.top)
        return replace(found, incumbent=incumbent, topped=(*before.topped, *there)).written()

    def judged(self, before: JSON, after: JSON) -> Mapping[str, float]:
        return Bracket.read(after, "").judged or {}

    def revised(self, memo: JSON, chances: Mapping[str, float]) -> JSON:
        return memo

    def room(self, search: SearchView, memo: JSON) -> int:
        """A whole bracket, once the one before is through."""
        bracket = Bracket.read(memo, search.problem.seed_id)
        if bracket.ready or unasked_of_flawless(search, bracket.incumbent, self.top):
            return 0
        left = search.affordable - len(missing(search, [bracket.incumbent], search.problem.keys[: self.rungs[0]]))
        leaps = zip(self.rungs, self.rungs[1:], strict=False)
        price = self.rungs[0] + sum((large - small) / 2**rung for rung, (small, large) in enumerate(leaps, start=1))
        wanted = min(left / price / SHARE, 2 ** (len(self.rungs) - 1))
        return max(0, min(max(self.width, int(wanted)), int(min(left, 1e9) / self.rungs[0])))

    def plan(self, search: SearchView, memo: JSON, fresh: Sequence[str]) -> Draft:
        bracket = Bracket.read(memo, search.problem.seed_id)
        if alone := unasked_of_flawless(search, bracket.incumbent, self.top):
            return Draft(tuple(alone[: int(min(search.affordable, self.top))]), memo)
        rung = bracket.rung + 1 if bracket.ready else 0
        keys = search.problem.keys[: self.rungs[rung]]
        pairs = missing(search, [bracket.incumbent], keys)
        taken: list[str] = []
        for item in bracket.ready or fresh:
            wanted = missing(search, [item], keys)
            if len(pairs) + len(wanted) <= search.affordable:
                pairs += [pair for pair in wanted if pair not in pairs]
                taken.append(item)
        if not taken:
            return Draft((), replace(bracket, ready=()).written())
        state = replace(bracket, rung=rung, running=tuple(taken), ready=())
        return Draft(tuple(pairs), state.written(), () if rung else tuple(taken))

    def leader(self, search: SearchView, memo: JSON) -> str:
        return Bracket.read(memo, search.problem.seed_id).incumbent

    def ranking(self, search: SearchView) -> list[str]:
        return ranked(search, self.top)

    def finalists(self, search: SearchView, memo: JSON) -> Finalists:
        return shown_better(search, Bracket.read(memo, search.problem.seed_id).topped, self.top)


def halving(width: int, top: int) -> Halving:
    """Successive halving on the ladder of the race."""
    return Halving(width, top, rungs_up_to(top))


def full(width: int, top: int) -> Halving:
    """Every candidate on all examples at once."""
    return Halving(width, top, (top,), "full")
