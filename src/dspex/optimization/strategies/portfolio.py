"""A portfolio: several proposers that share the rounds of one schedule, each by what it has brought."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from dspex.errors import BudgetExceededError
from dspex.kernel.ports import JSON
from dspex.optimization.deciding import (
    Draft,
    Drafting,
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
from dspex.optimization.rows import Candidate, Pair, Proposal, Round
from dspex.optimization.schedules.racing import LADDER, Race
from dspex.optimization.stages import kind_of, require_kinds
from dspex.optimization.strategies.drafting import drafted, first_part, second_part, written
from dspex.optimization.strategies.sharing import PATIENCE, Fresh, Share, shared

PARENTS = 5
"""Candidates that proposers start from, the seed program among them while it is that good."""
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
    """Evaluations of the candidates that the budget pays for, where they cost more than those so far."""
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
        if memo.pop("drafts", None) is not None and (rest := second_part(search, schedule, memo)) is not None:
            return rest
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
        if chosen.candidates is None:
            fresh, draft = await self._shared_round(search, schedule, memo, room)
        else:
            fresh = chosen.candidates
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

    async def prepare(self, search: SearchView) -> Sequence[Proposal]:
        memo: Mapping[str, Any] = search.memo or {}
        return await written(search, self.proposers, memo.get("drafts", {}))

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
        parents, able = _parents(search, schedule), self._able(search, memo)
        chosen = await self.chooser.choose(
            Choice(search, schedule, leader, memo.get("chooser"), able, parents, room, memo["stale"])
        )
        memo["chooser"] = chosen.memo
        return chosen

    async def _shared_round(
        self, search: SearchView, schedule: Schedule, memo: dict[str, Any], room: int
    ) -> tuple[Sequence[Candidate], Draft]:
        """New candidates by all proposers, and the plan for them.

        Who takes long to write is asked once, in the end, when it is known for how many. Where something is there to be
        evaluated meanwhile, the round comes in two parts: what is written joins in the second.
        """
        after, turns = memo["schedule"], _Turns(search, _parents(search, schedule), memo["notes"])
        able = self._able(search, memo)
        found, writing = Fresh(), Counter[str]()
        with suppress(BudgetExceededError):
            for attempt in range(2):
                missing = room - len(found.candidates) - writing.total()
                for proposer, count in self._shared(able, missing, memo, search.rng(f"shares/{attempt}")):
                    if isinstance(proposer, Drafting):
                        writing[proposer.name] += count
                    else:
                        found.add(search, await proposer.propose(turns.of(proposer, count, attempt)))
            writers = [(item, turns.of(item, count)) for item in able if (count := writing[item.name])]
            part = first_part(search, schedule, after, list(found.candidates)[:room], writing.total())
            drafts = None if part is None else await drafted(writers)
            if search.lab.silent:
                drafts = None  # asking for texts tells whether the model is gone, before its silence decides anything
            if part is not None and drafts:
                memo["drafts"] = drafts
                return list(found.candidates.values()), part
            for proposer, turn in writers if drafts is None else ():
                found.add(search, await proposer.propose(turn))
        fresh = list(found.candidates.values())[:room]
        return fresh, schedule.plan(search, after, [item.id for item in fresh])

    def _shared(self, able: Sequence[Proposer], room: int, memo: Mapping[str, Any], rng: Random) -> list[Share]:
        return shared(able, room, memo if self.bandit else {**memo, "stale": PATIENCE + 1}, rng)


@dataclass(frozen=True, slots=True)
class _Turns:
    """The turns of one round."""

    search: SearchView
    parents: Sequence[Candidate]
    notes: dict[str, dict[str, Any]]

    def of(self, proposer: Proposer, count: int, attempt: int = 0) -> Turn:
        own = self.notes.setdefault(proposer.name, {})
        return Turn(self.search, self.parents, count, self.search.rng(f"{proposer.name}/{attempt}"), own)


def _parents(search: SearchView, schedule: Schedule) -> list[Candidate]:
    return [search.ledger.candidates[item] for item in schedule.ranking(search)[:PARENTS]]


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
