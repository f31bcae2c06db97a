"""The paired race: challengers meet the incumbent on growing prefixes of the same examples.

After each rung a challenger is dropped where the probability that it is better is below 0.05, goes on above 0.2, and
waits in between, to be continued only when nothing better is at hand. At the top, above 0.95, it replaces the
incumbent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dspex.evaluation.statistics import probability_better
from dspex.kernel.ports import JSON
from dspex.optimization.ports import Draft, Finalists, Pair, SearchView

DROP, PROMOTE, REPLACE = 0.05, 0.2, 0.95
LADDER = (8, 16, 32, 64)
PRIOR = 12
"""A gain seen on n examples is believed n / (n + PRIOR) when candidates of different rungs are ranked."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A challenger, the rung it has been evaluated on, and how likely it was then to beat the incumbent."""

    candidate: str
    rung: int
    chance: float = 0.5

    def written(self) -> JSON:
        """As JSON."""
        return {"candidate": self.candidate, "rung": self.rung, "chance": self.chance}


@dataclass(frozen=True, slots=True)
class Standing:
    """The race's memo: who leads, who runs, who waits, who has been at the top."""

    incumbent: str
    running: tuple[Lane, ...] = ()
    ready: tuple[Lane, ...] = ()
    """Promoted, not yet sent on: the next plan takes them first."""
    waiting: tuple[Lane, ...] = ()
    topped: tuple[str, ...] = ()

    @classmethod
    def read(cls, memo: JSON, seed: str) -> Standing:
        """From the JSON that `written` gives; the seed leads where there is none yet."""
        if not memo:
            return cls(seed)
        lanes = {key: tuple(Lane(**item) for item in memo[key]) for key in ("running", "ready", "waiting")}
        return cls(memo["incumbent"], lanes["running"], lanes["ready"], lanes["waiting"], tuple(memo["topped"]))

    def written(self) -> JSON:
        """As JSON."""
        return {
            "incumbent": self.incumbent,
            "running": [lane.written() for lane in self.running],
            "ready": [lane.written() for lane in self.ready],
            "waiting": [lane.written() for lane in self.waiting],
            "topped": list(self.topped),
        }


@dataclass(frozen=True)
class Race:
    """`Schedule` by paired comparison. `width`: new candidates a round. `top`: examples at the last rung."""

    width: int
    top: int
    name: str = "race"

    @property
    def rungs(self) -> tuple[int, ...]:
        """How many examples each rung compares."""
        steps = [size for size in LADDER if size < self.top]
        while steps and steps[-1] >= LADDER[-1] and steps[-1] * 4 <= self.top:
            steps.append(steps[-1] * 2)
        return (*steps, self.top)

    def fold(self, search: SearchView, memo: JSON) -> JSON:
        standing = Standing.read(memo, search.problem.seed_id)
        rungs = self.rungs
        ready, waiting, topped = list(standing.ready), list(standing.waiting), list(standing.topped)
        champions: list[str] = []
        for lane in standing.running:
            if not search.ledger.scores(lane.candidate):
                continue  # the model refuses its every request
            chance = self._chance(search, lane.candidate, standing.incumbent, rungs[lane.rung])
            judged = replace(lane, chance=chance)
            if chance < DROP:
                continue
            if lane.rung == len(rungs) - 1:
                topped.append(lane.candidate)
                if chance > REPLACE:
                    champions.append(lane.candidate)
            elif chance > PROMOTE:
                ready.append(judged)
            else:
                waiting.append(judged)
        incumbent = max(champions, key=lambda item: self._mean(search, item)) if champions else standing.incumbent
        found = Standing(incumbent, (), tuple(ready), tuple(waiting), tuple(topped))
        return (self._judged_again(search, found) if champions else found).written()

    def judged(self, before: JSON, after: JSON) -> Mapping[str, float]:
        first = [lane for lane in Standing.read(before, "").running if not lane.rung]
        standing = Standing.read(after, "")
        chances = {lane.candidate: lane.chance for lane in (*standing.ready, *standing.waiting)}
        return {lane.candidate: chances.get(lane.candidate, 0.0) for lane in first}

    def room(self, search: SearchView, memo: JSON) -> int:
        """All of the width, until the budget is needed by those that are under way."""
        standing = Standing.read(memo, search.problem.seed_id)
        if self._flawless(search, standing.incumbent):
            return 0
        rungs = self.rungs
        owed = sum(rungs[lane.rung + 1] - rungs[lane.rung] for lane in standing.ready)
        return self.width if search.affordable >= owed + 2 * self.width * rungs[0] else 0

    def plan(self, search: SearchView, memo: JSON, fresh: Sequence[str]) -> Draft:
        standing = Standing.read(memo, search.problem.seed_id)
        if alone := self._flawless(search, standing.incumbent)[: int(min(search.affordable, self.top))]:
            return Draft(tuple(alone), memo)
        promoted, queued = self._going_on(standing.ready)
        lanes = [replace(lane, rung=lane.rung + 1) for lane in promoted] + [Lane(item, 0) for item in fresh]
        waiting = sorted(standing.waiting, key=lambda lane: (-lane.chance, lane.candidate))
        while waiting and len(lanes) < self.width:
            lane = waiting.pop(0)
            lanes.append(replace(lane, rung=lane.rung + 1))
        pairs: dict[Pair, None] = {}
        taken: list[Lane] = []
        left = queued
        for lane in lanes:
            wanted = [pair for pair in self._pairs(search, standing.incumbent, lane) if pair not in pairs]
            if len(pairs) + len(wanted) > search.affordable:
                if lane.rung:
                    left.append(replace(lane, rung=lane.rung - 1))
                continue
            pairs.update(dict.fromkeys(wanted))
            taken.append(lane)
        state = Standing(standing.incumbent, tuple(taken), tuple(left), tuple(waiting), standing.topped)
        return Draft(tuple(pairs), state.written(), tuple(lane.candidate for lane in taken if not lane.rung))

    def _going_on(self, ready: Sequence[Lane]) -> tuple[list[Lane], list[Lane]]:
        """Of the promoted the likeliest, half as many on each higher rung; the others queue for a later round."""
        going: list[Lane] = []
        queued: list[Lane] = []
        for rung in range(len(self.rungs) - 2, -1, -1):
            here = sorted(
                (lane for lane in ready if lane.rung == rung), key=lambda lane: (-lane.chance, lane.candidate)
            )
            places = max(1, self.width >> (rung + 1))
            going += here[:places]
            queued += here[places:]
        return going, queued

    def ranking(self, search: SearchView) -> list[str]:
        seed = search.problem.seed_id
        base = search.ledger.scores(seed)
        believed = {seed: 0.0}
        for item in search.ledger.candidates:
            scores = search.ledger.scores(item)
            shared = [
                scores[key] - base[key] for key in search.problem.keys[: self.top] if key in scores and key in base
            ]
            if shared and item != seed:
                believed[item] = sum(shared) / (len(shared) + PRIOR)
        return sorted(believed, key=lambda item: -believed[item])

    def leader(self, search: SearchView, memo: JSON) -> str:
        return Standing.read(memo, search.problem.seed_id).incumbent

    def finalists(self, search: SearchView, memo: JSON) -> Finalists:
        seed = search.problem.seed_id
        topped = Standing.read(memo, seed).topped
        passed = [item for item in topped if self._chance(search, item, seed, self.top) > REPLACE]
        return Finalists(tuple(sorted(passed, key=lambda item: -self._mean(search, item))), len(topped))

    def _chance(self, search: SearchView, challenger: str, other: str, size: int) -> float:
        ours, theirs = search.ledger.scores(challenger), search.ledger.scores(other)
        shared = [key for key in search.problem.keys[:size] if key in ours and key in theirs]
        known, memory = ("chance", challenger, other, len(shared)), search.problem.memory
        if known not in memory or len(shared) < size:
            second, first = [ours[key] for key in shared], [theirs[key] for key in shared]
            memory[known] = probability_better(first, second, seed=search.problem.seed)
        found: float = memory[known]
        return found

    def _judged_again(self, search: SearchView, standing: Standing) -> Standing:
        """Against the new incumbent, on what each lane has: some that were promoted wait or are out."""
        ready: list[Lane] = []
        waiting: list[Lane] = []
        for lane in (*standing.ready, *standing.waiting):
            chance = self._chance(search, lane.candidate, standing.incumbent, self.rungs[lane.rung])
            if chance >= DROP:
                (ready if chance > PROMOTE else waiting).append(replace(lane, chance=chance))
        return replace(standing, ready=tuple(ready), waiting=tuple(waiting))

    def _pairs(self, search: SearchView, incumbent: str, lane: Lane) -> list[Pair]:
        keys = search.problem.keys[: self.rungs[lane.rung]]
        wanted = [(who, *key) for who in (incumbent, lane.candidate) for key in keys]
        return [pair for pair in wanted if not search.ledger.holds(pair)]

    def _flawless(self, search: SearchView, incumbent: str) -> list[Pair]:
        """What is left to ask an incumbent that has made no mistake so far: perhaps there is nothing to gain."""
        scores = search.ledger.scores(incumbent)
        keys = search.problem.keys[: self.top]
        if any(scores.get(key, 1.0) < 1.0 for key in keys):
            return []
        left = [(incumbent, *key) for key in keys if key not in scores]
        return [pair for pair in left if not search.ledger.failures(pair)]

    def _mean(self, search: SearchView, candidate: str) -> float:
        scores = search.ledger.scores(candidate)
        found = [scores[key] for key in search.problem.keys[: self.top] if key in scores]
        return sum(found) / len(found) if found else 0.0
