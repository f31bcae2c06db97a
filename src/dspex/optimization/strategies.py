"""Strategies by name: which proposers, under which schedule, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from dspex.errors import BudgetExceededError, ConfigurationError, UnknownNameError, VariableError
from dspex.optimization.ports import Candidate, Finalists, Proposer, Round, Search, SearchOptions, Strategy, Turn
from dspex.optimization.problem import Problem
from dspex.optimization.proposers.crossover import Crossover, Trimming
from dspex.optimization.proposers.demonstrations import BootstrapDemonstrations
from dspex.optimization.proposers.reflection import Reflection
from dspex.optimization.proposers.sampling import LocalSteps, RandomDraws
from dspex.optimization.schedule.racing import LADDER, Race
from dspex.optimization.stages import kind_of

PARENTS = 5
"""Candidates that proposers start from, the seed program among them while it is that good."""
PATIENCE = 4
"""Rounds without a new incumbent after which proposers take turns whatever they have brought so far."""
IDLE = 3
"""Rounds in a row that bring nothing new and leave nothing to continue: the search is over."""


@dataclass(frozen=True)
class Portfolio:
    """`Strategy`: all of its proposers in every round, more often those that brought more, under the paired race.

    A proposer's record is how often its candidates were ahead of the incumbent after their first rung; the shares of
    the next round are drawn by Thompson sampling from it. After `PATIENCE` rounds without a new incumbent the shares
    are equal.
    """

    name: str
    proposers: tuple[Proposer, ...]
    width: int | None = None
    """New candidates in a round; None: from the budget, 2 to 12."""

    def check(self, problem: Problem) -> None:
        if self._able(problem):
            return
        there = sorted({kind_of(item) for item in problem.space})
        wanted = sorted({kind for item in self.proposers for kind in item.needs})
        raise VariableError(
            f"strategy {self.name!r} varies {_listed(wanted)}, and program {problem.program.name!r} has only "
            f"{_listed(there)}; add such a variable, or use strategy='auto'"
        )

    async def next_round(self, search: Search) -> Round | str:
        memo: dict[str, Any] = dict(search.memo or self._opening(search))
        race = Race(memo["width"], memo["top"])
        before = memo["race"]
        memo["race"] = race.fold(search, before)
        memo["arms"] = self._records(search, memo["arms"], before, memo["race"])
        led = before and before["incumbent"] == memo["race"]["incumbent"]
        memo["stale"] = memo["stale"] + 1 if led else 0
        room = race.room(search, memo["race"])
        fresh = await self._fresh(search, race, memo, room)
        draft = race.plan(search, memo["race"], [item.id for item in fresh])
        sent = {lane["candidate"] for lane in draft.memo["running"]}
        memo["idle"] = 0 if sent or draft.pairs else memo["idle"] + 1
        if search.affordable < LADDER[0] or (not room and memo["idle"]):
            return "the search's share of the budget is spent"
        if self._perfect(search, race, memo):
            return "the best candidate has full marks on val"
        if memo["idle"] >= IDLE:
            return "nothing is left to try"
        memo["race"] = draft.memo
        return Round(search.number, draft.pairs, tuple(item for item in fresh if item.id in sent), memo)

    def leader(self, search: Search) -> str:
        if not search.memo:
            return search.problem.seed_id
        race = Race(search.memo["width"], search.memo["top"])
        return race.leader(search, race.fold(search, search.memo["race"]))

    def finalists(self, search: Search) -> Finalists:
        if not search.memo:
            return Finalists()
        race = Race(search.memo["width"], search.memo["top"])
        return race.finalists(search, race.fold(search, search.memo["race"]))

    def _able(self, problem: Problem) -> list[Proposer]:
        kinds = {kind_of(item) for item in problem.space}
        return [item for item in self.proposers if kinds & item.needs]

    def _opening(self, search: Search) -> dict[str, Any]:
        """Fixed for the run by what the budget pays for: new candidates a round, examples at the top."""
        size = len(search.problem.val)
        wide = min(12, max(2, int(min(search.affordable, 1e6) // 200)))
        top = int(min(size, max(LADDER[0], search.affordable // 8)))
        return {
            "width": self.width or wide, "top": top, "race": None, "arms": {}, "stale": 0, "idle": 0,
        }  # fmt: skip

    def _records(self, search: Search, arms: Mapping[str, Any], before: Any, after: Any) -> dict[str, list[int]]:
        """Wins and tries of each proposer, with the first rungs that were just judged."""
        found = {name: list(record) for name, record in arms.items()}
        chances = {lane["candidate"]: lane["chance"] for key in ("ready", "waiting") for lane in after[key]}
        for lane in before["running"] if before else ():
            if lane["rung"] == 0:
                record = found.setdefault(search.ledger.candidates[lane["candidate"]].operator, [0, 0])
                record[0] += chances.get(lane["candidate"], 0.0) > 0.5
                record[1] += 1
        return found

    async def _fresh(self, search: Search, race: Race, memo: Mapping[str, Any], room: int) -> list[Candidate]:
        able = self._able(search.problem)
        parents = [search.ledger.candidates[item] for item in race.ranking(search)[:PARENTS]]
        found: dict[str, Candidate] = {}
        for attempt in range(2):
            if len(found) >= room:
                break
            shares = _shares(able, room - len(found), memo, search.rng(f"shares/{attempt}"))
            for proposer, count in shares:
                turn = Turn(search, parents, count, search.rng(f"{proposer.name}/{attempt}"))
                try:
                    proposals = await proposer.propose(turn)
                except BudgetExceededError:
                    return list(found.values())[:room]
                for proposal in proposals:
                    candidate = search.candidate(proposal)
                    if candidate is not None:
                        found.setdefault(candidate.id, candidate)
        return list(found.values())[:room]

    @staticmethod
    def _perfect(search: Search, race: Race, memo: Mapping[str, Any]) -> bool:
        """Whether the incumbent has full marks on all of the top rung: nothing can beat it."""
        scores = search.ledger.scores(memo["race"]["incumbent"])
        return all(scores.get(key, 0.0) >= 1.0 for key in search.problem.keys[: race.top])


Share = tuple[Proposer, int]


def _shares(proposers: Sequence[Proposer], slots: int, memo: Mapping[str, Any], rng: Random) -> list[Share]:
    """How many candidates each proposer is asked for: one at least where there is room, the rest by its record."""
    order = rng.sample(list(proposers), len(proposers))
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


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(kinds) if kinds else "none"


_BUILT: Mapping[str, Callable[[], tuple[Proposer, ...]]] = {
    "auto": lambda: (BootstrapDemonstrations(), Reflection(), Crossover(), Trimming(), RandomDraws(), LocalSteps()),
    "bootstrap": lambda: (BootstrapDemonstrations(),),
    "random": lambda: (RandomDraws(),),
    "reflection": lambda: (Reflection(),),
}
_PLANNED = ("beacon", "gepa", "mipro", "playbook", "simba")


def strategy_named(name: str, options: SearchOptions) -> Strategy:
    """The strategy of that name. Raises ConfigurationError where it is not built yet, UnknownNameError elsewhere."""
    if name in _BUILT:
        return Portfolio(name, _BUILT[name](), options.width)
    if name in _PLANNED:
        raise ConfigurationError(f"strategy {name!r} is not built yet; there are {', '.join(sorted(_BUILT))}")
    raise UnknownNameError("strategy", name, _BUILT)
