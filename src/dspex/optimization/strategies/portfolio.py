"""A portfolio: several proposers that share the rounds of one schedule, each by what it has brought."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from dspex.errors import BudgetExceededError
from dspex.kernel.ports import JSON
from dspex.optimization.deciding import (
    FeedbackReader,
    Finalists,
    Foresight,
    Glimpse,
    Proposer,
    Schedule,
    ScheduleOf,
    SearchView,
    Turn,
)
from dspex.optimization.parzen import installed
from dspex.optimization.problem import Problem
from dspex.optimization.proposers.tpe import ParzenMoves
from dspex.optimization.rows import Candidate, Pair, Round
from dspex.optimization.schedules.racing import LADDER, Race
from dspex.optimization.stages import kind_of, require_kinds

PARENTS = 5
"""Candidates that proposers start from, the seed program among them while it is that good."""
PATIENCE = 4
"""Rounds without a new incumbent after which proposers take turns whatever they have brought so far."""
_WEIGHER = "tpe"
"""The proposer that weighs several objectives."""
IDLE = 3
"""Rounds in a row that bring nothing new and leave nothing to continue: the search is over."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a chooser is asked: which new candidates to evaluate in this round."""

    search: SearchView
    schedule: Schedule
    leader: str
    memo: JSON
    """Its own, of the round before."""
    proposers: Sequence[Proposer]
    parents: Sequence[Candidate]
    room: int
    stale: int
    """Rounds without a new incumbent."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What it says."""

    memo: JSON
    candidates: Sequence[Candidate] | None = None
    """None: the portfolio shares the round among its proposers."""
    affordable: float = math.inf
    """Evaluations of these that the budget pays for, where they cost more than those so far."""
    chances: Mapping[str, float] | None = None
    """How likely candidates under way are to be the best, where the chooser knows more than their scores say."""
    stop: str | None = None
    """Why the search should end, in words."""


class Chooser(Protocol):
    """Picks new candidates in the portfolio's place. Pure but for what its proposers ask."""

    async def choose(self, choice: Choice) -> Chosen: ...


@dataclass(frozen=True)
class Portfolio:
    """`Strategy`: all of its proposers in every round, more often those that brought more, under one schedule.

    A proposer's record is how often its candidates were ahead of the incumbent after their first comparison; the shares
    of the next round are drawn by Thompson sampling from it. After `PATIENCE` rounds without a new incumbent the shares
    are equal.
    """

    name: str
    proposers: tuple[Proposer, ...]
    width: int | None = None
    """New candidates in a round; None: from the budget, 2 to 12."""
    schedule: ScheduleOf = Race
    chooser: Chooser | None = None
    bandit: bool = True
    """Without it, the shares are always equal, whatever proposers have brought."""

    def check(self, problem: Problem) -> None:
        require_kinds(problem.program, self.name, {kind for item in self.proposers for kind in item.needs})

    async def next_round(self, search: SearchView) -> Round | str:
        memo: dict[str, Any] = dict(search.memo or self._opening(search))
        schedule = self._schedule(memo)
        before = memo["schedule"]
        after = memo["schedule"] = schedule.fold(search, before)
        memo["arms"] = _records(search, memo["arms"], schedule.judged(before, after))
        led = before and schedule.leader(search, before) == schedule.leader(search, after)
        memo["stale"] = memo["stale"] + 1 if led else 0
        memo["notes"] = {name: dict(own) for name, own in memo.get("notes", {}).items()}
        room = schedule.room(search, after)
        chosen = await self._chosen(search, schedule, memo, room)
        if chosen.stop:
            return chosen.stop
        if chosen.chances:
            after = memo["schedule"] = schedule.revised(after, chosen.chances)
        fresh = chosen.candidates if chosen.candidates is not None else await self._fresh(search, schedule, memo, room)
        priced = replace(search, affordable=min(search.affordable, chosen.affordable))
        draft = schedule.plan(priced, after, [item.id for item in fresh])
        memo["idle"] = 0 if draft.pairs or draft.memo != after else memo["idle"] + 1
        if search.affordable < LADDER[0] or (not room and memo["idle"]):
            return "the search's share of the budget is spent"
        if _perfect(search, schedule, after):
            return "the best candidate has full marks on val"
        if memo["idle"] >= IDLE:
            return "nothing is left to try"
        memo["schedule"] = draft.memo
        return Round(search.number, draft.pairs, tuple(item for item in fresh if item.id in draft.taken), memo)

    @property
    def foresees(self) -> bool:
        return isinstance(self.schedule(2, LADDER[0]), Foresight)

    def foreseen(self, search: SearchView, glimpse: Glimpse) -> Sequence[Pair]:
        if not search.memo:
            return ()
        schedule = self._schedule(search.memo)
        return schedule.foreseen(search, search.memo["schedule"], glimpse) if isinstance(schedule, Foresight) else ()

    def leader(self, search: SearchView) -> str:
        if not search.memo:
            return search.problem.seed_id
        schedule = self._schedule(search.memo)
        folded = schedule.fold(search, search.memo["schedule"])
        # Who would be confirmed now; until there is one, whom the others are measured by.
        best = schedule.finalists(search, folded).best_first
        return best[0] if best else schedule.leader(search, folded)

    def finalists(self, search: SearchView) -> Finalists:
        if not search.memo:
            return Finalists()
        schedule = self._schedule(search.memo)
        return schedule.finalists(search, schedule.fold(search, search.memo["schedule"]))

    async def remarks(self, search: SearchView) -> Sequence[str]:
        """What is left out; what those proposers go by that read the metric's words, where it has none."""
        memo: Mapping[str, Any] = search.memo or {}
        missing: Sequence[str] = memo.get("left_out", ())
        said = [f"proposer {name!r} was left out, since it needs the extra `optimize`" for name in missing]
        readers = [item for item in self._able(search) if isinstance(item, FeedbackReader)]
        if not readers or not search.ledger.rounds:
            return said
        rows = [await search.ledger.read(pair) for pair in search.ledger.rounds[0].pairs]
        wrong = [row for row in rows if row is not None and row.score is not None and row.score < 1 and not row.error]
        if not wrong or any(row.feedback for row in wrong):
            return said
        return said + [
            f"the metric gives no feedback in words, so {item.name} goes by {item.without_feedback}; "
            "a metric may return Score(value, feedback)"
            for item in readers
        ]

    def _schedule(self, memo: Mapping[str, Any]) -> Schedule:
        return self.schedule(memo["width"], memo["top"])

    def _able(self, search: SearchView, memo: Mapping[str, Any] | None = None) -> list[Proposer]:
        """Those that find something to vary, less those that the search was begun without; for several objectives also
        moves that weigh them."""
        kinds = {kind_of(item) for item in search.problem.space}
        known: Mapping[str, Any] = memo or search.memo or {}
        without: Sequence[str] = known.get("left_out", ())
        able = [item for item in self.proposers if kinds & item.needs and item.name not in without]
        return [*able, ParzenMoves()] if able and self._weighing(search.problem) and _WEIGHER not in without else able

    def _weighing(self, problem: Problem) -> bool:
        """Whether there are several objectives, and no proposer that weighs them."""
        return len(problem.objectives.of) > 1 and all(item.name != _WEIGHER for item in self.proposers)

    def _opening(self, search: SearchView) -> dict[str, Any]:
        """Fixed for the run by what the budget pays for: new candidates a round, examples at the top."""
        size = len(search.problem.val)
        wide = min(12, max(2, int(min(search.affordable, 1e6) // 200)))
        top = int(min(size, max(LADDER[0], search.affordable // 8)))
        lacking = [_WEIGHER] if self._weighing(search.problem) and not installed() else []
        return {
            "width": self.width or wide, "top": top, "schedule": None, "arms": {}, "stale": 0, "idle": 0,
            "left_out": lacking,
        }  # fmt: skip

    async def _chosen(self, search: SearchView, schedule: Schedule, memo: dict[str, Any], room: int) -> Chosen:
        if self.chooser is None:
            return Chosen(None)
        leader = schedule.leader(search, memo["schedule"])
        parents = [search.ledger.candidates[item] for item in schedule.ranking(search)[:PARENTS]]
        able = self._able(search, memo)
        chosen = await self.chooser.choose(
            Choice(search, schedule, leader, memo.get("chooser"), able, parents, room, memo["stale"])
        )
        memo["chooser"] = chosen.memo
        return chosen

    async def _fresh(
        self, search: SearchView, schedule: Schedule, memo: Mapping[str, Any], room: int
    ) -> list[Candidate]:
        able = self._able(search, memo)
        parents = [search.ledger.candidates[item] for item in schedule.ranking(search)[:PARENTS]]
        found: dict[str, Candidate] = {}
        for attempt in range(2):
            if len(found) >= room:
                break
            known = memo if self.bandit else {**memo, "stale": PATIENCE + 1}
            shares = _shares(able, room - len(found), known, search.rng(f"shares/{attempt}"))
            for proposer, count in shares:
                own = memo["notes"].setdefault(proposer.name, {})
                turn = Turn(search, parents, count, search.rng(f"{proposer.name}/{attempt}"), own)
                try:
                    proposals = await proposer.propose(turn)
                except BudgetExceededError:
                    return list(found.values())[:room]
                for proposal in proposals:
                    candidate = search.candidate(proposal)
                    if candidate is not None:
                        found.setdefault(candidate.id, candidate)
        return list(found.values())[:room]


def _records(search: SearchView, arms: Mapping[str, Any], judged: Mapping[str, float]) -> dict[str, list[int]]:
    """Wins and tries of each proposer, with the first comparisons that were just judged."""
    found = {name: list(record) for name, record in arms.items()}
    for candidate, chance in judged.items():
        record = found.setdefault(search.ledger.candidates[candidate].operator, [0, 0])
        record[0] += chance > 0.5
        record[1] += 1
    return found


def _perfect(search: SearchView, schedule: Schedule, memo: JSON) -> bool:
    """Whether the incumbent has full marks on all that a candidate is asked: nothing can beat it."""
    scores = search.ledger.scores(schedule.leader(search, memo))
    return search.problem.objectives.plain and all(
        scores.get(key, 0.0) >= 1.0 for key in search.problem.keys[: schedule.top]
    )


Share = tuple[Proposer, int]


def _shares(proposers: Sequence[Proposer], slots: int, memo: Mapping[str, Any], rng: Random) -> list[Share]:
    """How many candidates each proposer is asked for: one at least where there is room, the rest by its record.

    Where the room is too small for all, those go first at the beginning that are listed first, later by lot.
    """
    order = rng.sample(list(proposers), len(proposers)) if memo["arms"] else list(proposers)
    counts = dict.fromkeys((item.name for item in order), 0)
    for index in range(slots):
        if index < len(order):
            counts[order[index].name] += 1
        else:
            drawn: dict[str, float] = {}
            for item in order:
                wins, tries = (0, 0) if memo["stale"] > PATIENCE else memo["arms"].get(item.name, (0, 0))
                drawn[item.name] = rng.betavariate(1 + wins, 1 + tries - wins)
            counts[max(drawn, key=lambda name: drawn[name])] += 1
    return [(item, counts[item.name]) for item in proposers if counts[item.name]]
